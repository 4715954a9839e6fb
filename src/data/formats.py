"""The kinds of photo files: which are read and written, and what each can hold. docs/formats.md shows the table."""
from __future__ import annotations

import functools
import importlib.util
from pathlib import Path
from typing import NamedTuple, Optional, Set, Tuple

from PIL import Image, features

from ..files import PathLike


class Kind(NamedTuple):
    """A kind of photo file. What it can hold matters for results alone."""

    name: str
    suffixes: Tuple[str, ...]  # in lower case, the usual one first
    format: str  # Pillow's name; empty: not one of Pillow's
    is_written: bool = False
    has_alpha: bool = False
    has_16_bits: bool = False
    several: str = ""  # what it holds several of: animation, pages or nothing
    has_metadata: bool = False  # EXIF and XMP
    has_profile: bool = False
    remedy: str = ""  # what makes it readable where it is not


PNG = Kind("PNG", (".png", ".apng"), "PNG", True, True, True, "animation", True, True)
JPEG = Kind("JPEG", (".jpg", ".jpeg", ".jpe", ".jfif"), "JPEG", True, False, False, "", True, True)
TIFF = Kind("TIFF", (".tif", ".tiff"), "TIFF", True, True, True, "pages", True, True)
RAW_SUFFIXES = (".dng .cr2 .cr3 .crw .nef .nrw .arw .sr2 .srf .raf .orf .rw2 .pef .srw .x3f .3fr .fff .iiq .mrw .kdc "
                ".dcr .erf .mef .mos .rwl .gpr")
RAW = Kind("camera raw", tuple(RAW_SUFFIXES.split()), "", remedy="pip install rawpy")
HEIC = Kind("HEIC", (".heic", ".heif", ".hif"), "HEIF", remedy="pip install pillow-heif")
AVIF = Kind("AVIF", (".avif",), "AVIF", True, True, False, "animation", True, True, "pip install 'pillow>=11.3'")
KINDS = (
    PNG, JPEG, TIFF,
    Kind("WebP", (".webp",), "WEBP", True, True, False, "animation", True, True),
    AVIF,
    Kind("GIF", (".gif",), "GIF", True, True, False, "animation"),
    Kind("BMP", (".bmp", ".dib"), "BMP", True),
    Kind("JPEG 2000", (".jp2", ".jpx", ".jpf", ".j2k", ".j2c", ".jpc"), "JPEG2000", True, True,
         remedy="a Pillow with OpenJPEG"),
    Kind("PPM", (".ppm", ".pgm", ".pbm", ".pnm"), "PPM", True),
    Kind("TGA", (".tga",), "TGA", True, True),
    Kind("MPO", (".mpo",), "JPEG"),  # Pillow opens it as such
    Kind("Photoshop", (".psd",), "PSD"),
    HEIC, RAW,
    Kind("JPEG XL", (".jxl",), "", remedy="convert it to PNG"),
    Kind("OpenEXR or HDR", (".exr", ".hdr"), "", remedy="convert it to PNG or TIFF of 16 bits"),
)
_PACKAGES = {"HEIC": "pillow_heif", "camera raw": "rawpy"}
_BY_SUFFIX = {suffix: kind for kind in KINDS for suffix in kind.suffixes}


def kind_of(path: PathLike) -> Optional[Kind]:
    """The kind that the suffix of `path` states, or None if it is no suffix of a photo."""
    return _BY_SUFFIX.get(Path(path).suffix.lower())


@functools.cache
def is_read(kind: Kind) -> bool:
    """Whether this installation reads files of `kind`."""
    if kind.name in _PACKAGES:
        return importlib.util.find_spec(_PACKAGES[kind.name]) is not None
    return kind.format in _pillow_formats()[0]


@functools.cache
def is_written(kind: Kind) -> bool:
    """Whether this installation writes files of `kind`."""
    return kind.is_written and kind.format in _pillow_formats()[1]


def is_photo(path: PathLike) -> bool:
    """Whether `path` has a suffix of a kind that is read here."""
    kind = kind_of(path)
    return kind is not None and is_read(kind)


def suffixes_read() -> Tuple[str, ...]:
    """The suffixes of all kinds that are read here."""
    return tuple(suffix for kind in KINDS if is_read(kind) for suffix in kind.suffixes)


def suffixes_written() -> Tuple[str, ...]:
    """The suffixes of all kinds that are written here."""
    return tuple(suffix for kind in KINDS if is_written(kind) for suffix in kind.suffixes)


@functools.cache
def _pillow_formats() -> Tuple[Set[str], Set[str]]:
    """The formats that Pillow reads, and those that it writes. A codec that Pillow was built without is left out."""
    Image.init()
    absent = {name for name, codec in (("JPEG2000", "jpg_2000"), ("WEBP", "webp"), ("AVIF", "avif"))
              if codec not in (*features.modules, *features.codecs) or not features.check(codec)}
    return set(Image.OPEN) - absent, set(Image.SAVE) - absent

