"""The outputs of a training run: progress bar, metrics.csv, loss.png, samples/, and what the tracker gets."""
from __future__ import annotations

import csv
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Dict, Iterator, List, Sequence

import numpy as np
from tqdm import tqdm

from ..errors import one_line
from ..files import PathLike, atomic_write
from ..network.health import Health
from . import samples
from .trackers import open_tracker

COLUMNS = ("step", "epoch", "loss", "l1", "cr", "lr", "images_per_s", "val_psnr", "val_ssim",
           "gain", "offset", "silent")
SECONDS_BETWEEN_CURVES = 30
MARGINS = {"left": 0.11, "right": 0.9, "bottom": 0.08, "top": 0.94, "hspace": 0.08}  # of loss.png, in parts of it


class TrainingLog:
    """The log of one run. If a file cannot be written, a warning is printed, the training goes on, and the rows are
    written later.

    Args:
        options: ckpt_save_path (folder of metrics.csv, loss.png and samples/), log_every and those of the tracker.
        step: the step at which training starts. A run that was killed after its last checkpoint has later rows in
            metrics.csv. They are dropped, because training writes them again.
        total: number of steps of the whole run.
        enabled: False: show and write nothing. It is False on all ranks but the first.
    """

    def __init__(self, options: SimpleNamespace, step: int, total: int, enabled: bool = True):
        self.enabled, self._log_every, self._curve_drawn = enabled, options.log_every, time.monotonic()
        self._csv, self._curve = (Path(options.ckpt_save_path) / name for name in ("metrics.csv", "loss.png"))
        self._bar = tqdm(total=total, initial=step, unit="step", disable=not enabled, dynamic_ncols=True)
        self._rows = [row for row in _read(self._csv) if int(row["step"]) <= step] if step else []
        self._samples = Path(options.ckpt_save_path) / "samples"
        self._warned = False
        self._tracker = open_tracker(options, step) if enabled else None
        self._on_disk = False  # whether metrics.csv holds all rows
        self._try("metrics.csv", self._write_rows)

    def add_step(self, step: int, **values: float) -> None:
        """Count the step in the bar. Show and write its values, if there are any."""
        if values:
            self._bar.set_postfix({name: f"{value:.4g}" for name, value in values.items()}, refresh=False)
            self._add_row(step, values)
        self._bar.update()

    def has_row(self, step: int) -> bool:
        """Whether metrics.csv gets a row for this step."""
        return step == 1 or self._log_every > 0 and step % self._log_every == 0

    def add_validation(self, step: int, psnr: float, ssim: float, health: Health) -> None:
        """Show and write the scores of a validation and the health of the network. Warn once if the health is poor."""
        self.say(f"step {step}: validation PSNR {psnr:.2f} dB, SSIM {ssim:.4f}; trunk gain {health.gain:.3g}, "
                 f"offsets {health.offset:.3g} px, {health.silent:.1%} of the channels silent")
        self._add_row(step, {"val_psnr": psnr, "val_ssim": ssim, **health.trunk(), "silent": health.silent})
        if step:  # from random weights, some channels are silent at first
            self.warn(step, health)

    def add_pictures(self, step: int, rows: Sequence[np.ndarray]) -> None:
        """Write the rows of a validation (src.train.samples) as samples/STEP.jpg, and to the tracker."""
        if not rows:
            return
        image = samples.grid(rows)
        self._try(f"samples/{step}.jpg", lambda: self._write_picture(step, image))
        if self._tracker:
            self._try("the tracker's record", lambda: self._tracker.add_picture(step, image))

    def _write_picture(self, step: int, image: np.ndarray) -> None:
        self._samples.mkdir(exist_ok=True)
        with atomic_write(self._samples / f"{step}.jpg") as temporary:
            temporary.write_bytes(samples.jpeg(image))

    def warn(self, step: int, health: Health) -> None:
        """Print the fault of the network, once in a run."""
        if health.warning() and not self._warned:
            self.say(f"warning: step {step}: {health.warning()}")
            self._warned = True

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        if self.enabled:
            tqdm.write(text)

    def draw(self, now: bool = False) -> None:
        """Write loss.png. Unless `now` is set, do so SECONDS_BETWEEN_CURVES after the start or the last time."""
        if self._rows and (now or time.monotonic() - self._curve_drawn > SECONDS_BETWEEN_CURVES):
            self._try("loss.png", lambda: _draw(self._rows, self._curve))
            self._curve_drawn = time.monotonic()

    def __enter__(self) -> TrainingLog:
        return self

    def __exit__(self, *_) -> None:
        self.draw(now=True)
        self._bar.close()
        if self._tracker:
            self._tracker.close()

    def _add_row(self, step: int, values: Dict[str, float]) -> None:
        row = {"step": str(step), **{name: f"{value:.6g}" for name, value in values.items()}}
        self._rows.append({column: row.get(column, "") for column in COLUMNS})
        self._try("metrics.csv", self._write_last_row if self._on_disk else self._write_rows)
        if self._tracker:
            self._try("the tracker's record", lambda: self._tracker.add(step, values))

    def _write_rows(self) -> None:
        with atomic_write(self._csv) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(self._rows)
        self._on_disk = True

    def _write_last_row(self) -> None:
        self._on_disk = False  # after an error there may be half a row, so all rows are written again
        with open(self._csv, "a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, COLUMNS).writerow(self._rows[-1])
        self._on_disk = True

    def _try(self, what: str, write) -> None:
        try:
            if self.enabled:
                write()
        except OSError as error:
            self.say(f"warning: {what} could not be written ({one_line(error)[:120]}); training goes on")


class TimedBatches:
    """Batches, and measurements of the training speed and of the time that the loop waits for data.

    Use it as a context manager and call `end_step` after each step. The summary leaves out the first step, which
    compiles the graph.
    """

    def __init__(self, batches: Iterator[Any], images_per_step: int):
        self._batches, self._images_per_step = batches, images_per_step
        self._step_started, self._steps, self._seconds, self._waited = None, 0, 0.0, 0.0
        self._recent: List[float] = []  # seconds of the steps since the last call of `speed`

    def __enter__(self) -> TimedBatches:
        return self

    def __exit__(self, *_) -> None:
        self._batches.close()

    def __next__(self) -> Any:
        asked = time.perf_counter()
        self._step_started = self._step_started or asked
        batch = next(self._batches)
        self._waited += (time.perf_counter() - asked) * (self._steps > 0)
        return batch

    def end_step(self) -> None:
        seconds = time.perf_counter() - self._step_started
        self._recent.append(seconds)
        self._seconds += seconds * (self._steps > 0)
        self._steps, self._step_started = self._steps + 1, None

    def speed(self) -> float:
        """Images a second in the steps since the last call."""
        steps, seconds, self._recent = len(self._recent), sum(self._recent), []
        return steps * self._images_per_step / seconds

    def summary(self) -> str:
        """A sentence with the number of steps, the speed, and the share of time spent waiting for data."""
        if self._steps < 2:
            return f"{self._steps} steps"
        speed = self._images_per_step * (self._steps - 1) / self._seconds
        return (f"{self._steps} steps at {speed:.2f} images/s; "
                f"{self._waited / self._seconds:.2%} of the time was spent waiting for data")


def _read(path: Path) -> List[Dict[str, str]]:
    if not path.is_file():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        # a kill during a write leaves a short last row
        return [row for row in csv.DictReader(file) if None not in row.values() and row.get("step", "").isdecimal()]


def _draw(rows: List[Dict[str, str]], path: PathLike) -> None:
    """Draw the loss, the PSNR of the validations if there are any, and the health of the trunk."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogFormatter

    figure = Figure(figsize=(8, 6), dpi=100)
    axis, trunk = figure.subplots(2, sharex=True, height_ratios=(3, 1), gridspec_kw=MARGINS)
    steps, losses = _column(rows, "loss")
    axis.plot(steps, losses, color="tab:blue", linewidth=0.5, alpha=0.5)
    axis.plot(steps, smoothed(losses), color="tab:blue", linewidth=2)
    axis.set(ylabel="loss (thick: running mean)", title="AECR-Net training")
    axis.grid(alpha=0.3)
    steps, psnr = _column(rows, "val_psnr")
    if steps:
        right = axis.twinx()
        right.plot(steps, psnr, "o-", color="tab:orange", markersize=3)
        right.set_ylabel("validation PSNR / dB", color="tab:orange")
    for name, label, color in (("gain", "gain", "tab:green"), ("offset", "offset / px", "tab:red")):
        trunk.plot(*_column(rows, name), color=color, linewidth=1, label=label)
    trunk.set(xlabel="step", ylabel="trunk")
    trunk.set_yscale("symlog", subs=(2, 3, 5))  # a healthy trunk stays within one power of ten
    trunk.yaxis.set_minor_formatter(LogFormatter(minor_thresholds=(1.5, 1.5), linthresh=2))  # none in a wide range
    trunk.grid(alpha=0.3, which="both")
    trunk.legend()
    with atomic_write(path) as temporary:
        figure.savefig(temporary)


def smoothed(values: List[float]) -> List[float]:
    """The running mean over a twentieth of all values. The loss of one batch is a poor sample."""
    width = len(values) // 20 + 1
    sums = np.concatenate([np.zeros(width), np.cumsum(values)])
    return list((sums[width:] - sums[:-width]) / np.minimum(np.arange(len(values)) + 1, width))


def _column(rows: List[Dict[str, str]], name: str):
    points = [(int(row["step"]), float(row[name])) for row in rows if row[name]]
    return [step for step, _ in points], [value for _, value in points]
