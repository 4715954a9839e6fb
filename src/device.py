"""The device on which this process computes."""
from __future__ import annotations

import logging
from typing import Optional

import mindspore

from .distributed.signals import is_distributed
from .errors import InputError, one_line

CARDS = {"Ascend": "ascend", "GPU": "gpu"}  # --device_target -> MindSpore's module that knows of it


def select_device(device_target: str, device_id: Optional[int] = None) -> None:
    """Compute on this device from now on. A rank uses the card that its launcher gave it (DEVICE_ID).

    Raises: InputError if this MindSpore has no such device, or if the process has already computed on another one.
    """
    logging.disable(logging.ERROR)  # MindSpore's own account of what it misses, a dozen lines
    try:
        if device_target in CARDS and not getattr(mindspore.device_context, CARDS[device_target]).is_available():
            raise InputError(f"--device_target {device_target}: MindSpore {mindspore.__version__} finds none here; its "
                             f"wheels are for CPU and, with CANN and a driver, for Ascend (docs/ascend.md)")
        mindspore.set_device(device_target, None if is_distributed() else device_id)
    except (RuntimeError, ValueError) as error:
        # MindSpore refuses a choice after the first computation; the device may be the right one all the same
        if mindspore.get_context("device_target") != device_target:
            raise InputError(
                f"--device_target {device_target}: cannot be used ({one_line(error)[:200]})") from None
    finally:
        logging.disable(logging.NOTSET)
