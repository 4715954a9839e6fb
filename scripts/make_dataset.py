"""Make a hazy training or test set from clear photos, with or without depth maps.

    python scripts/make_dataset.py --dir_data NYU --depth_last 1348 --output_dir its
    python scripts/make_dataset.py --dir_data NYU --depth_first 1399 --output_dir sots --layout SOTS
    python scripts/make_dataset.py --dir_data PHOTOS --data Photos --output_dir mine --levels 3

ITS, for training: clear/ID.png and hazy/ID_LEVEL_A.png, with random A and beta for each image. SOTS, for tests:
gt/ID.png and hazy/ID_LEVEL.png, with A = 1 and beta = 0.6, 0.7, ... 1.5 for the levels 1 to 10. `--data_train RESIDE`
and `--data_test RESIDE` read both. haze.csv lists the origin of each image. One seed always makes the same image from a
photo, whichever other photos are chosen.
"""
from __future__ import annotations

import argparse
import csv
from pathlib import Path
from typing import List, Tuple

import numpy as np
from tqdm import tqdm

import _clone  # noqa: F401
from src.cli.config import Parser
from src.cli.entry import run_as_program
from src.data.haze import ITS_AIRLIGHT, ITS_BETA, SOTS_AIRLIGHT, SOTS_BETAS, sample_haze
from src.data.images import write_image
from src.data.sources import PhotoSource, check_haze_ranges, open_source
from src.errors import InputError, UsageError
from src.files import atomic_write, make_output_folder

CLEAR_FOLDER = {"ITS": "clear", "SOTS": "gt"}
COLUMNS = ("hazy", "clear", "source", "airlight", "beta")


def parse() -> argparse.Namespace:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dir_data", required=True, help="folder with images/ and depths/, or with photos")
    parser.add_argument("--output_dir", required=True, help="folder for the new set")
    parser.add_argument("--data", choices=("Depth", "Photos"), default="Depth",
                        help="Photos: no depth maps, an invented smooth depth instead (default: Depth)")
    parser.add_argument("--layout", choices=("ITS", "SOTS"), default="ITS", help="kind of set (default: ITS)")
    parser.add_argument("--levels", type=int, default=10, help="hazy versions of each photo (default: 10)")
    parser.add_argument("--airlight_range", type=float, nargs=2, help="ITS: range of A (default: 0.7 1.0)")
    parser.add_argument("--beta_range", type=float, nargs=2, help="ITS: range of beta (default: 0.6 1.8)")
    parser.add_argument("--depth_first", type=int, default=0, help="Depth: number of the first photo (default: 0)")
    parser.add_argument("--depth_last", type=int, default=-1, help="Depth: number of the last photo (-1: no limit)")
    parser.add_argument("--no_nyu_frame", action="store_true",
                        help="Depth: do not mirror the photos and cut 10 px a side, as RESIDE did with NYU's")
    parser.add_argument("--id_offset", type=int, default=1,
                        help="added to a photo's number to make its ID (default: 1, as in RESIDE)")
    parser.add_argument("--seed", type=int, default=1, help="of A, beta and invented depth (default: 1)")
    parser.add_argument("--overwrite", action="store_true", help="write into a folder that already holds a set")
    options = parser.parse_args()
    if options.layout == "SOTS" and (options.airlight_range or options.beta_range):
        raise UsageError("--airlight_range, --beta_range: SOTS fixes both, use --layout ITS")
    if not 1 <= options.levels <= (len(SOTS_BETAS) if options.layout == "SOTS" else 1000):
        raise UsageError(f"--levels {options.levels}: must be from 1 to 1000, for SOTS to {len(SOTS_BETAS)}")
    if options.seed < 0:
        raise UsageError(f"--seed {options.seed}: must not be negative")
    options.ranges = check_haze_ranges(options.airlight_range or ITS_AIRLIGHT, options.beta_range or ITS_BETA)
    return options


def main() -> None:
    options = parse()
    source = open_source(options.dir_data, options.data, cache_mb=0, nyu_frame=not options.no_nyu_frame,
                         depth_first=options.depth_first, depth_last=options.depth_last)
    output = make_folders(options)
    rows: List[Tuple] = []
    with tqdm(total=len(source.names) * options.levels, unit="image") as bar:
        for index, number in enumerate(photo_ids(source.names, options.id_offset)):
            rows += write_scene(source, index, number, options, output, bar)
    with atomic_write(output / "haze.csv") as temporary, open(temporary, "w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *rows])
    print(f"{len(rows)} hazy images of {len(source.names)} photos in {output}")


def make_folders(options: argparse.Namespace) -> Path:
    """Create hazy/, and clear/ or gt/. Raises: InputError if a folder already holds files."""
    output = make_output_folder(options.output_dir, "--output_dir")
    for name in ("hazy", CLEAR_FOLDER[options.layout]):
        folder = make_output_folder(output / name, "--output_dir")
        if any(folder.iterdir()) and not options.overwrite:
            raise InputError(f"--output_dir {folder}: is not empty; --overwrite to write there all the same")
    return output


def photo_ids(names: List[str], offset: int) -> List[int]:
    """IDs as in RESIDE: the number of the photo plus `offset`. If a name is no number, the IDs are 1, 2, ..."""
    if all(name.isdecimal() for name in names):
        return [int(name) + offset for name in names]
    return list(range(1, len(names) + 1))


def write_scene(source, index: int, number: int, options: argparse.Namespace, output: Path, bar: tqdm) -> List[Tuple]:
    """Write one clear image and its hazy versions. Returns: the rows of the hazy images in haze.csv."""
    images = source.load(index)
    window = (0, 0) + images[0].shape[:2]
    clear_name, rows = f"{number}.png", []
    for level in range(1, options.levels + 1):
        if options.layout == "SOTS":
            airlight, beta, suffix = SOTS_AIRLIGHT, SOTS_BETAS[level - 1], ""
        else:
            airlight, beta = sample_haze(np.random.default_rng([options.seed, number, level]), *options.ranges)
            suffix = f"_{airlight:.2f}"
        # every level of a photo gets the same invented depth
        depth_rng = (np.random.default_rng([options.seed, number, 0]),) if isinstance(source, PhotoSource) else ()
        hazy, clear = source.haze(images, window, airlight, beta, *depth_rng)
        name = f"{number}_{level}{suffix}.png"
        write_image(output / "hazy" / name, hazy)
        rows.append((name, clear_name, source.names[index], f"{airlight:.5f}", f"{beta:.5f}"))
        bar.update()
    write_image(output / CLEAR_FOLDER[options.layout] / clear_name, clear)
    return rows


if __name__ == "__main__":
    run_as_program(main)
