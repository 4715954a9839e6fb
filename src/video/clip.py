"""A readable video, and its frames as a player shows them."""
from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Deque, Iterator, List, Optional, Set

import numpy as np

from ..errors import InputError
from .colours import Colours
from .frames import Upright
from .media import decode, open_media
from .timing import Timing


@dataclass
class Clip:
    """A readable video. `width` and `height` are upright and even, as the codecs here need them."""

    path: Path
    stream: int  # index of the picture stream in the file
    filled: Set[int]  # indices of all streams that are not empty
    origin: Fraction  # time in the file that is 0 here, in seconds
    width: int
    height: int
    timing: Timing
    colours: Colours  # of the file
    upright: Upright  # makes the frames below from those of the file
    aspect: Optional[Fraction] = None  # width of a pixel / its height; None: square, or not stated
    notes: List[str] = field(default_factory=list)  # differences between the result and the file, one line each
    alpha: Optional[Deque[np.ndarray]] = None  # uint8[h, w] of the frames that are read and not yet written
    has_sound: bool = False  # the result has sound

    @property
    def times(self) -> List[Fraction]:
        """Of every frame, in seconds, strictly rising."""
        return self.timing.times

    @property
    def rate(self) -> Fraction:
        """Frames a second, the mean where the rate varies."""
        return self.timing.rate


def read_frames(clip: Clip) -> Iterator[np.ndarray]:
    """The frames as uint8 RGB[clip.height, clip.width, 3]: upright, an odd last row or column left out.

    The values are those of the file's own primaries and curve; HDR is converted to BT.709. The transparency of the
    frames, if the result keeps it, is appended to clip.alpha.
    """
    with open_media(clip.path) as container:
        images = clip.upright(decode(container, container.streams[clip.stream]))
        for _ in clip.times:
            image = next(images, None)
            if image is None:
                raise InputError(f"{clip.path}: changed while it was read")
            if clip.alpha is not None:
                clip.alpha.append(image[..., 3].copy())
            yield np.ascontiguousarray(image[..., :3])
