"""What a network is to the code around it, on whatever runtime it runs."""
from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Optional, Protocol, Tuple

import numpy as np


class Runner(Protocol):
    """A network in evaluation as a function of numpy arrays.

    Attributes:
        path: the file that holds the network.
        description: facts about the network by name: arch, dcn_sampling, ...
        value_range: the value of white in the input and the output. Black is 0.
        size: height and width of the input if the network takes one size alone. None: it takes all sizes from 16 on.

    A network whose trunk can be measured has also `probe(x)`: float32[1, 3, h, w] in 0..value_range ->
    `src.network.health.Probed`.
    """

    path: Path
    description: Dict[str, Any]
    value_range: float
    size: Optional[Tuple[int, int]]

    def expect(self, shape: Tuple[int, ...], calls: int) -> None:
        """Learn that `calls` calls with arrays of `shape` (n, 3, h, w) follow. A runner may prepare for them."""

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Hazy images, float32[n, 3, h, w] in 0..value_range -> restored images of the same shape and range.

        The result may leave the range; whoever makes pixels of it clips. h and w need not be multiples of 4.

        Raises: InputError if an image is larger than `size`, or if the runtime fails.
        """
