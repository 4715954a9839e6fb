"""Scores of photos without ground truth, by measures of the optional package pyiqa.

Such measures judge how natural a picture looks. They do not know the scene, so a picture whose haze stays
may score better. They are therefore kept apart from PSNR and SSIM.
"""
from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import Any, Dict, List, Sequence

import numpy as np
from tqdm import tqdm

from ..data.images import read_image, write_image
from ..dehaze.dehazer import Dehazer
from ..errors import InputError, UserError, one_line
from ..files import atomic_write, make_output_folder
from .iqa import Measure
from .scores import TEXT, name_in_table, whose, write_summary


def score_photos(photos: Sequence[Path], dehazer: Dehazer, measures: Dict[str, Measure], output: Path,
                 max_pixels: int = 0, save_images: bool = False) -> int:
    """Restore the photos, and write no_reference.csv and summary.json into `output`. Print the means.

    Returns: the number of photos that could not be scored. Each is named on stderr.
    """
    rows: List[Dict[str, Any]] = []
    for photo in tqdm(photos, unit="image", dynamic_ncols=True):
        try:
            hazy = read_image(photo, max_pixels or None)
            dehazer.check(hazy, str(photo))
        except UserError as error:
            tqdm.write(f"error: {one_line(error)}", file=sys.stderr)
            continue
        restored = dehazer.dehaze(hazy)
        row: Dict[str, Any] = {"name": name_in_table(photo.name), "width": hazy.shape[1], "height": hazy.shape[0]}
        try:
            for name, measure in measures.items():
                row[name], row[f"{name}_hazy"] = measure(restored), measure(hazy)
        except InputError as error:
            tqdm.write(f"error: {photo}: {error}", file=sys.stderr)
            continue
        rows.append(row)
        if save_images:
            folder = make_output_folder(output / "images", "--output_dir")
            write_image(folder / f"{photo.stem}.png", restored)
    _write(output, rows, dehazer, list(measures))
    return len(photos) - len(rows)


def _write(output: Path, rows: List[Dict[str, Any]], dehazer: Dehazer, names: Sequence[str]) -> None:
    keys = [key for name in names for key in (name, f"{name}_hazy")] if rows else []
    means = {key: float(np.mean([row[key] for row in rows])) for key in keys}
    with atomic_write(output / "no_reference.csv") as temporary, open(temporary, "w", **TEXT) as file:
        writer = csv.DictWriter(file, ["name", "width", "height", *keys])
        writer.writeheader()
        writer.writerows(rows)
    network = dehazer.network
    write_summary(output / "summary.json", {
        "complete": True, "images": len(rows), "means_without_truth": means, "checkpoint": str(network.path),
        "protocol": "measures of pyiqa without ground truth, 8-bit RGB at full size; not comparable with PSNR or SSIM"})
    if rows:
        print(whose(network.path, network.description, f"{len(rows)} photos without ground truth"))
        print("\n".join([f"{'':12}" + "".join(f"{name:>12}" for name in names),
                         f"{'hazy input':12}" + "".join(f"{means[f'{name}_hazy']:12.4f}" for name in names),
                         f"{'dehazed':12}" + "".join(f"{means[name]:12.4f}" for name in names)]))
