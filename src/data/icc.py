"""ICC profiles of three primaries and tone curves: built from numbers, and read for 16 bits, which ImageCms lacks.

Layout and types: ICC.1:2010, sections 7, 8 and 10. Chromatic adaptation: Bradford, as in its annex E.
"""
from __future__ import annotations

import struct
from typing import Callable, Dict, NamedTuple, Optional, Sequence, Tuple

import numpy as np

XY = Tuple[float, float]
Curve = Callable[[np.ndarray], np.ndarray]  # stored value in 0..1 -> light in 0..1

D50 = np.array([0.9642, 1.0, 0.8249])  # the white of every profile
D65: XY = (0.3127, 0.3290)
SRGB_PRIMARIES: Tuple[XY, XY, XY] = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
SAMPLES = 4096  # of a curve in a profile that is built
CODES = 65536


class MatrixProfile(NamedTuple):
    """Stored values -> light by a curve each; light -> XYZ under D50 by a matrix. Grey has one curve and no matrix."""

    curves: Tuple[np.ndarray, ...]  # float32[65536] each
    matrix: Optional[np.ndarray]  # [3, 3]


def matrix_to_xyz(primaries: Sequence[XY], white: XY) -> np.ndarray:
    """The matrix from linear RGB to XYZ under D50, for the chromaticities of the primaries and of white."""
    columns = np.array([_xyz(xy) for xy in (*primaries, white)]).T
    native = columns[:, :3] * np.linalg.solve(columns[:, :3], columns[:, 3])
    cone, cone_d50 = BRADFORD @ columns[:, 3], BRADFORD @ D50
    return np.linalg.inv(BRADFORD) @ np.diag(cone_d50 / cone) @ BRADFORD @ native


def build_profile(name: str, primaries: Sequence[XY], white: XY, curve: Curve) -> bytes:
    """An RGB profile. `name` is in ASCII, and `curve` holds for the three channels."""
    stored = np.linspace(0, 1, SAMPLES)
    samples = np.rint(np.clip(curve(stored), 0, 1) * 65535).astype(">u2").tobytes()
    trc = b"curv\0\0\0\0" + struct.pack(">I", SAMPLES) + samples
    text = name.encode("ascii") + b"\0"
    tags = {b"desc": b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + bytes(78),
            b"cprt": b"text\0\0\0\0No copyright\0", b"wtpt": _xyz_tag(D50)}
    tags.update({key: _xyz_tag(column) for key, column in
                 zip((b"rXYZ", b"gXYZ", b"bXYZ"), matrix_to_xyz(primaries, white).T)})
    return _assembled({**tags, b"rTRC": trc, b"gTRC": trc, b"bTRC": trc})


def read_profile(data: bytes) -> Optional[MatrixProfile]:
    """The curves and the matrix of a profile. None: it has none, is neither RGB nor grey, or is damaged."""
    try:
        tags = _tags(data)
        if data[16:20] == b"GRAY":
            return MatrixProfile((_curve(tags[b"kTRC"]),), None)
        if data[16:20] != b"RGB " or data[20:24] != b"XYZ ":
            return None
        columns = [struct.unpack(">3i", tags[key][8:20]) for key in (b"rXYZ", b"gXYZ", b"bXYZ")]
        curves = tuple(_curve(tags[key]) for key in (b"rTRC", b"gTRC", b"bTRC"))
        return MatrixProfile(curves, np.array(columns).T / 65536)
    except (KeyError, ValueError, IndexError, struct.error):
        return None


def to_srgb16(pixels: np.ndarray, profile: MatrixProfile) -> np.ndarray:
    """uint16[h, w, 3] of a profile -> uint16[h, w, 3] in sRGB. Colours outside sRGB are clipped."""
    result = np.empty_like(pixels)
    matrix = None if profile.matrix is None else \
        (np.linalg.inv(matrix_to_xyz(SRGB_PRIMARIES, D65)) @ profile.matrix).astype(np.float32)
    for top in range(0, len(pixels), 64):  # floats of the whole photo would take gigabytes
        rows = pixels[top:top + 64]
        curves = profile.curves * (3 if matrix is None else 1)
        light = np.stack([curve[rows[..., i]] for i, curve in enumerate(curves)], axis=-1)
        light = light if matrix is None else light @ matrix.T
        result[top:top + 64] = np.rint(srgb_encoded(np.clip(light, 0, 1)) * 65535)
    return result


def srgb_encoded(light: np.ndarray) -> np.ndarray:
    """Linear light in 0..1 -> stored values of sRGB (IEC 61966-2-1)."""
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * np.power(light, 1 / 2.4) - 0.055)


def srgb_decoded(stored: np.ndarray) -> np.ndarray:
    """The inverse of `srgb_encoded`."""
    return np.where(stored <= 0.04045, stored / 12.92, np.power((stored + 0.055) / 1.055, 2.4))


def _xyz(xy: XY) -> Tuple[float, float, float]:
    x, y = xy
    if y <= 0:
        raise ValueError("a chromaticity y must be above 0")
    return x / y, 1.0, (1 - x - y) / y


def _xyz_tag(values: np.ndarray) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(float(value) * 65536) for value in values))


def _assembled(tags: Dict[bytes, bytes]) -> bytes:
    """The profile of these tags, with a header of version 2.4 of a display profile."""
    table, body, places = struct.pack(">I", len(tags)), b"", {}
    start = 128 + 4 + 12 * len(tags)
    for key, data in tags.items():
        if data not in places:
            places[data] = start + len(body)
            body += data + bytes(-len(data) % 4)
        table += key + struct.pack(">II", places[data], len(data))
    header = struct.pack(">I4sI4s4s4s12s4s", start + len(body), bytes(4), 0x02400000, b"mntr", b"RGB ", b"XYZ ",
                         struct.pack(">6H", 2020, 1, 1, 0, 0, 0), b"acsp")
    header = header.ljust(68, b"\0") + struct.pack(">3i", *(round(float(value) * 65536) for value in D50))
    return header.ljust(128, b"\0") + table + body


def _tags(data: bytes) -> Dict[bytes, bytes]:
    count, = struct.unpack(">I", data[128:132])
    entries = (struct.unpack(">4sII", data[132 + 12 * i:144 + 12 * i]) for i in range(min(count, 100)))
    return {key: data[start:start + length] for key, start, length in entries}


def _curve(tag: bytes) -> np.ndarray:
    """A tone curve at each of the 65536 codes. Raises: ValueError for another type of curve."""
    stored = np.linspace(0, 1, CODES)
    if tag[:4] == b"curv":
        count, = struct.unpack(">I", tag[8:12])
        samples = np.frombuffer(tag[12:12 + 2 * count], ">u2").astype(np.float64)
        if count == 0:
            return stored.astype(np.float32)
        if count == 1:
            return np.power(stored, samples[0] / 256).astype(np.float32)
        return np.interp(stored, np.linspace(0, 1, count), samples / 65535).astype(np.float32)
    if tag[:4] != b"para":
        raise ValueError("unknown type of curve")
    kind, = struct.unpack(">H", tag[8:10])
    numbers = struct.unpack(f">{(1, 3, 4, 5, 7)[kind]}i", tag[12:12 + 4 * (1, 3, 4, 5, 7)[kind]])
    return np.clip(_parametric(stored, kind, [number / 65536 for number in numbers]), 0, 1).astype(np.float32)


def _parametric(x: np.ndarray, kind: int, numbers: Sequence[float]) -> np.ndarray:
    """The function types 0 to 4 of table 65 of the standard."""
    g, a, b, c, d, e, f = (*numbers, *(1.0, 0.0, 0.0, 0.0, 0.0, 0.0)[len(numbers) - 1:])
    if kind == 2:
        c, d, e, f = 0.0, -b / a, c, c
    if kind in (0, 1):
        c, d = 0.0, -b / a
    if kind == 3:
        e = f = 0.0
    power = np.power(np.maximum(a * x + b, 0), g) + e
    return np.where(x >= d, power, c * x + f)
