"""Compare the sizes at which the network can see a large photo: PSNR against the truth, and seconds.

    python benchmarks/compare_work_sizes.py wallpapers/*.jpg --runtime openvino --precision bfloat16
    python benchmarks/compare_work_sizes.py photos/*.jpg --work_sizes 384 512 -1 --write compared/
    python benchmarks/compare_work_sizes.py --dir_data NH-HAZE --work_sizes 256 384 512 -1

The photos are clear ones. Each gets smooth synthetic haze (src.data.haze), seeded by its place in the list. A work size
of -1 is the photo's own size, in tiles above 1 megapixel. The default photos are the demo photos. With --dir_data, the
photos are the pairs of a test set, in the layout Pairs. The seconds are those of `Dehazer.dehaze` alone, the faster of
two calls.
"""
from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Iterator, List, Optional, Tuple

import numpy as np

import _clone  # noqa: F401
from src.cli.config import CHOICES, Parser
from src.cli.entry import run_as_program
from src.data.haze import add_haze, sample_haze, synthetic_depth, transmission
from src.data.images import read_image, write_image
from src.data.pairs import find_pairs, load_pair
from src.dehaze.dehazer import Dehazer
from src.dehaze.work_size import check_work_size
from src.errors import UsageError
from src.evaluate.metrics import psnr
from src.files import make_output_folder


def main(argv: Optional[List[str]] = None) -> None:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", nargs="*", help="clear photos")
    parser.add_argument("--dir_data", help="folder of hazy photos with truth, see eval.py")
    parser.add_argument("--ckpt_path", help="checkpoint or ONNX file (default: the shipped checkpoint)")
    parser.add_argument("--runtime", choices=CHOICES["runtime"], default="mindspore")
    parser.add_argument("--precision", choices=CHOICES["precision"], default="float32")
    parser.add_argument("--work_sizes", type=int, nargs="+", default=[384, 512, 640, 832, -1],
                        help="sizes in pixels (default: 384 512 640 832 -1)")
    parser.add_argument("--write", help="folder for the hazy photos and the results")
    options = parser.parse_args(argv)
    if options.dir_data and options.photos:
        raise UsageError(f"--dir_data {options.dir_data}: takes the place of photos, give one of them")
    for work_size in options.work_sizes:
        check_work_size(work_size)
    folder = options.write and make_output_folder(options.write, "--write")
    first = Dehazer(options.ckpt_path, runtime=options.runtime, precision=options.precision)
    rows = []
    print(f"{'PSNR in dB / seconds':24}{'size':>11}{'hazy':>8}", *(f"{size:>13}" for size in options.work_sizes))
    for name, hazy, clear in (real_pairs(options.dir_data) if options.dir_data else pairs(options.photos)):
        values = []
        for work_size in options.work_sizes:
            restored, seconds = timed(Dehazer(network=first.network, work_size=work_size), hazy)
            values.append((psnr(restored, clear), seconds))
            if folder:
                write_image(folder / f"{name}_{work_size}.png", restored)
        if folder:
            write_image(folder / f"{name}_hazy.png", hazy)
        rows.append([(psnr(hazy, clear), 0.0), *values])
        print_row(name, f"{hazy.shape[1]}x{hazy.shape[0]}", rows[-1])
    print_row("mean", "", np.mean(rows, axis=0))


def print_row(name: str, size: str, values) -> None:
    print(f"{name[-22:]:24}{size:>11}{values[0][0]:8.2f}",
          *(f"{quality:6.2f} /{seconds:5.1f}" for quality, seconds in values[1:]), flush=True)


def timed(dehazer: Dehazer, hazy: np.ndarray) -> Tuple[np.ndarray, float]:
    """The result, and the seconds of the faster of two calls. A slow call is not repeated."""
    seconds = []
    while len(seconds) < 2 and sum(seconds) < 20:
        start = time.perf_counter()
        restored = dehazer.dehaze(hazy)
        seconds.append(time.perf_counter() - start)
    return restored, min(seconds)


def pairs(paths: List[str]) -> Iterator[Tuple[str, np.ndarray, np.ndarray]]:
    """Name, hazy and clear pixels (uint8 RGB[h, w, 3]) of each photo, or of the demo photos if `paths` is empty."""
    if not paths:
        from src.data.demo import demo_pairs

        yield from demo_pairs()
    for seed, path in enumerate(paths):
        clear, rng = read_image(path), np.random.default_rng(seed)
        airlight, beta = sample_haze(rng)
        yield Path(path).stem, add_haze(clear, transmission(synthetic_depth(*clear.shape[:2], rng), beta, 1.0),
                                        airlight), clear


def real_pairs(folder: str) -> Iterator[Tuple[str, np.ndarray, np.ndarray]]:
    """The same of each pair of a test set (src.data.pairs). Raises: InputError if it cannot be read."""
    for pair in find_pairs(folder, "Pairs")[0]:
        yield (pair.name, *load_pair(pair))


if __name__ == "__main__":
    run_as_program(main)
