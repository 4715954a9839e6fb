"""Finds the clear image of each hazy image by the file names of the public dehazing sets.

| layout         | hazy                                    | clear                         |
|----------------|-----------------------------------------|-------------------------------|
| RESIDE (SOTS)  | 1400_1.png, 0001_0.8_0.2.jpg            | 1400.png or 1400_1.png, 0001.png |
| RESIDE (ITS, OTS) | 1_1_0.90179.png, 0005_0.8_0.04.jpg   | 1.png, 0005.jpg               |
| Dense, NHHaze  | 46_hazy.png                             | 46_GT.png                     |
| OHAZE, IHAZE   | 01_outdoor_hazy.jpg, 01_indoor_hazy.jpg | 01_outdoor_GT.jpg, 01_indoor_GT.jpg |
| Pairs          | any name                                | the same name                 |

The folder of the hazy images is `hazy` or `haze`. The folder of the clear images is `GT`, `gt` or `clear`. Letter case
and image format do not matter. Both kinds may also lie in one folder, as in NH-HAZE.
"""
from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ..errors import InputError, UsageError
from ..files import PathLike
from .formats import is_photo
from .haze import RESIDE_BORDER
from .images import list_images, read_image

NTIRE_LAYOUTS = ("Dense", "NHHaze", "OHAZE", "IHAZE")  # file names end in _hazy and _GT
PAIR_LAYOUTS = ("RESIDE",) + NTIRE_LAYOUTS + ("Pairs",)


class Pair(NamedTuple):
    """A hazy image and its ground truth. `name` is the hazy file's name without suffix, unique within a set."""

    name: str
    hazy: Path
    clear: Path


def find_pairs(dir_data: PathLike, layout: str, train: bool = False, flag: str = "--dir_data"
               ) -> Tuple[List[Pair], List[Path]]:
    """The pairs of a data set in the order of their names, and the hazy images without ground truth.

    The set lies in the first of these folders that exists: `dir_data`/`layout`/train, or for scores
    `dir_data`/`layout`/test; `dir_data`/`layout`; `dir_data`. The images may lie in subfolders of its folders, such as
    the part1, part2, ... of RESIDE's OTS.

    Args:
        flag: what the user gave the folder with, for the errors.

    Raises: InputError if a folder is missing, unreadable or without images, or if two hazy images share a name. For
    training also if a hazy image has no ground truth. UsageError if `layout` is unknown.
    """
    if layout not in PAIR_LAYOUTS:
        raise UsageError(f"unknown data layout {layout}: choose from {', '.join(PAIR_LAYOUTS)}")
    folder = data_folder(dir_data, layout, train, flag)
    hazy, clear = _hazy_and_clear(folder, layout, flag)
    truths = _by_stem(clear)
    pairs, unmatched = [], []
    for path in hazy:
        truth = _truth(path, layout, truths)
        if truth is None:
            unmatched.append(path)
        else:
            pairs.append(Pair(path.stem, path, truth))
    _refuse_equal_names(pairs)
    if not hazy:
        raise InputError(f"{flag} {folder}: no image is named ..._hazy, as those of {layout} are")
    if train and unmatched:
        raise InputError(
            f"{flag} {folder}: {len(unmatched)} hazy images without ground truth, the first is {unmatched[0].name}")
    return pairs, unmatched


def unused_files(pairs: Sequence[Pair]) -> str:
    """The files beside the images of `pairs` that belong to no pair, counted by kind. Empty: there are none."""
    used = {path for pair in pairs for path in (pair.hazy, pair.clear)}
    kinds: Counter = Counter()
    for folder in sorted({path.parent for path in used}):
        for path in folder.iterdir():
            if path not in used and path.is_file() and not path.name.startswith("."):
                kinds[f"images in {folder}" if is_photo(path) else f"{path.suffix or 'other'} files in {folder}"] += 1
    return ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))


def load_pair(pair: Pair) -> Tuple[np.ndarray, np.ndarray]:
    """Read (hazy, clear), both uint8 RGB[h, w, 3]. A clear image 10 px larger on each side (SOTS) is cropped.

    Raises: InputError if a file cannot be read, or if the sizes differ in another way.
    """
    return match_sizes(pair, read_image(pair.hazy), read_image(pair.clear))


def match_sizes(pair: Pair, hazy: np.ndarray, clear: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """The two images of `pair`, with the clear image cropped to the size of the hazy one, see `load_pair`."""
    if hazy.shape == clear.shape:
        return hazy, clear
    height, width = hazy.shape[:2]
    if clear.shape[:2] != (height + 2 * RESIDE_BORDER, width + 2 * RESIDE_BORDER):
        raise InputError(
            f"{pair.hazy} is {width}x{height} but its ground truth {pair.clear} is {clear.shape[1]}x{clear.shape[0]}")
    return hazy, clear[RESIDE_BORDER:-RESIDE_BORDER, RESIDE_BORDER:-RESIDE_BORDER]


def data_folder(dir_data: PathLike, layout: str, train: bool, flag: str = "--dir_data") -> Path:
    """The folder of the images of `layout`, see `find_pairs`. Raises: InputError if `dir_data` is not a folder."""
    root = Path(dir_data)
    if not root.is_dir():
        raise InputError(f"{flag} {root}: no such folder")
    candidates = [root / layout / ("train" if train else "test"), root / layout]
    return next((folder for folder in candidates if folder.is_dir()), root)


def images_in(folder: Path, recursive: bool = False, flag: str = "--dir_data") -> List[Path]:
    """As `images.list_images`; raises InputError also for a folder that the user may not read."""
    try:
        return list_images(folder, recursive)
    except OSError as error:
        raise InputError(f"{flag} {folder}: cannot be read ({error.strerror})") from None


def subfolder(folder: Path, names: Sequence[str], flag: str = "--dir_data") -> Path:
    """The folder inside `folder` with one of `names`. The names are in lower case; the case of the folder is ignored.

    Raises: InputError if there is none.
    """
    found = _subfolders(folder, flag)
    for name in names:
        if name in found:
            return found[name]
    raise InputError(f"{flag} {folder}: holds no folder named {' or '.join(names)}")


def _subfolders(folder: Path, flag: str) -> Dict[str, Path]:
    try:
        return {path.name.lower(): path for path in sorted(folder.iterdir()) if path.is_dir()}
    except OSError as error:
        raise InputError(f"{flag} {folder}: cannot be read ({error.strerror})") from None


def _hazy_and_clear(folder: Path, layout: str, flag: str) -> Tuple[List[Path], List[Path]]:
    if layout in NTIRE_LAYOUTS and not _subfolders(folder, flag).keys() & {"hazy", "haze", "gt", "clear"}:
        mixed = images_in(folder, flag=flag)
        return [path for path in mixed if path.stem.lower().endswith("_hazy")], mixed
    hazy, clear = (subfolder(folder, names, flag) for names in (("hazy", "haze"), ("gt", "clear")))
    return images_in(hazy, True, flag), images_in(clear, True, flag)


def _truth(hazy: Path, layout: str, truths: Dict[str, List[Path]]) -> Optional[Path]:
    """The ground truth of `hazy`, or None. Among several formats, the format of the hazy image is preferred."""
    for stem in _truth_stems(hazy.stem.lower(), layout):
        if stem in truths:
            return min(truths[stem], key=lambda path: path.suffix.lower() != hazy.suffix.lower())
    return None


def _truth_stems(stem: str, layout: str) -> List[str]:
    """The names that the ground truth of a hazy image may have, best first, in lower case, without suffix."""
    if layout == "Pairs":
        return [stem]
    if layout in NTIRE_LAYOUTS:
        return [stem[:-len("hazy")] + "gt"] if stem.endswith("_hazy") else []
    parts = stem.split("_")
    return ["_".join(parts[:count]) for count in range(len(parts), 0, -1)]


def _by_stem(paths: List[Path]) -> Dict[str, List[Path]]:
    found: Dict[str, List[Path]] = {}
    for path in paths:
        found.setdefault(path.stem.lower(), []).append(path)
    return found


def _refuse_equal_names(pairs: List[Pair]) -> None:
    """Raises: InputError if two pairs have one name. One restored image would then overwrite the other."""
    seen: Dict[str, Pair] = {}
    for pair in pairs:
        other = seen.setdefault(pair.name, pair)
        if other is not pair:
            raise InputError(f"{pair.hazy}: has the same name as {other.hazy}")
