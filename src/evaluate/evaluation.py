"""The evaluation of a test set. One process or several ranks restore and score all pairs."""
from __future__ import annotations

import contextlib
import sys
from collections import ChainMap
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import TYPE_CHECKING, Any, Dict, List, Mapping, Optional, Tuple

import numpy as np
from tqdm import tqdm

from ..data.images import read_image, write_image
from ..data.pairs import Pair, match_sizes
from ..dehaze.dehazer import Dehazer
from ..dehaze.pipeline import dehaze_all, sort_by_size
from ..errors import InputError, UserError, one_line
from ..files import make_output_folder, sha256
from ..report.report import Report, software_versions
from .iqa import Measure
from .scores import (
    PROTOCOL,
    append_row,
    check_same,
    means,
    name_in_table,
    peak_memory_mb,
    read_table,
    score,
    table,
    whose,
    write_summary,
    write_table,
)

if TYPE_CHECKING:  # imports MindSpore, which takes seconds
    from ..distributed.ranks import Ranks

DIAGNOSED = 4  # number of images for `diagnose`
REPORTED = ("psnr_hazy", "psnr", "ssim_hazy", "ssim")


class Evaluation:
    """Restores and scores the pairs, and keeps their rows. In a distributed run each rank takes a share.

    Call `start`, `run` and `write` in this order. Each row is written to metrics.csv at once. Until the end,
    summary.json states that the evaluation is not complete.

    Args:
        measures: more measures with ground truth, from `open_measures`.

    Attributes:
        stopped: the exception that ended `run` before all pairs were done, or None.
    """

    def __init__(self, options: SimpleNamespace, output: Path, dehazer: Dehazer, pairs: List[Pair],
                 ranks: Ranks, measures: Mapping[str, Measure] = MappingProxyType({})):
        self.options, self.output, self.dehazer, self.pairs, self.ranks = options, output, dehazer, pairs, ranks
        self.measures = measures
        self.table, self.summary, self.images = (output / name for name in ("metrics.csv", "summary.json", "images"))
        self.rows: Dict[str, Dict[str, Any]] = {}
        self.failures: Dict[str, str] = {}
        self.health: Dict[str, float] = {}
        self.report: Optional[Report] = None
        self.stopped: Optional[BaseException] = None
        self.peak_memory_mb = 0.0

    def start(self) -> None:
        """With `--resume`, take up the rows of an unfinished evaluation. Otherwise delete those of an earlier one.

        Raises: UsageError or InputError if `--resume` finds no earlier evaluation, or one with other options.
        """
        if not self.options.resume:
            self.table.unlink(missing_ok=True)
        if self.ranks.rank == 0:
            self.rows = self._still_needed(self._unfinished_rows() if self.options.resume else [])
            self._write_summary([], is_complete=False)  # before any rank adds a row
        self.rows = self.ranks.gather_objects(self.rows)[0]
        if self.options.report:
            self.report = Report(f"AECR-Net on {self.options.data_test}", {**self._facts(), **software_versions()},
                                 len(self.pairs))
        if self.options.save_images:
            make_output_folder(self.images, "--output_dir")

    def _unfinished_rows(self) -> List[Dict[str, Any]]:
        check_same(self.summary, self._facts())
        rows = read_table(self.table) if self.table.exists() else []
        write_table(self.table, rows)  # leaves out an incomplete last row
        return rows

    def _still_needed(self, rows: List[Dict[str, Any]]) -> Dict[str, Dict[str, Any]]:
        """The rows of our pairs by name, without those whose picture is wanted and missing."""
        names = {name_in_table(pair.name): pair.name for pair in self.pairs}
        kept = {names[row["name"]]: row for row in rows if row["name"] in names}
        if not self.options.save_images:
            return kept
        return {name: row for name, row in kept.items() if (self.images / f"{name}.png").is_file()}

    def diagnose(self) -> Dict[str, float]:
        """Measure the trunk with some images, and print a warning if part of it does not work.

        Returns: the fields of src.network.health.Health. Empty for an exported model, or if no image can be read.
        """
        images = []
        for pair in self.pairs[::max(1, len(self.pairs) // DIAGNOSED)][:DIAGNOSED]:
            with contextlib.suppress(UserError):  # `run` reports the error
                image = read_image(pair.hazy, self.options.max_pixels or None)
                self.dehazer.check(image, str(pair.hazy))
                images.append(image)
        health = self.dehazer.diagnose(images) if images else None
        if health and health.warning():
            print(f"warning: {self.dehazer.network.path}: {health.warning()}", file=sys.stderr)
        return health._asdict() if health else {}

    def run(self) -> None:
        """Diagnose the network, then restore and score the pairs without a row.

        A signal or an exception ends this, and is kept in `stopped`.

        Raises: in a distributed run, an exception of this rank, because the other ranks cannot be told of it.
        """
        batch, (rank, size) = self.options.batch_size, self.ranks
        in_order = left = [pair for pair in self.pairs if pair.name not in self.rows]
        try:
            if rank == 0:
                self.health = self.diagnose()
            in_order = sort_by_size(left, lambda pair: pair.hazy, self.dehazer, batch)
            self._work_off([pair for index, pair in enumerate(in_order) if index // batch % size == rank])
        except BaseException as error:
            if size > 1 and not isinstance(error, KeyboardInterrupt):
                raise
            self.stopped = error
        self._collect(in_order)

    def _work_off(self, pairs: List[Pair]) -> None:
        results = dehaze_all(self.dehazer, pairs, self._load, self._finish, self.options.batch_size)
        with contextlib.closing(results), tqdm(total=len(pairs), unit="image", dynamic_ncols=True,
                                               disable=self.ranks.rank > 0) as bar:
            for pair, row in results:
                bar.update()
                if isinstance(row, UserError):
                    self.failures[pair.name] = one_line(row)
                    bar.write(f"error: {self.failures[pair.name]}", file=sys.stderr)
                    continue
                psnr, ssim = (np.mean([row[key] for row in list(self.rows.values())]) for key in ("psnr", "ssim"))
                bar.set_postfix_str(f"PSNR {psnr:.2f} SSIM {ssim:.4f}")

    def _collect(self, in_order: List[Pair]) -> None:
        """Collect the results of all ranks. The order of the report is that of a run in one process."""
        rows, failures, entries, peaks, stopped = zip(*self.ranks.gather_objects(
            (self.rows, self.failures, self.report.entries if self.report else [], peak_memory_mb(), self.stopped)))
        self.rows, self.failures, self.peak_memory_mb = dict(ChainMap(*rows)), dict(ChainMap(*failures)), max(peaks)
        self.stopped = next(filter(None, stopped), None)
        if self.report:
            by_name = {entry.name: entry for part in entries for entry in part}
            self.report.entries = [by_name[pair.name] for pair in in_order if pair.name in by_name]

    def _load(self, pair: Pair) -> Tuple[np.ndarray, np.ndarray]:
        limit = self.options.max_pixels or None
        hazy, clear = match_sizes(pair, read_image(pair.hazy, limit), read_image(pair.clear, limit))
        self.dehazer.check(hazy, str(pair.hazy))
        return hazy, clear

    def _finish(self, pair: Pair, hazy: np.ndarray, clear: np.ndarray, restored: np.ndarray, seconds: float
                ) -> Dict[str, Any]:
        try:
            scores = score(restored, hazy, clear, self.measures)
        except InputError as error:  # of a measure from outside, which knows no names
            raise InputError(f"{pair.hazy}: {error}") from None
        if self.options.save_images:
            write_image(self.images / f"{pair.name}.png", restored)
        if self.report:
            self.report.add(pair.name, hazy, restored, clear, {key: scores[key] for key in REPORTED})
        row = {"name": pair.name, "width": hazy.shape[1], "height": hazy.shape[0], **scores, "seconds": seconds}
        append_row(self.table, row)
        self.rows[pair.name] = row
        return row

    def write(self, unmatched: List[Path]) -> None:
        """Write metrics.csv in the order of the pairs, summary.json and the report. Print the means."""
        rows = self._rows_in_order()
        write_table(self.table, rows)
        self._write_summary(unmatched, is_complete=self.stopped is None)
        if self.report:
            self.report.write(self.output / "report.html")
        if rows:
            network = self.dehazer.network
            print(whose(network.path, network.description, self.options.data_test))
            print(table(means(rows)))
            count = f"{len(rows)}" if self.stopped is None else f"partial, {len(rows)} of {len(self.pairs)}"
            print(f"{count} images, {np.median([row['seconds'] for row in rows]):.2f} s each (median, network alone), "
                  f"peak memory {self.peak_memory_mb:.0f} MB; details in {self.output}")

    def _rows_in_order(self) -> List[Dict[str, Any]]:
        return [self.rows[pair.name] for pair in self.pairs if pair.name in self.rows]

    def _write_summary(self, unmatched: List[Path], is_complete: bool) -> None:
        rows = self._rows_in_order()
        failed = [self.failures[pair.name] for pair in self.pairs if pair.name in self.failures]
        write_summary(self.summary, {
            "complete": is_complete, "images": len(rows), "means": means(rows), "protocol": PROTOCOL,
            "failed": failed, "without_ground_truth": [str(path) for path in unmatched],
            "seconds_per_image": float(np.median([row["seconds"] for row in rows])) if rows else None,
            "peak_memory_mb": self.peak_memory_mb, "health": self.health, **self._facts(),
            "versions": software_versions()})

    def _facts(self) -> Dict[str, Any]:
        options, network = self.options, self.dehazer.network
        data = "" if options.data_test == "Demo" else options.dir_data
        return {"checkpoint": str(network.path), "checkpoint_sha256": sha256(network.path), **network.description,
                "data_test": options.data_test, "dir_data": data, "device_target": options.device_target,
                "work_size": options.work_size, "strength": options.strength,
                "tile": options.tile, "overlap": options.overlap, "self_ensemble": options.self_ensemble,
                "raw_weights": options.raw_weights, "batch_size": options.batch_size, "iqa": " ".join(self.measures)}
