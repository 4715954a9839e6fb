"""The pixels of an opened image -> Photo, in sRGB. Files are opened in reading.py."""
from __future__ import annotations

from typing import Optional, Tuple

import numpy as np
from PIL import Image

from . import colour
from .photo import Photo

GREY_MODES = ("1", "L", "LA", "La", "I", "F", "I;16", "I;16L", "I;16B", "I;16N")
ALPHA_MODES = ("LA", "PA", "RGBA", "La", "RGBa")


def photo_in_srgb(image: Image.Image, profile: Optional[bytes]) -> Photo:
    """An upright image with the profile of its colours -> Photo of 8 bits, or of 16 for grey of 16."""
    is_grey = image.mode in GREY_MODES
    if image.mode.startswith("I") or image.mode == "F":
        return photo_of_16_bits(*_deep_grey(image), is_grey, profile)
    alpha = None
    if has_alpha(image):
        image = image.convert("RGBA")
        alpha = np.array(image.getchannel("A"))
        image = image.convert("RGB")
    if image.mode == "LAB":
        profile = None  # which Pillow's conversion to RGB does without
    if is_grey:
        image = image.convert("L")
    elif image.mode != "CMYK":
        image = image.convert("RGB")
    rgb, result_profile, note = colour.convert(image, profile)
    return Photo(rgb, alpha, is_grey, None if is_grey else result_profile, notes=(note,) if note else ())


def photo_of_16_bits(rgb: np.ndarray, alpha: Optional[np.ndarray], is_grey: bool, profile: Optional[bytes]) -> Photo:
    """Upright uint16 RGB[h, w, 3] with the profile of its colours -> Photo; of 8 bits if the profile is a table."""
    converted = colour.convert16(rgb, profile)
    if alpha is not None and converted.rgb.dtype == np.uint8:
        alpha = to_8_bits(alpha)
    icc_profile = None if is_grey else converted.icc_profile
    return Photo(converted.rgb, alpha, is_grey, icc_profile, notes=(converted.note,) if converted.note else ())


def _deep_grey(image: Image.Image) -> Tuple[np.ndarray, Optional[np.ndarray]]:
    """Grey of 16 bits, or floats in 0..1 -> uint16 RGB[h, w, 3] and alpha. Pillow's own conversion clips the values."""
    values = np.asarray(image, dtype=np.float64)
    scale = 65535.0 if image.mode == "F" else 1.0
    if not (values.min() >= 0 and values.max() * scale <= 65535):
        raise ValueError(f"grey values from {values.min():g} to {values.max():g}, whose white is not known")
    grey = np.rint(values * scale).astype(np.uint16)
    transparent = image.info.get("transparency")
    alpha = np.where(grey == transparent, 0, 65535).astype(np.uint16) if isinstance(transparent, int) else None
    return np.repeat(grey[..., None], 3, axis=-1), alpha


def to_8_bits(pixels: np.ndarray) -> np.ndarray:
    """uint8 or uint16 -> uint8, rounded."""
    return pixels if pixels.dtype == np.uint8 else ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Turn and mirror [h, w, ...] as the EXIF orientation says."""
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def has_alpha(image: Image.Image) -> bool:
    """Whether an opened image has an alpha channel or a transparent colour."""
    return image.mode in ALPHA_MODES or "transparency" in image.info
