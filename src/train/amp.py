"""Mixed precision (`--amp_level`): which parts of the network compute in float16 or bfloat16, and which may not.

Weights, optimizer, running averages and the sums of `--accumulate` are float32 at every level. A cell of lower
precision casts its weights. These parts of the network stay in float32:

- O2 and O3: `deconv` with FastDeconv's covariance and Newton-Schulz iterations; the mean shifts of arch gitee, whose
  input is 0..255 and whose output reaches 1400; the last layer, `up3`, since float16 has steps of 1/8 near 255.
- At O2 only: the two attentions and the mixups, factors of 0..1 that multiply whole maps. At O3 they are float16.
- In `src.network.dcn`: the positions of samples (at 100 pixels float16 has steps of 1/16), and the corner weights,
  which are fractions of positions. Pixels and kernel have the lower precision.
- The mean of channel attention (`src.network.aecrnet.CALayer`), a sum over all pixels.
- The loss, with VGG19, whose activations grow with values of 0..255; float16 ends at 65504.

float16 rounds gradients below 3e-8 to zero, so the loss is multiplied by a factor before the backward pass
(`loss_scaler`). bfloat16 has the range of float32 and needs no factor. Ascend 910B and later compute in bfloat16.
"""
from __future__ import annotations

from types import SimpleNamespace
from typing import Optional

import mindspore
from mindspore import amp

from ..network.aecrnet import CALayer, Dehaze, PALayer

LOWER = ("down1", "down2", "down3", "block", "dcn_block", "up1", "up2")  # the other cells are float32
MIXUPS = ("mix1", "mix2", "mix4", "mix5")
AUTO = {"CPU": "O0", "GPU": "O2", "Ascend": "O3"}
DOUBLED_AFTER = 1000  # steps without overflow, after which the factor is doubled


def level(options: SimpleNamespace) -> str:
    """The level that `--amp_level` means on this device."""
    return AUTO[options.device_target] if options.amp_level == "auto" else options.amp_level


def lower_precision(net: Dehaze, options: SimpleNamespace) -> None:
    """Make the suitable cells of `net` compute in `--amp_dtype`, from the next compilation on."""
    if level(options) == "O0":
        return
    lower = getattr(mindspore, options.amp_dtype)
    for name, cell in net.name_cells().items():
        if name in LOWER or name in MIXUPS and level(options) == "O3":
            cell.to_float(lower)
        elif name == "up3":
            cell.to_float(mindspore.float32)  # casts the output of up2
    if level(options) == "O2":
        for _, cell in net.cells_and_names():
            if isinstance(cell, (CALayer, PALayer)):
                cell.to_float(mindspore.float32)


def loss_scaler(options: SimpleNamespace) -> Optional[amp.DynamicLossScaler]:
    """The factor on the loss. An overflow halves it, 1000 steps without overflow double it. None: not needed."""
    if level(options) == "O0" or options.amp_dtype != "float16":
        return None
    scaler = amp.DynamicLossScaler(options.loss_scale, 2, DOUBLED_AFTER)
    scaler.scale_value.name, scaler.counter.name = "optimizer.loss_scale", "optimizer.loss_scale_steps"
    return scaler
