"""The C++ program in ascend310_infer: its figures on a folder of photos."""
from __future__ import annotations

import os
import subprocess
from typing import NamedTuple

import _clone  # noqa: F401
from src.files import PathLike


class Figures(NamedTuple):
    """Seconds of a photo without reading and writing, and the peak memory of the program in MB."""

    median: float
    least: float
    memory_mb: float


def run(program: PathLike, model: PathLike, photos: PathLike, *more: PathLike) -> Figures:
    """Dehaze the photos of a folder with all cores. `more`: further flags, `--output FOLDER` or `--benchmark`."""
    command = [program, "--model_path", model, "--input", photos, "--threads", len(os.sched_getaffinity(0)), *more]
    shown = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=True).stdout
    median, least, memory = (float(shown.split(key)[1].split()[0]) for key in (" median ", " min ", " memory MiB: "))
    return Figures(median / 1000, least / 1000, memory)
