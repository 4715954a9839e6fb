"""PNG files beyond Pillow: 16 bits of colour, and the chunks that state a colour space without a profile.

Chunks: PNG, third edition (W3C 2025). Numbers of primaries and curves: ITU-T H.273. PQ and HLG: ITU-R BT.2100.
"""
from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any, Dict, Iterator, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from PIL import Image

from .icc import D65, SRGB_PRIMARIES, XY, Curve, build_profile, srgb_decoded

SIGNATURE = b"\x89PNG\r\n\x1a\n"
USUAL_GAMMA = 0.45455  # stands beside values that are meant as sRGB
WHITE_NITS = 203  # cd/m2 of diffuse white in HDR, ITU-R BT.2408
P3: Tuple[XY, XY, XY] = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))
PRIMARIES: Dict[int, Tuple[Tuple[XY, XY, XY], XY]] = {
    1: (SRGB_PRIMARIES, D65), 5: (((0.64, 0.33), (0.29, 0.60), (0.15, 0.06)), D65),
    6: (((0.630, 0.340), (0.310, 0.595), (0.155, 0.070)), D65),
    9: (((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)), D65), 11: (P3, (0.314, 0.351)), 12: (P3, D65),
}


class Header(NamedTuple):
    """What stands before the pixels."""

    bits: int
    is_grey: bool
    chunks: Dict[bytes, bytes]  # the small ones that state colours


def read_header(path: Path) -> Optional[Header]:
    """The header of a PNG file. None: it is none, or damaged."""
    with open(path, "rb") as file:
        if file.read(8) != SIGNATURE:
            return None
        chunks = {}
        while len(head := file.read(8)) == 8 and head[4:] not in (b"IDAT", b"IEND"):
            length = int.from_bytes(head[:4], "big")
            if head[4:] in (b"IHDR", b"cICP", b"gAMA", b"cHRM", b"sRGB", b"iCCP"):
                chunks[head[4:]] = file.read(min(length, 64))
                length -= len(chunks[head[4:]])
            file.seek(length + 4, 1)
    start = chunks.pop(b"IHDR", b"")
    return Header(start[8], not start[9] & 2, chunks) if len(start) == 13 else None


def stated_profile(header: Header, icc_profile: Optional[bytes]) -> Tuple[Optional[bytes], str]:
    """The profile of the colours, and a note. The chunk that the standard prefers wins; None is sRGB."""
    chunks = header.chunks
    if len(chunks.get(b"cICP", b"")) == 4:
        return cicp_profile(*chunks[b"cICP"])
    if icc_profile is not None or b"sRGB" in chunks:
        return icc_profile, ""
    gamma, white = USUAL_GAMMA, D65
    primaries: Sequence[XY] = SRGB_PRIMARIES
    if len(chunks.get(b"gAMA", b"")) == 4:
        gamma = int.from_bytes(chunks[b"gAMA"], "big") / 1e5
    if len(chunks.get(b"cHRM", b"")) == 32:
        numbers = [number / 1e5 for number in struct.unpack(">8I", chunks[b"cHRM"])]
        white, *primaries = zip(numbers[::2], numbers[1::2])
    is_usual = abs(gamma - USUAL_GAMMA) < 0.001
    if is_usual and np.allclose((*primaries, white), (*SRGB_PRIMARIES, D65), atol=0.002):
        return None, ""
    if not 0.05 <= gamma <= 5:
        return None, f"gamma of {gamma:g} passed over: colours taken as sRGB"
    curve = srgb_decoded if is_usual else _power(1 / gamma)
    try:
        return build_profile(f"gamma {gamma:g}", primaries, white, curve), ""
    except (ValueError, OverflowError, struct.error, np.linalg.LinAlgError):
        return None, "primaries that are no colours passed over: colours taken as sRGB"


def cicp_profile(primaries: int, transfer: int, matrix: int = 0, full_range: int = 1) -> Tuple[Optional[bytes], str]:
    """The profile of H.273's numbers, and a note. None is sRGB, also for numbers that are not known."""
    curve = _curves().get(transfer)
    if primaries not in PRIMARIES or curve is None or matrix != 0 or full_range != 1:
        unknown = f"cICP {primaries}/{transfer}/{matrix}/{full_range}"
        return None, "" if primaries == 2 and transfer == 2 else f"{unknown} is not known: colours taken as sRGB"
    if primaries == 1 and transfer == 13:
        return None, ""
    note = f"HDR became SDR: what is brighter than {WHITE_NITS} cd/m2 was cut" if transfer in (16, 18) else ""
    return build_profile(f"cICP {primaries}/{transfer}", *PRIMARIES[primaries], curve), note


def read_16_bits(path: Path) -> Tuple[np.ndarray, Optional[np.ndarray]]:
    """The pixels of a PNG file of 16 bits: uint16 RGB[h, w, 3] and alpha uint16[h, w] or None. Pillow cuts to 8 bits.

    Raises: ValueError if OpenCV cannot decode it.
    """
    import cv2

    pixels = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.dtype != np.uint16:
        raise ValueError("damaged PNG of 16 bits")
    if pixels.ndim == 2:
        return np.repeat(pixels[..., None], 3, axis=-1), None
    alpha = np.ascontiguousarray(pixels[..., 3]) if pixels.shape[2] == 4 else None
    return np.ascontiguousarray(pixels[..., 2::-1]), alpha


def encode_16_bits(pixels: np.ndarray, options: Mapping[str, Any]) -> bytes:
    """The file of uint16 pixels [h, w] or [h, w, 3 or 4], with Pillow's `options` (metadata, profile) of a PNG."""
    import cv2

    order = {2: pixels, 3: pixels[..., ::-1]}.get(pixels.shape[-1] if pixels.ndim == 3 else 2)
    done, file = cv2.imencode(".png", pixels[..., [2, 1, 0, 3]] if order is None else order)
    if not done:
        raise ValueError("OpenCV cannot encode it")
    data, small = file.tobytes(), io.BytesIO()
    Image.new("L" if pixels.ndim == 2 else "RGB", (1, 1)).save(small, "PNG", **options)
    extra = b"".join(chunk for name, chunk in _chunks(small.getvalue()) if name not in (b"IHDR", b"IDAT", b"IEND"))
    return data[:33] + extra + data[33:]  # behind IHDR


def _chunks(data: bytes) -> Iterator[Tuple[bytes, bytes]]:
    place = 8
    while place < len(data):
        stop = place + 12 + int.from_bytes(data[place:place + 4], "big")
        yield data[place + 4:place + 8], data[place:stop]
        place = stop


def _power(exponent: float) -> Curve:
    return lambda stored: np.power(stored, exponent)


def _curves() -> Dict[int, Curve]:
    """H.273's transfer characteristics: stored value -> light, where 1 is diffuse white."""
    return {**dict.fromkeys((1, 6, 14, 15), _bt709), 4: _power(2.2), 5: _power(2.8), 8: _power(1.0), 13: srgb_decoded,
            16: _pq, 18: _hlg}


def _bt709(stored: np.ndarray) -> np.ndarray:
    return np.where(stored < 0.081, stored / 4.5, np.power((stored + 0.099) / 1.099, 1 / 0.45))


def _pq(stored: np.ndarray) -> np.ndarray:
    root = np.power(stored, 32 / 2523)
    light = np.maximum(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)
    return np.power(light, 16384 / 2610) * 10000 / WHITE_NITS


def _hlg(stored: np.ndarray) -> np.ndarray:
    """As shown on a display of 1000 cd/m2: its system gamma is 1.2."""
    scene = np.where(stored <= 0.5, stored**2 / 3, (np.exp((stored - 0.55991073) / 0.17883277) + 0.28466892) / 12)
    return np.power(scene, 1.2) * 1000 / WHITE_NITS
