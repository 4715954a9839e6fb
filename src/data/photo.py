"""What a photo file holds: its pixels, and all that a similar file needs."""
from __future__ import annotations

from typing import NamedTuple, Optional, Tuple

import numpy as np


class Metadata(NamedTuple):
    """What a file says about a photo. `src.data.metadata` reads and changes it."""

    exif: bytes = b""  # from its TIFF header on; it states the upright orientation and has no thumbnail
    xmp: bytes = b""
    iptc: bytes = b""  # the IIM records
    dpi: Optional[Tuple[float, float]] = None
    comment: bytes = b""
    texts: Tuple[Tuple[str, str], ...] = ()  # PNG: keyword and text


class Encoding(NamedTuple):
    """How the pixels were stored, for a file of the same kind."""

    format: str = ""  # Pillow's name of the format
    subsampling: Optional[int] = None  # JPEG: Pillow's number, 0 is 4:4:4; None: not known
    is_progressive: bool = False  # JPEG
    is_lossless: bool = False  # WebP
    compression: str = ""  # TIFF: Pillow's name
    predictor: int = 1  # TIFF
    duration: float = 0.0  # of a picture in an animation, milliseconds
    loop: Optional[int] = None  # how often an animation runs, 0: for ever; None: not said


class Photo(NamedTuple):
    """One picture of a file. Its colours are sRGB, whatever the colour space of the file was."""

    rgb: np.ndarray  # uint8 or uint16 [h, w, 3], of the whole range of the type
    alpha: Optional[np.ndarray] = None  # [h, w] of the type of `rgb`; None where the file has none
    is_grey: bool = False
    icc_profile: Optional[bytes] = None  # an sRGB profile for the result; None where the file has no profile
    metadata: Metadata = Metadata()
    encoding: Encoding = Encoding()
    pictures: int = 1  # in the file
    notes: Tuple[str, ...] = ()  # what reading has changed or left out
