"""TIFF pages that Pillow reads wrong or not at all: more than 8 bits, planes, floats. tifffile reads and writes them.

Tags: TIFF 6.0. tifffile decodes some compressions alone (Deflate, PackBits, ...), and all with the package imagecodecs.
"""
from __future__ import annotations

import logging
import struct
import zlib
from pathlib import Path
from typing import Any, List, NamedTuple, Optional, Tuple

import numpy as np
from PIL.TiffImagePlugin import COMPRESSION_INFO

from .metadata import ORIENTATION

MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
MIN_IS_WHITE, MIN_IS_BLACK, RGB = 0, 1, 2  # photometric interpretations
UNSIGNED, SIGNED, FLOAT = 1, 2, 3  # sample formats
NONE, DEFLATE = 1, (8, 32946)  # compressions
UNSPECIFIED, ASSOCIATED, UNASSOCIATED = 0, 1, 2  # kinds of extra samples; alpha with multiplied colours, alpha
DNG_VERSION = 50706
MOST_SAMPLES = 16  # of a pixel
MOST_PAGES = 10_000
X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT = 282, 283, 296
XMP, ICC_PROFILE = 700, 34675


class Samples(NamedTuple):
    """The pixels of a page."""

    rgb: np.ndarray  # uint16[h, w, 3]
    alpha: Optional[np.ndarray]  # uint16[h, w]
    is_grey: bool


class Facts(NamedTuple):
    """What a page says beside its pixels."""

    bits: int  # of a sample
    left_out: int  # channels beyond colours and alpha
    orientation: int
    icc_profile: Optional[bytes]
    xmp: bytes
    dpi: Optional[Tuple[float, float]]
    compression: str  # Pillow's name
    predictor: int


class Refused(Exception):
    """A page that cannot be read right."""


def page_numbers(path: Path) -> List[int]:
    """The numbers of the pictures in a file: its pages without previews and masks.

    Raises: Refused for a camera raw file; any exception for a damaged file.
    """
    numbers = []
    with _opened(path) as file:
        for number, place in enumerate(_places(path)):
            page = _page(file, number, place)
            if DNG_VERSION in page.tags:
                raise Refused("camera raw under another name; rename it to .dng")
            if not page.is_reduced and not page.is_mask:
                numbers.append(number)
    return numbers or [0]


def read_page(path: Path, number: int, max_pixels: int) -> Optional[Samples]:
    """The pixels of a page, or None if Pillow reads the page right.

    Raises: Refused for a page whose white is not known, or that is too large; any exception for a damaged file.
    """
    with _opened(path) as file:
        page = _page(file, number, _places(path)[number])
        if _is_plain(page):
            return None
        pixels = page.imagewidth * page.imagelength
        if pixels > max_pixels:
            raise Refused(f"{pixels} pixels exceed the limit of {max_pixels}; raise --max_pixels to accept it")
        if page.photometric not in (MIN_IS_WHITE, MIN_IS_BLACK, RGB):
            raise Refused(f"{page.bitspersample} bits of {page.photometric.name}; save it with 8 bits")
        stored = pixels * page.samplesperpixel * page.bitspersample // 8
        if page.samplesperpixel > MOST_SAMPLES or (page.compression == NONE and stored > file.filehandle.size):
            raise ValueError("more pixels than data")
        return _as_rgb(_sixteen_bits(_decoded(file, page, number), page), page)


def _opened(path: Path) -> Any:
    import tifffile

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # the exceptions say enough
    return tifffile.TiffFile(path)


def _places(path: Path) -> List[int]:
    """Where the directories of the pages begin. tifffile and damaged links between them make an endless loop."""
    places: List[int] = []
    with open(path, "rb") as file:
        head = file.read(16)
        order, is_big = ("<" if head[:2] == b"II" else ">"), head[:4] in MAGIC[2:]
        link, count, entry = ("Q", "Q", 20) if is_big else ("I", "H", 12)
        place, = struct.unpack_from(order + link, head, 8 if is_big else 4)
        while place and place not in places and len(places) < MOST_PAGES:
            places.append(place)
            file.seek(place)
            entries, = struct.unpack(order + count, file.read(struct.calcsize(count)))
            file.seek(entries * entry, 1)
            place, = struct.unpack(order + link, file.read(struct.calcsize(link)).ljust(struct.calcsize(link), b"\0"))
    return places


def _page(file: Any, number: int, place: int) -> Any:
    """The page `number` of an opened file, whose directory begins at `place`."""
    import tifffile

    file.filehandle.seek(place)
    return tifffile.TiffPage(file, index=number)


def _is_plain(page: Any) -> bool:
    if page.photometric == MIN_IS_BLACK and page.samplesperpixel > 1 and UNSPECIFIED in page.extrasamples:
        return False
    is_integer = page.sampleformat in (UNSIGNED, 4)
    return is_integer and (page.bitspersample <= 8 or page.photometric not in (MIN_IS_WHITE, MIN_IS_BLACK, RGB))


def _decoded(file: Any, page: Any, number: int) -> np.ndarray:
    """The samples as stored, [h, w, n]."""
    try:
        values = page.asarray()
    except (ValueError, KeyError, NotImplementedError) as error:
        if "imagecodecs" not in str(error):
            raise
        values = _unpacked(file, page) if page.bitspersample % 8 else _by_opencv(file, page, number)
    if page.planarconfig == 2 and page.samplesperpixel > 1:
        values = np.moveaxis(values, 0, -1)
    return values.reshape(page.imagelength, page.imagewidth, page.samplesperpixel)


def _unpacked(file: Any, page: Any) -> np.ndarray:
    """Samples of 9 to 15 bits without gaps in a row, big end first; each row starts at a byte."""
    if page.is_tiled or page.compression not in (NONE, *DEFLATE) or page.planarconfig == 2 or page.fillorder != 1:
        raise Refused(f"{page.bitspersample} bits in this layout; save it with 16 bits, or pip install imagecodecs")
    parts = []
    for start, count in zip(page.dataoffsets, page.databytecounts):
        file.filehandle.seek(start)
        data = file.filehandle.read(count)
        parts.append(data if page.compression == NONE else zlib.decompress(data))
    samples, bits = page.imagewidth * page.samplesperpixel, page.bitspersample
    row = -(-samples * bits // 8)
    data = np.frombuffer(b"".join(parts), np.uint8)[:row * page.imagelength].reshape(page.imagelength, row)
    places = np.unpackbits(data, axis=1)[:, :samples * bits].reshape(page.imagelength, samples, bits)
    return places @ (1 << np.arange(bits - 1, -1, -1)).astype(np.uint16)


def _by_opencv(file: Any, page: Any, number: int) -> np.ndarray:
    """Samples of 16 bits in a compression that OpenCV decodes, such as LZW."""
    import cv2

    if page.dtype != np.uint16 or page.planarconfig == 2 or page.samplesperpixel not in (1, 3, 4):
        raise Refused(f"{page.compression.name} compression; pip install imagecodecs, or save it with Deflate")
    file.filehandle.seek(0)
    data = np.frombuffer(file.filehandle.read(), np.uint8)
    done, pages = cv2.imdecodemulti(data, cv2.IMREAD_UNCHANGED, range=(number, number + 1))
    if not done or pages[0].dtype != np.uint16:
        raise Refused(f"{page.compression.name} compression; pip install imagecodecs, or save it with Deflate")
    return pages[0] if pages[0].ndim == 2 else pages[0][..., [2, 1, 0, 3][:pages[0].shape[2]]]


def _sixteen_bits(values: np.ndarray, page: Any) -> np.ndarray:
    """Samples -> uint16 of the whole range. Raises: Refused if white is not known."""
    if page.sampleformat == FLOAT:
        low, high = float(values.min()), float(values.max())
        if not (low >= 0 and high <= 1):
            raise Refused(f"floats from {low:g} to {high:g}; only floats from 0 (black) to 1 (white) can be read")
        wide = np.result_type(values, np.float32)  # 65535 is too large for float16
        return np.rint(values.astype(wide, copy=False) * 65535.0).astype(np.uint16)
    if page.sampleformat != UNSIGNED and page.sampleformat != 4:
        raise Refused(f"signed or complex samples of {page.bitspersample} bits, whose white is not stated; "
                      "save it with 16 bits")
    white = 2**page.bitspersample - 1
    if page.bitspersample > 16 and values.max() <= 65535:
        raise Refused(f"values up to {values.max()} of {white}, which would all be black; save it with 16 bits")
    return values if white == 65535 else np.rint(values * (65535.0 / white)).astype(np.uint16)


def _as_rgb(values: np.ndarray, page: Any) -> Samples:
    colours = 3 if page.photometric == RGB else 1
    if values.shape[2] < colours:
        raise Refused(f"{values.shape[2]} samples of a pixel")
    extra = tuple(page.extrasamples)[:1]
    alpha = np.ascontiguousarray(values[..., colours]) if extra in ((ASSOCIATED,), (UNASSOCIATED,)) else None
    rgb = values[..., :colours]
    if page.photometric == MIN_IS_WHITE:
        rgb = 65535 - rgb
    if extra == (ASSOCIATED,) and alpha is not None:
        rgb = _divided(rgb, alpha)
    rgb = np.ascontiguousarray(np.broadcast_to(rgb, rgb.shape[:2] + (3,)))
    return Samples(rgb, alpha, colours == 1)


def _divided(rgb: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Colours that were multiplied by alpha -> the colours."""
    whole = rgb * (65535.0 / np.maximum(alpha, 1))[..., None]
    return np.rint(np.minimum(whole, 65535)).astype(np.uint16)


def read_facts(path: Path, number: int) -> Facts:
    """All of a page but its pixels. Raises: any exception for a damaged file."""
    with _opened(path) as file:
        page = _page(file, number, _places(path)[number])
        icc, xmp = page.tags.valueof(ICC_PROFILE), page.tags.valueof(XMP)
        return Facts(
            int(page.bitspersample), _left_out(page), _orientation(page), icc if isinstance(icc, bytes) else None,
            xmp if isinstance(xmp, bytes) else b"",
            _dpi(page), COMPRESSION_INFO.get(int(page.compression), "raw"), int(page.predictor))


def _left_out(page: Any) -> int:
    extra = tuple(page.extrasamples)
    return max(len(extra) - (extra[:1] in ((ASSOCIATED,), (UNASSOCIATED,))), 0)


def read_size(path: Path) -> Tuple[int, int, int, bool]:
    """Height and width of the first picture, upright; number of pictures; whether the first has alpha."""
    numbers = page_numbers(path)
    with _opened(path) as file:
        page = _page(file, numbers[0], _places(path)[numbers[0]])
        height, width = page.imagelength, page.imagewidth
        if _orientation(page) >= 5:
            height, width = width, height
        return height, width, len(numbers), bool({ASSOCIATED, UNASSOCIATED} & set(page.extrasamples))


def _orientation(page: Any) -> int:
    orientation = page.tags.valueof(ORIENTATION)
    return orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else 1


def _dpi(page: Any) -> Optional[Tuple[float, float]]:
    """None if the resolution is not stated in inches or centimetres."""
    numbers = [page.tags.valueof(tag) for tag in (X_RESOLUTION, Y_RESOLUTION)]
    unit = {2: 1.0, 3: 2.54}.get(page.tags.valueof(RESOLUTION_UNIT, 2))
    if unit is None or not all(isinstance(number, tuple) and len(number) == 2 and number[1] for number in numbers):
        return None
    across, down = (above / below * unit for above, below in numbers)
    return (across, down) if 1 < across <= 65535 and 1 < down <= 65535 else None
