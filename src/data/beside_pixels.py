"""What a photo file states beside its pixels: the profile of its colours, metadata, and how the pixels are stored."""
from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import numpy as np
from PIL import Image, JpegImagePlugin

from . import metadata, png
from .bits import stated_colours
from .icc import D65, SRGB_PRIMARIES, build_profile
from .photo import Encoding, Metadata, Photo

LONGEST_TEXT = 2**20  # bytes of a PNG's text; Pillow refuses to read longer ones
LARGEST_DPI = 65535  # what JPEG can state
ADOBE_RGB = (SRGB_PRIMARIES[0], (0.21, 0.71), SRGB_PRIMARIES[2])
TIFF_DIRECTORIES = (metadata.EXIF_IFD, metadata.GPS_IFD)


def profile_of(path: Path, opened: Image.Image) -> Tuple[Optional[bytes], str]:
    """The colour profile of a file, or of what else states its colours, and a note."""
    profile = opened.info.get("icc_profile") or None
    header = png.read_header(path) if opened.format == "PNG" else None
    if header is not None:
        return png.stated_profile(header, profile)
    numbers = opened.info.get("nclx_profile")  # of pillow-heif
    if profile is None and isinstance(numbers, dict):
        return png.cicp_profile(int(numbers["color_primaries"]), int(numbers["transfer_characteristics"]))
    if profile is None and opened.format == "AVIF" and (stated := stated_colours(path)):
        return png.cicp_profile(*stated)
    if profile is None and opened.mode == "RGB" and metadata.says_adobe_rgb(opened.info.get("exif", b"")):
        return build_profile("Adobe RGB", ADOBE_RGB, D65, lambda stored: np.power(stored, 563 / 256)), ""
    return profile, ""


def metadata_of(opened: Image.Image, info: Dict[Any, Any], photo: Photo) -> Tuple[Metadata, List[str]]:
    """What the file says beside the pixels, for the upright photo, and what of it was left out."""
    size, left_out = (photo.rgb.shape[0], photo.rgb.shape[1]), []
    texts = getattr(opened, "text", {}) if opened.format == "PNG" else {}
    exif, xmp = info.get("exif") or b"", info.get("xmp") or texts.get("XML:com.adobe.xmp", b"")
    if not exif and "Raw profile type exif" in texts:
        exif = opened.getexif().tobytes()
    try:
        exif = exif and metadata.upright_exif(exif, size, any("became sRGB" in note for note in photo.notes))
    except ValueError:
        exif = b""
        left_out.append("damaged EXIF data left out")
    kept = [(key, text) for key, text in metadata.png_texts(texts) if len(text) < LONGEST_TEXT]
    if len(kept) < len(list(metadata.png_texts(texts))):
        left_out.append("a text of more than 1 MB left out")
    resources = info.get("photoshop")
    iptc = resources.get(0x0404, b"") if isinstance(resources, dict) else b""
    comment = info.get("comment") or b""
    known = Metadata(exif, metadata.upright_xmp(_as_bytes(xmp), size), iptc if isinstance(iptc, bytes) else b"",
                     _dpi(info), _as_bytes(comment), tuple(kept))
    return known, left_out


def _as_bytes(value: Any) -> bytes:
    return value.encode("utf-8", "replace") if isinstance(value, str) else value if isinstance(value, bytes) else b""


def _dpi(info: Dict[Any, Any]) -> Optional[Tuple[float, float]]:
    """The resolution, or None if there is none or it makes no sense."""
    try:
        across, down = (float(number) for number in info["dpi"])
        return (across, down) if 1 < across <= LARGEST_DPI and 1 < down <= LARGEST_DPI else None
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None


def encoding_of(path: Path, opened: Image.Image) -> Encoding:
    kind = "JPEG" if opened.format == "MPO" else opened.format or ""
    encoding = Encoding(kind, duration=float(opened.info.get("duration") or 0), loop=opened.info.get("loop"))
    if kind == "JPEG":
        sampling = JpegImagePlugin.get_sampling(opened)
        return encoding._replace(subsampling=sampling if sampling >= 0 else None,
                                 is_progressive=bool(opened.info.get("progressive")))
    if kind == "WEBP":
        with open(path, "rb") as file:
            return encoding._replace(is_lossless=b"VP8L" in _riff_names(file.read()))
    return encoding


def _riff_names(data: bytes) -> List[bytes]:
    """The names of the chunks of a WebP file, and of those in its frames."""
    names, place = [], 12
    while place + 8 <= len(data):
        names.append(data[place:place + 4])
        length = int.from_bytes(data[place + 4:place + 8], "little")
        place += 8 + (16 if names[-1] == b"ANMF" else length + length % 2)  # the chunks of a frame follow its header
    return names


def tiff_exif(path: Path) -> bytes:
    """The EXIF data of a TIFF file, whose first directory holds the picture too. Damaged data are left out."""
    found, result = Image.Exif(), Image.Exif()
    try:
        with open(path, "rb") as file:
            found.load_from_fp(file)
            for tag in metadata.TIFF_TEXTS:
                text = found.get(tag)
                if text and not str(text).startswith(('{"shape"', "ImageJ=")):  # of programs, about the pixels
                    result[tag] = text
            for tag in TIFF_DIRECTORIES:
                directory = found.get_ifd(tag)
                if directory:
                    result.get_ifd(tag).update(directory)
            return result.tobytes()[6:] if len(result) or any(result.get_ifd(tag) for tag in TIFF_DIRECTORIES) else b""
    except Exception:  # as for damaged pixels
        return b""
