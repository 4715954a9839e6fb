"""Hazy and clear photos that every installation has. scikit-image's wheel contains five photos, which get haze here.

The motorcycle has a measured stereo disparity, so its haze follows the true depth. The haze of the others follows the
smooth invented depth of `haze.synthetic_depth`: good enough for a first look, but not for a comparison of methods.
"""
from __future__ import annotations

from pathlib import Path
from typing import List, Tuple

import numpy as np

from ..files import PathLike
from .haze import add_haze, disparity_to_depth, synthetic_depth, transmission
from .images import size_of, write_image

# name: (airlight A, scattering coefficient beta, seed of the invented depth)
DEMO_HAZE = {
    "motorcycle": (0.90, 1.4, 0),
    "astronaut": (0.85, 1.0, 1),
    "coffee": (0.80, 1.2, 2),
    "chelsea": (0.95, 0.9, 3),
    "rocket": (0.90, 1.1, 4),
}
# camera of the stereo pair at a quarter of its size, from scikit-image's documentation, in pixels, mm, pixels
MOTORCYCLE_CAMERA = {"focal_length": 994.978, "baseline": 193.001, "principal_offset": 31.086}

DemoPair = Tuple[str, np.ndarray, np.ndarray]  # name, hazy, clear


def demo_pairs() -> List[DemoPair]:
    """The five demo photos as (name, hazy, clear), both uint8 RGB[h, w, 3]. The haze is always the same (`DEMO_HAZE`).

    The function needs neither a download nor the package pooch: the photos are inside scikit-image's wheel.
    """
    return [_demo_pair(name, *haze) for name, haze in DEMO_HAZE.items()]


def write_demo_set(folder: PathLike) -> Path:
    """Write the demo photos as `folder`/hazy/NAME.png and `folder`/clear/NAME.png (layout `Pairs`).

    Returns: the folder. Raises: InputError if a file cannot be written.
    """
    folder = Path(folder)
    for name, hazy, clear in demo_pairs():
        for kind, image in (("hazy", hazy), ("clear", clear)):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            write_image(folder / kind / f"{name}.png", image)
    return folder


def _demo_pair(name: str, airlight: float, beta: float, seed: int) -> DemoPair:
    from skimage import data  # slow to import

    if name == "motorcycle":
        clear, _, disparity = data.stereo_motorcycle()  # type: ignore[no-untyped-call]
        depth = disparity_to_depth(disparity, **MOTORCYCLE_CAMERA)
        through = transmission(depth, beta)
    else:
        clear = getattr(data, name)()
        through = transmission(synthetic_depth(*size_of(clear), np.random.default_rng(seed)), beta, max_depth=1.0)
    return name, add_haze(clear, through, airlight), clear
