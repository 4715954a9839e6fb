"""The evaluation of a test set. One process or several ranks restore and score all pairs."""
from __future__ import annotations

import contextlib
import sys
from collections import ChainMap
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Dict, List, Tuple

import numpy as np
from tqdm import tqdm

from ..data.images import read_image, write_image
from ..data.pairs import Pair, match_sizes
from ..errors import UserError, one_line
from ..files import make_output_folder, sha256
from ..inference import Dehazer
from ..report.report import Report, software_versions
from .pipeline import dehaze_all, sort_by_size
from .scores import PROTOCOL, means, peak_memory_mb, score, table, write_summary, write_table

if TYPE_CHECKING:  # imports MindSpore, which takes seconds
    from ..ranks.device import Ranks

DIAGNOSED = 4  # number of images for `diagnose`
REPORTED = ("psnr_hazy", "psnr", "ssim_hazy", "ssim")


class Evaluation:
    """Restores and scores the pairs, and keeps their rows. In a distributed run each rank takes a share."""

    def __init__(self, options: SimpleNamespace, output: Path, dehazer: Dehazer, pairs: List[Pair],
                 ranks: Ranks):
        self.options, self.output, self.dehazer, self.pairs, self.ranks = options, output, dehazer, pairs, ranks
        self.rows: Dict[str, Dict[str, Any]] = {}
        self.failures: Dict[str, str] = {}
        self.peak_memory_mb = 0.0
        self.health = self.diagnose() if ranks.rank == 0 else {}
        self.report = None
        if options.report:
            facts = {**self._facts(), **software_versions()}
            self.report = Report(f"AECR-Net on {options.data_test}", facts, len(pairs))
        if options.save_images:
            make_output_folder(output / "images", "--output_dir")

    def diagnose(self) -> Dict[str, float]:
        """Measure the trunk with some images, and print a warning if part of it does not work.

        Returns: the fields of src.health.Health. Empty for an exported model, or if no image can be read.
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
        batch, (rank, size) = self.options.batch_size, self.ranks
        in_order = sort_by_size(self.pairs, lambda pair: pair.hazy, self.dehazer, batch)
        own = [pair for index, pair in enumerate(in_order) if index // batch % size == rank]
        results = dehaze_all(self.dehazer, own, self._load, self._finish, batch)
        sums = np.zeros(2)
        with tqdm(total=len(own), unit="image", dynamic_ncols=True, disable=rank > 0) as bar:
            for pair, row in results:
                bar.update()
                if isinstance(row, UserError):
                    self.failures[pair.name] = one_line(row)
                    bar.write(f"error: {self.failures[pair.name]}", file=sys.stderr)
                    continue
                self.rows[pair.name] = row
                sums += row["psnr"], row["ssim"]
                psnr, ssim = sums / len(self.rows)
                bar.set_postfix_str(f"PSNR {psnr:.2f} SSIM {ssim:.4f}")
        self._collect(in_order)

    def _collect(self, in_order: List[Pair]) -> None:
        """Collect the results of all ranks. The order of the report is that of a run in one process."""
        rows, failures, entries, peaks = zip(*self.ranks.gather_objects(
            (self.rows, self.failures, self.report.entries if self.report else [], peak_memory_mb())))
        self.rows, self.failures, self.peak_memory_mb = dict(ChainMap(*rows)), dict(ChainMap(*failures)), max(peaks)
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
        scores = score(restored, hazy, clear)
        if self.options.save_images:
            write_image(self.output / "images" / f"{pair.name}.png", restored)
        if self.report:
            self.report.add(pair.name, hazy, restored, clear, {key: scores[key] for key in REPORTED})
        return {"name": pair.name, "width": hazy.shape[1], "height": hazy.shape[0], **scores, "seconds": seconds}

    def write(self, unmatched: List[Path]) -> None:
        """Write metrics.csv, summary.json and the report. Print the means."""
        rows = [self.rows[pair.name] for pair in self.pairs if pair.name in self.rows]
        failed = [self.failures[pair.name] for pair in self.pairs if pair.name in self.failures]
        mean, seconds = means(rows), [row["seconds"] for row in rows]
        write_table(self.output / "metrics.csv", rows)
        write_summary(self.output / "summary.json", {
            "images": len(rows), "means": mean, "protocol": PROTOCOL,
            "failed": failed, "without_ground_truth": [str(path) for path in unmatched],
            "seconds_per_image": float(np.median(seconds)) if rows else None, "peak_memory_mb": self.peak_memory_mb,
            "health": self.health, **self._facts(), "versions": software_versions()})
        if self.report:
            self.report.write(self.output / "report.html")
        if rows:
            print(table(mean))
            print(f"{len(rows)} images, {np.median(seconds):.2f} s each (median, network alone), peak memory "
                  f"{self.peak_memory_mb:.0f} MB; details in {self.output}")

    def _facts(self) -> Dict[str, Any]:
        options, network = self.options, self.dehazer.network
        data = "" if options.data_test == "Demo" else options.dir_data
        return {"checkpoint": str(network.path), "checkpoint_sha256": sha256(network.path), **network.description,
                "data_test": options.data_test, "dir_data": data, "device_target": options.device_target,
                "tile": options.tile, "overlap": options.overlap, "self_ensemble": options.self_ensemble,
                "raw_weights": options.raw_weights, "batch_size": options.batch_size}
