"""Dehazes the frames of one video. The colour map follows the motion and is smoothed over time."""
from __future__ import annotations

import copy
from typing import Any, Optional

import cv2
import numpy as np

from ..errors import UsageError
from . import local_colour_map
from .dehazer import Dehazer
from .work_size import AUTO, VIDEO_SIDE

TRUST = 6.0  # levels of 255; where the followed input changes by this much, 1/e of the past counts
KNOWN = 0.5  # share of a frame that must be known from what the network saw; below, it sees the frame
LEAST_FLOW = 64  # pixels; OpenCV's optical flow crashes on pictures of 17x200
NEAR = 2 * local_colour_map.RADIUS + 1  # pixels; the map of a place rests on a window of this side


class FrameDehazer:
    """Restores the frames of one video in their order.

    The network sees a frame at the work size (VIDEO_SIDE if the dehazer's is AUTO). Every pixel of the full frame goes
    through the colour map (src.dehaze.local_colour_map), which CarriedMap takes from frame to frame.

    Args:
        blend: weight of the past, see CarriedMap.
        network_every: 1: the network sees every frame. N: every Nth frame, and the first after a cut. The frames
            between get the carried map.
    """

    def __init__(self, dehazer: Dehazer, blend: float = 0.0, network_every: int = 1) -> None:
        self._dehazer = copy.copy(dehazer)
        if dehazer.work_size == AUTO and not dehazer.fixed:
            self._dehazer.work_size = VIDEO_SIDE
        self._carried, self._every = CarriedMap(blend), network_every
        self._is_carried = blend > 0 or network_every > 1

    def __call__(self, frame: np.ndarray) -> np.ndarray:
        """The next frame, uint8 RGB[h, w, 3] -> the same."""
        if not self._is_carried or not self._dehazer.strength:
            return self._dehazer.dehaze(frame)
        small = self._dehazer.picture(frame)
        known = self._carried.follow(small)
        if self._carried.age >= self._every or known < KNOWN:
            self._carried.renew(local_colour_map.fit(small, self._dehazer.restore(small)))
        return local_colour_map.apply(self._carried.coefficients, frame)


class CarriedMap:
    """A colour map that follows the motion of a video and is smoothed over time where the scene stays.

    A network that sees single frames estimates the haze anew in each frame, so the brightness and the contrast of a
    scene at rest flicker. For each pixel of the small picture (t: frame, I: its colours, C: the 12 coefficients of the
    network's map, n: frames since the network saw one, moved(): by the optical flow from t-1 to t):

        d[t] = mean of |I[t] - moved(I[t-1])| over the window around it (largest channel, levels of 255)
        k[t] = moved(k[t-1]) * exp(-(d[t] / TRUST)**2),   k[t-1] = 1 if the network saw t-1
        S[t] = C[t] + blend**n * k[t] * (moved(S[t-1]) - C[t]),   S[0] = C[0];   moved(S[t-1]) on a frame without C

    Only maps are averaged, never pixels: edges and texture are those of frame t alone. At a cut, and where something
    has come into view since the network saw a frame, k falls to 0, and the map is the network's own.

    Args:
        blend: weight of the past per frame, in [0, 1). 0.8 averages over about five frames.

    Attributes:
        coefficients: S, float32[3, 4, h, w]; None before the first frame.
        age: n.

    Raises: UsageError if `blend` is outside [0, 1).
    """

    def __init__(self, blend: float) -> None:
        if not 0 <= blend < 1:
            raise UsageError(f"--blend {blend}: must be at least 0 and below 1")
        self.coefficients: Any = None
        self.age = 0
        self._small: Optional[np.ndarray] = None
        self._blend, self._known = np.float32(blend), np.zeros((), np.float32)
        self._flow = cv2.DISOpticalFlow_create(  # type: ignore[attr-defined]  # OpenCV's types lack it
            cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)

    def follow(self, small: np.ndarray) -> float:
        """Move the map to the next frame. After the first frame, `renew` must have been called.

        Args: the frame's small picture, float32[h, w, 3] in 0..1. All frames have one size.
        Returns: the share of it that is known from the last frame that the network saw, in 0..1: the mean of k.
        """
        before, self._small = self._small, small
        if before is None:
            return 0.0
        height, width = small.shape[:2]
        places = self._flow.calc(_grey(small), _grey(before), None)[:height, :width]
        places += np.dstack(np.meshgrid(*(np.arange(side, dtype=np.float32) for side in (width, height))))
        self.coefficients = np.stack([[_moved(plane, places) for plane in channel] for channel in self.coefficients])
        change = 255 * cv2.blur(cv2.absdiff(small, _moved(before, places)), (NEAR, NEAR)).max(axis=2)
        self._known = _moved(self._known, places) * np.exp(-(change / np.float32(TRUST)) ** 2)
        self.age += 1
        return float(self._known.mean())

    def renew(self, coefficients: np.ndarray) -> None:
        """Blend the network's own map of the frame, float32[3, 4, h, w], with the past."""
        if self.coefficients is None:
            self.coefficients = coefficients
        else:
            past = self._blend ** self.age * self._known
            self.coefficients = coefficients + past * (self.coefficients - coefficients)
        self.age, self._known = 0, np.ones(coefficients.shape[2:], np.float32)


def _grey(small: np.ndarray) -> np.ndarray:
    """uint8[h, w], repeated up to LEAST_FLOW."""
    grey = np.rint(255 * cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)).astype(np.uint8)
    return np.pad(grey, [(0, max(LEAST_FLOW - side, 0)) for side in grey.shape], mode="edge")


def _moved(plane: np.ndarray, places: np.ndarray) -> np.ndarray:
    no_second_map: Any = None  # which OpenCV's types do not allow
    return cv2.remap(plane, places, no_second_map, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
