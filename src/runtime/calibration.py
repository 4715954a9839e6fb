"""Measures the ranges of values that `--precision int8` needs. It needs onnxruntime and no MindSpore."""
from __future__ import annotations

import functools
from pathlib import Path
from typing import List

import numpy as np

from ..files import PathLike, sha256
from ..network.weights import load_weights
from .onnx_int8 import Ranges, RecordingGraph
from .onnx_model import onnx_model
from .padding import mirror_up, model_size

SHARE_OUTSIDE = 1e-5  # of the values at each end of a range; the rarest values are ten times as large as the others
SAMPLE = 61  # one value of so many is looked at


class Recorder:
    """A checkpoint on onnxruntime, as a `src.runtime.runner.Runner`, that notes values inside the network.

    Raises: InputError if the checkpoint cannot be read.
    """

    value_range, size = 1.0, None

    def __init__(self, checkpoint: PathLike):
        import onnxruntime

        self.path, self.description = Path(checkpoint), {"runtime": f"onnxruntime {onnxruntime.__version__}"}
        weights, facts = load_weights(checkpoint)
        made: List[RecordingGraph] = []
        model = onnx_model(weights, facts["arch"], facts.get("dcn_sampling", "exact"), sha256(checkpoint),
                           new_graph=functools.partial(_kept, made))
        settings = onnxruntime.SessionOptions()
        settings.log_severity_level = 3  # errors only, which are exceptions too
        self._session = onnxruntime.InferenceSession(model, settings, providers=["CPUExecutionProvider"])
        self._names = made[0].recorded
        self._values = {x: [] for passes in self._names.values() for x in passes}

    def expect(self, shape, calls: int) -> None:
        """Does nothing: the model needs no preparation."""

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """float32[n, 3, h, w] in 0..1 -> the same, restored and clipped."""
        h, w = x.shape[2:]
        restored, *values = self._session.run(["restored", *self._values],
                                              {"x": mirror_up(x, model_size((h, w), None, self.path))})
        for noted, value in zip(self._values.values(), values):
            noted.append(value.reshape(-1)[::SAMPLE].copy())
        return restored[:, :, :h, :w]

    def ranges(self) -> Ranges:
        """Lowest and highest value before each convolution in all calls, without the rarest."""
        def ends(x: str):
            low, high = np.quantile(np.concatenate(self._values[x]), [SHARE_OUTSIDE, 1 - SHARE_OUTSIDE])
            return float(low), float(high)

        return {name: [ends(x) for x in passes] for name, passes in self._names.items()}


def _kept(made, *arguments):
    made.append(RecordingGraph(*arguments))
    return made[0]
