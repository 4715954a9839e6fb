"""Haze the photos that scikit-image ships, dehaze them with the benchmark's weights, and show the difference.

    python scripts/demo.py --output_dir output/demo

Writes NAME.png (hazy, dehazed and clear side by side), overview.jpg (all photos, small) and report.html. Prints PSNR
and SSIM before and after dehazing.
"""
from __future__ import annotations

from pathlib import Path

import numpy as np

import _clone  # noqa: F401
from src.cli.config import Parser
from src.cli.entry import run_as_program
from src.data.demo import demo_pairs
from src.data.images import write_image
from src.dehaze.dehazer import BENCHMARK_CHECKPOINT, Dehazer, find_checkpoint
from src.evaluate.metrics import psnr, ssim
from src.evaluate.scores import whose
from src.files import make_output_folder

OVERVIEW_HEIGHT = 190  # pixels of each photo in overview.jpg


def main() -> int:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("--output_dir", default="output/demo", help="folder for the pictures and the report")
    parser.add_argument("--ckpt_path", default="", help="another checkpoint than checkpoints/aecrnet.ckpt")
    options = parser.parse_args()
    folder = make_output_folder(options.output_dir, "--output_dir")
    checkpoint = find_checkpoint(options.ckpt_path or BENCHMARK_CHECKPOINT)
    dehazer = Dehazer(checkpoint)
    print(f"computed by {dehazer.network.description['runtime']}")
    rows, entries = [], []
    print(whose(checkpoint, dehazer.network.description, "the demo photos"))
    print(f"{'photo':<12} {'hazy PSNR':>10} {'SSIM':>7} {'dehazed PSNR':>14} {'SSIM':>7}")
    for name, hazy, clear in demo_pairs():
        dehazed = dehazer.dehaze(hazy)
        rows.append((psnr(hazy, clear), ssim(hazy, clear), psnr(dehazed, clear), ssim(dehazed, clear)))
        print(_line(name, rows[-1]), flush=True)
        write_image(folder / f"{name}.png", np.hstack([hazy, dehazed, clear]))
        entries.append((name, hazy, dehazed, clear, rows[-1]))
    print(_line("mean", np.mean(rows, axis=0)))
    write_image(folder / "overview.jpg", _overview([entry[1:4] for entry in entries]))
    report = _write_report(folder / "report.html", checkpoint, dehazer, entries)
    print(f"pictures (hazy | dehazed | clear) in {folder}, to look at and compare: {report}")
    return 0


def _line(name, scores) -> str:
    return f"{name:<12} {scores[0]:>10.2f} {scores[1]:>7.4f} {scores[2]:>14.2f} {scores[3]:>7.4f}"


def _overview(triples) -> np.ndarray:
    """One picture of all photos. A column shows hazy, dehazed and clear; all photos have one height."""
    from PIL import Image

    columns = []
    for images in triples:
        height, width = images[0].shape[:2]
        size = round(width * OVERVIEW_HEIGHT / height), OVERVIEW_HEIGHT
        small = [np.asarray(Image.fromarray(image).resize(size, Image.LANCZOS)) for image in images]
        columns.append(np.pad(np.vstack(small), ((0, 0), (0, 4), (0, 0)), constant_values=255))
    return np.hstack(columns)


def _write_report(path: Path, checkpoint: Path, dehazer: Dehazer, entries) -> Path:
    from src.report.report import Report, software_versions

    facts = {"checkpoint": checkpoint.name, **dehazer.network.description, **software_versions()}
    report = Report("AECR-Net demo", facts, len(entries))
    for name, hazy, dehazed, clear, scores in entries:
        report.add(name, hazy, dehazed, clear, dict(zip(("psnr_hazy", "ssim_hazy", "psnr", "ssim"), scores)))
    report.write(path)
    return path


if __name__ == "__main__":
    run_as_program(main)
