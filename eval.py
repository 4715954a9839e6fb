"""Score a checkpoint on hazy images with ground truth.

    python eval.py
    python eval.py --dir_data ./dataset --data_test Dense --ckpt_path ckpt/aecrnet_best.ckpt
    python eval.py --dir_data SOTS/indoor --data_test RESIDE --save_images --report
    python eval.py --mindir_path aecrnet.mindir

The first scores the shipped checkpoint on the photos that scikit-image ships, hazed. Writes metrics.csv (a row an
image) and summary.json to --output_dir.
"""
from __future__ import annotations

import sys
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Dict, List, Optional, Tuple

import numpy as np
from tqdm import tqdm

from src import config, errors
from src.errors import UsageError, UserError
from src.files import make_output_folder
from src.images import read_image, write_image
from src.inference import Dehazer, check_options, open_dehazer
from src.pairs import Pair, find_pairs, match_sizes
from src.pipeline import dehaze_all, sort_by_size
from src.report import Report, software_versions
from src.scores import PROTOCOL, means, peak_memory_mb, score, sha256, table, write_summary, write_table

SECTIONS = ("device", "inference", "eval", "cloud")
REPORTED = ("psnr_hazy", "psnr", "ssim_hazy", "ssim")


def main(argv: Optional[List[str]] = None) -> int:
    options = config.parse(sys.argv[1:] if argv is None else argv, SECTIONS, __doc__.splitlines()[0])
    check_options(options, options.mindir_path)
    warnings.filterwarnings("ignore", module="PIL")  # what matters in a damaged file becomes an InputError
    output = make_output_folder(options.output_dir, "--output_dir")
    pairs, unmatched = find_test_set(options, output)
    for path in unmatched:
        print(f"error: {path}: no ground truth", file=sys.stderr)

    # imports MindSpore, after all that can be wrong with flags and folders
    dehazer = open_dehazer(options, options.mindir_path)
    evaluation = Evaluation(options, output, dehazer, pairs)
    evaluation.run()
    evaluation.write(unmatched)

    faults = len(evaluation.failures) + len(unmatched)
    if faults:
        print(f"error: {faults} of {len(pairs) + len(unmatched)} images could not be scored, named above",
              file=sys.stderr)
    return 1 if faults else 0


def find_test_set(options: SimpleNamespace, output: Path) -> Tuple[List[Pair], List[Path]]:
    """The pairs to score, and hazy images without ground truth."""
    if options.modelArts_mode:
        from src import modelarts

        modelarts.download(options)
    if options.data_test != "Demo":
        return find_pairs(options.dir_data, options.data_test)
    if "dir_data" in options.given:
        raise UsageError(f"--dir_data {options.dir_data}: needs --data_test, the layout of its images")
    from src.demo import write_demo_set

    return find_pairs(write_demo_set(make_output_folder(output / "demo_data", "--output_dir")), "Pairs")


class Evaluation:
    """Restores and scores the pairs, keeps the rows."""

    def __init__(self, options: SimpleNamespace, output: Path, dehazer: Dehazer, pairs: List[Pair]):
        self.options, self.output, self.dehazer, self.pairs = options, output, dehazer, pairs
        self.rows: Dict[str, Dict[str, Any]] = {}
        self.failures: List[str] = []
        self.report = None
        if options.report:
            facts = {**self._facts(), **software_versions()}
            self.report = Report(f"AECR-Net on {options.data_test}", facts, len(pairs))
        if options.save_images:
            make_output_folder(output / "images", "--output_dir")

    def run(self) -> None:
        in_order = sort_by_size(self.pairs, lambda pair: pair.hazy, self.dehazer, self.options.batch_size)
        results = dehaze_all(self.dehazer, in_order, self._load, self._finish, self.options.batch_size)
        sums = np.zeros(2)
        with tqdm(total=len(in_order), unit="image", dynamic_ncols=True) as bar:
            for pair, row in results:
                bar.update()
                if isinstance(row, UserError):
                    self.failures.append(errors.one_line(row))
                    bar.write(f"error: {self.failures[-1]}", file=sys.stderr)
                    continue
                self.rows[pair.name] = row
                sums += row["psnr"], row["ssim"]
                psnr, ssim = sums / len(self.rows)
                bar.set_postfix_str(f"PSNR {psnr:.2f} SSIM {ssim:.4f}")

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
        """metrics.csv, summary.json and the report; the means to the terminal."""
        rows = [self.rows[pair.name] for pair in self.pairs if pair.name in self.rows]
        mean, seconds = means(rows), [row["seconds"] for row in rows]
        write_table(self.output / "metrics.csv", rows)
        write_summary(self.output / "summary.json", {
            "images": len(rows), "means": mean, "protocol": PROTOCOL,
            "failed": self.failures, "without_ground_truth": [str(path) for path in unmatched],
            "seconds_per_image": float(np.median(seconds)) if rows else None, "peak_memory_mb": peak_memory_mb(),
            **self._facts(), "versions": software_versions()})
        if self.report:
            self.report.write(self.output / "report.html")
        if rows:
            print(table(mean))
            print(f"{len(rows)} images, {np.median(seconds):.2f} s each (median, network alone), peak memory "
                  f"{peak_memory_mb():.0f} MB; details in {self.output}")

    def _facts(self) -> Dict[str, Any]:
        options, network = self.options, self.dehazer.network
        data = "" if options.data_test == "Demo" else options.dir_data
        return {"checkpoint": str(network.path), "checkpoint_sha256": sha256(network.path), **network.description,
                "data_test": options.data_test, "dir_data": data, "device_target": options.device_target,
                "tile": options.tile, "overlap": options.overlap, "self_ensemble": options.self_ensemble,
                "batch_size": options.batch_size}


if __name__ == "__main__":
    errors.run(main)
