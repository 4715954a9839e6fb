"""The size at which the network sees a photo. It reaches the photo's other pixels by the local colour map."""
from __future__ import annotations

from typing import Optional, Tuple

from ..errors import UsageError
from ..spec import MULTIPLE

AUTO, FULL = 0, -1  # values of `work_size`: see `seen_size`; the photo itself, in tiles if it is large
LARGE_PIXELS = 1_000_000  # a photo of more is large: for the network it is shrunk to LARGE_SIDE, or cut into tiles
LARGE_SIDE = 512  # pixels; what AUTO is for large photos; docs/large_photos.md compares sizes
PHOTO_SIDE = 800  # pixels; what AUTO is for others: the network learnt from real photos of this size
VIDEO_SIDE = 320  # pixels; what AUTO is for videos
SMALLEST = 64  # pixels; less is too little to tell haze from white walls
LONGEST_SHAPE = 2  # a longer panorama keeps more pixels on its longer side, so that its shorter side is not lost

Size = Tuple[int, int]  # height, width


def seen_size(photo: Size, work_size: int, fixed: Optional[Size] = None) -> Size:
    """The size to which a photo is shrunk for the network. The photo's own size: it is not shrunk.

    Args:
        work_size: pixels of the longer side. For a panorama of more than 2:1, the shorter side gets half of it. AUTO:
            LARGE_SIDE for photos of more than LARGE_PIXELS, PHOTO_SIDE for others, and whatever fits for a network of
            one size. FULL: never.
        fixed: the one size that the network takes, if there is one.

    Returns: height and width, multiples of 4 where the photo is shrunk.
    """
    if work_size == FULL:
        return photo
    if work_size == AUTO and fixed:
        scale = min(place / side for place, side in zip(fixed, photo))
        return photo if scale >= 1 else _aligned(photo, scale, fixed)
    longest = work_size or (LARGE_SIDE if photo[0] * photo[1] > LARGE_PIXELS else PHOTO_SIDE)
    scale = max(longest / max(photo), longest / LONGEST_SHAPE / min(photo))
    return photo if scale >= 1 else _aligned(photo, scale, photo)


def check_work_size(work_size: int) -> None:
    """Raises: UsageError naming --work_size."""
    if work_size not in (AUTO, FULL) and (work_size < SMALLEST or work_size % MULTIPLE):
        raise UsageError(f"--work_size {work_size}: must be a multiple of {MULTIPLE} from {SMALLEST} on, "
                         f"{AUTO} or {FULL} (see --help)")


def _aligned(photo: Size, scale: float, largest: Size) -> Size:
    height, width = (max(MULTIPLE, min(round(side * scale / MULTIPLE) * MULTIPLE, limit // MULTIPLE * MULTIPLE))
                     for side, limit in zip(photo, largest))
    return height, width
