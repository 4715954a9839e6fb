"""Compare trainings on one page: curves, best scores, and the options in which they differ.

    python scripts/compare_runs.py ckpt/first ckpt/second --output compare.html

Each argument is the --ckpt_save_path of a run of train.py. The page needs no other file.
"""
from __future__ import annotations

import argparse
import base64
import csv
import html
import io
from pathlib import Path
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import yaml

import _clone  # noqa: F401
from src.cli.config import Parser
from src.cli.entry import run_as_program
from src.errors import InputError, one_line
from src.files import atomic_write

OF_PLACE = ("ckpt_save_path", "filename", "run_name", "resume")
CURVES = (("loss", "loss"), ("val_psnr", "validation PSNR / dB"), ("val_ssim", "validation SSIM"), ("gain", "gain"))
BLOWN_UP = 20  # gain of a trunk that does not work
STYLE = "body{font:15px sans-serif;margin:1.5em auto;padding:0 1em;max-width:75em}table{border-collapse:collapse}" \
        "td,th{padding:.3em .6em;border-bottom:1px solid #ccc;text-align:left}img{width:100%}" \
        ".curves{display:grid;grid-template-columns:repeat(auto-fit,minmax(max(20em,40%),1fr));gap:1em;margin:1em 0}"


class Run(NamedTuple):
    """A training: its name, the rows of metrics.csv, its options."""

    name: str
    rows: List[Dict[str, str]]
    options: Dict[str, Any]

    def curve(self, column: str) -> Tuple[List[int], List[float]]:
        """Steps and values of a column."""
        points = [(int(row["step"]), float(row[column])) for row in self.rows if row.get(column)]
        return [step for step, _ in points], [value for _, value in points]

    def best(self, column: str) -> str:
        """The largest value after step 0, with its step and that of the start; "-" if there is none."""
        points = list(zip(*self.curve(column)))
        later = [point for point in points if point[0]]
        if not later:
            return "-"
        step, value = max(later, key=lambda point: point[1])
        start = [first for at, first in points if at == 0]
        return f"{value:.4g} in step {step}" + (f" (start {start[0]:.4g})" if start else "")


def main(argv: Optional[Sequence[str]] = None) -> int:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", help="the --ckpt_save_path of each run")
    parser.add_argument("--output", default="compare.html", help="the page (default: %(default)s)")
    options = parser.parse_args(argv)
    runs = read_runs(list(map(Path, options.folders)))
    try:
        with atomic_write(options.output) as temporary:
            temporary.write_text(page(runs), encoding="utf-8")
    except OSError as error:
        raise InputError(f"--output {options.output}: cannot be written ({error.strerror})") from None
    print(f"{options.output}: {len(runs)} runs")
    return 0


def read_runs(folders: Sequence[Path]) -> List[Run]:
    """The runs in the folders, by the shortest ends of the paths that tell them apart."""
    paths = [folder.resolve() for folder in folders]
    depth = 1
    while len({path.parts[-depth:] for path in paths}) < len(set(paths)):
        depth += 1
    return [_read_run("/".join(path.parts[-depth:]), path) for path in dict.fromkeys(paths)]


def _read_run(name: str, folder: Path) -> Run:
    """Raises: InputError if the folder holds no run that can be read."""
    files = sorted(folder.glob("*.yaml"))
    try:
        with open(folder / "metrics.csv", newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if None not in row.values()]
        options = yaml.safe_load(files[0].read_text(encoding="utf-8")) if files else {}
        return Run(name, [row for row in rows if row["step"].isdecimal()], options)
    except (OSError, KeyError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{folder}: holds no run of train.py ({one_line(error)[:200]})") from None


def page(runs: Sequence[Run]) -> str:
    """The page as HTML."""
    scores = [[run.name, run.rows[-1]["step"] if run.rows else "0", run.best("val_psnr"), run.best("val_ssim")]
              for run in runs]
    others = [[name, *(_text(run.options.get(name)) for run in runs)] for name in differing(runs)]
    parts = ["<h1>Trainings</h1>", _table(["run", "steps", "best PSNR / dB", "best SSIM"], scores),
             f'<div class="curves">{"".join(_curves(runs))}</div>']
    parts += ["<h2>Options that differ</h2>", _table(["option", *(run.name for run in runs)], others)] if others else []
    return f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">' \
           f'<title>Trainings</title><style>{STYLE}</style>{"".join(parts)}</html>\n'


def differing(runs: Sequence[Run]) -> List[str]:
    """The options in which the runs differ."""
    names = sorted(set().union(*(run.options for run in runs)) - set(OF_PLACE))
    return [name for name in names if any(run.options.get(name) != runs[0].options.get(name) for run in runs)]


def _text(value: Any) -> str:
    return "-" if value is None else " ".join(map(str, value)) if isinstance(value, list) else str(value) or "empty"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"<tr>{''.join(f'<{tag}>{html.escape(cell)}</{tag}>' for cell in cells)}</tr>"
             for tag, cells in [("th", head), *(("td", row) for row in rows)]]
    return f"<table>{''.join(lines)}</table>"


def _curves(runs: Sequence[Run]) -> Iterator[str]:
    """A picture for each column that a run has, as HTML."""
    from matplotlib.figure import Figure

    for column, label in CURVES:
        curves = {run.name: run.curve(column) for run in runs}
        if not any(steps for steps, _ in curves.values()):
            continue
        figure = Figure(figsize=(6, 3.5), dpi=100, layout="tight")
        axis = figure.subplots()
        for name, points in curves.items():
            axis.plot(*points, "o-" if column.startswith("val") else "-", markersize=3, label=name)
        largest = max(max(values, default=0) for _, values in curves.values())
        axis.set(xlabel="step", ylabel=label, yscale="log" if column == "gain" and largest > BLOWN_UP else "linear")
        axis.grid(alpha=0.3)
        axis.legend()
        file = io.BytesIO()
        figure.savefig(file, format="png")
        yield f'<img alt="{label}" src="data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}">'


if __name__ == "__main__":
    run_as_program(main)
