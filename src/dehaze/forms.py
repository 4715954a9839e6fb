"""The forms in which a program holds an image: RGB, RGBA and grey arrays, and PIL images."""
from __future__ import annotations

from typing import Any, Callable, Tuple

import numpy as np
from PIL import Image

from ..data.photo import Photo
from ..data.reading import photo_of
from ..data.writing import as_pil, luma

Back = Callable[[np.ndarray], Any]  # restored RGB[h, w, 3] -> an image of the form that was given


def as_rgb(image: Any) -> Tuple[np.ndarray, Back]:
    """An array or a PIL image -> RGB[h, w, 3], and what turns the restored RGB into the same form again.

    Args:
        image: uint8 or uint16 RGB[h, w, 3], RGBA[h, w, 4] or grey [h, w] or [h, w, 1], or a PIL image of any mode.

    Raises: ValueError for an array of another shape or type.
    """
    if isinstance(image, Image.Image):
        photo = photo_of(image)
        return photo.rgb, lambda restored: _as_pil(photo._replace(rgb=restored))
    samples = {2: 1, 3: image.shape[-1]}.get(image.ndim)
    if image.dtype not in (np.uint8, np.uint16) or samples not in (1, 3, 4):
        raise ValueError("image must be uint8 or uint16 of shape [h, w, 3], [h, w, 4] or [h, w], "
                         f"found {image.dtype}{list(image.shape)}")
    if samples == 3:
        return image, lambda restored: restored
    if samples == 4:
        return np.ascontiguousarray(image[..., :3]), lambda restored: np.dstack([restored, image[..., 3]])
    rgb = np.repeat(image.reshape(*image.shape[:2], 1), 3, axis=-1)
    return rgb, lambda restored: luma(restored).reshape(image.shape)


def _as_pil(photo: Photo) -> Image.Image:
    image = as_pil(photo)
    if photo.icc_profile:
        image.info["icc_profile"] = photo.icc_profile
    return image
