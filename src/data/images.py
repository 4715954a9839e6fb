"""Reading and writing photos as arrays."""
from __future__ import annotations

import contextlib
import threading
import warnings
from pathlib import Path
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Tuple

import numpy as np
from PIL import Image, ImageOps

from ..errors import InputError, one_line
from ..files import PathLike, atomic_write
from ..spec import MIN_SIDE

EXTENSIONS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
ORIENTATION = 0x0112  # EXIF tag; the values 5 to 8 exchange width and height
GREY_MODES = ("1", "L", "LA", "La", "I", "F", "I;16", "I;16L", "I;16B", "I;16N")
_limit_lock = threading.Lock()


class Photo(NamedTuple):
    """The content of a file: the pixels for the network, and all that a similar file needs."""

    rgb: np.ndarray  # uint8[h, w, 3]
    alpha: Optional[np.ndarray] = None  # uint8[h, w]; None where the file has none
    is_grey: bool = False
    icc_profile: Optional[bytes] = None  # the meaning of the RGB values; None: sRGB


def read_image(path: PathLike, max_pixels: Optional[int] = None) -> np.ndarray:
    """Read a photo as uint8 RGB[h, w, 3]. EXIF rotation is applied, alpha dropped, grey repeated, 16 bits scaled to 8.

    Args:
        max_pixels: the largest number of pixels to accept. None: Pillow's limit against decompression bombs.

    Raises: InputError if the file is missing, truncated, not an image, or larger than the limit.
    """
    return read_photo(path, max_pixels).rgb


def read_photo(path: PathLike, max_pixels: Optional[int] = None) -> Photo:
    """As `read_image`, with all other content of the file."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        with _open(path, max_pixels) as opened:
            return _photo(ImageOps.exif_transpose(opened))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise InputError(f"{path}: {one_line(error)}; raise --max_pixels to accept it") from None
    except Exception as error:  # on damaged files Pillow raises anything: struct.error, TypeError ...
        raise InputError(f"{path}: cannot be read as an image ({one_line(error)})") from None


def image_size(path: PathLike) -> Optional[Tuple[int, int]]:
    """(height, width) of a photo after reading, from the header of the file. None if the header cannot be read."""
    try:
        with _open(Path(path), None) as opened:
            turned = opened.format != "TIFF" and opened.getexif().get(ORIENTATION, 1) >= 5  # Pillow turns TIFF itself
            return opened.size if turned else opened.size[::-1]
    except Exception:  # read_photo will report it
        return None


def check_size(image: np.ndarray, name: str) -> None:
    """Raises: InputError if a side of uint8[h, w, 3] is shorter than MIN_SIDE."""
    height, width = image.shape[:2]
    if min(height, width) < MIN_SIDE:
        raise InputError(f"{name}: {width}x{height} px is too small, each side must have at least {MIN_SIDE}")


def write_image(path: PathLike, image: np.ndarray, alpha: Optional[np.ndarray] = None) -> None:
    """Write uint8 RGB[h, w, 3] (and alpha uint8[h, w]) in the format of `path`'s suffix, JPEG at quality 95.

    Raises: InputError if the file cannot be written; an older file of that name is then left as it was.
    """
    write_photo(path, Photo(image, alpha))


def write_photo(path: PathLike, photo: Photo) -> None:
    """As `write_image`. A grey photo is written as grey, and the colour profile is kept."""
    image = Image.fromarray(photo.rgb)
    if photo.is_grey:
        image = image.convert("L")
    if photo.alpha is not None:
        image.putalpha(Image.fromarray(photo.alpha))
    profile: Dict[str, Any] = {} if photo.icc_profile is None else {"icc_profile": photo.icc_profile}
    try:
        with atomic_write(path) as temporary:
            image.save(temporary, quality=95, **profile)
    except Exception as error:  # an encoder also fails on a damaged colour profile
        raise InputError(f"{path}: cannot be written ({one_line(error)})") from None


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

    Raises: InputError if the folder is missing or holds no image.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    found = folder.rglob("*") if recursive else folder.iterdir()
    images = sorted(
        path for path in found
        if path.suffix.lower() in EXTENSIONS and not path.name.startswith(".") and path.is_file()
    )
    if not images:
        raise InputError(f"{folder}: no images ({', '.join(EXTENSIONS)})")
    return images


@contextlib.contextmanager
def _open(path: Path, max_pixels: Optional[int]) -> Iterator[Image.Image]:
    """Open an image. Above its limit, up to twice the limit, Pillow only warns; here this is an error."""
    with _limit_lock:  # limit and warnings are global, and several threads decode
        standard = Image.MAX_IMAGE_PIXELS
        Image.MAX_IMAGE_PIXELS = max_pixels or standard
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", Image.DecompressionBombWarning)
                opened = Image.open(path)
        finally:
            Image.MAX_IMAGE_PIXELS = standard
    with opened:
        yield opened


def _photo(image: Image.Image) -> Photo:
    is_grey = image.mode in GREY_MODES
    profile = image.info.get("icc_profile") if image.mode in ("RGB", "RGBA") else None  # others lose their space here
    image = _eight_bits(image)
    if image.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info:
        rgba = np.asarray(image.convert("RGBA"))
        return Photo(np.ascontiguousarray(rgba[..., :3]), np.ascontiguousarray(rgba[..., 3]), is_grey, profile)
    return Photo(np.array(image.convert("RGB")), None, is_grey, profile)


def _eight_bits(image: Image.Image) -> Image.Image:
    """Scale 16-bit grey to 8 bits. Pillow's own conversion would clip the values."""
    if not image.mode.startswith("I") and image.mode != "F":
        return image
    values = np.asarray(image, dtype=np.float64)
    full_scale = 65535.0 if image.mode.startswith("I") else 1.0
    return Image.fromarray(np.clip(values / full_scale * 255.0 + 0.5, 0, 255).astype(np.uint8))
