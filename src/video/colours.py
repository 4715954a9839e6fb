"""What the numbers of a video mean as colours. The numbers of matrices and curves are those of ITU-T H.273."""
from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import Iterator, NamedTuple

import av
import numpy as np

UNSTATED = 2
RGB, BT709, BT601, BT2020 = 0, 1, 6, 9  # matrices; BT709 is a number of primaries and of a curve too
PQ, HLG = 16, 18  # curves
HD_LINES = 720  # players read an untagged video of this height or more by BT.709, a smaller one by BT.601
# matrix -> its name in FFmpeg's filter `scale`
MATRICES = {1: "bt709", 4: "fcc", 5: "bt470", 6: "smpte170m", 7: "smpte240m", 9: "bt2020"}
# matrices that are not read
OTHER_MATRICES = {8: "YCgCo", 10: "BT.2020 with constant luminance", 11: "YDzDx", 12: "derived from the primaries",
                  13: "derived from the primaries", 14: "ICtCp", 15: "IPT (Dolby Vision 5)", 16: "YCgCo-Re",
                  17: "YCgCo-Ro"}
CURVES = {PQ: "PQ", HLG: "HLG"}

WHITE = 203.0  # cd/m2 of diffuse white in HDR (ITU-R BT.2408), which becomes white's neighbourhood in SDR
PEAK = 1000.0  # cd/m2; HLG's nominal display, and the usual mastering display of PQ
SDR_GAMMA = 2.4  # ITU-R BT.1886
GRID = 65  # points on each axis of the table that FFmpeg interpolates


class Colours(NamedTuple):
    """The colour description of a stream."""

    matrix: int
    primaries: int
    curve: int
    full: bool  # whether brightness has all numbers, not only 16..235 of 255

    @property
    def is_hdr(self) -> bool:
        return self.curve in CURVES


def colours_of(frame: av.VideoFrame, context: av.VideoCodecContext) -> Colours:
    """How players read a decoded frame: by its tags, and without tags by its size."""
    primaries = getattr(frame, "color_primaries", context.color_primaries)  # PyAV 15 has it at the codec alone
    curve = getattr(frame, "color_trc", context.color_trc)
    matrix = frame.colorspace
    if frame.format.is_rgb:
        matrix = RGB
    elif matrix in (RGB, UNSTATED):
        matrix = BT2020 if primaries == BT2020 else BT709 if frame.height >= HD_LINES else BT601
    full = frame.color_range == 2 or frame.format.name.startswith("yuvj") or matrix == RGB
    return Colours(matrix, primaries, curve, full)


def colours_of_result(source: Colours, height: int) -> Colours:
    """The description of the result. SDR keeps primaries and curve; HDR becomes BT.709. Brightness is 16..235."""
    usual = BT709 if height >= HD_LINES else BT601
    if source.is_hdr:
        return Colours(BT709, BT709, BT709, False)
    matrix = usual if source.matrix == RGB else source.matrix
    primaries, curve = source.primaries, source.curve
    if matrix == BT709:  # BT.709 is what players assume where the rest is not stated
        primaries, curve = (BT709 if value == UNSTATED else value for value in (primaries, curve))
    return Colours(matrix, primaries, curve, False)


def to_sdr(signal: np.ndarray, curve: int) -> np.ndarray:
    """HDR to SDR: R'G'B' of BT.2020 in 0..1 with curve PQ or HLG -> R'G'B' of BT.709 in 0..1, float64[..., 3].

    1. Light of the display in cd/m2: the EOTF of ITU-R BT.2100 (HLG with its OOTF for a display of 1000 cd/m2).
    2. The tone curve of ITU-R BT.2390 (EETF) from 1000 to 203 cd/m2. It acts on the largest of R, G, B, and the other
       two keep their ratio to it, so that the hue stays.
    3. BT.709's primaries; what lies outside is clipped.
    4. The inverse of ITU-R BT.1886, where 203 cd/m2 is white.
    """
    light = _pq_light(signal) if curve == PQ else _hlg_light(signal)
    largest = light.max(axis=-1, keepdims=True)
    light = light * (_tone(largest) / np.maximum(largest, 1e-9)) @ FROM_BT2020.T
    return np.clip(light / WHITE, 0, 1) ** (1 / SDR_GAMMA)


@contextlib.contextmanager
def sdr_table(curve: int) -> Iterator[Path]:
    """A file with `to_sdr` as a table for FFmpeg's filter `lut3d`. The filter reads it when it is created."""
    axis = np.linspace(0, 1, GRID)
    blue, green, red = np.meshgrid(axis, axis, axis, indexing="ij")  # red changes fastest
    table = to_sdr(np.stack([red, green, blue], axis=-1).reshape(-1, 3), curve)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sdr.cube"
        with open(path, "w", encoding="ascii") as file:
            file.write(f"LUT_3D_SIZE {GRID}\n")
            np.savetxt(file, table, "%.6f")
        yield path


# ITU-R BT.2087: linear RGB of BT.2020 -> linear RGB of BT.709
FROM_BT2020 = np.array([[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]])
M1, M2, C1, C2, C3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128  # SMPTE ST 2084


def _pq_light(signal: np.ndarray) -> np.ndarray:
    root = signal ** (1 / M2)
    return 10000 * (np.maximum(root - C1, 0) / (C2 - C3 * root)) ** (1 / M1)


def _pq_signal(light: np.ndarray) -> np.ndarray:
    power = (light / 10000) ** M1
    return ((C1 + C2 * power) / (1 + C3 * power)) ** M2


def _hlg_light(signal: np.ndarray) -> np.ndarray:
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(signal <= 0.5, signal ** 2 / 3, (np.exp((signal - c) / a) + b) / 12)
    brightness = scene @ np.array([0.2627, 0.6780, 0.0593])
    return PEAK * np.maximum(brightness, 1e-9)[..., None] ** 0.2 * scene


def _tone(light: np.ndarray) -> np.ndarray:
    """The EETF of ITU-R BT.2390 for black at 0: PEAK becomes WHITE, dark light stays as it is."""
    top = _pq_signal(np.array(PEAK))
    value, limit = np.minimum(_pq_signal(light) / top, 1), _pq_signal(np.array(WHITE)) / top
    knee = 1.5 * limit - 0.5
    t = np.maximum(value - knee, 0) / (1 - knee)
    bent = ((2 * t ** 3 - 3 * t ** 2 + 1) * knee + (t ** 3 - 2 * t ** 2 + t) * (1 - knee)
            + (3 * t ** 2 - 2 * t ** 3) * limit)
    return _pq_light(np.where(value < knee, value, bent) * top)
