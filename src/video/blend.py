"""Less flicker in dehazed video, without the ghosts that averaged frames show."""
from __future__ import annotations

from typing import Optional, Tuple

import cv2
import numpy as np

from ..errors import UsageError

CELLS = 32  # cells along the longer side; nothing smaller than a cell is blended
TRUST = 6.0  # grey levels; a cell whose input changes by this much keeps 1/e of the blend


class TemporalBlend:
    """Smooths over time what dehazing adds to large areas. Details and moving objects stay those of their own frame.

    A network that sees single frames estimates the haze anew in each frame, so the brightness of large areas flickers
    in a scene at rest. The blend smooths the correction `r = dehazed - hazy`. It smooths the means of `r` over cells,
    never single pixels (t: frame, c: cell):

        L[t, c] = mean of r over the cell             S[t] = L[t] + w[t] * (S[t-1] - L[t]),  S[0] = L[0]
        d[t, c] = change of the cell's mean hazy      w[t] = blend * exp(-(d[t] / TRUST)**2)
                  colour since t-1 (largest channel)
        result[t] = dehazed[t] + bilinear(S[t] - L[t])

    Edges and textures are those of frame t alone. A moving object or a cut changes the input; w falls to 0 there, and
    the frame stays as the network made it. A flicker of the input itself (automatic exposure) stays for the same
    reason. With blend = 0 the result is `dehazed`.

    Little can trail behind a motion. If the correction changes by at most k times d, the result differs from `dehazed`
    by at most max over d of k d w / (1 - w). At blend 0.8 this is 5.1 k grey levels, at any contrast
    (tests/test_temporal_blend.py measures it).

    Args:
        blend: weight of the past in [0, 1). 0.8 averages over about five frames.

    Raises: UsageError if `blend` is outside [0, 1).
    """

    def __init__(self, blend: float) -> None:
        if not 0 <= blend < 1:
            raise UsageError(f"--blend {blend}: must be at least 0 and below 1")
        self.blend = blend
        self._past: Optional[Tuple[np.ndarray, np.ndarray]] = None

    def __call__(self, hazy: np.ndarray, dehazed: np.ndarray) -> np.ndarray:
        """The next frame: uint8 RGB[h, w, 3] before and after dehazing -> uint8 RGB[h, w, 3]."""
        if not self.blend:
            return dehazed
        hazy_cells, correction = _cell_means(hazy), _cell_means(dehazed)
        correction -= hazy_cells
        smooth = correction
        if self._past is not None:
            past_hazy, past_smooth = self._past
            change = np.abs(hazy_cells - past_hazy).max(axis=2, keepdims=True)
            weight = self.blend * np.exp(-(change / TRUST) ** 2)
            smooth = correction + weight * (past_smooth - correction)
        self._past = hazy_cells, smooth
        height, width = hazy.shape[:2]
        shift = cv2.resize(smooth - correction, (width, height), interpolation=cv2.INTER_LINEAR)
        return np.clip(np.rint(dehazed + shift), 0, 255).astype(np.uint8)


def _cell_means(image: np.ndarray) -> np.ndarray:
    """uint8[h, w, 3] -> float32[rows, columns, 3]. Cells are nearly square, CELLS along the longer side."""
    height, width = image.shape[:2]
    cell = max(height, width) / CELLS
    grid = max(1, round(width / cell)), max(1, round(height / cell))
    return cv2.resize(image.astype(np.float32), grid, interpolation=cv2.INTER_AREA)
