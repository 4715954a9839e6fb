"""The network of a checkpoint as the content of an ONNX file. It needs neither MindSpore nor the package `onnx`."""
from __future__ import annotations

from typing import Callable, Mapping

import numpy as np

from ..errors import InputError
from ..spec import MULTIPLE
from .onnx_graph import build_graph
from .onnx_nodes import Graph, Size, model_content
from .onnx_runner import FORMAT

OPSET = 19  # the first opset with DeformConv
IR_VERSION = 9  # the version of that opset, for runtimes of its time


def onnx_model(weights: Mapping[str, np.ndarray], arch: str, dcn_sampling: str, checkpoint_sha256: str,
               size: Size = None, dcn: str = "gather", half: bool = False,
               new_graph: Callable[..., Graph] = Graph) -> bytes:
    """The content of an ONNX file, see `build_graph`.

    Raises: InputError for "native" with the reference's sampling.
    """
    if dcn == "native" and dcn_sampling != "exact":
        raise InputError(f"--onnx_dcn native: cannot sample as this checkpoint does ({dcn_sampling}); "
                         "leave it at gather")
    dtype = np.dtype(np.float16 if half else np.float32)
    return model_content(build_graph(weights, arch, dcn_sampling, size, dcn, dtype, new_graph), OPSET, IR_VERSION, {
        "format": FORMAT, "arch": arch, "dcn_sampling": dcn_sampling, "range": "[0, 1]", "layout": "NCHW",
        "multiple_of": str(MULTIPLE), "onnx_dcn": dcn, "dtype": dtype.name, "checkpoint_sha256": checkpoint_sha256})
