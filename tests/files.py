"""Small files of odd kinds, made from numbers."""
from __future__ import annotations

import struct
import zlib
from typing import Iterable, Tuple

import numpy as np

Chunk = Tuple[bytes, bytes]


def png(pixels: np.ndarray, chunks: Iterable[Chunk] = (), after: Iterable[Chunk] = ()) -> bytes:
    """A PNG of uint8 or uint16 grey [h, w], grey and alpha [h, w, 2], RGB or RGBA, with chunks before and after it."""
    samples = pixels.shape[2] if pixels.ndim == 3 else 1
    depth, kind = pixels.dtype.itemsize * 8, {1: 0, 2: 4, 3: 2, 4: 6}[samples]
    rows = b"".join(b"\0" + row.astype(f">u{depth // 8}").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], depth, kind, 0, 0, 0)
    every = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(rows)), *after, (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in every)


def tiff(shape, bits, data: bytes, photometric: int, sample_format: int = 1, extra: Iterable[Tuple] = ()) -> bytes:
    """An uncompressed TIFF of `shape` (height, width, samples) in one strip, little end first.

    extra: more tags as (number, type, count, value), whose values fit into four bytes.
    """
    height, width, samples = shape
    tags = [(256, 3, 1, width), (257, 3, 1, height), (259, 3, 1, 1), (262, 3, 1, photometric),
            (273, 4, 1, 8), (277, 3, 1, samples), (278, 3, 1, height), (279, 4, 1, len(data)), *extra]
    end = 8 + len(data) + len(data) % 2
    many = samples > 2  # then the values stand behind the data
    tags += [(258, 3, samples, end if many else bits | (bits << 16 if samples == 2 else 0)),
             (339, 3, samples, end + 2 * samples if many else sample_format)]
    values = struct.pack(f"<{2 * samples}H", *[bits] * samples, *[sample_format] * samples) if many else b""
    directory = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in sorted(tags)) + bytes(4)
    body = data + bytes(len(data) % 2) + values
    return b"II*\0" + struct.pack("<I", 8 + len(body)) + body + directory


def packed(values: np.ndarray, bits: int) -> bytes:
    """Rows of integers without gaps, big end first; each row starts at a byte."""
    rows = values.reshape(len(values), -1)
    places = (rows[..., None].astype(np.uint32) >> np.arange(bits - 1, -1, -1)) & 1
    return np.packbits(places.reshape(len(values), -1).astype(np.uint8), axis=1).tobytes()


def cmyk_profile(white: int, ink: int) -> bytes:
    """A press profile: L* is `white` of 255 without ink, `ink` with one full ink, 0 with more. All colours are grey."""
    grid = b"".join(bytes(((white, ink, 0, 0, 0)[sum(corner)], 128, 128)) for corner in np.ndindex(2, 2, 2, 2))
    ramp = bytes(range(256))
    matrix = struct.pack(">9i", *(65536 if i % 4 == 0 else 0 for i in range(9)))
    lut = b"mft1\0\0\0\0" + bytes((4, 3, 2, 0)) + matrix + ramp * 4 + grid + ramp * 3
    text = b"desc\0\0\0\0" + struct.pack(">I", 6) + b"press\0" + bytes(78)
    white_point = b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)
    tags = [(b"desc", text), (b"wtpt", white_point), (b"A2B0", lut), (b"cprt", b"text\0\0\0\0none\0")]
    table, body = struct.pack(">I", len(tags)), b""
    for name, data in tags:
        table += name + struct.pack(">II", 132 + 12 * len(tags) + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    size = 128 + len(table) + len(body)
    header = struct.pack(">I4sI4s4s4s12s4s", size, bytes(4), 0x02400000, b"prtr", b"CMYK", b"Lab ",
                         struct.pack(">6H", 2020, 1, 1, 0, 0, 0), b"acsp")
    return (header.ljust(68, b"\0") + struct.pack(">3i", 63190, 65536, 54061)).ljust(128, b"\0") + table + body
