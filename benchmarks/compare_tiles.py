"""Compare tiled results with those of the whole image. The network's channel attention averages over what it sees.

    python benchmarks/compare_tiles.py
    python benchmarks/compare_tiles.py photos/*.jpg --tiles 256 512 --overlaps 32 64

Prints the PSNR between the two results (not against ground truth) and the largest difference of a value. The default
photos are the demo photos. The script needs the memory for the whole image.
"""
from __future__ import annotations

import argparse
from typing import Iterator, List, Optional, Tuple

import numpy as np

import _clone  # noqa: F401
from src.cli.config import Parser
from src.cli.entry import run_as_program
from src.data.images import read_image
from src.dehaze.dehazer import WHOLE, Dehazer, check_tiles
from src.evaluate.metrics import psnr
from src.spec import OVERLAP


def main(argv: Optional[List[str]] = None) -> None:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", nargs="*", help="hazy photos")
    parser.add_argument("--ckpt_path", help="checkpoint (default: the shipped one)")
    parser.add_argument("--tiles", type=int, nargs="+", default=[256, 384], help="sides in pixels (default: 256 384)")
    parser.add_argument("--overlaps", type=int, nargs="+", default=[OVERLAP], help=f"pixels (default: {OVERLAP})")
    options = parser.parse_args(argv)
    cases = [(tile, overlap) for tile in options.tiles for overlap in options.overlaps]
    for case in cases:
        check_tiles(*case)
    whole = Dehazer(options.ckpt_path, tile=WHOLE)
    tiled = [Dehazer(tile=tile, overlap=overlap, network=whole.network) for tile, overlap in cases]
    print(f"{'photo':24}{'size':>11}{'tile':>6}{'overlap':>9}{'PSNR in dB':>12}{'largest':>9}")
    for name, hazy in photos(options.photos):
        reference = whole.dehaze(hazy)
        for dehazer in tiled:
            result = dehazer.dehaze(hazy)
            size = f"{hazy.shape[1]}x{hazy.shape[0]}"
            largest = np.abs(result.astype(int) - reference).max()
            print(f"{name[-22:]:24}{size:>11}{dehazer.tile:6}{dehazer.overlap:9}{psnr(result, reference):12.2f}"
                  f"{largest:9}", flush=True)


def photos(paths: List[str]) -> Iterator[Tuple[str, np.ndarray]]:
    """Name and pixels (uint8 RGB[h, w, 3]) of each photo, or of the demo photos if `paths` is empty."""
    if paths:
        yield from ((path, read_image(path)) for path in paths)
        return
    from src.data.demo import demo_pairs

    yield from ((name, hazy) for name, hazy, _ in demo_pairs())


if __name__ == "__main__":
    run_as_program(main)
