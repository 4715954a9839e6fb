"""Time and memory that large photos take, one process for each row.

    python benchmarks/large_photos.py
    python benchmarks/large_photos.py --sizes 4000x3000 --runtimes mindspore

The photo is an enlarged demo photo. All seconds are those of `Dehazer.dehaze`, so without start, reading and writing:
the fastest of --calls calls. With --in_turn, one process takes the photos of all sizes, as a folder or a server has
them. With --files, the script measures reading and writing instead.
"""
from __future__ import annotations

import argparse
import tempfile
import time
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Callable, List, Optional, Tuple

import numpy as np

import _clone  # noqa: F401
from src.cli.config import Parser
from src.cli.entry import run_as_program
from src.errors import UsageError

RUNTIMES = {"bfloat16": ("openvino", "bfloat16"), "float32": ("openvino", "float32"),
            "onnxruntime": ("onnxruntime", "float32"), "mindspore": ("mindspore", "float32")}
FILES = {"JPEG": (".jpg", np.uint8), "PNG of 8 bits": (".png", np.uint8), "PNG of 16 bits": (".png", np.uint16)}


def main(argv: Optional[List[str]] = None) -> None:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", default=["4000x3000", "6000x4000"], help="WIDTHxHEIGHT (default: "
                        "4000x3000 6000x4000)")
    parser.add_argument("--runtimes", nargs="+", choices=RUNTIMES, default=["float32", "mindspore"],
                        help="bfloat16 and float32 are OpenVINO's (default: float32 mindspore)")
    parser.add_argument("--calls", type=int, default=3, help="(default: 3)")
    parser.add_argument("--in_turn", action="store_true", help="seconds for one of the photos of all sizes, which come "
                        "in turn")
    parser.add_argument("--files", action="store_true", help="seconds to read and to write a file of the first size")
    options = parser.parse_args(argv)
    sizes = [size_from(text) for text in options.sizes]
    if options.files:
        print("| file | read | write | MB |\n|---|---|---|---|")
        for name in FILES:
            print("| {} | {:.2f} | {:.2f} | {:.1f} |".format(name, *in_new_process(files, sizes[0], name)), flush=True)
        return
    if options.in_turn:
        print("| runtime | the first of each size | the next | peak memory of the process |\n|---|---|---|---|")
        for name in options.runtimes:
            row = in_new_process(in_turn, sizes, name, options.calls)
            print("| {} | {:.2f} | {:.2f} | {:.0f} MB |".format(name, *row), flush=True)
        return
    print("| photo | runtime | seconds | network | fit and map | CPU seconds | peak memory of the process |")
    print("|---|---|---|---|---|---|---|")
    for size in sizes:
        for name in options.runtimes:
            row = in_new_process(dehazed, size, name, options.calls)
            print("| {}x{} | {} | {:.2f} | {:.2f} | {:.2f} | {:.2f} | {:.0f} MB |".format(*size, name, *row),
                  flush=True)


def size_from(text: str) -> Tuple[int, int]:
    """WIDTHxHEIGHT -> (width, height). Raises: UsageError."""
    width, _, height = text.partition("x")
    if not (width.isdigit() and height.isdigit() and min(int(width), int(height)) >= 16):
        raise UsageError(f"--sizes {text}: must be WIDTHxHEIGHT, such as 4000x3000")
    return int(width), int(height)


def in_new_process(call: Callable[..., Any], *arguments: Any) -> Any:
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(call, arguments)


def photo(size: Tuple[int, int]) -> np.ndarray:
    """A demo photo with haze at that (width, height), uint8 RGB[h, w, 3]."""
    import cv2

    from src.data.demo import demo_pairs

    return cv2.resize(demo_pairs()[0][1], size, interpolation=cv2.INTER_CUBIC)


def dehazed(size: Tuple[int, int], name: str, calls: int) -> Tuple[float, ...]:
    """Seconds in all, of the network alone and of fit and map alone, CPU seconds, and MB."""
    from src.dehaze import local_colour_map
    from src.dehaze.dehazer import Dehazer
    from src.evaluate.scores import peak_memory_mb

    runtime, precision = RUNTIMES[name]
    dehazer, image = Dehazer(runtime=runtime, precision=precision), photo(size)
    dehazer.expect([image.shape[:2]] * calls)
    whole, busy = fastest(partial(dehazer.dehaze, image), calls)
    memory = peak_memory_mb()
    picture = dehazer.picture(image)
    network, _ = fastest(partial(dehazer.restore, picture), calls)
    restored = dehazer.restore(picture)
    mapped, _ = fastest(lambda: local_colour_map.apply(local_colour_map.fit(picture, restored), image), calls)
    return whole, network, mapped, busy, memory


def in_turn(sizes: List[Tuple[int, int]], name: str, calls: int) -> Tuple[float, float, float]:
    """Mean seconds for one photo in the first round through the sizes and in the fastest of `calls` more, and MB."""
    from src.dehaze.dehazer import Dehazer
    from src.evaluate.scores import peak_memory_mb

    runtime, precision = RUNTIMES[name]
    dehazer, images = Dehazer(runtime=runtime, precision=precision), [photo(size) for size in sizes]
    dehazer.expect([image.shape[:2] for image in images] * (calls + 1))

    def one_round():
        for image in images:
            dehazer.dehaze(image)

    first, _ = fastest(one_round, 1)
    later, _ = fastest(one_round, calls)
    return first / len(sizes), later / len(sizes), peak_memory_mb()


def files(size: Tuple[int, int], name: str) -> Tuple[float, float, float]:
    """Seconds to read and to write, and MB of the file."""
    from src.data.images import read_image, write_image

    suffix, dtype = FILES[name]
    noisy = photo(size) + np.random.default_rng(0).integers(0, 4, (*size[::-1], 3), np.uint8)  # as a sensor's noise
    image = noisy if dtype == np.uint8 else noisy.astype(np.uint16) * 257
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"photo{suffix}"
        write, _ = fastest(lambda: write_image(path, image), 2)
        read, _ = fastest(lambda: read_image(path), 2)
        return read, write, path.stat().st_size / 1e6


def fastest(call: Callable[[], Any], calls: int) -> Tuple[float, float]:
    """The least seconds, and the least CPU seconds of this process."""
    wall, busy = [], []
    for _ in range(calls):
        start = time.perf_counter(), time.process_time()
        call()
        wall.append(time.perf_counter() - start[0])
        busy.append(time.process_time() - start[1])
    return min(wall), min(busy)


if __name__ == "__main__":
    run_as_program(main)
