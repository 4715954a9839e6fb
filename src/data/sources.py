"""The sources of training images: pairs on disk, photos with depth, photos without depth.

A source has the attribute `names` and two methods:

    load(index)                  -> the whole images of one item; the first is [h, w, 3]
    crop(images, window, rng)    -> (hazy, clear), uint8 RGB of the window (top, left, height, width)

Only the part of a photo that is trained on is hazed. Several threads may use a source.
"""
from __future__ import annotations

import threading
from pathlib import Path
from typing import Callable, Dict, List, Sequence, Tuple, Union

import numpy as np
from PIL import Image

from ..errors import InputError, UsageError, one_line
from ..files import PathLike
from .haze import (
    ITS_AIRLIGHT,
    ITS_BETA,
    RESIDE_BORDER,
    Range,
    add_haze,
    mirror_and_crop,
    sample_haze,
    synthetic_depth,
    transmission,
)
from .images import read_image, size_of
from .pairs import PAIR_LAYOUTS, Pair, data_folder, find_pairs, images_in, match_sizes, subfolder

TRAIN_LAYOUTS = PAIR_LAYOUTS + ("Depth", "Photos")
Window = Tuple[int, int, int, int]
Images = Tuple[np.ndarray, ...]


class ImageCache:
    """Keeps decoded images until they fill `megabytes`. Later images are decoded each time."""

    def __init__(self, megabytes: float) -> None:
        self._free = megabytes * 2**20
        self._kept: Dict[Path, np.ndarray] = {}
        self._lock = threading.Lock()

    def get(self, path: Path, read: Callable[[Path], np.ndarray]) -> np.ndarray:
        """The image of `path`, from the cache or from `read`. The caller must not change the image."""
        image = self._kept.get(path)
        if image is None:
            image = read(path)
            with self._lock:
                if path not in self._kept and image.nbytes <= self._free:
                    self._kept[path] = image
                    self._free -= image.nbytes
        return image


class PairSource:
    """Hazy and clear images on disk, as `pairs.find_pairs` finds them."""

    def __init__(self, pairs: Sequence[Pair], cache_mb: float = 2048) -> None:
        self.pairs = list(pairs)
        self.names = [pair.name for pair in self.pairs]
        self._cache = ImageCache(cache_mb)

    def load(self, index: int) -> Images:
        pair = self.pairs[index]
        return match_sizes(pair, *(self._cache.get(path, read_image) for path in (pair.hazy, pair.clear)))

    def crop(self, images: Images, window: Window, rng: np.random.Generator) -> Images:
        hazy, clear = (_cut(image, window) for image in images)
        return hazy, clear


class DepthSource:
    """Clear photos with depth maps. RESIDE's recipe makes the haze, with A and beta drawn anew for each crop.

    Args:
        scenes: (photo, depth map) files. The depth has any unit and 8 or 16 bits; larger is farther.
        airlight_range, beta_range: ranges of A and beta; the defaults are those of RESIDE's ITS.
        nyu_frame: mirror the photos and cut 10 px off each side, as in RESIDE. NYU photos have a white frame.
    """

    def __init__(
        self, scenes: Sequence[Tuple[Path, Path]], airlight_range: Range = ITS_AIRLIGHT,
        beta_range: Range = ITS_BETA, nyu_frame: bool = True, cache_mb: float = 2048,
    ) -> None:
        self.scenes = list(scenes)
        self.names = [photo.stem for photo, _ in self.scenes]
        self._ranges = check_haze_ranges(airlight_range, beta_range)
        self._nyu_frame = nyu_frame
        self._cache = ImageCache(cache_mb)

    def load(self, index: int) -> Images:
        photo, depth_file = self.scenes[index]
        clear, depth = self._cache.get(photo, read_image), self._cache.get(depth_file, read_depth)
        if clear.shape[:2] != depth.shape:
            raise InputError(f"{depth_file}: depth map of {depth.shape[1]}x{depth.shape[0]} px for the photo "
                             f"{photo.name} of {clear.shape[1]}x{clear.shape[0]} px")
        farthest = depth.max(keepdims=True)  # before the cut, as in RESIDE
        if self._nyu_frame:
            if min(depth.shape) <= 2 * RESIDE_BORDER:
                raise InputError(f"{photo}: nothing is left of it without its border of {RESIDE_BORDER} px")
            clear, depth = mirror_and_crop(clear), mirror_and_crop(depth)
        return clear, depth, farthest

    def crop(self, images: Images, window: Window, rng: np.random.Generator) -> Images:
        airlight, beta = sample_haze(rng, *self._ranges)
        return self.haze(images, window, airlight, beta)

    @staticmethod
    def haze(images: Images, window: Window, airlight: float, beta: float) -> Images:
        """As `crop`, with given haze."""
        clear, depth, farthest = images
        clear = _cut(clear, window)
        return add_haze(clear, transmission(_cut(depth, window), beta, float(farthest.max())), airlight), clear


class PhotoSource:
    """Clear photos without depth. The haze follows an invented smooth depth map (see `haze.synthetic_depth`)."""

    def __init__(
        self, photos: Sequence[Path], airlight_range: Range = ITS_AIRLIGHT, beta_range: Range = ITS_BETA,
        cache_mb: float = 2048,
    ) -> None:
        self.photos = list(photos)
        self.names = [str(photo) for photo in self.photos]
        self._ranges = check_haze_ranges(airlight_range, beta_range)
        self._cache = ImageCache(cache_mb)

    def load(self, index: int) -> Images:
        return (self._cache.get(self.photos[index], read_image),)

    def crop(self, images: Images, window: Window, rng: np.random.Generator) -> Images:
        airlight, beta = sample_haze(rng, *self._ranges)
        return self.haze(images, window, airlight, beta, rng)

    @staticmethod
    def haze(images: Images, window: Window, airlight: float, beta: float, rng: np.random.Generator) -> Images:
        """As `crop`, with given haze. `rng` decides the depth."""
        depth = synthetic_depth(*size_of(images[0]), rng, window)
        clear = _cut(images[0], window)
        return add_haze(clear, transmission(depth, beta, max_depth=1.0), airlight), clear


Source = Union[PairSource, DepthSource, PhotoSource]


def open_source(
    dir_data: PathLike, layout: str, cache_mb: float = 2048, airlight_range: Range = ITS_AIRLIGHT,
    beta_range: Range = ITS_BETA, nyu_frame: bool = True, depth_first: int = 0, depth_last: int = -1,
) -> Source:
    """The training images in `dir_data`, in one of `TRAIN_LAYOUTS`.

    Args:
        cache_mb: memory for decoded images in MiB, on each process.
        airlight_range, beta_range: ranges of A and beta for `Depth` and `Photos`.
        nyu_frame, depth_first, depth_last: for `Depth`, see `DepthSource` and `find_scenes`.

    Raises: InputError if the images are missing or incomplete. UsageError naming the flag for a bad setting.
    """
    if layout == "Depth":
        scenes = find_scenes(dir_data, depth_first, depth_last)
        return DepthSource(scenes, airlight_range, beta_range, nyu_frame, cache_mb)
    if layout == "Photos":
        photos = images_in(data_folder(dir_data, layout, train=True), recursive=True)
        return PhotoSource(photos, airlight_range, beta_range, cache_mb)
    if layout not in TRAIN_LAYOUTS:
        raise UsageError(f"unknown data layout {layout}: choose from {', '.join(TRAIN_LAYOUTS)}")
    return PairSource(find_pairs(dir_data, layout, train=True)[0], cache_mb)


def whole_pair(source: Source, index: int, seed: int = 0) -> Images:
    """One whole pair of a source for validation: (hazy, clear), uint8[h, w, 3]. (seed, index) decides the haze."""
    images = source.load(index)
    return source.crop(images, (0, 0, *size_of(images[0])), np.random.default_rng([seed, index]))


def find_scenes(dir_data: PathLike, first: int = 0, last: int = -1) -> List[Tuple[Path, Path]]:
    """Photos `images/K.jpg` (or `clear/`) with their depth `depths/K.png` (or `depth/`), in the order of K.

    Args:
        first, last: keep the photos with the numbers `first` to `last`, both included. `last` -1 is no limit. With
            the defaults, the names of the photos need not be numbers.

    Raises: InputError if a photo has no depth map, or if no photo is left.
    """
    folder = data_folder(dir_data, "Depth", train=True)
    depths = {path.stem: path for path in images_in(subfolder(folder, ("depths", "depth")))}
    photos = sorted(images_in(subfolder(folder, ("images", "clear"))), key=_by_number)
    if first > 0 or last >= 0:
        most = last if last >= 0 else float("inf")
        photos = [path for path in photos if path.stem.isdecimal() and first <= int(path.stem) <= most]
        if not photos:
            raise InputError(f"--dir_data {folder}: no photo is numbered from {first} to {most} "
                             "(--depth_first, --depth_last)")
    missing = [path.name for path in photos if path.stem not in depths]
    if missing:
        raise InputError(f"--dir_data {folder}: {len(missing)} photos without depth map, the first is {missing[0]}")
    return [(path, depths[path.stem]) for path in photos]


def read_depth(path: Path) -> np.ndarray:
    """Read a depth map, [h, w] of 8, 16 or 32 bits as stored. The depth of a colour image is its brightness.

    Raises: InputError if the file cannot be read or holds no positive depth.
    """
    try:
        with Image.open(path) as opened:
            plain = opened.mode in ("L", "F") or opened.mode.startswith("I")
            depth = np.array(opened if plain else opened.convert("L"))
    except Exception as error:  # see images.read_photo
        raise InputError(f"{path}: cannot be read as a depth map ({one_line(error)})") from None
    if not 0 < depth.max() < np.inf or depth.min() < 0:
        raise InputError(f"{path}: depth must be positive, found {depth.min()} to {depth.max()}")
    return depth


def check_haze_ranges(airlight_range: Range, beta_range: Range) -> Tuple[Range, Range]:
    """The two ranges as tuples. Raises: UsageError naming --airlight_range or --beta_range if it is no range."""
    for flag, values, most in (("airlight_range", airlight_range, 1.0), ("beta_range", beta_range, 100.0)):
        if len(values) != 2 or not 0 <= values[0] <= values[1] <= most:
            raise UsageError(f"--{flag} {' '.join(map(str, values))}: must be two rising numbers from 0 to {most:g}")
    return (airlight_range[0], airlight_range[1]), (beta_range[0], beta_range[1])


def _cut(image: np.ndarray, window: Window) -> np.ndarray:
    top, left, height, width = window
    return image[top:top + height, left:left + width]


def _by_number(path: Path) -> Tuple[float, str]:
    return (int(path.stem) if path.stem.isdecimal() else float("inf"), path.stem)
