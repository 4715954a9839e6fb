"""Where training images come from: pairs on disk, photos with depth, photos alone.

Each source has `names`, and

    load(index)                  -> its images, uncut, the first of them [h, w, 3]
    crop(images, window, rng)    -> (hazy, clear), uint8 RGB of the window (top, left, height, width)

so that only the part that is trained on is hazed. Sources may be used from several threads.
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
from .images import read_image
from .pairs import PAIR_LAYOUTS, Pair, data_folder, find_pairs, images_in, match_sizes, subfolder

TRAIN_LAYOUTS = PAIR_LAYOUTS + ("Depth", "Photos")
Window = Tuple[int, int, int, int]
Images = Tuple[np.ndarray, ...]


class ImageCache:
    """Decoded images, kept until `megabytes` are full; what comes later is decoded each time."""

    def __init__(self, megabytes: float) -> None:
        self._free = megabytes * 2**20
        self._kept: Dict[Path, np.ndarray] = {}
        self._lock = threading.Lock()

    def get(self, path: Path, read: Callable[[Path], np.ndarray]) -> np.ndarray:
        """The image of `path`, read by `read` unless kept. Not to be written to."""
        image = self._kept.get(path)
        if image is None:
            image = read(path)
            with self._lock:
                if path not in self._kept and image.nbytes <= self._free:
                    self._kept[path] = image
                    self._free -= image.nbytes
        return image


class PairSource:
    """Hazy and clear images on disk, of `pairs.find_pairs`."""

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
    """Clear photos with depth maps, hazed by RESIDE's recipe with A and beta drawn anew each time.

    Args:
        scenes: (photo, depth map) files; depth in any unit, 8 or 16 bit, larger is farther.
        airlight_range, beta_range: to draw from; ITS's by default.
        nyu_frame: mirror and cut 10 px off each side, as RESIDE did with its NYU photos (they have a white frame).
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
        farthest = depth.max()  # of the whole map, as in RESIDE
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
        """As `crop`, with the haze given."""
        clear, depth, farthest = images
        clear = _cut(clear, window)
        return add_haze(clear, transmission(_cut(depth, window), beta, farthest), airlight), clear


class PhotoSource:
    """Clear photos without depth, hazed over an invented smooth depth map (see `haze.synthetic_depth`)."""

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
        """As `crop`, with the haze given; the depth is drawn from `rng`."""
        depth = synthetic_depth(*images[0].shape[:2], rng, window)
        clear = _cut(images[0], window)
        return add_haze(clear, transmission(depth, beta, max_depth=1.0), airlight), clear


def open_source(
    dir_data: PathLike, layout: str, cache_mb: float = 2048, airlight_range: Range = ITS_AIRLIGHT,
    beta_range: Range = ITS_BETA, nyu_frame: bool = True, depth_first: int = 0, depth_last: int = -1,
) -> Union[PairSource, DepthSource, PhotoSource]:
    """The training images of `dir_data` in one of `TRAIN_LAYOUTS`.

    Args:
        cache_mb: memory for decoded images in MiB, of each process.
        airlight_range, beta_range: of A and beta for `Depth` and `Photos`.
        nyu_frame, depth_first, depth_last: for `Depth`, see `DepthSource` and `find_scenes`.

    Raises: InputError if there is nothing (complete) to train on, UsageError naming the flag for bad settings.
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


def whole_pair(source: Union[PairSource, DepthSource, PhotoSource], index: int, seed: int = 0) -> Images:
    """One whole (hazy, clear) of a source, uint8[h, w, 3], for validation: (seed, index) alone decides the haze."""
    images = source.load(index)
    return source.crop(images, (0, 0) + images[0].shape[:2], np.random.default_rng([seed, index]))


def find_scenes(dir_data: PathLike, first: int = 0, last: int = -1) -> List[Tuple[Path, Path]]:
    """Photos `images/K.jpg` (or `clear/`) with their depth `depths/K.png` (or `depth/`), in the order of K.

    Args:
        first, last: keep the photos numbered from `first` to `last`, both included; a last of -1 is no limit. With
            the defaults photos need not have numbers for names.

    Raises: InputError if a photo has no depth map or no photo is left.
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
    """Read a depth map as stored, [h, w] of 8, 16 or 32 bits (colour images: their brightness).

    Raises: InputError if it cannot be read or holds no positive depth.
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
    """The two ranges, if they are ranges. Raises: UsageError naming --airlight_range or --beta_range."""
    for flag, values, most in (("airlight_range", airlight_range, 1.0), ("beta_range", beta_range, 100.0)):
        if len(values) != 2 or not 0 <= values[0] <= values[1] <= most:
            raise UsageError(f"--{flag} {' '.join(map(str, values))}: must be two rising numbers from 0 to {most:g}")
    return tuple(airlight_range), tuple(beta_range)


def _cut(image: np.ndarray, window: Window) -> np.ndarray:
    top, left, height, width = window
    return image[top:top + height, left:left + width]


def _by_number(path: Path) -> Tuple[float, str]:
    return (int(path.stem) if path.stem.isdecimal() else float("inf"), path.stem)
