"""Score restored images that another program wrote, such as ascend310_infer/.

    python scripts/score.py --dir_data ./dataset/SOTS --restored output/infer_310/images
    python scripts/score.py --dir_data ./dataset/SOTS --link output/infer_310/hazy

The first command compares NAME.png with the ground truth of each hazy image NAME, and prints the table of eval.py. The
second command fills a folder with links to the hazy images of a data set, for a program that reads one folder. The
script finds the layout of the data unless --data_test names it.
"""
from __future__ import annotations

import sys
from pathlib import Path
from typing import List, Optional, Tuple

import _clone  # noqa: F401
from src.cli.config import Parser
from src.cli.entry import run_as_program
from src.data.images import read_image
from src.data.pairs import Pair, find_pairs, match_sizes
from src.errors import InputError, UsageError, UserError, one_line
from src.evaluate.scores import means, score, table, write_table
from src.files import make_output_folder

GUESSED_LAYOUTS = ("RESIDE", "Dense")  # RESIDE fits the names of Pairs too; Dense fits NHHaze, OHAZE, IHAZE


def main(argv: Optional[List[str]] = None) -> int:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("--dir_data", required=True, help="folder that holds the test set, or the set itself")
    parser.add_argument("--data_test", help="layout of the data as in eval.py; default: the one that fits")
    parser.add_argument("--restored", help="folder with NAME.png for every hazy image NAME")
    parser.add_argument("--link", help="folder to fill with links to the hazy images")
    options = parser.parse_args(argv)
    if bool(options.restored) == bool(options.link):
        raise UsageError("give either --restored or --link; see --help")
    pairs, unmatched = fitting_pairs(options.dir_data, options.data_test)
    if options.link:
        return link(pairs, options.link)
    return score_folder(pairs, unmatched, Path(options.restored))


def fitting_pairs(dir_data: str, layout: Optional[str]) -> Tuple[List[Pair], List[Path]]:
    """`find_pairs` in the given layout, or in the one that finds the most pairs.

    Raises: InputError if there is no pair.
    """
    found: List[Tuple[List[Pair], List[Path]]] = []
    failures: List[UserError] = []
    for name in (layout,) if layout else GUESSED_LAYOUTS:
        try:
            found.append(find_pairs(dir_data, name))
        except InputError as error:
            failures.append(error)
    best = max(found, key=lambda result: len(result[0]), default=([], []))
    if not best[0]:
        raise failures[0] if failures else InputError(f"--dir_data {dir_data}: no hazy image has a ground truth")
    return best


def link(pairs: List[Pair], folder: str) -> int:
    """Replace the links in `folder` with links to the hazy images of the pairs."""
    target = make_output_folder(folder, "--link")
    for old in target.iterdir():
        if not old.is_symlink():
            raise InputError(f"--link {folder}: holds {old.name}, which is no link; name another folder")
        old.unlink()
    for pair in pairs:
        (target / pair.hazy.name).symlink_to(pair.hazy.resolve())
    return 0


def score_folder(pairs: List[Pair], unmatched: List[Path], folder: Path) -> int:
    """Print the table and write metrics.csv beside `folder`. Returns: 1 if an image is missing or has no truth."""
    rows = []
    failures = [f"{path}: no ground truth" for path in unmatched]
    for pair in pairs:
        try:
            hazy, clear = match_sizes(pair, read_image(pair.hazy), read_image(pair.clear))
            restored = read_image(folder / f"{pair.name}.png")
            if restored.shape != hazy.shape:
                raise InputError(f"{folder / pair.name}.png: is {restored.shape[1]}x{restored.shape[0]}, "
                                 f"the hazy image {hazy.shape[1]}x{hazy.shape[0]}")
        except InputError as error:
            failures.append(one_line(error))
            continue
        rows.append({"name": pair.name, "width": hazy.shape[1], "height": hazy.shape[0],
                     **score(restored, hazy, clear)})
    if rows:
        write_table(folder.parent / "metrics.csv", [{**row, "seconds": ""} for row in rows])
        print(f"scores of the images in {folder}")
        print(table(means(rows)))
        print(f"{len(rows)} images; details in {folder.parent / 'metrics.csv'}")
    for failure in failures:
        print(f"error: {failure}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    run_as_program(main)
