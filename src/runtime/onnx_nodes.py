"""Nodes and constants of an ONNX graph, collected one after another."""
from __future__ import annotations

from typing import Any, Dict, List, Mapping, Sequence, Tuple, Union

import mindspore  # noqa: F401  before onnx: it selects the protobuf implementation
import numpy as np
from onnx import TensorProto, helper, numpy_helper

Value = Union[str, np.ndarray, np.generic]  # the name of a value in the graph, or a constant


class Graph:
    """The nodes and constants of a growing graph. A call with an operator and its inputs adds a node.

    The call returns the names of the outputs.

    Attributes: weights, the parameters of the network by name; dtype, the type of constants and computations.
    """

    def __init__(self, weights: Mapping[str, np.ndarray], dtype: np.dtype):
        self.weights, self.dtype = weights, dtype
        self.nodes: List[Any] = []
        self.constants: Dict[Tuple[str, Sequence[int], bytes], TensorProto] = {}

    def __call__(self, operator: str, *inputs: Value, outputs: int = 1, **attributes: Any) -> Any:
        names = [value if isinstance(value, str) else self._constant(value) for value in inputs]
        results = [f"{operator}_{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(operator, names, results, **attributes))
        return results[0] if outputs == 1 else results

    def cast(self, x: str, dtype: np.dtype) -> str:
        return self("Cast", x, to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def conv(self, x: str, name: str, padding: int = 0, stride: int = 1) -> str:
        """The convolution with the parameters NAME.weight and, if it exists, NAME.bias."""
        parameters = [self.weights[key] for key in (f"{name}.weight", f"{name}.bias") if key in self.weights]
        return self("Conv", x, *parameters, pads=[padding] * 4, strides=[stride] * 2)

    def upsample(self, x: str, name: str, output_padding: int) -> str:
        """As `src.network.layers.upsample`, whose far_padding is 1 - output_padding."""
        return self("ConvTranspose", x, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"], strides=[2, 2],
                    pads=[1] * 4, output_padding=[output_padding] * 2)

    def pad(self, x: str, before: int, after: int, mode: str) -> str:
        """Add rows and columns before and after those of [n, c, h, w]."""
        return self("Pad", x, np.array([0, 0, before, before, 0, 0, after, after]), mode=mode)

    def _constant(self, value: np.ndarray) -> str:
        """The name of a constant. The file holds equal constants once, such as those of the shared block."""
        value = np.asarray(value, self.dtype if value.dtype.kind == "f" else value.dtype, order="C")
        key = value.dtype.str, value.shape, value.tobytes()
        if key not in self.constants:
            self.constants[key] = numpy_helper.from_array(value, f"constant_{len(self.constants)}")
        return self.constants[key].name
