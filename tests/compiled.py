"""Run a function and its gradients, compiled or eagerly, several times.

Some operators of MindSpore have gradients that are right in the first call of a compiled graph and wrong in all later
calls. The tests of gradients therefore call one compiled function several times.
"""
from __future__ import annotations

import contextlib
from typing import Callable, Iterator, Sequence

import mindspore
import numpy as np
import pytest
from mindspore import ParameterTuple, Tensor, nn

both_modes = pytest.mark.parametrize("mode", [mindspore.GRAPH_MODE, mindspore.PYNATIVE_MODE],
                                     ids=["graph", "pynative"])

# for tests whose graph takes long to compile
both_modes_slow_graph = pytest.mark.parametrize("mode", [
    pytest.param(mindspore.GRAPH_MODE, marks=pytest.mark.slow, id="graph"),
    pytest.param(mindspore.PYNATIVE_MODE, id="pynative")])


@contextlib.contextmanager
def running(mode: int) -> Iterator[None]:
    """Set MindSpore's mode inside the context."""
    before = mindspore.get_context("mode")
    mindspore.set_context(mode=mode)
    try:
        yield
    finally:
        mindspore.set_context(mode=before)


class Function(nn.Cell):
    """A function as a cell. Graph mode compiles cells and runs plain functions eagerly."""

    def __init__(self, function: Callable[..., Tensor]):
        super().__init__(auto_prefix=False)
        self.function = function

    def construct(self, *inputs):
        return self.function(*inputs)


class Gradients(nn.Cell):
    """The output of `forward`, and the gradients of sum(output * factor) by the inputs and by `weights`.

    construct(factor, *inputs) -> output, gradients by each input, gradients by each weight.
    """

    def __init__(self, forward: Callable[..., Tensor], inputs: int, weights: Sequence = ()):
        super().__init__(auto_prefix=False)
        self.forward = forward
        self.inputs, self.weights = inputs, ParameterTuple(weights)
        position = tuple(range(1, inputs + 1)) if inputs > 1 else inputs or None
        self.backward = mindspore.value_and_grad(self._sum, position, self.weights if weights else None,
                                                 has_aux=True)

    def _sum(self, factor, *inputs):
        out = self.forward(*inputs)
        return (out * factor).sum(), out

    def construct(self, factor, *inputs):
        (_, out), gradients = self.backward(factor, *inputs)
        by_inputs, by_weights = (), ()
        if self.inputs and len(self.weights):
            by_inputs, by_weights = gradients
        elif self.inputs:
            by_inputs = gradients
        else:
            by_weights = gradients
        if self.inputs == 1:
            by_inputs = (by_inputs,)
        return out, by_inputs, by_weights


def arrays(result):
    """Nested tensors -> nested numpy arrays."""
    if isinstance(result, (tuple, list)):
        return [arrays(item) for item in result]
    return result.asnumpy()


def difference(found: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference, as a fraction of the expected values' range."""
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max() / (expected.max() - expected.min()))
