"""Draw L1 and validation PSNR of one or more runs, one after the other, against the crops they have seen.

    python -m recipe.curve RUN1 RUN2 --output docs/training.png
"""
from __future__ import annotations

import csv
from pathlib import Path
from typing import List, NamedTuple, Optional, Sequence

from src.cli.config import Parser
from src.cli.entry import run_as_program
from src.errors import InputError, one_line
from src.files import atomic_write


class Curve(NamedTuple):
    """Points (crops, value), crops counted as crops of 240 px."""

    l1: List[tuple[float, float]]
    psnr: List[tuple[float, float]]


def main(argv: Optional[List[str]] = None) -> int:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", help="folders of the runs, each begun from the weights of the one before")
    parser.add_argument("--output", required=True, help="picture to write, .png")
    options = parser.parse_args(argv)
    curves, seen = [], 0.0
    for run in options.runs:
        curves.append(read_log(Path(run) / "log.csv", seen))
        seen = curves[-1].l1[-1][0]
    draw(curves, Path(options.output))
    return 0


def read_log(path: Path, seen: float) -> Curve:
    """A run's log.csv, after `seen` crops of the runs before.

    Raises: InputError naming the file if it is no such log or holds no row.
    """
    try:
        with open(path, newline="") as file:
            rows = list(csv.DictReader(file))
        crops = [seen + float(row["crops"]) for row in rows]
        l1 = [float(row["l1"]) for row in rows]
        psnr = [(x, float(row["psnr"])) for x, row in zip(crops, rows) if row["psnr"]]
    except (OSError, KeyError, ValueError) as error:
        raise InputError(f"{path}: not the log of a run ({one_line(error)})") from None
    if not rows:
        raise InputError(f"{path}: holds no row")
    return Curve(list(zip(crops, l1)), psnr)


def draw(curves: Sequence[Curve], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4), layout="constrained")
    left = figure.subplots()
    right = left.twinx()
    for curve in curves:
        left.plot(*zip(*curve.l1), color="tab:blue", linewidth=0.8)
        right.plot(*zip(*curve.psnr), color="tab:red", marker="o", markersize=3)
    left.set(xscale="log", xlabel="crops seen (of 240 px)", ylabel="L1 on crops, running mean")
    right.set_ylabel("PSNR of whole validation photos in dB", color="tab:red")
    left.yaxis.label.set_color("tab:blue")
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=100, format="png")


if __name__ == "__main__":
    run_as_program(main)
