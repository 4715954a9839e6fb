"""The haze of real pairs, measured, and laid over other clear photos.

There are few real pairs, so a network learns their scenes by heart. Over another photo, the same smoke is a new pair.
"""
from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from recipe.haze_variety import LINEAR_LIGHT, to_bytes
from recipe.real_pairs import SCALE, RealPair

SHRINK = 4  # smoke is smooth; and leaves that move in the wind match only roughly
WINDOW, BLUR, VEIL_BLUR = 9, 6.0, 3.0  # in pixels of the shrunk photo: side, and two deviations
LEAST_THROUGH = 0.03  # less cannot be told from noise
NOISE = 1e-6  # variance of light without any detail


class RealHaze(NamedTuple):
    """hazy = clear * through + veil in linear light, by channel. Both fields are float16[h, w, 3] of the shrunk photo.

    In terms of the scattering model, through is the transmission t, and veil is A (1 - t).
    """

    name: str
    through: np.ndarray
    veil: np.ndarray


def measure_haze(pair: RealPair) -> RealHaze:
    """The haze of a pair: a line through the light of both photos around each pixel, by least squares.

    `through` is its slope, from the covariances of small windows, in which haze hardly changes. Windows with more
    detail count more. `veil` is what is left.
    """
    width, height = (side // SHRINK for side in pair.clear.shape[1::-1])
    hazy, clear = (cv2.resize(_light(image), (width, height), interpolation=cv2.INTER_AREA)
                   for image in (pair.hazy, pair.clear))
    covariance = cv2.GaussianBlur(_mean(hazy * clear) - _mean(hazy) * _mean(clear), (0, 0), BLUR)
    variance = cv2.GaussianBlur(_mean(clear * clear) - _mean(clear) ** 2, (0, 0), BLUR)
    through = np.clip(covariance / (np.maximum(variance, 0) + NOISE), LEAST_THROUGH, 1)
    veil = np.maximum(cv2.GaussianBlur(hazy - clear * through, (0, 0), VEIL_BLUR), 0)
    return RealHaze(pair.name, through.astype(np.float16), veil.astype(np.float16))


def _light(image: np.ndarray) -> np.ndarray:
    return (image / np.float32(255)) ** LINEAR_LIGHT


def _mean(image: np.ndarray) -> np.ndarray:
    return cv2.blur(image, (WINDOW, WINDOW))


def lay_over(haze: RealHaze, clear: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A clear crop, uint8[side, side, 3], behind a random part of the haze at a random scale, mirrored or not."""
    side = clear.shape[0]
    height, width = haze.veil.shape[:2]
    source = min(round(side / SHRINK / rng.uniform(*SCALE)), height, width)
    top, left = rng.integers(height - source + 1), rng.integers(width - source + 1)
    through, veil = (cv2.resize(field[top:top + source, left:left + source].astype(np.float32), (side, side))
                     for field in (haze.through, haze.veil))
    if rng.random() < 0.5:
        through, veil = through[:, ::-1], veil[:, ::-1]
    return to_bytes((_light(clear) * through + veil) ** (1 / LINEAR_LIGHT))
