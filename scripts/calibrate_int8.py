"""Measure the ranges of values that --precision int8 needs, on hazy photos, and write them beside the checkpoint.

    python scripts/calibrate_int8.py ckpt/aecrnet_best.ckpt hazy/ more/*.jpg

A dozen photos of the kind that the network is for are enough. They go through the network as infer.py sends them. The
result is N.int8.json beside N.ckpt. The shipped checkpoints have theirs.
"""
from __future__ import annotations

import argparse
import sys
from typing import List, Optional

from tqdm import tqdm

import _clone  # noqa: F401
from src.cli.config import Parser
from src.cli.entry import run_as_program
from src.data.images import read_image
from src.dehaze.dehazer import Dehazer, find_checkpoint
from src.dehaze.search import Search
from src.errors import InputError
from src.runtime.calibration import Recorder
from src.runtime.onnx_int8 import write_ranges
from src.video.rules import is_video


def main(argv: Optional[List[str]] = None) -> int:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", help="whose network is measured")
    parser.add_argument("photos", nargs="+", help="hazy photos, folders of them or glob patterns")
    options = parser.parse_args(argv)
    checkpoint = find_checkpoint(options.checkpoint)
    search = Search("")
    for text in options.photos:
        search.add(text)
    photos = [found.source for found in search.found if not is_video(found.source)]
    if not photos:
        raise InputError(f"{' '.join(options.photos)}: no photo is there")
    recorder = Recorder(checkpoint)
    dehazer = Dehazer(network=recorder)
    for photo in tqdm(photos, disable=not sys.stderr.isatty()):
        dehazer.dehaze(read_image(photo))
    path = write_ranges(checkpoint, recorder.ranges(), len(photos))
    print(f"{path}: ranges from {len(photos)} photos; --runtime openvino --precision int8 uses them")
    return 0


if __name__ == "__main__":
    run_as_program(main)
