"""One HTML file that shows results: before/after sliders, scores, a histogram. A browser is all it needs."""
from __future__ import annotations

import importlib.metadata
import io
import math
import platform
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np
from PIL import Image

from ..data.photo import Photo
from ..errors import InputError, one_line
from ..files import PathLike, atomic_write

MAX_BYTES = 50_000_000  # size of the whole file, if `expected` is right
PAGE_BYTES = 60_000  # size of style, script and header
ENTRY_BYTES = 4_000  # size of the markup of one pair
LARGEST, SMALLEST = 1600, 96  # pixels of an embedded picture's longer side
QUALITY = 82  # of WebP; a hazy photo of 620x460 takes about 22 kB


class Report:
    """Collects pairs one at a time. It keeps only small encoded pictures, which bounds the memory.

        report = Report("Demo", {"checkpoint": "gitee.ckpt"}, expected=len(pairs))
        report.add("room.png", hazy, dehazed, clear, {"psnr_hazy": 12.0, "psnr": 29.9})
        report.write("report.html")

    Args:
        title: headline of the page.
        facts: what was run (checkpoint, graph, versions, command ...), shown as a list at the end.
            The headline shows "checkpoint" too.
        expected: number of pairs to come. It sets the bytes that a pair may take. With many more pairs the file
            slowly grows beyond `max_bytes`.
        max_bytes: largest size of the file. Pictures shrink until they fit, but not below 96 pixels, which takes at
            most 10 kB a pair.
    """

    def __init__(self, title: str, facts: Mapping[str, object], expected: int = 1, max_bytes: int = MAX_BYTES) -> None:
        from . import html  # imports jinja2; if that is missing, the report fails before the work

        self._html = html
        self.title, self.facts = title, dict(facts)
        self.expected, self.max_bytes = expected, max_bytes
        self.entries: List[Any] = []  # html.Entry

    def add(
        self, name: str, hazy: np.ndarray, dehazed: np.ndarray, clear: Optional[np.ndarray] = None,
        scores: Optional[Mapping[str, float]] = None,
    ) -> None:
        """Add one pair.

        Args:
            hazy, dehazed, clear: uint8 RGB[h, w, 3] of one size. `clear` is the ground truth, None where there is none.
            scores: name -> value, in the order of the table's columns; a value may be infinite or NaN.
                src.report.html.HEADINGS has headings for psnr_hazy, psnr, ssim_hazy, ssim ...; another name is its
                own heading. The gain is computed from `psnr` and `psnr_hazy`.

        Raises: ValueError if an image is not uint8[h, w, 3] or the sizes differ.
        """
        images = [hazy, dehazed] + ([] if clear is None else [clear])
        for image in images:
            if image.dtype != np.uint8 or image.shape != hazy.shape or image.shape[2:] != (3,):
                raise ValueError(f"{name}: images must be uint8[h, w, 3] of one size, not "
                                 + ", ".join(f"{image.dtype}{list(image.shape)}" for image in images))
        share = (self.max_bytes - PAGE_BYTES) / max(self.expected, len(self.entries) + 1) - ENTRY_BYTES
        pictures = _encode(images, share * 3 / 4)  # base64 writes three bytes as four
        self.entries.append(self._html.Entry(name, hazy.shape[1::-1], pictures, _with_gain(scores or {})))

    def write(self, path: PathLike) -> None:
        """Write the page. It replaces an older file of that name only when it is whole.

        Raises: InputError if the file cannot be written.
        """
        try:
            with atomic_write(path) as temporary:
                # Python reads a file name that is not UTF-8 with lone surrogates, which UTF-8 cannot write
                with open(temporary, "w", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
                    file.writelines(self._html.page(self.title, self.facts, self.entries))
        except OSError as error:
            raise InputError(f"{path}: cannot be written ({error.strerror or one_line(error)})") from None


def as_shown(photo: Photo) -> np.ndarray:
    """A photo as its file shows it, for `Report.add`: uint8 RGB[h, w, 3], grey if the file is."""
    rgb = photo.rgb if photo.rgb.dtype == np.uint8 else ((photo.rgb + np.uint32(128)) // 257).astype(np.uint8)
    return np.asarray(Image.fromarray(rgb).convert("L").convert("RGB")) if photo.is_grey else rgb


def software_versions() -> Dict[str, str]:
    """Versions of Python and of the packages that decide a result, for `facts`."""
    versions = {"Python": platform.python_version()}
    for package in ("mindspore", "onnxruntime", "openvino", "numpy", "opencv-python-headless", "pillow"):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def _encode(images: Sequence[np.ndarray], budget: float) -> Tuple[bytes, ...]:
    """WebP files of at most `budget` bytes together. All have one scale, so that they can be compared."""
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
    picture.save(file, "WEBP", quality=QUALITY, method=2)  # takes half the time of the default, 4 % more bytes
    return file.getvalue()


def _with_gain(scores: Mapping[str, float]) -> Dict[str, float]:
    """The scores as floats, with `psnr_gain` after `psnr` where the gain is finite."""
    result = {}
    for key, value in scores.items():
        result[key] = float(value)
        if key == "psnr" and "psnr_hazy" in scores and math.isfinite(value - scores["psnr_hazy"]):
            result["psnr_gain"] = float(value - scores["psnr_hazy"])
    return result
