"""One HTML file to look at results: before/after sliders, scores, histogram. Needs nothing but a browser."""
from __future__ import annotations

import importlib.metadata
import io
import math
import platform
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np
from PIL import Image

from ..errors import InputError, one_line
from ..files import PathLike, atomic_write
from .html import Entry, page

MAX_BYTES = 50_000_000  # of the whole file, as long as `expected` is right
PAGE_BYTES, ENTRY_BYTES = 60_000, 4_000  # of it style, script and header; markup of one entry
LARGEST, SMALLEST = 1600, 96  # pixels of an embedded picture's longer side
QUALITY = 82  # WebP; hazy 620x460 photos take about 22 kB


class Report:
    """Collects pairs one at a time and keeps only their small encoded pictures, so memory stays bounded.

        report = Report("Demo", {"checkpoint": "gitee.ckpt"}, expected=len(pairs))
        report.add("room.png", hazy, dehazed, clear, {"psnr_hazy": 12.0, "psnr": 29.9})
        report.write("report.html")

    Args:
        title: headline of the page.
        facts: what was run, shown as a list at the end: checkpoint, graph, versions, command ...;
            "checkpoint" is shown under the headline too.
        expected: number of pairs to come. It sets the bytes each may take; with many more than that
            the file grows beyond `max_bytes`, but slowly.
        max_bytes: size of the file to stay under. Pictures shrink to fit, but not below 96 pixels:
            10 kB a pair at worst.
    """

    def __init__(self, title: str, facts: Mapping[str, object], expected: int = 1, max_bytes: int = MAX_BYTES) -> None:
        self.title, self.facts = title, dict(facts)
        self.expected, self.max_bytes = expected, max_bytes
        self.entries: List[Entry] = []

    def add(
        self, name: str, hazy: np.ndarray, dehazed: np.ndarray, clear: Optional[np.ndarray] = None,
        scores: Optional[Mapping[str, float]] = None,
    ) -> None:
        """Add one pair.

        Args:
            hazy, dehazed, clear: uint8 RGB[h, w, 3] of one size; clear (the ground truth) may be missing.
            scores: by name, in the order of the table's columns. src.report.html.HEADINGS knows
                psnr_hazy, psnr, ssim_hazy, ssim ...; others keep their name. `psnr` and `psnr_hazy`
                together give the gain. May be infinite or NaN.

        Raises: ValueError if an image is not uint8[h, w, 3] or the sizes differ.
        """
        images = [hazy, dehazed] + ([] if clear is None else [clear])
        for image in images:
            if image.dtype != np.uint8 or image.shape != hazy.shape or image.shape[2:] != (3,):
                raise ValueError(f"{name}: images must be uint8[h, w, 3] of one size, not "
                                 + ", ".join(f"{image.dtype}{list(image.shape)}" for image in images))
        share = (self.max_bytes - PAGE_BYTES) / max(self.expected, len(self.entries) + 1) - ENTRY_BYTES
        pictures = _encode(images, share * 3 / 4)  # base64 writes three bytes as four
        self.entries.append(Entry(name, hazy.shape[1::-1], pictures, _with_gain(scores or {})))

    def write(self, path: PathLike) -> None:
        """Write the page. An older file of that name is replaced when the new one is whole.

        Raises: InputError if the file cannot be written.
        """
        try:
            with atomic_write(path) as temporary:
                # file names that are not UTF-8 arrive as lone surrogates
                with open(temporary, "w", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
                    file.writelines(page(self.title, self.facts, self.entries))
        except OSError as error:
            raise InputError(f"{path}: cannot be written ({error.strerror or one_line(error)})") from None


def software_versions() -> Dict[str, str]:
    """Versions of Python and of the installed packages that decide a result, for `facts`."""
    versions = {"Python": platform.python_version()}
    for package in ("mindspore", "numpy", "opencv-python-headless", "pillow"):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def _encode(images: Sequence[np.ndarray], budget: float) -> Tuple[bytes, ...]:
    """WebP files that take `budget` bytes together, all scaled alike so that they can be compared."""
    height, width = images[0].shape[:2]
    scale = min(1.0, LARGEST / max(height, width))
    while True:
        size = max(1, round(width * scale)), max(1, round(height * scale))
        files = tuple(_webp(image, size) for image in images)
        excess = sum(map(len, files)) / max(budget, 1)
        if excess <= 1 or max(size) <= SMALLEST:
            return files
        scale = max(scale * min(0.97 / math.sqrt(excess), 0.95), SMALLEST / max(height, width))


def _webp(image: np.ndarray, size: Tuple[int, int]) -> bytes:
    picture, file = Image.fromarray(image), io.BytesIO()
    if picture.size != size:
        picture = picture.resize(size, Image.Resampling.LANCZOS)
    picture.save(file, "WEBP", quality=QUALITY, method=2)  # twice as fast as the default, 4 % larger
    return file.getvalue()


def _with_gain(scores: Mapping[str, float]) -> Dict[str, float]:
    """The scores as floats, `psnr_gain` after `psnr` where both ends are known and finite."""
    result = {}
    for key, value in scores.items():
        result[key] = float(value)
        if key == "psnr" and "psnr_hazy" in scores and math.isfinite(value - scores["psnr_hazy"]):
            result["psnr_gain"] = float(value - scores["psnr_hazy"])
    return result
