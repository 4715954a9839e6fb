"""Photos as arrays: read and write them, and hand them to the network."""
from __future__ import annotations

from pathlib import Path
from typing import Iterator, List, Optional, Tuple

import numpy as np

from ..errors import InputError
from ..files import PathLike
from ..spec import MIN_SIDE
from . import formats
from .photo import Photo
from .pixels import to_8_bits
from .reading import read_photo
from .writing import write_photo


def read_image(path: PathLike, max_pixels: Optional[int] = None) -> np.ndarray:
    """Read a photo as uint8 sRGB[h, w, 3]: upright, alpha dropped, grey repeated, 16 bits rounded to 8.

    Args:
        max_pixels: the largest number of pixels to accept. None: Pillow's limit against decompression bombs.

    Raises: InputError if the file is missing, truncated, of no kind that is read here, or larger than the limit.
    """
    return to_8_bits(read_photo(path, max_pixels).rgb)


def write_image(path: PathLike, image: np.ndarray, alpha: Optional[np.ndarray] = None) -> None:
    """Write uint8 or uint16 sRGB[h, w, 3] (and alpha [h, w] of the same type) in the kind of `path`'s suffix.

    Raises: InputError if the file cannot be written; an older file of that name is then left as it was.
    """
    write_photo(path, Photo(image, alpha))


def check_size(image: np.ndarray, name: str) -> None:
    """Raises: InputError if a side of [h, w, 3] is shorter than MIN_SIDE."""
    height, width = image.shape[:2]
    if min(height, width) < MIN_SIDE:
        raise InputError(f"{name}: {width}x{height} px is too small, each side must have at least {MIN_SIDE}")


def size_of(image: np.ndarray) -> Tuple[int, int]:
    """Height and width of an array [h, w, ...]."""
    return image.shape[0], image.shape[1]


def full_scale(dtype: np.dtype) -> float:
    """The value of white in an image: 255 for uint8, 65535 for uint16, 1 for floats."""
    return float(np.iinfo(dtype).max) if np.issubdtype(dtype, np.integer) else 1.0


def to_network(images: np.ndarray, white: float) -> np.ndarray:
    """Images, uint8, uint16 or float in 0..1 [n, h, w, 3] -> input of the network, float32[n, 3, h, w] in 0..white."""
    return (images.transpose(0, 3, 1, 2) * (white / full_scale(images.dtype))).astype(np.float32)


def from_network(out: np.ndarray, white: float, scale: float = 255.0) -> np.ndarray:
    """Output of the network, float32[n, 3, h, w], clipped to 0..white -> images, float32[n, h, w, 3] in 0..scale."""
    return np.clip(out, 0, white).transpose(0, 2, 3, 1) * np.float32(scale / white)


def list_images(folder: PathLike, recursive: bool = False) -> List[Path]:
    """The image files of `folder` in the order of their names, without hidden files.

    Raises: InputError if the folder is missing or holds no image, or an image there is a link to nothing.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    named = sorted(path for path in _files(folder, recursive) if formats.is_photo(path))
    for path in named:
        if not path.exists():
            raise InputError(f"{path}: a link to nothing")
    images = [path for path in named if path.is_file()]
    if not images:
        raise InputError(f"{folder}: no images ({', '.join(formats.suffixes_read())})")
    return images


def _files(folder: Path, recursive: bool, above: Tuple[Path, ...] = ()) -> Iterator[Path]:
    """What lies in the folder without hidden names. Links are followed, but not to the folders `above`.

    Raises: OSError, also for a subfolder that may not be read.
    """
    above += (folder.resolve(),)
    for path in folder.iterdir():
        if path.name.startswith("."):
            continue
        if not recursive or not path.is_dir():
            yield path
        elif path.resolve() not in above:
            yield from _files(path, recursive, above)
