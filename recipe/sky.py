"""The sky of outdoor photos. Haze in the distance has its colour, and the sky itself does not change.

Nearly all skies of RESIDE's outdoor photos are even. A network that saw no others takes thin clouds, and the blue
between them, for haze. So some skies are painted.
"""
from __future__ import annotations

from typing import Optional, Tuple

import cv2
import numpy as np

from recipe.haze_variety import smooth_field, to_bytes

BRIGHT, SMOOTH, WINDOW = 110, 6.0, 9  # lowest mean, highest deviation, of grey values; side in pixels
SMALLEST = 0.03  # of the photo: less sky than this is a gap between leaves
BAND = 8  # pixels above the horizon whose colour counts

BLUE, CLOUDS = 0.6, 0.7  # share of painted skies that get bluer towards the zenith, and that get clouds
ZENITH = np.array([[0.15, 0.35, 0.6], [0.5, 0.7, 0.95]], np.float32)  # darkest and palest R, G, B, coded values in 0..1
CLOUD_GREY, CLOUD_SHADE = (0.6, 1.0), 0.06  # of clouds in the mean; deviation inside one sky
CLOUD_FROM, CLOUD_SOFTNESS, CLOUD_COVER = (-1.0, 1.0), (0.3, 2.0), (0.3, 1.0)  # see `painted_sky`
CLOUD_STRETCH, OCTAVES = (1.0, 5.0), 6  # width of clouds over their height; finer and finer structures
SEAM, AROUND = 13, 41  # pixels; width of the seam that `find_sky` leaves, on both sides; of the sky around a pixel
DARKER = (45.0, 15.0)  # than the sky around it, in grey values: surely no sky, surely sky


def find_sky(photo: np.ndarray) -> Optional[np.ndarray]:
    """The sky of a photo, uint8[h, w, 3]: a mask bool[h, w], or None if there is (almost) none.

    The sky is bright and smooth, and hangs together with the upper edge. Of 115 outdoor photos of RESIDE, 96 have one.
    By eye, 95 masks hold sky alone, with a seam of 4 px and gaps at sharp clouds; one also holds a smooth wall.
    """
    grey = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY).astype(np.float32)
    mean = cv2.blur(grey, (WINDOW, WINDOW))
    deviation = np.sqrt(np.maximum(cv2.blur(grey * grey, (WINDOW, WINDOW)) - mean * mean, 0))
    _, parts = cv2.connectedComponents(((mean > BRIGHT) & (deviation < SMOOTH)).astype(np.uint8), connectivity=4)
    sky = np.isin(parts, np.setdiff1d(parts[0], [0]))
    return sky if sky.mean() >= SMALLEST else None


def horizon_colour(photo: np.ndarray, sky: np.ndarray) -> np.ndarray:
    """Mean colour of the sky just above what stands before it, float32[3] in 0..1."""
    below = np.zeros_like(sky)
    below[:-BAND] = sky[BAND:]
    lowest = sky & ~below
    return photo[lowest].mean(axis=0).astype(np.float32) / 255


def painted_sky(photo: np.ndarray, sky: np.ndarray, rng: np.random.Generator) -> Tuple[np.ndarray, np.ndarray]:
    """The photo, uint8[h, w, 3], with clouds or a blue zenith, or both or neither, in its sky, bool[h, w].

    The blue fades towards the lowest part of the sky. Clouds are fractal noise of mean 0 and deviation 1: from
    CLOUD_FROM on, they get opaque over CLOUD_SOFTNESS, up to CLOUD_COVER.

    Returns: the photo, uint8[h, w, 3], and its sky with the seam and the gaps that `find_sky` leaves, bool[h, w].
    """
    height, width = sky.shape
    share = sky_share(photo, sky)
    lowest = np.flatnonzero(sky.any(axis=1)).max(initial=0)
    above = np.clip(1 - np.arange(height, dtype=np.float32)[:, None] / max(lowest, 1), 0, 1)
    scene = photo.astype(np.float32) / 255
    if rng.random() < BLUE:
        blue = rng.uniform(0.3, 1) * above ** rng.uniform(0.5, 2)
        zenith = ZENITH[0] + np.float32(rng.uniform()) * (ZENITH[1] - ZENITH[0])
        scene += (share * blue)[..., None] * (zenith - scene)
    if rng.random() < CLOUDS:
        stretch = rng.uniform(*CLOUD_STRETCH)
        thick = (fractal(height, width, stretch, rng) - rng.uniform(*CLOUD_FROM)) / rng.uniform(*CLOUD_SOFTNESS)
        cover = rng.uniform(*CLOUD_COVER) * np.clip(thick, 0, 1)
        grey = rng.uniform(*CLOUD_GREY) + CLOUD_SHADE * fractal(height, width, stretch, rng)
        scene += (share * cover)[..., None] * (grey[..., None] - scene)
    return to_bytes(scene), share > 0.5


def sky_share(photo: np.ndarray, sky: np.ndarray) -> np.ndarray:
    """Share of sky in each pixel, float32[h, w].

    1 in `sky`, bool[h, w]. In the seam around it, less where the pixel is darker than the sky near it.
    """
    grey, inside = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY).astype(np.float32), sky.astype(np.float32)
    around = cv2.blur(grey * inside, (AROUND, AROUND)) / np.maximum(cv2.blur(inside, (AROUND, AROUND)), 1e-6)
    share = np.clip((grey - around + DARKER[0]) / (DARKER[0] - DARKER[1]), 0, 1)
    return np.where(sky, 1, share * cv2.dilate(inside, np.ones((SEAM, SEAM), np.uint8))).astype(np.float32)


def fractal(height: int, width: int, stretch: float, rng: np.random.Generator) -> np.ndarray:
    """Noise with structures of all sizes, float32[height, width] with mean 0 and deviation 1.

    The structures are `stretch` times as wide as high.
    """
    noise = np.zeros((height, width), np.float32)
    for octave in range(OCTAVES):
        rows, columns = (max(2, round(2 ** (octave + 1) * factor)) for factor in (stretch**0.5, stretch**-0.5))
        noise += 0.5**octave * smooth_field(height, width, rng, rows, columns)
    return (noise - noise.mean()) / max(float(noise.std()), 1e-6)
