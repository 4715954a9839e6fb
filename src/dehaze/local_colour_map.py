"""Carries what the network does to a small picture over to every pixel of the full photo.

Haze mixes colours linearly: I = J t + A (1 - t). Where transmission t and airlight A vary little, the clear colour J is
an affine function of the hazy colour I. So the network sees the whole scene as a small picture. A guided filter with a
colour guide (He, Sun and Tang, "Guided Image Filtering", 2013, eq. 14 to 16; enlarged coefficients: He and Sun, "Fast
Guided Filter", 2015) fits the affine map around each of its pixels, and the full photo goes through the enlarged map.
Edges and texture come from the photo itself, in all the bits it has.

For a pixel of the small picture, I and J are colours (3 values in 0..1) before and after the network. Means are over
the window of (2 RADIUS + 1)^2 pixels around it, of which only those inside the picture count:

    S = mean(I I^T) - mean(I) mean(I)^T                 D = J - I, what the network changes
    C = mean(D I^T) - mean(D) mean(I)^T
    K = C (S + EPSILON E)^-1                            E: unit matrix
    M = E + K,   b = mean(D) - K mean(I)                so that J is about M I + b

M and b are then averaged over the same window, and enlarged linearly between the centres of the small pixels. The fit
is of the change D, not of J: in a flat window K goes to 0, so that the noise and texture of the photo stay as they are
(fitting J would blur them), and a network that changes nothing leaves the photo bit for bit. The fit is linear in D: a
strength s in 0..1 makes D to s D, and so the map to E + s K, s b.

The fit needs float64: the window of a grey picture has a nearly singular S.
"""
from __future__ import annotations

from typing import List, Sequence, Tuple

import cv2
import numpy as np

from ..data.images import size_of

RADIUS = 2  # pixels of the small picture
EPSILON = 1e-5  # variance of colours in 0..1; contrasts well below its root, 0.8 of 255, are not fitted
STRIP = 32  # rows of the photo that are in memory as floats at a time
BAND = 8 * STRIP  # rows of the photo whose coefficients are in memory at the photo's width

Size = Tuple[int, int]  # height, width


def shrink(image: np.ndarray, size: Size) -> np.ndarray:
    """uint8 or uint16[h, w, 3] -> the same type[*size, 3]. Each pixel is the mean of the area that it covers."""
    return cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA)


def fit(hazy: np.ndarray, clear: np.ndarray) -> np.ndarray:
    """The affine colour map around each pixel.

    Args: the small picture before and after the network, float[h, w, 3] in 0..1.
    Returns: float32[3, 4, h, w]: for each channel of the result the factors of R, G and B, and what is added.
    """
    guide = [np.ascontiguousarray(hazy[..., channel], np.float64) for channel in range(3)]
    window = _window_sizes(size_of(hazy))
    means = [_mean(plane, window) for plane in guide]
    inverse = _inverse([[_mean(guide[i] * guide[j], window) - means[i] * means[j] + EPSILON * (i == j)
                         for j in range(i, 3)] for i in range(3)])
    coefficients = np.empty((3, 4, *window.shape), np.float32)
    for channel in range(3):
        change = clear[..., channel] - guide[channel]
        mean_change = _mean(change, window)
        covariance = [_mean(change * guide[i], window) - mean_change * means[i] for i in range(3)]
        factors = [sum(covariance[i] * inverse[i][j] for i in range(3)) for j in range(3)]
        added = mean_change - sum(factors[i] * means[i] for i in range(3))
        for j, plane in enumerate((*factors, added)):
            coefficients[channel, j] = _mean(plane, window) + (j == channel)
    return coefficients


def apply(coefficients: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Send every pixel of a photo through the map of its place.

    Args:
        coefficients: float32[3, 4, h, w] from `fit`.
        image: uint8 or uint16[height, width, 3], of any size.

    Returns: the same type and shape, clipped and rounded.
    """
    result = np.empty_like(image)
    below, share = _neighbours(len(image), coefficients.shape[2])
    for top in range(0, len(image), BAND):
        band = slice(top, top + BAND)
        first, last = below[band][0], below[band][-1] + 2
        _apply(_widen(coefficients[:, :, first:last], image.shape[1]), below[band] - first, share[band], image[band],
               result[band])
    return result


def _apply(wide: np.ndarray, below: np.ndarray, share: np.ndarray, image: np.ndarray, result: np.ndarray) -> None:
    """Send rows of a photo through the map, whose rows lie before (`below`) and after them by `share`."""
    white, depth = (255, cv2.CV_8U) if image.dtype == np.uint8 else (65535, cv2.CV_16U)
    wide[:, 3] *= white
    for top in range(0, len(image), STRIP):
        rows = slice(top, top + STRIP)
        first, last = below[rows][0], min(below[rows][-1] + 2, wide.shape[2])
        blend = _blend_matrix(below[rows] - first, share[rows], last - first)
        pixels = cv2.split(image[rows].astype(np.float32))
        restored = (_restored(blend, wide[channel, :, first:last], pixels) for channel in range(3))
        cv2.merge([cv2.add(plane, 0.0, dtype=depth)  # type: ignore[call-overload]  # no scalars in OpenCV's types
                   for plane in restored], result[rows])


def _restored(blend: np.ndarray, coefficients: np.ndarray, pixels: Sequence[np.ndarray]) -> np.ndarray:
    """One channel of some rows. `blend` makes the rows' coefficients from those of the rows of the small picture."""
    total = blend @ coefficients[3]
    for factors, plane in zip(coefficients, pixels):
        cv2.accumulateProduct(blend @ factors, plane, total)
    return total


def _widen(coefficients: np.ndarray, width: int) -> np.ndarray:
    """float32[3, 4, h, w] -> float32[3, 4, h, width]"""
    wide = np.empty((*coefficients.shape[:3], width), np.float32)
    for index in np.ndindex(3, 4):
        cv2.resize(coefficients[index], wide.shape[:1:-1], wide[index], interpolation=cv2.INTER_LINEAR)
    return wide


def _neighbours(count: int, small: int) -> Tuple[np.ndarray, np.ndarray]:
    """For each of `count` rows the row of `small` before its centre (int[count]), and the share of the row after it."""
    place = np.clip((np.arange(count) + 0.5) * small / count - 0.5, 0, small - 1)
    before = np.minimum(place.astype(int), max(small - 2, 0))
    return before, (place - before).astype(np.float32)


def _blend_matrix(before: np.ndarray, share: np.ndarray, columns: int) -> np.ndarray:
    """float32[rows, columns] that blends each row's two neighbours."""
    matrix, rows = np.zeros((len(before), columns), np.float32), np.arange(len(before))
    matrix[rows, before] = 1 - share
    matrix[rows, np.minimum(before + 1, columns - 1)] += share
    return matrix


def _window_sizes(size: Size) -> np.ndarray:
    """The number of pixels of each window that lie inside the picture, float64[h, w]."""
    across, down = (np.minimum(np.arange(side), RADIUS) + np.minimum(np.arange(side)[::-1], RADIUS) + 1.0
                    for side in size[::-1])
    return down[:, None] * across


def _mean(plane: np.ndarray, window: np.ndarray) -> np.ndarray:
    side = 2 * RADIUS + 1
    return cv2.boxFilter(plane, cv2.CV_64F, (side, side), normalize=False, borderType=cv2.BORDER_CONSTANT) / window


def _inverse(upper: List[List[np.ndarray]]) -> List[List[np.ndarray]]:
    """The inverse of symmetric 3x3 matrices, by cofactors. `upper`: the upper triangle, row by row."""
    (a, b, c), (d, e), (f,) = upper
    cofactors = [[d * f - e * e, c * e - b * f, b * e - c * d], [a * f - c * c, b * c - a * e], [a * d - b * b]]
    determinant = a * cofactors[0][0] + b * cofactors[0][1] + c * cofactors[0][2]
    (a, b, c), (d, e), (f,) = [[plane / determinant for plane in row] for row in cofactors]
    return [[a, b, c], [b, d, e], [c, e, f]]
