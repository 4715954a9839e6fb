"""Scores of a test set: the measures, the table of all images, the summary."""
from __future__ import annotations

import contextlib
import csv
import io
import json
import math
import os
import sys
from pathlib import Path
from types import MappingProxyType
from typing import Any, Callable, Dict, Iterator, List, Mapping, Sequence

import numpy as np

from ..errors import InputError, UsageError, one_line
from ..files import PathLike, atomic_write, sha256, shipped
from . import metrics

# The measures of the papers, then the authors' SSIM, then the measures of the model-zoo reference.
MEASURES = {
    "psnr": metrics.psnr,
    "ssim": metrics.ssim,
    "official_ssim": metrics.official_ssim,
    "psnr_y": metrics.psnr_y,
    "ssim_y": metrics.ssim_y,
    "psnr_y_basicsr": metrics.psnr_y_basicsr,
}
TITLES = {"psnr": "PSNR", "ssim": "SSIM", "official_ssim": "official SSIM", "psnr_y": "PSNR (Y)", "ssim_y": "SSIM (Y)",
          "psnr_y_basicsr": "BasicSR PSNR Y"}
PROTOCOL = (
    "8-bit RGB at full size. psnr, ssim: RGB, Gaussian window of sigma 1.5, border left out, as in the papers. "
    "official_ssim: the authors' code, zeros beyond the border. psnr_y, ssim_y: Y channel, 1 px border left out, as "
    "the model-zoo reference. psnr_y_basicsr: Y channel, whole image, as BasicSR. "
    "_hazy: the input against the ground truth. Means over images.")

SHIPPED = ("checkpoints/aecrnet.ckpt", "checkpoints/aecrnet_real.ckpt")
COLUMNS = ("name", "width", "height", *(key for name in MEASURES for key in (name, f"{name}_hazy")), "seconds")
OTHERS = ("name", "width", "height", "seconds")  # columns that are no scores
TEXT = {"newline": "", "encoding": "utf-8", "errors": "backslashreplace"}

Scores = Dict[str, float]


def score(restored: np.ndarray, hazy: np.ndarray, clear: np.ndarray,
          more: Mapping[str, Callable[[np.ndarray, np.ndarray], float]] = MappingProxyType({})) -> Scores:
    """All measures of the restored image (NAME) and of its hazy input (NAME_hazy). Images: uint8 RGB[h, w, 3].

    Args: `more` measures besides `MEASURES`, by name.
    """
    measures = {**MEASURES, **more}
    return {key: measure(image, clear) for name, measure in measures.items()
            for key, image in ((name, restored), (f"{name}_hazy", hazy))}


def means(rows: Sequence[Mapping[str, Any]]) -> Scores:
    """The mean of every measure over the rows. Empty if there are no rows."""
    keys = [key for key in columns(rows) if key not in OTHERS] if rows else []
    return {key: float(np.mean([row[key] for row in rows])) for key in keys}


def columns(rows: Sequence[Mapping[str, Any]]) -> List[str]:
    """The columns of metrics.csv: COLUMNS, with more measures of the rows (`--iqa`) before the last."""
    more = [key for key in rows[0] if key not in COLUMNS] if rows else []
    return [*COLUMNS[:-1], *more, COLUMNS[-1]]


def whose(path: Path, description: Mapping[str, Any], data: str) -> str:
    """The first line of every table of scores: which weights on which set.

    Args:
        path: checkpoint or exported model.
        description: of the network. That of an exported model holds the sha256 of its checkpoint.
    """
    origin = "" if path.suffix == ".ckpt" else description.get("checkpoint_sha256", "")
    names = [name for name in SHIPPED if origin and shipped(name).is_file() and sha256(shipped(name)) == origin]
    of = f", exported from {names[0] if names else f'a checkpoint of sha256 {origin[:12]}'}" if origin else ""
    return f"scores of {path}{of} on {data}"


def table(mean: Scores) -> str:
    """A text table for the terminal: one line for the hazy input, one for the result."""
    titles = {**TITLES, **{name: name for name in mean if f"{name}_hazy" in mean and name not in TITLES}}
    lines = ["".join([f"{'':12}", *(f"{title:>15}" for title in titles.values())])]
    for label, suffix in (("hazy input", "_hazy"), ("dehazed", "")):
        values = (f"{mean[name + suffix]:15.{2 if name.startswith('psnr') else 4}f}" for name in titles)
        lines.append("".join([f"{label:12}", *values]))
    return "\n".join(lines)


def write_table(path: PathLike, rows: List[Mapping[str, Any]]) -> None:
    """Write metrics.csv with a row for each image. PSNR is in dB; an infinite PSNR is written as inf.

    Raises: InputError if the file cannot be written.
    """
    with _written(path) as temporary, open(temporary, "w", **TEXT) as file:
        writer = csv.DictWriter(file, columns(rows))
        writer.writeheader()
        writer.writerows(map(_as_text, rows))


def append_row(path: PathLike, row: Mapping[str, Any]) -> None:
    """Add a row to metrics.csv. Several processes may add rows. Raises: InputError if the file cannot be written."""
    import fcntl

    try:
        with open(path, "a", **TEXT) as file:
            fcntl.lockf(file, fcntl.LOCK_EX)
            writer = csv.DictWriter(file, columns([row]))
            if os.fstat(file.fileno()).st_size == 0:
                writer.writeheader()
            writer.writerow(_as_text(row))
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or one_line(error)})") from None


def read_table(path: PathLike) -> List[Dict[str, Any]]:
    """The rows of metrics.csv, as for `write_table`. An incomplete row is left out.

    Raises: InputError if the file is missing or no such table.
    """
    sides = {"width", "height"}
    try:
        with open(path, **TEXT) as file:
            text = file.read()
        head, *rows = csv.reader(io.StringIO(text[:text.rfind("\n") + 1])) if "\n" in text else [[]]
        return [{key: value if key == "name" else int(value) if key in sides else float(value)
                 for key, value in zip(head, row)} for row in rows]
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read as a table of scores ({one_line(error)})") from None


def name_in_table(name: str) -> str:
    """The spelling of an image's name in metrics.csv. Python reads names that are not UTF-8 with lone surrogates."""
    return name.encode("utf-8", TEXT["errors"]).decode()


def _as_text(row: Mapping[str, Any]) -> Dict[str, Any]:
    return {key: f"{value:.6g}" if isinstance(value, float) else value for key, value in row.items()}


def write_summary(path: PathLike, summary: Mapping[str, Any]) -> None:
    """Write summary.json. JSON has no infinite numbers and no nan, so these become the texts inf and nan.

    Raises: InputError if the file cannot be written.
    """
    with _written(path) as temporary:
        temporary.write_text(json.dumps(_plain(summary), indent=2, allow_nan=False) + "\n", encoding="utf-8")


def check_same(path: Path, facts: Mapping[str, Any]) -> None:
    """Make sure that the evaluation that wrote summary.json had the same checkpoint and options.

    Raises: InputError if the file cannot be read, UsageError naming the differences.
    """
    try:
        earlier = json.loads(path.read_text(encoding="utf-8"))
        others = {key: (earlier[key], value) for key, value in _plain(facts).items()
                  if key != "checkpoint" and earlier[key] != value}
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(f"--resume: {path} of an unfinished evaluation cannot be read ({one_line(error)})") from None
    if others:
        told = "; ".join(f"{key} {str(before)[:80] or 'empty'}, not {str(now)[:80] or 'empty'}"
                         for key, (before, now) in others.items())
        raise UsageError(f"--resume: {path} was made with {told}")


def peak_memory_mb() -> float:
    """The peak memory of this process in MB (2**20 bytes). Does not work on Windows."""
    import resource

    status = Path("/proc/self/status")
    if status.exists():  # getrusage includes the peak of the parent process
        peak = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return round(int(peak.split()[1]) / 2**10, 1)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # kB on Linux, bytes on macOS
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)


@contextlib.contextmanager
def _written(path: PathLike) -> Iterator[Path]:
    try:
        with atomic_write(path) as temporary:
            yield temporary
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or one_line(error)})") from None


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if isinstance(value, (int, float, str, bool)) or value is None else str(value)
