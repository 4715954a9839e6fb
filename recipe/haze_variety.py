"""Haze unlike RESIDE's: thin to dense, tinted, uneven, seen by cameras that add noise and JPEG blocks.

A network that was trained on even white haze over sharp indoor photos darkens and tints real photos. The ranges are
wide on purpose. Each effect is random and independent of the others.
"""
from __future__ import annotations

from typing import Tuple

import cv2
import numpy as np

GAMMA = (0.7, 1.4)  # of the clear scene: underexposed to overexposed
BETA = (0.05, 2.5)  # almost clear to dense, drawn on a logarithmic scale
NEAR = (0.0, 0.5)  # haze before the nearest things, as a share of the largest depth: haze machines stand close
AIRLIGHT = (0.5, 1.0)  # of each channel
TINT = 0.06  # deviation of a channel from grey; photographed fog and dust lie within about twice this value
UNEVEN_BETA, UNEVEN_LIGHT = 0.35, 0.06  # deviations of log(beta) and of the airlight over the image
LINEAR_LIGHT = 2.2  # exponent from coded values to light, which is what haze mixes; RESIDE mixes the coded values
NOISE = 0.02  # largest deviation of sensor noise, as a fraction of white
JPEG_QUALITY = (50, 95)


def varied_haze(clear: np.ndarray, depth: np.ndarray, rng: np.random.Generator) -> Tuple[np.ndarray, np.ndarray]:
    """Add haze to a crop, uint8[h, w, 3] with depth float32[h, w] in 0..1. Returns: (hazy, clear), both uint8[h, w, 3].

    The gamma changes the clear image too, because it belongs to the scene and not to the haze.
    """
    height, width = depth.shape
    scene = (clear.astype(np.float32) / 255) ** np.exp(rng.uniform(*np.log(GAMMA)))
    beta = np.exp(rng.uniform(*np.log(BETA)))
    uneven = rng.random() < 0.5
    density = np.exp(UNEVEN_BETA * smooth_field(height, width, rng)) if uneven else 1.0
    airlight = np.clip(rng.uniform(*AIRLIGHT) + TINT * rng.standard_normal(3), *AIRLIGHT).astype(np.float32)
    light = 1 + UNEVEN_LIGHT * smooth_field(height, width, rng)[..., None] if uneven else 1.0
    near = rng.uniform(*NEAR) if rng.random() < 0.5 else 0.0
    through = np.exp(-beta * density * (near + (1 - near) * depth))[..., None]
    power = LINEAR_LIGHT if rng.random() < 0.5 else 1.0
    hazy = (scene**power * through + np.minimum(airlight * light, 1) ** power * (1 - through)) ** (1 / power)
    if rng.random() < 0.5:
        hazy = hazy + rng.uniform(0, NOISE) * rng.standard_normal(hazy.shape).astype(np.float32)
    hazy = to_bytes(hazy)
    if rng.random() < 0.5:
        hazy = through_jpeg(hazy, int(rng.integers(*JPEG_QUALITY)))
    return hazy, to_bytes(scene)


def smooth_field(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """A slowly varying float32[height, width] with mean 0 and deviation of about 1."""
    coarse = rng.standard_normal((4, 4)).astype(np.float32)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def through_jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    """The image, uint8[h, w, 3], after it was written and read as JPEG."""
    blocks = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return cv2.cvtColor(cv2.imdecode(blocks, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def to_bytes(image: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
