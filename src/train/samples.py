"""Pictures of a validation: hazy | restored | clear, a row for each of some fixed photos."""
from __future__ import annotations

import io
from typing import List, Sequence

import numpy as np
from PIL import Image

ROWS = 4  # photos
WIDTH = 320  # pixels of each picture, at most
GAP = 4  # pixels between the pictures
QUALITY = 90  # of the JPEG


def row(hazy: np.ndarray, restored: np.ndarray, clear: np.ndarray) -> np.ndarray:
    """The three pictures side by side. uint8 RGB[h, w, 3] of one shape -> uint8[h', w', 3]."""
    height, width = hazy.shape[:2]
    size = min(WIDTH, width), max(1, round(height * min(WIDTH, width) / width))
    return _joined([np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))
                    for image in (hazy, restored, clear)], axis=1)


def grid(rows: Sequence[np.ndarray]) -> np.ndarray:
    """The rows under each other, with white beside the narrower ones."""
    widest = max(one.shape[1] for one in rows)
    return _joined([np.pad(one, ((0, 0), (0, widest - one.shape[1]), (0, 0)), constant_values=255) for one in rows],
                   axis=0)


def jpeg(image: np.ndarray) -> bytes:
    """The bytes of a JPEG file."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=QUALITY)
    return file.getvalue()


def _joined(images: List[np.ndarray], axis: int) -> np.ndarray:
    shape = list(images[0].shape)
    shape[axis] = GAP
    white = np.full(shape, 255, np.uint8)
    return np.concatenate([part for image in images for part in (image, white)][:-1], axis=axis)
