"""Tiles with blended seams, and the self-ensemble, around a network that takes one image at a time."""
from __future__ import annotations

from typing import Callable, List, NamedTuple, Optional, Tuple

import numpy as np

from ..errors import UsageError
from ..spec import MIN_SIDE, MULTIPLE, OVERLAP, align_up
from .work_size import LARGE_PIXELS

AUTO, NEVER = 0, -1  # values of `tile`: AUTO_TILE for pictures of more than LARGE_PIXELS; no tiles
AUTO_TILE = 512  # pixels; it bounds the memory. The work size of a photo is another question, see work_size.py

# RGB[h, w, 3] of uint8, uint16 or float32 -> float32[h, w, 3], white as before (src.data.images.full_scale)
Restore = Callable[[np.ndarray], np.ndarray]
Window = Tuple[int, int]
Size = Tuple[int, int]  # height, width


class Tiling(NamedTuple):
    """Into which tiles a picture is cut for a network.

    tile: longest side of a tile in pixels, a multiple of 4, or AUTO or NEVER.
    overlap: least number of pixels that neighbouring tiles share.
    fixed: the one size that the network takes, if there is one. `tile` does not count then.
    """

    tile: int = AUTO
    overlap: int = OVERLAP
    fixed: Optional[Size] = None

    def side(self, picture: Size) -> Optional[int]:
        """Longest side of the tiles for a picture. None if it needs no tiles."""
        if self.fixed:
            return max(self.fixed) if picture[0] > self.fixed[0] or picture[1] > self.fixed[1] else None
        tile = self.tile or (AUTO_TILE if picture[0] * picture[1] > LARGE_PIXELS else NEVER)
        return tile if tile != NEVER and max(picture) > tile else None

    def windows(self, picture: Size) -> Tuple[List[Window], List[Window]]:
        """The rows and the columns of tiles. The picture is first mirrored up to multiples of 4, and to `fixed`."""
        tile = self.side(picture) or align_up(max(picture))
        tiles, least = self.fixed or (tile, tile), self.fixed or (0, 0)
        rows, columns = (windows(max(align_up(side), shortest), length, self.overlap, self.fixed is not None)
                         for side, shortest, length in zip(picture, least, tiles))
        return rows, columns


def check_tiles(tile: int, overlap: int) -> None:
    """Raises: UsageError naming --tile or --overlap."""
    smallest = 2 * MIN_SIDE  # tiles get one length, which may be half of this
    if tile not in (AUTO, NEVER) and (tile < smallest or tile % MULTIPLE):
        raise UsageError(f"--tile {tile}: must be a multiple of {MULTIPLE} from {smallest} on, 0 or -1 (see --help)")
    longest = (AUTO_TILE if tile in (AUTO, NEVER) else tile) - MIN_SIDE
    if not 0 <= overlap <= longest:
        raise UsageError(f"--overlap {overlap}: must be from 0 to {longest} for --tile {tile}")


def windows(size: int, tile: int, overlap: int, is_fixed: bool = False) -> List[Window]:
    """Split `size` pixels into as few stretches as possible. All have one length of at most `tile`.

    Args:
        size, tile: multiples of 4.
        overlap: least number of pixels that neighbours share, smaller than `tile`.
        is_fixed: the length of the stretches is exactly `tile`, and `size` is at least `tile`.

    Returns: (start, stop) of each stretch. Starts and lengths are multiples of 4. The last stop is `size`.
    """
    if size <= tile:
        return [(0, size)]
    overlap = align_up(overlap)
    count = -(-(size - overlap) // (tile - overlap))
    length = tile if is_fixed else align_up(-(-(size + (count - 1) * overlap) // count))
    starts = [i * (size - length) // (count - 1) // MULTIPLE * MULTIPLE for i in range(count)]
    return [(start, start + length) for start in starts]


def ramps(stretches: List[Window]) -> List[np.ndarray]:
    """Weights of the stretches, float32[length] each: linear where neighbours overlap, and sum to 1 everywhere."""
    weights = []
    for i, (start, stop) in enumerate(stretches):
        weight = np.ones(stop - start, np.float32)
        if i > 0:
            shared = stretches[i - 1][1] - start
            weight[:shared] *= _rise(shared)
        if i + 1 < len(stretches):
            shared = stop - stretches[i + 1][0]
            weight[stop - start - shared:] *= _rise(shared)[::-1]
        weights.append(weight)
    total = np.zeros(stretches[-1][1], np.float32)  # more than 1 where three stretches overlap
    for (start, stop), weight in zip(stretches, weights):
        total[start:stop] += weight
    return [weight / total[start:stop] for (start, stop), weight in zip(stretches, weights)]


def restore_in_tiles(image: np.ndarray, restore: Restore, tiling: Tiling) -> np.ndarray:
    """Restore an image in tiles. At most one row of tiles is in memory as floats at a time.

    Args:
        image: RGB[h, w, 3] of any type. This function mirrors it up to multiples of 4, as the network does.
        restore: restores one tile. All tiles have one size.

    Returns: RGB[h, w, 3] of the type of `image`.
    """
    height, width = image.shape[:2]
    rows, columns = tiling.windows((height, width))
    image = np.pad(image, ((0, rows[-1][1] - height), (0, columns[-1][1] - width), (0, 0)), mode="reflect")
    result = np.empty_like(image)
    row_weights, column_weights = ramps(rows), ramps(columns)
    strip = np.zeros((rows[0][1],) + image.shape[1:], np.float32)
    for i, (top, bottom) in enumerate(rows):
        for (left, right), weight in zip(columns, column_weights):
            weight = row_weights[i][:, None, None] * weight[:, None]
            strip[:, left:right] += restore(image[top:bottom, left:right]) * weight
        finished = (rows[i + 1][0] if i + 1 < len(rows) else bottom) - top
        result[top:top + finished] = to_pixels(strip[:finished], image.dtype)
        strip = np.concatenate((strip[finished:], np.zeros_like(strip[:finished])))
    return result[:height, :width]


def restore_with_ensemble(image: np.ndarray, restore: Restore) -> np.ndarray:
    """The mean of the eight results for the flipped and turned image, each turned back.

    RGB[h, w, 3] of any type -> float32[h, w, 3]. In four of the eight calls, `restore` gets height and width exchanged.
    """
    total = np.zeros(image.shape, np.float32)
    for turns in (0, 2, 1, 3):  # first one size, then the other, because each needs a graph
        turned = np.rot90(image, turns)
        total += np.rot90(restore(np.ascontiguousarray(turned)), -turns)
        total += np.rot90(restore(np.ascontiguousarray(turned[:, ::-1]))[:, ::-1], -turns)
    return total / 8


def to_pixels(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Clip and round float[...] in 0..full_scale(dtype) to uint8 or uint16. A float type keeps them as they are."""
    if not np.issubdtype(dtype, np.integer):
        return values.astype(dtype, copy=False)
    return np.rint(np.clip(values, 0, np.iinfo(dtype).max)).astype(dtype)


def _rise(count: int) -> np.ndarray:
    """`count` values from just above 0 to just below 1. The values and their reverse sum to 1."""
    return (np.arange(count, dtype=np.float32) + 0.5) / count
