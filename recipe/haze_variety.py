"""Haze as cameras see it: by channel, tinted, dark, uneven, mixed in light, with glow, noise and JPEG blocks.

RESIDE's haze is white, even, equal in all channels and mixed in coded values. A network that was trained on it alone
darkens and tints real photos. The ranges here hold what was fitted on 150 real pairs of NH-HAZE, NH-HAZE 2021, O-HAZE
and I-HAZE (airlight and transmission in blocks of 32 px), and are wider on purpose. Each effect is random and
independent of the others.
"""
from __future__ import annotations

from typing import Optional, Tuple

import cv2
import numpy as np

GAMMA = (0.7, 1.4)  # of the clear scene: underexposed to overexposed
BETA = (0.05, 2.5)  # almost clear to dense, drawn on a logarithmic scale; the real pairs reach 2.4 (transmission 0.09)
NEAR = (0.0, 0.5)  # haze before the nearest things, as a share of the largest depth: haze machines stand close

# beta of a channel is proportional to wavelength^-a. Rayleigh scattering has a = 4 and fog 0 (Narasimhan and Nayar,
# "Vision and the Atmosphere", IJCV 2002); the pairs have 1 (I-HAZE) to 3.5 (NH-HAZE 2021).
WAVELENGTHS = np.array([610.0, 550.0, 465.0])  # nm, where the R, G and B of a camera see most
ANGSTROM = (0.0, 3.5)
BY_CHANNEL = 0.6  # share of crops whose channels differ

AIRLIGHT = (0.5, 1.0)  # of each channel
SMOKE = 0.5  # share of crops with the airlight of smoke:
SMOKE_AIRLIGHT = (0.38, 0.85)  # dark, because smoke stands in shade; the sets have 0.55 to 0.78 in the mean
SMOKE_TILT = (-0.03, 0.13)  # blue minus red, mean 0.05: the sets have 0, 0.11, 0.12, 0.11
TINT = 0.06  # deviation of a channel from grey; photographed fog and dust lie within about twice this value

UNEVEN_BETA, UNEVEN_LIGHT = 0.35, 0.1  # deviations of log(beta) and of the light over a photo; sets: 0.09 to 0.12
CLOUD = 0.3  # share of crops whose density does not follow the depth at all (Agrawal et al., arXiv 2401.07213)
CLOUD_BETA = (0.1, 1.3)  # of such a cloud in the mean, drawn on a logarithmic scale: transmissions of 0.9 to 0.27
CLOUD_UNEVEN = 0.6  # deviation of log(beta) inside it

LINEAR_LIGHT = 2.2  # exponent from coded values to light, which is what haze mixes; RESIDE mixes the coded values
LINEAR = 0.75  # share of crops that are mixed in light, which explains all four sets better
GLOW = 0.15  # share of crops with a glow around what is bright (Narasimhan and Nayar, CVPR 2003)
GLOW_STRENGTH, GLOW_RADIUS, GLOW_FROM = (0.3, 1.5), (0.02, 0.12), 0.7  # factor; share of the side; light of a lamp
NOISE = 0.02  # largest deviation of sensor noise, as a fraction of white
JPEG_QUALITY = (50, 95)


def varied_haze(
    clear: np.ndarray, depth: np.ndarray, rng: np.random.Generator, by_channel: float = BY_CHANNEL,
    horizon: Optional[np.ndarray] = None,
) -> Tuple[np.ndarray, np.ndarray]:
    """Add haze to a crop, uint8[h, w, 3] with depth float32[h, w] in 0..1. Returns: (hazy, clear), both uint8[h, w, 3].

    The gamma changes the clear image too, because it belongs to the scene and not to the haze.

    Args:
        by_channel: share of crops whose channels have different transmissions.
        horizon: colour of the photo's sky above the horizon, float32[3] in 0..1, and the depth is 1 in the sky. A layer
            of haze has this colour, and leaves the sky as it is. A cloud of smoke has its own. None: no sky.
    """
    gamma = np.exp(rng.uniform(*np.log(GAMMA)))
    scene = (clear.astype(np.float32) / 255) ** gamma
    uneven = rng.random() < 0.5
    is_cloud = rng.random() < CLOUD
    thickness = cloud(*depth.shape, rng) if is_cloud else layer(depth, uneven, rng)
    exponent = rng.uniform(*ANGSTROM) if rng.random() < by_channel else 0.0
    through = channel_transmission(thickness, exponent)
    light = airlight(*depth.shape, uneven, rng)
    if horizon is not None and not is_cloud:
        light = np.where((depth == 1)[..., None], scene, horizon**gamma)
    power = LINEAR_LIGHT if rng.random() < LINEAR else 1.0
    hazy = scene**power * through + light**power * (1 - through)
    if rng.random() < GLOW:
        hazy += glow(scene**LINEAR_LIGHT, through, rng)
    hazy = np.maximum(hazy, 0) ** (1 / power)
    if rng.random() < 0.5:
        hazy = hazy + rng.uniform(0, NOISE) * rng.standard_normal(hazy.shape).astype(np.float32)
    hazy = to_bytes(hazy)
    if rng.random() < 0.5:
        hazy = through_jpeg(hazy, int(rng.integers(*JPEG_QUALITY)))
    return hazy, to_bytes(scene)


def layer(depth: np.ndarray, uneven: bool, rng: np.random.Generator) -> np.ndarray:
    """Optical thickness, float32[h, w], of haze that fills the scene: beta times depth."""
    beta = np.exp(rng.uniform(*np.log(BETA)))
    density = np.exp(UNEVEN_BETA * smooth_field(*depth.shape, rng)) if uneven else 1.0
    near = rng.uniform(*NEAR) if rng.random() < 0.5 else 0.0
    return beta * density * (near + (1 - near) * depth)


def cloud(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Optical thickness, float32[height, width], of smoke that hangs before the scene, whatever the scene's depth."""
    beta = np.exp(rng.uniform(*np.log(CLOUD_BETA)))
    return beta * np.exp(CLOUD_UNEVEN * smooth_field(height, width, rng))


def channel_transmission(thickness: np.ndarray, exponent: float) -> np.ndarray:
    """Transmission of R, G and B, float32[h, w, 3] in (0, 1], for an optical thickness [h, w] of the green light."""
    factors = (WAVELENGTHS / WAVELENGTHS[1]) ** -exponent
    return np.exp(-thickness[..., None] * factors.astype(np.float32))


def airlight(height: int, width: int, uneven: bool, rng: np.random.Generator) -> np.ndarray:
    """Colour of the haze, float32[height, width, 3] in 0..1 of coded values: smoke's, or any between grey and white."""
    if rng.random() < SMOKE:
        tilt = rng.uniform(*SMOKE_TILT) * np.array([-0.5, 0.0, 0.5])
        colour = rng.uniform(*SMOKE_AIRLIGHT) + tilt + TINT / 3 * rng.standard_normal(3)
    else:
        colour = np.clip(rng.uniform(*AIRLIGHT) + TINT * rng.standard_normal(3), *AIRLIGHT)
    field = smooth_field(height, width, rng)[..., None] if uneven else np.zeros((height, width, 1), np.float32)
    return np.clip(colour.astype(np.float32) * (1 + UNEVEN_LIGHT * field), 0, 1)


def glow(light: np.ndarray, through: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Light of lamps, float32[h, w, 3], that haze scatters into the pixels around them.

    Args:
        light: the scene in linear light, float32[h, w, 3] in 0..1.
        through: its transmission, [h, w, 3].
    """
    sigma = rng.uniform(*GLOW_RADIUS) * min(light.shape[:2])
    lamps = np.maximum(light - GLOW_FROM, 0)
    return rng.uniform(*GLOW_STRENGTH) * cv2.GaussianBlur(lamps, (0, 0), sigma) * (1 - through)


def smooth_field(height: int, width: int, rng: np.random.Generator, rows: int = 4, columns: int = 4) -> np.ndarray:
    """A float32[height, width] that varies smoothly between rows x columns values, with mean 0 and deviation near 1."""
    coarse = rng.standard_normal((rows, columns)).astype(np.float32)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def through_jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    """The image, uint8[h, w, 3], after it was written and read as JPEG."""
    blocks = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return cv2.cvtColor(cv2.imdecode(blocks, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def to_bytes(image: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
