"""EXIF and XMP of an upright result: the orientation is 1, the size is the new one, the thumbnail is gone.

Only these values change, in place: a photo's other data (makers' notes with their own offsets, types that Pillow does
not know) stay as the camera wrote them. Layout of EXIF: CIPA DC-008, which is that of TIFF 6.0.
"""
from __future__ import annotations

import re
import struct
from typing import Dict, Iterator, NamedTuple, Optional, Tuple

WIDTH, HEIGHT = 0x0100, 0x0101
ORIENTATION = 0x0112  # the values 5 to 8 exchange width and height
EXIF_IFD, GPS_IFD = 0x8769, 0x8825
TIFF_TEXTS = (270, 271, 272, 305, 306, 315, 33432)  # description, make, model, software, date, artist, copyright
EXIF_WIDTH, EXIF_HEIGHT, COLOR_SPACE, INTEROP_IFD = 0xA002, 0xA003, 0xA001, 0xA005
THUMBNAIL_START, THUMBNAIL_LENGTH = 0x0201, 0x0202
INTEROP_INDEX = 0x0001
SHORT, LONG = 3, 4  # types of values
SRGB = 1  # value of COLOR_SPACE


class _Entry(NamedTuple):
    place: int  # of the entry in the data
    kind: int  # type of the value
    value: int  # of a SHORT or LONG; otherwise the four bytes as a number


class _Exif:
    """EXIF data whose numbers can be read and replaced. Raises: struct.error or ValueError where they are damaged."""

    def __init__(self, data: bytes):
        self.data = bytearray(data)
        if data[:4] not in (b"II*\0", b"MM\0*"):
            raise ValueError("no TIFF header")
        self.order = "<" if data[:2] == b"II" else ">"
        self.first = self.number("I", 4)

    def number(self, code: str, place: int) -> int:
        return struct.unpack_from(self.order + code, self.data, place)[0]

    def entries(self, start: int) -> Dict[int, _Entry]:
        """The entries of the directory at `start`, by their tags."""
        found = {}
        for place in range(start + 2, start + 2 + 12 * self.number("H", start), 12):
            tag, kind = self.number("H", place), self.number("H", place + 2)
            found[tag] = _Entry(place, kind, self.number("H" if kind == SHORT else "I", place + 8))
        return found

    def replace(self, entry: Optional[_Entry], value: int) -> None:
        """Write a new value of a SHORT or LONG."""
        if entry is not None and entry.kind in (SHORT, LONG):
            short = entry.kind == SHORT
            struct.pack_into(self.order + ("HH" if short else "I"), self.data, entry.place + 8,
                             *((min(value, 0xFFFF), 0) if short else (value,)))

    def drop_thumbnail(self) -> None:
        """Remove the link to the second directory, and the bytes of its thumbnail."""
        link = self.first + 2 + 12 * self.number("H", self.first)
        second = self.number("I", link)
        struct.pack_into(self.order + "I", self.data, link, 0)
        if not second:
            return
        entries = self.entries(second)
        if THUMBNAIL_START in entries and THUMBNAIL_LENGTH in entries:
            start = entries[THUMBNAIL_START].value
            stop = start + entries[THUMBNAIL_LENGTH].value
            if 8 <= start < stop <= len(self.data):
                self.data[start:stop] = bytes(stop - start)
                if stop >= len(self.data) - 4:
                    del self.data[start:]


def upright_exif(data: bytes, size: Tuple[int, int], is_converted: bool = False) -> bytes:
    """The EXIF data of an upright photo of `size` (height, width).

    Args:
        data: from the TIFF header on, or with "Exif" and two zeros before it.
        is_converted: the colours were converted to sRGB, and the data shall say so.

    Raises: ValueError if the data are damaged.
    """
    data = data[6:] if data[:6] == b"Exif\0\0" else data
    try:
        exif = _Exif(data)
        main = exif.entries(exif.first)
        sub = exif.entries(main[EXIF_IFD].value) if EXIF_IFD in main else {}
        exif.replace(main.get(ORIENTATION), 1)
        for entries, height, width in ((main, HEIGHT, WIDTH), (sub, EXIF_HEIGHT, EXIF_WIDTH)):
            exif.replace(entries.get(height), size[0])
            exif.replace(entries.get(width), size[1])
        if is_converted:
            exif.replace(sub.get(COLOR_SPACE), SRGB)
            index = _interop_index(exif, sub)
            if index is not None:
                exif.data[index.place + 8:index.place + 12] = b"R98\0"
        exif.drop_thumbnail()
    except struct.error:
        raise ValueError("EXIF data end too early") from None
    return bytes(exif.data)


def says_adobe_rgb(data: bytes) -> bool:
    """Whether a camera says by DCF's index R03 that the colours are Adobe RGB. Such files have no profile."""
    data = data[6:] if data[:6] == b"Exif\0\0" else data
    try:
        exif = _Exif(data)
        main = exif.entries(exif.first)
        index = _interop_index(exif, exif.entries(main[EXIF_IFD].value)) if EXIF_IFD in main else None
        return index is not None and exif.data[index.place + 8:index.place + 11] == b"R03"
    except (struct.error, ValueError):
        return False


def upright_xmp(data: bytes, size: Tuple[int, int]) -> bytes:
    """The XMP packet of an upright photo of `size` (height, width), without thumbnails."""
    data = re.sub(rb"<xmp:Thumbnails>.*?</xmp:Thumbnails>", b"", data, flags=re.DOTALL)
    for name, value in ((b"tiff:Orientation", 1), (b"tiff:ImageLength", size[0]), (b"tiff:ImageWidth", size[1]),
                        (b"exif:PixelYDimension", size[0]), (b"exif:PixelXDimension", size[1])):
        new = str(value).encode()
        data = re.sub(rb"(" + name + rb"\s*=\s*[\"'])\d+", rb"\g<1>" + new, data)
        data = re.sub(rb"(<" + name + rb">\s*)\d+", rb"\g<1>" + new, data)
    return data


def iptc_block(records: bytes) -> bytes:
    """The JPEG segment (APP13) that holds IPTC records, in Adobe's block of resources."""
    body = b"Photoshop 3.0\x008BIM" + struct.pack(">HHI", 0x0404, 0, len(records)) + records + bytes(len(records) % 2)
    return b"\xff\xed" + struct.pack(">H", len(body) + 2) + body


def png_texts(texts: Dict[str, str]) -> Iterator[Tuple[str, str]]:
    """The text chunks of a PNG that are not XMP or EXIF under another name."""
    for key, text in texts.items():
        if key != "XML:com.adobe.xmp" and not key.startswith("Raw profile type"):
            yield key, str(text)


def _interop_index(exif: _Exif, sub: Dict[int, _Entry]) -> Optional[_Entry]:
    return exif.entries(sub[INTEROP_IFD].value).get(INTEROP_INDEX) if INTEROP_IFD in sub else None
