"""Whether the trunk of the network takes part: one shared block, passed six times, can blow up or die unnoticed."""
from __future__ import annotations

import contextlib
from typing import Dict, Iterator, List

import torch
from torch import Tensor, nn

from checkpoints.recipe.network import Dehaze

ENCODER = ("down1", "down2", "down3")
SELDOM = 1e-4  # share of places
NEW_FILTER = 0.1  # norm of a filter drawn anew, as a share of the others' median


@torch.no_grad()
def trunk_state(net: Dehaze, hazy: Tensor) -> Dict[str, float]:
    """How the trunk treats the features of one batch.

    Returns:
        gain: deviation of the features after the six passes over that before them. Healthy: about 1.
        offset: mean offset of the deformable convolution in pixels of its map. Beyond the map it reads zeros, and no
            gradient comes back.
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
    """Inside the block, watch what `net` computes; afterwards the dictionary holds, for each layer of the encoder, the
    share of places at which each channel was above zero, the mean over the calls."""
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
    """Share of the encoder's channels that never fired."""
    return (torch.cat(list(shares.values())) == 0).float().mean().item()


@torch.no_grad()
def revive(net: Dehaze, shares: Dict[str, Tensor]) -> int:
    """Draw the filters of the channels anew that hardly ever fire: they get no gradient and never learn again.

    A new filter is small, so the output of the network hardly changes, and positive in sum, so it fires: what it sees
    is not negative. Returns: the number of channels.
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
    """Keep what `layer` gives, of several calls the last."""
    handle = layer.register_forward_hook(lambda _, __, out: seen.update({name: out}))
    try:
        yield
    finally:
        handle.remove()
