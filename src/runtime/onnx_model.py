"""The network of a checkpoint as the content of an ONNX file."""
from __future__ import annotations

import numpy as np

from ..errors import InputError
from ..network.aecrnet import Dehaze
from ..spec import MULTIPLE
from .onnx_graph import Size, build_graph
from .onnx_runner import FORMAT

# after mindspore, because mindspore selects the protobuf implementation that its message classes need
import onnx  # isort: skip

OPSET = 19  # the first opset with DeformConv
IR_VERSION = 9  # the version of that opset, for runtimes of its time


def onnx_model(net: Dehaze, checkpoint_sha256: str, size: Size = None, dcn: str = "gather", half: bool = False
               ) -> bytes:
    """`net` in evaluation as the content of an ONNX file, see `build_graph`. `onnx` checks it.

    Raises: InputError for "native" with the reference's sampling.
    """
    if dcn == "native" and net.dcn_sampling != "exact":
        raise InputError(f"--onnx_dcn native: cannot sample as this checkpoint does ({net.dcn_sampling}); "
                         "leave it at gather")
    weights = {parameter.name: parameter.asnumpy() for parameter in net.get_parameters()}
    dtype = np.dtype(np.float16 if half else np.float32)
    model = onnx.helper.make_model(
        build_graph(weights, net.arch, net.dcn_sampling, size, dcn, dtype), producer_name="aecrnet",
        opset_imports=[onnx.helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.helper.set_model_props(model, {
        "format": FORMAT, "arch": net.arch, "dcn_sampling": net.dcn_sampling, "range": "[0, 1]", "layout": "NCHW",
        "multiple_of": str(MULTIPLE), "onnx_dcn": dcn, "dtype": dtype.name, "checkpoint_sha256": checkpoint_sha256})
    onnx.checker.check_model(model, full_check=True)  # with shape inference
    return model.SerializeToString()
