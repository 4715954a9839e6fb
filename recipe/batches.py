"""NYU photos with depth, and endless random batches of them. Each crop gets new random haze."""
from __future__ import annotations

from pathlib import Path
from typing import Iterator, List, NamedTuple, Optional, Sequence, Tuple

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from recipe.haze_variety import BY_CHANNEL, varied_haze
from recipe.real_pairs import RealPair, real_crop, resized, whole_window
from recipe.sky import find_sky, horizon_colour, painted_sky
from src.data.haze import RESIDE_BORDER, SOTS_AIRLIGHT, SOTS_BETAS, add_haze, synthetic_depth, transmission
from src.data.images import list_images, read_image
from src.data.sources import find_scenes, read_depth
from src.errors import InputError, UsageError

TRAIN, VALIDATION = (0, 1348), (1349, 1398)  # photo numbers; 1399..1448 are the scenes of SOTS, which are never read
ITS_BETA_RANGE, ITS_AIRLIGHT_RANGE, BRIGHT_RANGE = (0.6, 1.8), (0.7, 1.0), (0.95, 1.0)
HAZY = 0.25  # of white; by eye, of 40 outdoor photos of RESIDE, 11 of the 17 above it are hazy, and 2 of the 23 below
BEFORE_SKY = 0.99  # largest depth of anything that is not sky
PAINTED = 0.6  # share of crops of photos with a sky whose sky is painted
AHEAD = 6  # batches that a process prepares ahead


class Photo(NamedTuple):
    """A clear photo, uint8[h, w, 3], and its depth over its largest depth, float16[h, w]. None: each crop invents one.

    A photo with a sky has the colour of its horizon, float32[3] in 0..1, and a depth of 1 exactly where the sky is.
    """

    name: str
    clear: np.ndarray
    depth: Optional[np.ndarray]
    horizon: Optional[np.ndarray] = None


class Shares(NamedTuple):
    """Which haze the crops have.

    Args:
        real: share of crops of real pairs.
        variety: share of crops with the haze of `haze_variety.py`. All others have RESIDE's.
        outdoors: of the varied haze, the share of outdoor photos.
        bright: of RESIDE's haze, the share with an airlight of 0.95 to 1, as in its test set. The others have 0.7 to 1,
            as in ITS.
        reside_outdoors: of RESIDE's haze, the share of outdoor photos without depth.
        by_channel: of the varied haze, the share whose channels differ.
        clear: share of crops without any haze, so that clear photos stay as they are.
    """

    real: float = 0.0
    variety: float = 0.0
    outdoors: float = 0.25
    bright: float = 0.5
    by_channel: float = BY_CHANNEL
    clear: float = 0.0
    reside_outdoors: float = 0.0


class Crops(NamedTuple):
    """One kind of batch: its share of the steps, the scale of the photos, the side in pixels, the number of crops.

    Scale 0 stands for nearly whole photos, shrunk to a longer side of `side`, one a step.
    """

    share: float
    scale: float
    side: int
    count: int


class Batch(NamedTuple):
    hazy: Tensor  # uint8[n, 3, side, side], channels last
    clear: Tensor
    names: List[str]


def parse_plan(text: str) -> List[Crops]:
    """`share:scale:side:count,...`. Raises: UsageError for another form, or a side that is no multiple of 4."""
    try:
        plan = [Crops(*(kind(value) for kind, value in zip((float, float, int, int), entry.split(":"), strict=True)))
                for entry in text.split(",")]
    except ValueError:
        raise UsageError(f"--plan {text}: must be share:scale:side:count, more of them after commas") from None
    for crops in plan:
        if not (crops.share > 0 and 0 <= crops.scale <= 1 and crops.side % 4 == 0 < crops.side and crops.count > 0):
            raise UsageError(f"--plan {text}: shares and counts above 0, scales from 0 to 1, sides multiples of 4")
        if not crops.scale and crops.count > 1:
            raise UsageError(f"--plan {text}: whole photos (scale 0) have several sizes, so their count must be 1")
    return plan


def load_scenes(folder: str, numbers: Optional[Tuple[int, int]]) -> List[Photo]:
    """Photos with depth: those of NYU numbered from `numbers[0]` to `numbers[1]`, without the border that RESIDE cuts
    off, or (None) all of another set, whole.

    Raises: InputError naming a file that is missing, damaged, or has a depth map of another shape.
    """
    inside = (slice(RESIDE_BORDER, -RESIDE_BORDER) if numbers else slice(None),) * 2
    photos = []
    for image, depth_map in find_scenes(folder, *(numbers or ())):
        clear, depth = read_image(image), read_depth(depth_map).astype(np.float32)
        if abs(clear.shape[0] * depth.shape[1] - clear.shape[1] * depth.shape[0]) > 2 * max(clear.shape):
            raise InputError(f"{depth_map}: depth map of {depth.shape[1]}x{depth.shape[0]} px for a photo of "
                             f"{clear.shape[1]}x{clear.shape[0]} px")
        if depth.shape != clear.shape[:2]:  # the depth map was shrunk for a transfer
            depth = cv2.resize(depth, clear.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        photos.append(Photo(image.name, np.ascontiguousarray(clear[inside]),
                            (depth / depth.max()).astype(np.float16)[inside]))
    return photos


def load_outdoors(folder: str, longest: int = 1400) -> List[Photo]:
    """Outdoor photos: `folder`/images with `folder`/depths, or photos in `folder` without depth.

    Photos without depth are shrunk to at most `longest` pixels a side, and all of each gets haze, the sky too. Of
    photos with depth, those with haze of their own are left out, see `is_hazy`.

    Raises: InputError as `load_scenes`, and if no photo is left.
    """
    if not (Path(folder) / "images").is_dir():
        return [Photo(path.name, _at_most(read_image(path), longest), None) for path in list_images(folder)]
    photos = [with_sky(photo) for photo in load_scenes(folder, None) if not is_hazy(photo)]
    if not photos:
        raise InputError(f"--outdoors {folder}: every photo there is hazy itself")
    return photos


def with_sky(photo: Photo) -> Photo:
    """The photo with its sky, if it has one. Depth maps of outdoor photos are invented, often with a near sky."""
    sky = find_sky(photo.clear)
    if sky is None:
        return photo
    depth = np.where(sky, 1, np.minimum(photo.depth, BEFORE_SKY)).astype(np.float16)
    return photo._replace(depth=depth, horizon=horizon_colour(photo.clear, sky))


def is_hazy(photo: Photo) -> bool:
    """Whether a photo is hazy itself: its dark channel (He et al., CVPR 2009: the darkest value of all channels within
    15x15 px) is above `HAZY` in the median over the middle distance. Nearer haze does not show, farther is the sky."""
    dark = cv2.erode(photo.clear.min(axis=2), np.ones((15, 15), np.uint8))
    near, far = np.quantile(photo.depth, (0.4, 0.7))
    return float(np.median(dark[(photo.depth >= near) & (photo.depth <= far)])) > HAZY * 255


def _at_most(image: np.ndarray, longest: int) -> np.ndarray:
    factor = min(1.0, longest / max(image.shape))
    return cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)


def validation_pair(photo: Photo, level: int) -> Tuple[np.ndarray, np.ndarray]:
    """The whole photo, hazy and clear, uint8[h, w, 3]. The haze is that of SOTS at `level` (0 to 9)."""
    through = transmission(photo.depth.astype(np.float32), SOTS_BETAS[level], max_depth=1.0)
    return add_haze(photo.clear, through, SOTS_AIRLIGHT), photo.clear


def stack(images: Sequence[np.ndarray]) -> Tensor:
    """Images, uint8[h, w, 3] -> uint8[n, 3, h, w], channels last."""
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)


class Batches(IterableDataset):
    """Endless batches of a plan, for the processes of a `loader`.

    Args:
        photos: photos with depth, for RESIDE's haze and the varied haze.
        outdoors: photos for a part of the crops with varied haze; may be empty. Those without depth are for a part
            of RESIDE's haze too.
        pairs: real pairs; may be empty if `shares.real` is 0.
    """

    def __init__(self, photos: Sequence[Photo], plan: Sequence[Crops], shares: Shares, seed: int,
                 outdoors: Sequence[Photo] = (), pairs: Sequence[RealPair] = ()):
        self.photos, self.plan, self.shares, self.seed = photos, plan, shares, seed
        self.outdoors, self.pairs = outdoors, pairs
        self.without_depth = [photo for photo in outdoors if photo.depth is None]

    def loader(self, processes: int, pin_memory: bool) -> DataLoader:
        """These batches, made by `processes` processes, each with its own random numbers.

        The processes are forks, which share the photos. OpenCV waits for ever in a fork if it had threads before it:
        call `cv2.setNumThreads(1)` before anything else.
        """
        return DataLoader(self, batch_size=None, num_workers=processes, prefetch_factor=AHEAD, pin_memory=pin_memory,
                          multiprocessing_context="fork")

    def __iter__(self) -> Iterator[Batch]:
        rng = np.random.default_rng([self.seed, get_worker_info().id])
        shares = np.array([crops.share for crops in self.plan])
        while True:
            crops = self.plan[rng.choice(len(shares), p=shares / shares.sum())]
            hazy, clear, names = zip(*(self._crop(rng, crops) for _ in range(crops.count)))
            yield Batch(stack(hazy), stack(clear), list(names))

    def _crop(self, rng: np.random.Generator, crops: Crops) -> Tuple[np.ndarray, np.ndarray, str]:
        kind = rng.random()
        if kind < self.shares.real:
            return real_crop(self.pairs, crops.side, rng, whole=not crops.scale)
        if kind < self.shares.real + self.shares.variety:
            outdoors = self.outdoors and rng.random() < self.shares.outdoors
            clear, depth, photo = _photo_crop(self.outdoors if outdoors else self.photos, crops, rng)
            return *varied_haze(clear, depth, rng, self.shares.by_channel, photo.horizon), photo.name
        if kind < self.shares.real + self.shares.variety + self.shares.clear:
            clear, _, photo = _photo_crop(self.outdoors or self.photos, crops, rng)  # their skies look hazy
            return clear, clear, photo.name
        outdoors = self.without_depth and rng.random() < self.shares.reside_outdoors
        clear, depth, photo = _photo_crop(self.without_depth if outdoors else self.photos, crops, rng)
        return self._reside_haze(clear, depth, rng), clear, photo.name

    def _reside_haze(self, clear: np.ndarray, depth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        airlight = rng.uniform(*(BRIGHT_RANGE if rng.random() < self.shares.bright else ITS_AIRLIGHT_RANGE))
        return add_haze(clear, transmission(depth, rng.uniform(*ITS_BETA_RANGE), max_depth=1.0), airlight)


def _photo_crop(
    photos: Sequence[Photo], crops: Crops, rng: np.random.Generator
) -> Tuple[np.ndarray, np.ndarray, Photo]:
    """A random crop of a random photo, mirrored or not, its sky painted or not: clear, depth and the photo."""
    photo = photos[rng.integers(len(photos))]
    sides = photo.clear.shape[:2]
    if crops.scale:
        source = min(round(crops.side / crops.scale), *sides)
        top, left = (rng.integers(side - source + 1) for side in sides)
        window, size = (slice(top, top + source), slice(left, left + source)), (crops.side, crops.side)
    else:
        window, size = whole_window(sides, crops.side, rng)
    clear = resized(photo.clear[window], size)
    if photo.depth is None:
        depth = synthetic_depth(*size, rng)
    else:
        depth = resized(photo.depth[window].astype(np.float32), size)
    if rng.random() < 0.5:
        clear, depth = clear[:, ::-1], depth[:, ::-1]
    if photo.horizon is not None and rng.random() < PAINTED:
        clear, sky = painted_sky(clear, depth == 1, rng)
        depth = np.where(sky, np.float32(1), depth)
    return np.ascontiguousarray(clear), np.ascontiguousarray(depth), photo
