"""Nodes and constants of an ONNX graph, collected one after another, and the bytes of an ONNX file.

The numbers are those of ONNX's onnx.proto. The package `onnx` is not needed to write a file.
The tests and export.py use it to check what is written.
"""
from __future__ import annotations

from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np

from ..protobuf import field

# numpy type -> ONNX's number of the type
TYPES = {np.dtype(np.float32): 1, np.dtype(np.uint8): 2, np.dtype(np.int8): 3, np.dtype(np.int32): 6,
         np.dtype(np.int64): 7, np.dtype(np.float16): 10}
INT, STRING, INTS = 2, 3, 7  # ONNX's numbers of the types of attributes

Value = Union[str, np.ndarray, np.generic]  # the name of a value in the graph, or a constant
Side = Union[int, str]  # a size, or the name of an open one
Size = Optional[Tuple[int, int]]  # height and width; None where they are open

# operators that constants go through while the graph is built; of integers, none of which is below 0
FOLDED = {"Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": np.floor_divide, "Range": np.arange,
          "Reshape": np.reshape, "Gather": np.take, "Concat": lambda *parts, axis: np.concatenate(parts, axis)}


class Node(NamedTuple):
    """An operator with the names of its inputs and outputs. Attributes are int, str or lists of int."""

    operator: str
    inputs: List[str]
    outputs: List[str]
    attributes: Dict[str, Any]


class Graph:
    """The nodes and constants of a growing graph. A call with an operator and its inputs adds a node.

    The call returns the names of the outputs. Where all inputs are constants, it adds nothing and returns a constant.

    Attributes: weights, the parameters of the network by name; dtype, the type of constants and computations.
    """

    def __init__(self, weights: Mapping[str, np.ndarray], dtype: np.dtype):
        self.weights, self.dtype = weights, dtype
        self.nodes: List[Node] = []
        self._constants: Dict[Tuple[str, Sequence[int], bytes], str] = {}

    def __call__(self, operator: str, *inputs: Value, outputs: int = 1, **attributes: Any) -> Any:
        if operator in FOLDED and not any(isinstance(value, str) for value in inputs):
            return FOLDED[operator](*inputs, **attributes)
        names = [value if isinstance(value, str) else self._constant(value) for value in inputs]
        results = [f"{operator}_{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(Node(operator, names, results, attributes))
        return results[0] if outputs == 1 else results

    def cast(self, x: Value, dtype: np.dtype) -> Value:
        if not isinstance(x, str):
            return x.astype(dtype)
        return self("Cast", x, to=TYPES[np.dtype(dtype)])

    def conv(self, x: str, name: str, padding: int = 0, stride: int = 1) -> str:
        """The convolution with the parameters NAME.weight and, if it exists, NAME.bias."""
        parameters = [self.weights[key] for key in (f"{name}.weight", f"{name}.bias") if key in self.weights]
        return self.conv_of(x, *parameters, padding=padding, stride=stride)

    def conv_of(self, x: str, weight: np.ndarray, *bias: np.ndarray, padding: int = 0, stride: int = 1) -> str:
        """A convolution. OpenCV needs the shape of the kernel, which others take from the weight."""
        return self("Conv", x, weight, *bias, kernel_shape=weight.shape[2:], pads=[padding] * 4, strides=[stride] * 2)

    def upsample(self, x: str, name: str, output_padding: int) -> str:
        """As `src.network.layers.upsample`, whose far_padding is 1 - output_padding."""
        weight = self.weights[f"{name}.weight"]
        return self("ConvTranspose", x, weight, self.weights[f"{name}.bias"], kernel_shape=weight.shape[2:],
                    strides=[2, 2], pads=[1] * 4, output_padding=[output_padding] * 2)

    def pad(self, x: str, before: int, after: int, mode: str) -> str:
        """Add rows and columns before and after those of [n, c, h, w]."""
        return self("Pad", x, np.array([0, 0, before, before, 0, 0, after, after]), mode=mode)

    def content(self, name: str, inputs: Mapping[str, Sequence[Side]], outputs: Mapping[str, Sequence[Side]]) -> bytes:
        """The bytes of ONNX's GraphProto. `inputs` and `outputs`: name -> shape of float32."""
        return b"".join([
            *(field(1, _node(node)) for node in self.nodes), field(2, name),
            *(field(5, _tensor(constant, *value)) for value, constant in self._constants.items()),
            *(field(11, _end(*end)) for end in inputs.items()), *(field(12, _end(*end)) for end in outputs.items())])

    def _constant(self, value: np.ndarray) -> str:
        """The name of a constant. The file holds equal constants once, such as those of the shared block."""
        value = np.asarray(value, self.dtype if value.dtype.kind == "f" else value.dtype, order="C")
        key = value.dtype.str, value.shape, value.tobytes()
        return self._constants.setdefault(key, f"constant_{len(self._constants)}")


def model_content(graph: bytes, opset: int, ir_version: int, metadata: Optional[Mapping[str, str]] = None) -> bytes:
    """The bytes of an ONNX file (ModelProto) with the graph of `Graph.content`."""
    facts = (field(14, field(1, key) + field(2, value)) for key, value in (metadata or {}).items())
    operators = field(1, "") + field(2, opset)
    return b"".join([field(1, ir_version), field(2, "aecrnet"), field(7, graph), field(8, operators), *facts])


def _node(node: Node) -> bytes:
    return b"".join([*(field(1, name) for name in node.inputs), *(field(2, name) for name in node.outputs),
                     field(3, node.outputs[0]),  # its own name; onnxruntime 1.19 mixes up nodes without
                     field(4, node.operator), *(field(5, _attribute(*item)) for item in node.attributes.items())])


def _attribute(name: str, value: Union[int, str, Sequence[int]]) -> bytes:
    if isinstance(value, int):
        return field(1, name) + field(3, value) + field(20, INT)
    if isinstance(value, str):
        return field(1, name) + field(4, value) + field(20, STRING)
    return field(1, name) + b"".join(field(8, int(one)) for one in value) + field(20, INTS)


def _tensor(name: str, dtype: str, shape: Sequence[int], content: bytes) -> bytes:
    sizes = (field(1, size) for size in shape)
    return b"".join([*sizes, field(2, TYPES[np.dtype(dtype)]), field(8, name), field(9, content)])


def _end(name: str, shape: Sequence[Side]) -> bytes:
    """An input or output of the graph (ValueInfoProto)."""
    sides = (field(1, field(1 if isinstance(side, int) else 2, side)) for side in shape)
    tensor = field(1, TYPES[np.dtype(np.float32)]) + field(2, b"".join(sides))
    return field(1, name) + field(2, field(1, tensor))
