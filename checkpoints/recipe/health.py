"""Whether the trunk of the network takes part: one shared block, passed six times, can blow up or die unnoticed."""
from __future__ import annotations

import contextlib
from typing import Dict, Iterator, List

import torch
from torch import Tensor, nn

from checkpoints.recipe.network import Dehaze


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
def silent_channels(net: Dehaze) -> Iterator[List[float]]:
    """Inside the block, watch what `net` computes; afterwards the list holds the share of channels of the encoder
    that never fired."""
    fired: Dict[str, Tensor] = {}
    result: List[float] = []

    def watch(name: str):
        def note(_, __, out: Tensor) -> None:
            fired[name] = fired.get(name, torch.tensor(False)) | (out > 0).any(-1).any(-1).any(0)
        return note

    handles = [getattr(net, name).register_forward_hook(watch(name)) for name in ("down1", "down2", "down3")]
    try:
        yield result
    finally:
        for handle in handles:
            handle.remove()
    result.append(1 - torch.cat(list(fired.values())).float().mean().item())


@contextlib.contextmanager
def _kept_output(layer: nn.Module, name: str, seen: Dict[str, Tensor]) -> Iterator[None]:
    """Keep what `layer` gives, of several calls the last."""
    handle = layer.register_forward_hook(lambda _, __, out: seen.update({name: out}))
    try:
        yield
    finally:
        handle.remove()
