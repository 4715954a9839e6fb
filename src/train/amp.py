"""Mixed precision (`--amp_level`): which parts of the network compute in float16 or bfloat16, and which may not.

Weights, optimizer, running averages and the sums of `--accumulate` are float32 at every level; a cell of lower
precision casts its weights. What stays in float32 inside the network, and why:

- O2 and O3: `deconv` with FastDeconv's covariance and Newton-Schulz iterations; the mean shifts of arch gitee, whose
  input is 0..255 and whose output reaches 1400; the last layer, `up3`, since float16 has steps of 1/8 near 255.
- O2 alone: the two attentions and the mixups, factors of 0..1 that multiply whole maps. O3 has them in float16.
- Wherever `src.dcn` samples: positions (at 100 pixels float16 has steps of 1/16) and the corner weights, which are
  their fractions. Pixels and kernel are in the lower precision.
- The mean of channel attention (`src.aecrnet.CALayer`), a sum over all pixels.
- The loss, with VGG19, whose activations grow with values of 0..255; float16 ends at 65504.

float16 rounds gradients below 3e-8 to zero, so they are computed on a multiple of the loss (`loss_scaler`). bfloat16
has float32's range and needs none; of the devices, Ascend 910B and later compute in it.
"""
from __future__ import annotations

from types import SimpleNamespace
from typing import Optional

import mindspore
from mindspore import amp

from ..aecrnet import CALayer, Dehaze, PALayer

LOWER = ("down1", "down2", "down3", "block", "dcn_block", "up1", "up2")  # the rest is float32
MIXUPS = ("mix1", "mix2", "mix4", "mix5")
AUTO = {"CPU": "O0", "GPU": "O2", "Ascend": "O3"}
DOUBLED_AFTER = 1000  # steps without overflow


def level(options: SimpleNamespace) -> str:
    """The level that `--amp_level` means on this device."""
    return AUTO[options.device_target] if options.amp_level == "auto" else options.amp_level


def lower_precision(net: Dehaze, options: SimpleNamespace) -> None:
    """Let the cells of `net` that may compute in `--amp_dtype`, from the next compilation on."""
    if level(options) == "O0":
        return
    lower = getattr(mindspore, options.amp_dtype)
    for name, cell in net.name_cells().items():
        if name in LOWER or name in MIXUPS and level(options) == "O3":
            cell.to_float(lower)
        elif name == "up3":
            cell.to_float(mindspore.float32)  # casts what comes from up2
    if level(options) == "O2":
        for _, cell in net.cells_and_names():
            if isinstance(cell, (CALayer, PALayer)):
                cell.to_float(mindspore.float32)


def loss_scaler(options: SimpleNamespace) -> Optional[amp.DynamicLossScaler]:
    """The factor on the loss: halved by a step that overflows, doubled after 1000 without; None if none is needed."""
    if level(options) == "O0" or options.amp_dtype != "float16":
        return None
    scaler = amp.DynamicLossScaler(options.loss_scale, 2, DOUBLED_AFTER)
    scaler.scale_value.name, scaler.counter.name = "optimizer.loss_scale", "optimizer.loss_scale_steps"
    return scaler
