"""Seconds, processor seconds, peak memory and energy of all ways to dehaze, as one table.

    python benchmarks/speed_table.py
    python benchmarks/speed_table.py --rows "OpenVINO int8" GCANet --cases 640x480 --json speed.json

Each cell is a process of its own. It runs the case once to warm up and then --turns times (the C++ program ten times);
the least counts. With --json, the cells of earlier calls stay in the file and in the table, so a table can be made in
parts. Processor seconds are those of all cores, which other programs disturb least. Energy is that of the processor by
RAPL where the system lets it be read. MindSpore Lite needs --lite: the program of ascend310_infer/build.sh, and a model
of export.py --dynamic --lite2.
"""
from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

import numpy as np

import _clone  # noqa: F401
import cpp_program
from src.cli.config import Parser
from src.cli.entry import run_as_program
from src.dehaze.dehazer import BENCHMARK_CHECKPOINT, Dehazer
from src.dehaze.frames import FrameDehazer
from src.evaluate.scores import peak_memory_mb
from src.files import atomic_write

RUNTIMES = {
    "MindSpore": {"runtime": "mindspore"}, "onnxruntime": {"runtime": "onnxruntime"},
    "OpenVINO float32": {"runtime": "openvino"}, "OpenVINO bfloat16": {"runtime": "openvino", "precision": "bfloat16"},
    "OpenVINO int8": {"runtime": "openvino", "precision": "int8"},
}
TORCH = ("PyTorch", "PyTorch channels last", "PyTorch bfloat16", "GCANet")
LITE = "MindSpore Lite (C++)"
ROWS = (*RUNTIMES, LITE, *TORCH)
PHOTOS = {"640x480": (480, 640), "4000x3000": (3000, 4000), "6000x4000": (4000, 6000)}
VIDEO, FRAMES = "video", 8  # 854x480, seconds for a frame, without decoding and encoding
CASES = (*PHOTOS, VIDEO)
RAPL = Path("/sys/class/powercap/intel-rapl:0/energy_uj")


def main(argv: Optional[List[str]] = None) -> None:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=ROWS, metavar="ROW", help=", ".join(ROWS))
    parser.add_argument("--cases", nargs="+", choices=CASES, default=CASES, metavar="CASE", help=" ".join(CASES))
    parser.add_argument("--turns", type=int, default=3, help="timed turns of each cell (default: 3)")
    parser.add_argument("--json", help="file of the figures, to which this call adds")
    parser.add_argument("--lite", nargs=2, metavar=("PROGRAM", "MODEL"), help=f"for {LITE}")
    options = parser.parse_args(argv)
    path = Path(options.json) if options.json else None
    cells: Dict[str, Dict[str, float]] = json.loads(path.read_text()) if path and path.is_file() else {}
    for row in options.rows:
        for case in options.cases:
            if not is_possible(row, case, options.lite):
                continue
            cells[f"{row}, {case}"] = measured(row, case, options)
            if path:
                with atomic_write(path) as temporary:
                    temporary.write_text(json.dumps(cells, indent=1) + "\n")
    print("\n".join(table(cells)))


def is_possible(row: str, case: str, lite: Optional[List[str]]) -> bool:
    """The networks of others get a photo that they take whole, and the C++ program dehazes no video."""
    if row == LITE:
        return case in PHOTOS and lite is not None
    return row in RUNTIMES or case == "640x480"


def measured(row: str, case: str, options: argparse.Namespace) -> Dict[str, float]:
    command = [sys.executable, __file__, row, case, str(options.turns), *(options.lite or ())]
    done = subprocess.run(command, env={**os.environ, "SPEED_TABLE_CELL": "1"}, stdout=subprocess.PIPE, text=True,
                          check=True)
    return json.loads(done.stdout.splitlines()[-1])


def table(cells: Dict[str, Dict[str, float]]) -> List[str]:
    """Markdown: seconds / processor seconds, memory, and joules if they were measured."""
    cases = [case for case in CASES if any(key.endswith(f", {case}") for key in cells)]
    lines = ["| | " + " | ".join(cases) + " |", "|---" * (len(cases) + 1) + "|"]
    for row in ROWS:
        found = [cells.get(f"{row}, {case}") for case in cases]
        if any(found):
            lines.append(f"| {row} | " + " | ".join(_shown(cell) if cell else "" for cell in found) + " |")
    return lines


def _shown(cell: Dict[str, float]) -> str:
    text = f"{cell['seconds']:.2f} / {cell['processor']:.2f} s, {cell['memory_mb'] / 1024:.2f} GB"
    return text + (f", {cell['joules']:.0f} J" if "joules" in cell else "")


def cell(row: str, case: str, turns: int, *lite: str) -> Dict[str, float]:
    """The figures of one cell, in this process."""
    if row == LITE:
        return _lite(PHOTOS[case], *lite)
    call, parts = (_frames(row), FRAMES) if case == VIDEO else (_photo(row, PHOTOS[case]), 1)
    call()
    rows = []
    for _ in range(turns):
        start = time.perf_counter(), time.process_time(), _energy()
        call()
        rows.append([time.perf_counter() - start[0], time.process_time() - start[1], _energy() - start[2]])
    seconds, processor, joules = (min(column) / parts for column in zip(*rows))
    return {"seconds": seconds, "processor": processor, "memory_mb": peak_memory_mb(),
            **({"joules": joules} if joules > 0 else {})}


def _energy() -> float:
    try:
        return int(RAPL.read_text()) / 1e6
    except OSError:  # none is there, or root alone may read it
        return 0.0


def _pixels(height: int, width: int) -> np.ndarray:
    small = np.random.default_rng(0).integers(60, 220, (height // 8 + 1, width // 8 + 1, 3), np.uint8)
    return small.repeat(8, 0).repeat(8, 1)[:height, :width].copy()


def _photo(row: str, size) -> Callable[[], Any]:
    if row in TORCH:
        return _torch(row, size)
    dehazer, image = Dehazer(BENCHMARK_CHECKPOINT, **RUNTIMES[row]), _pixels(*size)
    dehazer.expect([size] * 4)
    return lambda: dehazer.dehaze(image)


def _frames(row: str) -> Callable[[], Any]:
    dehazer = Dehazer(BENCHMARK_CHECKPOINT, work_size=320, **RUNTIMES[row])
    wide = _pixels(480, 854 + FRAMES)
    frames = [np.ascontiguousarray(wide[:, i:i + 854]) for i in range(FRAMES)]

    def run():
        one_by_one = FrameDehazer(dehazer, 0.8, 2)
        for frame in frames:
            one_by_one(frame)
    return run


def _torch(row: str, size) -> Callable[[], Any]:
    import torch
    from gcanet import GCANet

    from recipe.network import Dehaze

    is_gcanet = row == "GCANet"
    net = (GCANet() if is_gcanet else Dehaze(amp=row.endswith("bfloat16"))).eval()
    x = torch.rand(1, 4 if is_gcanet else 3, *size)
    if not is_gcanet and row != "PyTorch":
        net, x = net.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)

    def run():
        with torch.inference_mode():
            net(x)
    return run


def _lite(size, program: str, model: str) -> Dict[str, float]:
    """The program dehazes the photo eleven times, and times ten of them, without reading and writing."""
    import resource
    import tempfile

    from src.data.images import write_image

    with tempfile.TemporaryDirectory() as folder:
        write_image(Path(folder, "photo.png"), _pixels(*size))
        figures = cpp_program.run(program, model, folder, "--benchmark")
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {"seconds": figures.least, "processor": (used.ru_utime + used.ru_stime) / 11,
            "memory_mb": figures.memory_mb}


if __name__ == "__main__":
    if "SPEED_TABLE_CELL" in os.environ:
        print(json.dumps(cell(sys.argv[1], sys.argv[2], int(sys.argv[3]), *sys.argv[4:])))
    else:
        run_as_program(main)
