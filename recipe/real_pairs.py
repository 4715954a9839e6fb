"""Real pairs of a hazy and a clear photo, and random crops of them."""
from __future__ import annotations

import re
from pathlib import Path
from typing import List, NamedTuple, Sequence, Set, Tuple

import cv2
import numpy as np

from recipe.haze_variety import LINEAR_LIGHT, to_bytes
from src.data.pairs import PAIR_LAYOUTS, find_pairs, load_pair
from src.errors import InputError, UsageError

SCALE = (0.5, 1.0)  # of a photo: smaller ones show a crop more of the scene
WHOLE = (0.8, 1.0)  # of the height and of the width of a photo that is seen whole
THINNED = 0.25  # share of crops whose haze is made thinner
TONED = 0.5  # share of crops whose exposure, white balance and gamma change, hazy and clear alike
EXPOSURE, BALANCE, GAMMA = 0.1, 0.03, (0.8, 1.25)  # deviations of the logarithm, of all channels and of each; range


class RealPair(NamedTuple):
    """A photo with haze and the same without, both uint8[h, w, 3]."""

    name: str
    hazy: np.ndarray
    clear: np.ndarray


def load_real_pairs(folder: str, flag: str = "--pairs") -> List[RealPair]:
    """The pairs of `FOLDER:LAYOUT[:NUMBERS]`, for example `nh_haze:Pairs:01-45,47`.

    NUMBERS keeps the pairs whose names begin with one of these numbers; a layout is one of `src/data/pairs.py`.
    `flag` is what the user gave the folder with, for the errors.

    Raises: UsageError for another form. InputError naming the file if a truth is missing, a file cannot be read, the
    sizes differ, or no pair has one of the numbers.
    """
    place, layout, numbers = parse_pairs(folder, flag)
    pairs, _ = find_pairs(place, layout, train=True, flag=flag)
    kept = [pair for pair in pairs if not numbers or number_of(pair.name) in numbers]
    if not kept:
        raise InputError(f"{flag} {folder}: no pair there has one of these numbers")
    return [RealPair(f"{Path(place).name}/{pair.name}", *load_pair(pair)) for pair in kept]


def parse_pairs(folder: str, flag: str = "--pairs") -> Tuple[str, str, Set[int]]:
    """The folder, the layout and the numbers of `FOLDER:LAYOUT[:NUMBERS]`. Raises: UsageError for another form."""
    found = re.fullmatch(r"(.+?):([A-Za-z]+)(?::([\d,-]+))?", folder)
    if not found or found[2] not in PAIR_LAYOUTS:
        raise UsageError(f"{flag} {folder}: must be FOLDER:LAYOUT or FOLDER:LAYOUT:NUMBERS, as nh_haze:Pairs:01-45; "
                         f"the layouts are {', '.join(PAIR_LAYOUTS)}")
    numbers: Set[int] = set()
    for part in filter(None, (found[3] or "").split(",")):
        first, _, last = part.partition("-")
        try:
            numbers.update(range(int(first), int(last or first) + 1))
        except ValueError:
            raise UsageError(f"{flag} {folder}: {part} is neither a number nor a range of two") from None
    return found[1], found[2], numbers


def number_of(name: str) -> int:
    """The number with which a name begins, or -1."""
    digits = re.match(r"\d+", name)
    return int(digits[0]) if digits else -1


def whole_window(
    shape: Tuple[int, int], side: int, rng: np.random.Generator
) -> Tuple[Tuple[slice, slice], Tuple[int, int]]:
    """A random window of most of a photo of (height, width), and the (height, width) that it shrinks to: its longer
    side has at most `side` pixels, and both are multiples of 32, so that a run meets few sizes. With multiples of 4,
    its memory grew to 9.6 GB in 89 minutes.
    """
    sizes = [round(length * rng.uniform(*WHOLE)) for length in shape]
    factor = min(1.0, side / max(sizes))
    small = [max(32, round(size * factor) // 32 * 32) for size in sizes]
    sizes = [min(length, round(size / factor)) for length, size in zip(shape, small)]
    starts = [rng.integers(length - size + 1) for length, size in zip(shape, sizes)]
    top, left = (slice(start, start + size) for start, size in zip(starts, sizes))
    return (top, left), (small[0], small[1])


def resized(image: np.ndarray, size: Tuple[int, int]) -> np.ndarray:
    """The picture with `size` (height, width)."""
    if image.shape[:2] == size:
        return image
    way = cv2.INTER_AREA if image.shape[0] > size[0] else cv2.INTER_LINEAR
    return cv2.resize(image, size[::-1], interpolation=way)


def real_crop(
    pairs: Sequence[RealPair], side: int, rng: np.random.Generator, whole: bool = False
) -> Tuple[np.ndarray, np.ndarray, str]:
    """A random crop of a random pair: (hazy, clear), both uint8[side, side, 3], and the name of the pair.

    `whole`: nearly the whole photo, see `whole_window`, uint8[h, w, 3]. Both sides get the same scale, mirror, quarter
    turn and tones.
    """
    pair = pairs[rng.integers(len(pairs))]
    height, width = pair.clear.shape[:2]
    if whole:
        window, size = whole_window((height, width), side, rng)
    else:
        source = min(round(side / rng.uniform(*SCALE)), height, width)
        top, left = rng.integers(height - source + 1), rng.integers(width - source + 1)
        window, size = (slice(top, top + source), slice(left, left + source)), (side, side)
    both = [resized(image[window], size) for image in (pair.hazy, pair.clear)]
    if rng.random() < 0.5:
        both = [image[:, ::-1] for image in both]
    turns = int(rng.integers(4))  # the few pairs are all upright, and a network learns where in them the smoke lies
    hazy, clear = (np.rot90(image, turns) for image in both)
    if rng.random() < THINNED:
        hazy = thinner(hazy, clear, rng.uniform())
    if rng.random() < TONED:
        hazy, clear = tones((hazy, clear), rng)
    return np.ascontiguousarray(hazy), np.ascontiguousarray(clear), pair.name


def thinner(hazy: np.ndarray, clear: np.ndarray, share: float) -> np.ndarray:
    """The hazy photo with `share` of its haze, uint8[h, w, 3].

    A mean of clear and hazy light is the same scene behind less of the same haze: with I = J t + A (1 - t),
    s I + (1 - s) J = J t' + A (1 - t') for t' = 1 - s (1 - t).
    """
    light = [(image / np.float32(255)) ** LINEAR_LIGHT for image in (hazy, clear)]
    mixed = share * light[0] + (1 - share) * light[1]
    return to_bytes(mixed ** (1 / LINEAR_LIGHT))


def tones(images: Sequence[np.ndarray], rng: np.random.Generator) -> List[np.ndarray]:
    """The images, uint8[h, w, 3], with one exposure, white balance and gamma, as another camera would show them."""
    gains = np.exp(EXPOSURE * rng.standard_normal() + BALANCE * rng.standard_normal(3))
    gamma = np.exp(rng.uniform(*np.log(GAMMA)))
    table = to_bytes(gains * (np.arange(256)[:, None] / 255) ** gamma)[None]  # [1, 256, 3]
    return [cv2.LUT(np.ascontiguousarray(image), table) for image in images]
