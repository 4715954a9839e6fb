"""The case `runtimes` of benchmarks/benchmark.py: seconds and peak memory of each runtime, in a process of its own.

As a script it is such a process: it dehazes a photo for each line of its input.
"""
from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Dict, List, Tuple

import numpy as np

import _clone  # noqa: F401
import cpp_program
from src.data.images import write_image
from src.evaluate.scores import peak_memory_mb

ROOT = Path(__file__).resolve().parent.parent
SIZES = ((240, 240), (480, 640), (1200, 1600))  # the last in tiles
TURNS = 3
MINDSPORE, FLOAT32, BFLOAT16 = "MindSpore", "OpenVINO float32", "OpenVINO bfloat16"
SETTINGS = {
    MINDSPORE: {},
    "onnxruntime": {"runtime": "onnxruntime"},
    FLOAT32: {"runtime": "openvino"},
    BFLOAT16: {"runtime": "openvino", "precision": "bfloat16"},
}


class Figures(dict):
    """(runtime, size) -> seconds for one photo, MB of its process at their peak."""

    def lines(self) -> List[str]:
        rows = []
        for (name, (height, width)), (seconds, memory) in self.items():
            share = seconds / self[MINDSPORE, (height, width)][0]
            rows.append(f"{width}x{height} {name}: {seconds:.2f} s, {share:.2f} of MindSpore's; {memory:.0f} MB")
        return rows


def measure(folder: Path) -> Figures:
    """All runtimes at all sizes. Those of Python take turns; the C++ program on MindSpore Lite follows."""
    _output([sys.executable, ROOT / "export.py", "--dynamic", "--lite2", "--file_name", folder / "aecrnet"])
    _output([sys.executable, ROOT / "export.py", "--dynamic", "--file_format", "ONNX", "--file_name",
             folder / "aecrnet"])
    figures = Figures()
    for size in SIZES:
        found = in_turns(size, folder / "aecrnet.onnx")
        found["MindSpore Lite (C++)"] = _lite(size, folder)
        figures.update({(name, size): pair for name, pair in found.items()})
    return figures


def in_turns(size: Tuple[int, int], model: Path) -> Dict[str, Tuple[float, float]]:
    workers = {name: subprocess.Popen([sys.executable, __file__, name, *map(str, size), str(model)], text=True,
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
               for name in SETTINGS}
    answers = [{name: _ask(worker) for name, worker in workers.items()} for _ in range(TURNS + 1)][1:]
    for worker in workers.values():
        worker.communicate()  # closes its input, which ends it
    return {name: (statistics.median(turn[name][0] for turn in answers), answers[-1][name][1]) for name in workers}


def _ask(worker):
    worker.stdin.write("\n")
    worker.stdin.flush()
    seconds, memory = worker.stdout.readline().split()
    return float(seconds), float(memory)


def _lite(size, folder):
    program = _output(["bash", ROOT / "ascend310_infer/build.sh"]).strip()
    photos = folder / f"photos_{size[0]}"
    photos.mkdir()
    for i in range(TURNS):
        write_image(photos / f"{i}.png", _photo(size))
    figures = cpp_program.run(program, folder / "aecrnet_lite20.mindir", photos, "--output", folder / "out")
    return figures.median, figures.memory_mb


def _photo(size):
    return np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)


def _output(command):
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, check=True).stdout


def serve(name: str, height: str, width: str, model: str) -> None:
    """Print seconds and peak memory in MB after each photo."""
    from src.dehaze.dehazer import Dehazer
    from src.dehaze.work_size import FULL

    image = _photo((int(height), int(width)))
    dehazer = Dehazer(None if name == MINDSPORE else model, work_size=FULL, **SETTINGS[name])
    dehazer.expect([image.shape[:2]] * (TURNS + 1))
    for _ in sys.stdin:
        start = time.perf_counter()
        dehazer.dehaze(image)
        print(time.perf_counter() - start, peak_memory_mb(), flush=True)


if __name__ == "__main__":
    serve(*sys.argv[1:])
