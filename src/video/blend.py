"""Less flicker in dehazed video, without the ghosts of averaged frames."""
from __future__ import annotations

from typing import Optional, Tuple

import cv2
import numpy as np

from .rules import check_blend

CELLS = 32  # cells along the longer side: what is smaller than a cell is never blended
TRUST = 6.0  # grey levels: where a cell of the input changed by this much, 1/e of the blend is left


class TemporalBlend:
    """Smooth over time what dehazing adds to large areas; leave details and moving things to their own frame.

    A network that sees single frames judges the haze anew in each: the brightness of large areas
    wobbles while the scene stands still. So only the correction `r = dehazed - hazy` is smoothed, and
    only its means over cells, never pixels (frames are called t, cells c):

        L[t, c] = mean of r over the cell             S[t] = L[t] + w[t] * (S[t-1] - L[t]),  S[0] = L[0]
        d[t, c] = change of the cell's mean hazy      w[t] = blend * exp(-(d[t] / TRUST)**2)
                  colour since t-1 (largest channel)
        result[t] = dehazed[t] + bilinear(S[t] - L[t])

    Edges and textures are those of frame t alone. Where the input itself changes, by a moving object
    or a cut, w falls to 0 and the frame stays as the network made it. For the same reason a wobble of
    the input itself (automatic exposure) stays. With blend = 0 the result is `dehazed` itself.

    What can trail behind a motion is small: where the correction changes by at most k times d, the
    result differs from `dehazed` by at most max over d of k d w / (1 - w), which is 5.1 k grey levels
    at blend 0.8, however high the contrast. tests/test_temporal_blend.py holds the measurement.

    Args:
        blend: share of the past in [0, 1); 0.8 averages over about five frames.

    Raises: UsageError if `blend` is outside [0, 1).
    """

    def __init__(self, blend: float) -> None:
        check_blend(blend)
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
    """uint8[h, w, 3] -> float32[rows, columns, 3]; cells are nearly square, CELLS along the longer side."""
    height, width = image.shape[:2]
    cell = max(height, width) / CELLS
    grid = max(1, round(width / cell)), max(1, round(height / cell))
    return cv2.resize(image.astype(np.float32), grid, interpolation=cv2.INTER_AREA)
