"""Haze by the atmospheric scattering model, as in the RESIDE data set (Li et al. 2019, sec. 3).

    I = J * t + A * (1 - t),    t = exp(-beta * d / max(d))

I: hazy image, J: clear image, t: transmission, A: airlight, beta: scattering coefficient, d: depth.
The module needs numpy alone.
"""
from __future__ import annotations

from typing import Optional, Tuple

import numpy as np

Range = Tuple[float, float]

ITS_AIRLIGHT: Range = (0.7, 1.0)  # A of RESIDE's indoor training set
ITS_BETA: Range = (0.6, 1.8)  # beta of RESIDE's indoor training set
SOTS_AIRLIGHT = 1.0  # A of RESIDE's indoor test set
SOTS_BETAS = tuple(round(0.6 + 0.1 * level, 1) for level in range(10))  # beta of its levels 1..10
RESIDE_BORDER = 10  # pixels that RESIDE cuts off each side of an NYU photo
SYNTHETIC_GRID = 6  # random values along each side of a synthetic depth map


def transmission(depth: np.ndarray, beta: float, max_depth: Optional[float] = None) -> np.ndarray:
    """The share of the light that reaches the camera, in (0, 1], float32[h, w].

    Args:
        depth: [h, w], not negative, in any unit: only the ratio to the maximum counts.
        beta: haze density. exp(-beta) of the light arrives from the farthest point.
        max_depth: the maximum of the whole map, if `depth` is a crop of the map. None: the maximum of `depth`.

    Raises: ValueError if the maximum is not a positive number.
    """
    farthest = float(depth.max() if max_depth is None else max_depth)
    if not 0 < farthest < np.inf:
        raise ValueError(f"the largest depth must be a positive number, found {farthest}")
    if depth.dtype == np.uint8:  # 256 exponentials instead of one for each pixel
        return np.exp(np.arange(256, dtype=np.float32) * np.float32(-beta / farthest))[depth]
    return np.exp(depth.astype(np.float32) * np.float32(-beta / farthest))


def add_haze(clear: np.ndarray, transmission_map: np.ndarray, airlight: float) -> np.ndarray:
    """The hazy image, [h, w, 3]: float32 in [0, 1] for a float image, rounded uint8 for a uint8 image.

    Args:
        clear: float[h, w, 3] in [0, 1], or uint8.
        transmission_map: [h, w] in [0, 1], from `transmission`.
        airlight: brightness of the haze in [0, 1], the same in R, G and B.
    """
    in_bytes = clear.dtype == np.uint8
    light = np.float32(airlight * 255 if in_bytes else airlight)
    hazy = clear.astype(np.float32)
    hazy -= light
    hazy *= transmission_map[..., None]
    hazy += light
    return np.rint(hazy).astype(np.uint8) if in_bytes else hazy


def sample_haze(
    rng: np.random.Generator, airlight: Range = ITS_AIRLIGHT, beta: Range = ITS_BETA
) -> Tuple[float, float]:
    """Draw A and beta, each uniformly from its range. The default ranges are those of RESIDE's ITS."""
    return float(rng.uniform(*airlight)), float(rng.uniform(*beta))


def mirror_and_crop(image: np.ndarray, border: int = RESIDE_BORDER) -> np.ndarray:
    """An NYU photo or depth map, [h, w, ...], as in RESIDE: mirrored left-right, without a border of `border` px.

    The haze depends on the maximum depth of the map before this cut. Returns: a view.
    """
    height, width = image.shape[:2]
    if min(height, width) <= 2 * border:
        raise ValueError(f"an image of {height}x{width} px has nothing inside a border of {border} px")
    return image[border:height - border, border:width - border][:, ::-1]


def synthetic_depth(
    height: int, width: int, rng: np.random.Generator, window: Optional[Tuple[int, int, int, int]] = None
) -> np.ndarray:
    """An invented smooth depth map for a photo without depth: float32 in [0.1, 1], for `max_depth` 1.

    The map does not depend on the photo. It is the sum of a slope of random strength, farther at the top as the ground
    is, and of smooth random hills (a cubic B-spline over a 6x6 grid). Objects do not stand out from their background,
    so a network learns less from this depth than from measured depth.

    Args:
        rng: random generator. The number of draws is the same for every size and window.
        window: (top, left, height, width) of the part to compute; None: the whole map.

    Returns: [height, width], or [height, width] of the window.
    """
    hills = rng.normal(size=(SYNTHETIC_GRID + 2, SYNTHETIC_GRID + 2))  # the spline needs one more value on each side
    slope, nearest = rng.uniform(0.5, 3.0), rng.uniform(0.1, 0.5)
    grid = hills + slope * np.linspace(1, -1, SYNTHETIC_GRID + 2)[:, None]
    preview = _spline_weights(32, 0, 32)  # the spline does not reach its grid values: a small map gives the range
    reached = preview @ grid @ preview.T
    grid = nearest + (1 - nearest) * (grid - reached.min()) / (reached.max() - reached.min())
    top, left, rows, columns = window or (0, 0, height, width)
    down, across = _spline_weights(height, top, rows), _spline_weights(width, left, columns)
    return np.clip(down @ grid @ across.T, 0.1, 1.0).astype(np.float32)


def _spline_weights(side: int, first: int, count: int) -> np.ndarray:
    """Weights[count, grid] of the uniform cubic B-spline at `count` pixels of a side, from pixel `first` on."""
    position = 1 + (np.arange(first, first + count) + 0.5) / side * (SYNTHETIC_GRID - 1)
    distance = np.abs(position[:, None] - np.arange(SYNTHETIC_GRID + 2))
    return np.where(distance < 1, 2 / 3 - distance**2 + distance**3 / 2, np.maximum(2 - distance, 0) ** 3 / 6)


def disparity_to_depth(
    disparity: np.ndarray, focal_length: float, baseline: float, principal_offset: float = 0.0
) -> np.ndarray:
    """The depth of a rectified stereo pair, float32[h, w] in the unit of `baseline`.

    A pixel without disparity (NaN, inf) is hidden from the other camera by something nearer. It gets the farther one
    of the nearest known depths to its left and right.

    Args:
        disparity: [h, w], pixels.
        focal_length: pixels.
        baseline: distance between the cameras.
        principal_offset: difference in x between the principal points, pixels ("doffs" in the Middlebury sets).

    Raises: ValueError if a row has no known disparity.
    """
    known = np.isfinite(disparity)
    if not known.any(axis=1).all():
        raise ValueError("a row of the disparity map holds no known value")
    depth = focal_length * baseline / (np.where(known, disparity, 1) + principal_offset)
    columns = np.broadcast_to(np.arange(depth.shape[1]), depth.shape)
    before = np.maximum.accumulate(np.where(known, columns, -1), axis=1)
    after = np.minimum.accumulate(np.where(known, columns, depth.shape[1])[:, ::-1], axis=1)[:, ::-1]
    left = np.take_along_axis(depth, np.where(before < 0, after, before), axis=1)
    right = np.take_along_axis(depth, np.where(after >= depth.shape[1], before, after), axis=1)
    return np.where(known, depth, np.maximum(left, right)).astype(np.float32)
