"""What the head of a file states that Pillow does not tell: the bits of a sample, of which it decodes 8; colours."""
from __future__ import annotations

import struct
from pathlib import Path
from typing import Optional, Tuple

HEAD = 65536  # bytes in which the statement stands


def stated_bits(path: Path, format: str) -> int:
    """The bits of a sample that the head of a file of Pillow's `format` states; 8 if it states none.

    Sources: JPEG 2000, ISO 15444-1 A.5.1 (SIZ); AVIF and HEIC, ISO 23008-12 (pixi); PPM, Netpbm's ppm(5); PNG.
    """
    with open(path, "rb") as file:
        head = file.read(HEAD)
    try:
        if format == "JPEG2000":
            return (head[head.index(b"\xff\x51") + 40] & 0x7F) + 1
        if format in ("AVIF", "HEIF") and b"pixi" in head:
            return head[head.index(b"pixi") + 9]
        if format == "PPM" and head[:2] in (b"P3", b"P6"):
            numbers = [word for line in head[2:500].splitlines() for word in line.partition(b"#")[0].split()]
            return int(numbers[2]).bit_length()
        return head[24] if format == "PNG" else 8
    except (IndexError, ValueError):
        return 8


def stated_colours(path: Path) -> Optional[Tuple[int, int]]:
    """H.273's numbers of the primaries and the curve of an AVIF file (ISO 23008-12: colr). None: it states none."""
    with open(path, "rb") as file:
        head = file.read(HEAD)
    place = head.find(b"colrnclx")
    return struct.unpack_from(">HH", head, place + 8) if 0 <= place <= len(head) - 12 else None
