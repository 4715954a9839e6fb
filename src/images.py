"""Reading and writing photos as arrays."""
from __future__ import annotations

import contextlib
import warnings
from pathlib import Path
from typing import List, Optional, Tuple

import numpy as np
from PIL import Image, ImageOps

from src.errors import InputError, one_line
from src.files import PathLike, atomic_write

EXTENSIONS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
MIN_SIDE = 16  # pixels: below it the network's quarter-size map is narrower than a deformable kernel's reach


def read_image(path: PathLike, max_pixels: Optional[int] = None) -> np.ndarray:
    """Read a photo as uint8 RGB[h, w, 3]: EXIF rotation applied, alpha dropped, grey repeated, 16 bit scaled.

    Args:
        max_pixels: most pixels to accept; None for Pillow's own limit against decompression bombs.

    Raises: InputError if the file is missing, truncated, not an image, or larger than the limit.
    """
    return read_image_and_alpha(path, max_pixels)[0]


def read_image_and_alpha(
    path: PathLike, max_pixels: Optional[int] = None
) -> Tuple[np.ndarray, Optional[np.ndarray]]:
    """As `read_image`, and the alpha channel, uint8[h, w], or None where the file has none."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        with _pixel_limit(max_pixels), Image.open(path) as opened:
            image = ImageOps.exif_transpose(opened)
            image.load()
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise InputError(f"{path}: {one_line(error)}; raise --max_pixels to accept it") from None
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        raise InputError(f"{path}: cannot be read as an image ({one_line(error)})") from None
    image = _eight_bits(image)
    if image.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info:
        rgba = np.asarray(image.convert("RGBA"))
        return np.ascontiguousarray(rgba[..., :3]), np.ascontiguousarray(rgba[..., 3])
    return np.array(image.convert("RGB")), None


def write_image(path: PathLike, image: np.ndarray, alpha: Optional[np.ndarray] = None) -> None:
    """Write uint8 RGB[h, w, 3] (and alpha uint8[h, w]) in the format of `path`'s suffix, JPEG at quality 95.

    Raises: InputError if the file cannot be written; an older file of that name is then left as it was.
    """
    if alpha is not None:
        image = np.dstack([image, alpha])
    try:
        with atomic_write(path) as temporary:
            Image.fromarray(image).save(temporary, quality=95)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be written ({one_line(error)})") from None


def list_images(folder: PathLike, recursive: bool = False) -> List[Path]:
    """The image files of `folder` by name, hidden ones left out.

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
def _pixel_limit(max_pixels: Optional[int]):
    """Pillow only warns up to twice its limit: here the limit is the limit."""
    standard = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = max_pixels or standard
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = standard


def _eight_bits(image: Image.Image) -> Image.Image:
    """Scale 16-bit grey to 8 bits; Pillow's own conversion would clip it."""
    if not image.mode.startswith("I") and image.mode != "F":
        return image
    values = np.asarray(image, dtype=np.float64)
    full_scale = 65535.0 if image.mode.startswith("I") else 1.0
    return Image.fromarray(np.clip(values / full_scale * 255.0 + 0.5, 0, 255).astype(np.uint8))
