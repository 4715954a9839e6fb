"""Names and shapes of the network's parameters in both forms. A test compares them with the network itself."""
from __future__ import annotations

from typing import Dict, Tuple

from ..spec import ARCHS, SAMPLINGS, TAPS

WIDTH = 64  # channels at full size; twice as many at half the size, four times as many in the trunk

Shapes = Dict[str, Tuple[int, ...]]


def check_form(arch: str, dcn_sampling: str) -> None:
    """Raises: ValueError if there is no such form of the network."""
    if arch not in ARCHS:
        raise ValueError(f"arch must be one of {', '.join(ARCHS)}, not {arch}")
    if dcn_sampling not in SAMPLINGS:
        raise ValueError(f"sampling must be {' or '.join(SAMPLINGS)}, not {dcn_sampling}")
    if arch == "paper" and dcn_sampling != "exact":
        raise ValueError(f"dcn_sampling of arch paper must be exact, not {dcn_sampling}")


def parameter_shapes(arch: str) -> Shapes:
    """Name -> shape of every parameter of `src.network.aecrnet.Dehaze`."""
    trunk, layer = 4 * WIDTH, "0" if arch == "gitee" else "1"  # the layer before a 7x7 convolution of paper pads
    shapes = {
        **_conv(f"down1.{layer}", WIDTH, 3, 7), **_conv("down2.0", 2 * WIDTH, WIDTH, 3),
        **_conv("down3.0", trunk, 2 * WIDTH, 3), **_conv("block.conv1", trunk, trunk, 3),
        **_conv("block.conv2", trunk, trunk, 3), **_conv("block.calayer.ca.0", trunk // 8, trunk, 1),
        **_conv("block.calayer.ca.2", trunk, trunk // 8, 1), **_conv("block.palayer.pa.0", trunk // 8, trunk, 1),
        **_conv("block.palayer.pa.2", 1, trunk // 8, 1), **_conv(f"up3.{layer}", 3, WIDTH, 7),
        **_conv("deconv", 3, 3, 3),
        # transposed convolutions: the input's channels come first
        "up1.0.weight": (trunk, 2 * WIDTH, 3, 3), "up1.0.bias": (2 * WIDTH,),
        "up2.0.weight": (2 * WIDTH, WIDTH, 3, 3), "up2.0.bias": (WIDTH,),
    }
    return {**shapes, **(_gitee(trunk) if arch == "gitee" else _paper(trunk))}


def _gitee(trunk: int) -> Shapes:
    return {**_conv("sub_mean", 3, 3, 1), **_conv("add_mean", 3, 3, 1), "mix4.w": (), "mix5.w": (),
            "dcn_block.conv.weight": (trunk, trunk, 3, 3), "dcn_block.p_conv.weight": (2 * TAPS, trunk, 3, 3),
            "dcn_block.m_conv.weight": (TAPS, trunk, 3, 3)}


def _paper(trunk: int) -> Shapes:
    patch = 3 * TAPS  # values that FastDeconv whitens
    return {"deconv.running_mean": (patch,), "deconv.running_deconv": (patch, patch), "mix1.w": (1,), "mix2.w": (1,),
            **_conv("dcn_block.dcn", trunk, trunk, 3),
            **_conv("dcn_block.dcn.conv_offset_mask", 3 * TAPS, trunk, 3)}


def _conv(name: str, outputs: int, inputs: int, side: int) -> Shapes:
    return {f"{name}.weight": (outputs, inputs, side, side), f"{name}.bias": (outputs,)}
