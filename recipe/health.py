"""Measures whether the trunk works. One shared block, passed six times, can blow up or die while the loss falls."""
from __future__ import annotations

import contextlib
from typing import Dict, Iterator, List

import torch
from torch import Tensor, nn

from recipe.network import Dehaze

ENCODER = ("down1", "down2", "down3")
SELDOM = 1e-4  # a channel that is above zero at a smaller share of places counts as dead
NEW_FILTER = 0.1  # norm of a new filter over the median norm of the live filters


@torch.no_grad()
def trunk_state(net: Dehaze, hazy: Tensor) -> Dict[str, float]:
    """Gain and offset of the trunk for one batch.

    Returns:
        gain: deviation of the features after the six passes over their deviation before. A healthy gain is about 1.
        offset: mean offset of the deformable convolution in pixels of its map. Samples beyond the map are zero and
            have no gradient.
    """
    seen: Dict[str, Tensor] = {}
    with contextlib.ExitStack() as hooks:
        for name, layer in (("before", net.down3), ("after", net.block),
                            ("offset", net.dcn_block.dcn.conv_offset_mask)):
            hooks.enter_context(_kept_output(layer, name, seen))
        net(hazy)
    gain = seen["after"].float().std() / seen["before"].float().std()
    return {"gain": gain.item(), "offset": seen["offset"][:, :18].float().abs().mean().item()}


@contextlib.contextmanager
def firing(net: Dehaze) -> Iterator[Dict[str, Tensor]]:
    """Watch the encoder of `net` inside the context. Afterwards the dictionary holds a tensor for each layer: the share
    of places at which each channel was above zero, as the mean over the calls."""
    shares: Dict[str, List[Tensor]] = {name: [] for name in ENCODER}
    result: Dict[str, Tensor] = {}

    def watch(name: str):
        return lambda _, __, out: shares[name].append((out > 0).float().mean((0, 2, 3)))

    handles = [getattr(net, name).register_forward_hook(watch(name)) for name in ENCODER]
    try:
        yield result
    finally:
        for handle in handles:
            handle.remove()
    result.update({name: torch.stack(rows).mean(0) for name, rows in shares.items()})


def silent_share(shares: Dict[str, Tensor]) -> float:
    """The share of the encoder's channels that never fired."""
    return (torch.cat(list(shares.values())) == 0).float().mean().item()


@torch.no_grad()
def revive(net: Dehaze, shares: Dict[str, Tensor]) -> int:
    """Draw new random filters for channels that hardly ever fire. Such channels get no gradient and would never learn.

    A new filter is small, so that the output of the network hardly changes. Its sum is positive, so that it fires: its
    input is never negative. Returns: the number of channels.
    """
    count = 0
    for name, share in shares.items():
        conv = next(layer for layer in getattr(net, name) if isinstance(layer, nn.Conv2d))
        dead = share < SELDOM
        if dead.any() and not dead.all():
            live = conv.weight[~dead].flatten(1).norm(dim=1).median()
            drawn = torch.randn_like(conv.weight[dead])
            drawn *= torch.sign(drawn.sum((1, 2, 3), keepdim=True))
            norm = drawn.flatten(1).norm(dim=1)[:, None, None, None]
            conv.weight[dead] = drawn / norm * live * NEW_FILTER
            conv.bias[dead] = 0
        count += int(dead.sum())
    return count


@contextlib.contextmanager
def _kept_output(layer: nn.Module, name: str, seen: Dict[str, Tensor]) -> Iterator[None]:
    """Keep the output of `layer` in `seen`; a later call replaces that of an earlier one."""
    handle = layer.register_forward_hook(lambda _, __, out: seen.update({name: out}))
    try:
        yield
    finally:
        handle.remove()
