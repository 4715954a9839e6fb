"""What a training run tells: metrics.csv, loss.png, TensorBoard events."""
from __future__ import annotations

import csv
from pathlib import Path
from typing import Dict, List

from src.files import PathLike, atomic_write

COLUMNS = ("step", "epoch", "loss", "l1", "cr", "lr", "images_per_s", "val_psnr", "val_ssim")


class TrainingLog:
    """Rows of metrics.csv, a curve of them, and TensorBoard events if asked for.

    Args:
        folder: where metrics.csv and loss.png go.
        step: step that training starts from; later rows, of a run that was killed after its last
            checkpoint, are dropped, since they will be written again.
        summary_dir: folder for TensorBoard events; empty: none.
    """

    def __init__(self, folder: PathLike, step: int = 0, summary_dir: str = ""):
        self.csv, self.curve = Path(folder) / "metrics.csv", Path(folder) / "loss.png"
        self.rows: List[Dict[str, str]] = [row for row in _read(self.csv) if int(row["step"]) <= step] if step else []
        with atomic_write(self.csv) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(self.rows)
        self.events = _summary_writer(summary_dir, step) if summary_dir else None

    def add(self, step: int, **values: float) -> None:
        """Append one row; a column that is not given stays empty."""
        row = {"step": str(step), **{name: f"{value:.6g}" for name, value in values.items()}}
        self.rows.append({column: row.get(column, "") for column in COLUMNS})
        with open(self.csv, "a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, COLUMNS).writerow(row)
        if self.events:
            for name, value in values.items():
                self.events.add_scalar(name, value, step)

    def draw(self) -> None:
        """Write loss.png: the loss, and the validation's PSNR where there is one."""
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot

        figure, axis = pyplot.subplots(figsize=(8, 4.5), dpi=100)
        axis.plot(*self._curve("loss"), color="tab:blue", linewidth=1)
        axis.set(xlabel="step", ylabel="loss", title="AECR-Net training")
        axis.grid(alpha=0.3)
        steps, psnr = self._curve("val_psnr")
        if steps:
            right = axis.twinx()
            right.plot(steps, psnr, "o-", color="tab:orange", markersize=3)
            right.set_ylabel("validation PSNR / dB", color="tab:orange")
        figure.tight_layout()
        with atomic_write(self.curve) as temporary:
            figure.savefig(temporary)
        pyplot.close(figure)

    def _curve(self, column: str):
        points = [(int(row["step"]), float(row[column])) for row in self.rows if row[column]]
        return [step for step, _ in points], [value for _, value in points]


def _read(path: Path) -> List[Dict[str, str]]:
    if not path.is_file():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        # a kill in the middle of a line leaves a short last row
        return [row for row in csv.DictReader(file) if None not in row.values() and row["step"].isdecimal()]


def _summary_writer(folder: str, step: int):
    from tensorboardX import SummaryWriter

    return SummaryWriter(folder, purge_step=step or None)
