"""Measures of the optional package pyiqa: LPIPS with ground truth, NIQE and MUSIQ without, and many more."""
from __future__ import annotations

from typing import Callable, Dict, Sequence

import numpy as np

from ..errors import InputError, UsageError, one_line

Measure = Callable[..., float]  # uint8 RGB[h, w, 3], and with ground truth the clear image as well -> score
KINDS = {True: ("FR", "with ground truth, such as lpips or dists"),
         False: ("NR", "without ground truth, such as niqe or musiq")}  # pyiqa's mode


def open_measures(names: Sequence[str], with_truth: bool) -> Dict[str, Measure]:
    """The measures of pyiqa with these names. pyiqa downloads the weights of some when they are first used.

    Raises: UsageError if the package is missing, or a name is unknown or that of a measure of the other kind.
        InputError if the weights of a measure cannot be had.
    """
    if not names:
        return {}
    try:
        import pyiqa
        import torch
    except Exception as error:  # an import of torchvision that does not fit to torch is a RuntimeError
        raise UsageError(f"--iqa {' '.join(names)}: needs the package pyiqa, pip install -r requirements/iqa.txt "
                         f"({one_line(error)})") from None
    mode, kind = KINDS[with_truth]
    known = set(pyiqa.list_models(metric_mode=mode))
    for name in names:
        if name not in known:
            raise UsageError(f"--iqa {name}: is no measure of pyiqa {kind}")
    return {name: _measure(pyiqa, torch, name) for name in names}


def _measure(pyiqa, torch, name: str) -> Measure:
    try:
        metric = pyiqa.create_metric(name, device="cpu")
    except Exception as error:  # its downloads fail in many ways
        raise InputError(f"--iqa {name}: its weights cannot be had ({one_line(error)[:200]})") from None

    def measure(*images: np.ndarray) -> float:
        """Raises: InputError if the measure cannot take the images, which may be too small for it."""
        values = [torch.from_numpy(image.astype(np.float32).transpose(2, 0, 1)[None] / 255.0) for image in images]
        try:
            return float(metric(*values))
        except Exception as error:
            height, width = images[0].shape[:2]
            raise InputError(f"--iqa {name}: fails on {width}x{height} px ({one_line(error)[:200]})") from None

    return measure
