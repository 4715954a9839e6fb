"""Fits images to an exported model, which takes one size, or all sizes in multiples of 4."""
from __future__ import annotations

from typing import Optional, Tuple

import numpy as np

from ..errors import InputError
from ..files import PathLike
from ..spec import align_up

Size = Tuple[int, int]  # height, width


def model_size(image: Size, fixed: Optional[Size], name: PathLike) -> Size:
    """The size to which an image is mirrored up for the model `name`. `fixed` is the size of a model of fixed size.

    Raises: InputError naming the model if the image is larger than `fixed`.
    """
    size = fixed or (align_up(image[0]), align_up(image[1]))
    if image[0] > size[0] or image[1] > size[1]:
        raise InputError(f"{name}: takes images up to {size[1]}x{size[0]}, not {image[1]}x{image[0]}; "
                         "export with --dynamic")
    return size


def mirror_up(x: np.ndarray, size: Size) -> np.ndarray:
    """Enlarge [n, c, h, w] to `size` by reflection at the lower and right edge, repeatedly if the image is small."""
    return np.pad(x, ((0, 0), (0, 0), (0, size[0] - x.shape[2]), (0, size[1] - x.shape[3])), mode="reflect")
