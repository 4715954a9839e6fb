"""Colours of any profile -> sRGB, the space in which the network was trained."""
from __future__ import annotations

import io
from typing import NamedTuple, Optional

import numpy as np
from PIL import Image, ImageCms

from .icc import read_profile, to_srgb16

NEARLY = 2  # levels of 255 that a profile may differ from sRGB and still be taken for it
UNUSABLE = "colour profile damaged or for another kind of pixels: colours taken as sRGB"


class Converted(NamedTuple):
    """Pixels in sRGB."""

    rgb: np.ndarray  # uint8 or uint16 [h, w, 3]
    icc_profile: Optional[bytes]  # for a file of these pixels
    note: str  # what happened; empty: nothing


def convert(image: Image.Image, profile: Optional[bytes]) -> Converted:
    """An image of mode RGB, L or CMYK with the profile of its file -> sRGB. None is sRGB, or Pillow's idea of CMYK."""
    if profile is None:
        return Converted(np.array(image.convert("RGB")), None, "")
    source = _opened(profile)
    if source is None or not _fits(source, image.mode):
        return Converted(np.array(image.convert("RGB")), None, UNUSABLE)
    if image.mode == "L" and _space(source) == "RGB":
        image = image.convert("RGB")
    try:
        if image.mode != "CMYK" and _is_srgb(source, image.mode):
            return Converted(np.array(image.convert("RGB")), profile if image.mode == "RGB" else None, "")
        rgb = np.array(_transformed(image, source))
    except ImageCms.PyCMSError:
        return Converted(np.array(image.convert("RGB")), None, UNUSABLE)
    return Converted(rgb, srgb_profile(), f"{_name(source)} became sRGB")


def convert16(pixels: np.ndarray, profile: Optional[bytes]) -> Converted:
    """As `convert`, for uint16 RGB[h, w, 3]; grey is repeated. ImageCms has no 16 bits: curves and matrix are ours."""
    if profile is None:
        return Converted(pixels, None, "")
    source, numbers = _opened(profile), read_profile(profile)
    if source is None or not _fits(source, "L"):
        return Converted(pixels, None, UNUSABLE)
    try:
        if _is_srgb(source, "L" if _space(source) == "GRAY" else "RGB"):
            return Converted(pixels, profile if _space(source) == "RGB" else None, "")
        if numbers is not None:
            return Converted(to_srgb16(pixels, numbers), srgb_profile(), f"{_name(source)} became sRGB")
        eight = Image.fromarray(((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8))
        rgb = np.array(_transformed(eight if _space(source) == "RGB" else eight.convert("L"), source))
    except ImageCms.PyCMSError:
        return Converted(pixels, None, UNUSABLE)
    return Converted(rgb, srgb_profile(), f"{_name(source)} became sRGB, 16 bits became 8 (its profile is a table)")


def srgb_profile() -> bytes:
    """A profile that says sRGB."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def _opened(profile: bytes) -> Optional[ImageCms.ImageCmsProfile]:
    try:
        return ImageCms.ImageCmsProfile(io.BytesIO(profile))
    except (OSError, ImageCms.PyCMSError):
        return None


def _space(profile: ImageCms.ImageCmsProfile) -> str:
    return profile.profile.xcolor_space.strip()


def _fits(profile: ImageCms.ImageCmsProfile, mode: str) -> bool:
    return _space(profile) in {"RGB": ("RGB",), "L": ("GRAY", "RGB"), "CMYK": ("CMYK",)}.get(mode, ())


def _name(profile: ImageCms.ImageCmsProfile) -> str:
    text = " ".join((profile.profile.profile_description or "").split())
    return f"colour space {text[:60]}" if text else "a colour space without a name"


def _is_srgb(profile: ImageCms.ImageCmsProfile, mode: str) -> bool:
    """Whether a profile changes no colour of a grid by more than NEARLY. Most profiles are that of sRGB."""
    steps = np.arange(0, 256, 15, dtype=np.uint8)
    if mode == "L":
        probe = np.arange(256, dtype=np.uint8)[None]
        wanted = np.repeat(probe[..., None], 3, axis=-1)
    else:
        probe = wanted = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(1, -1, 3)
    found = np.asarray(_transformed(Image.fromarray(np.ascontiguousarray(probe)), profile))
    return int(np.abs(found.astype(int) - wanted).max()) <= NEARLY


def _transformed(image: Image.Image, profile: ImageCms.ImageCmsProfile) -> Image.Image:
    result = ImageCms.profileToProfile(image, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
    assert result is not None  # it is None only for a change in place
    return result
