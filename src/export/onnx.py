"""An exported ONNX model: its file, its metadata, and the comparison with the checkpoint."""
from __future__ import annotations

from pathlib import Path
from typing import List

import numpy as np
from mindspore import Tensor

from ..errors import InputError, one_line
from ..files import atomic_write
from ..network.aecrnet import MULTIPLE, VALUE_RANGE, Dehaze
from ..runtime.onnx_graph import Size, build_graph
from ..runtime.onnx_runner import FORMAT, OnnxRunner

# after mindspore, because mindspore selects the protobuf implementation that its message classes need
import onnx  # isort: skip

OPSET = 19  # the first opset with DeformConv
IR_VERSION = 9  # the version of that opset, for runtimes of its time
CHECKED_SIZES = ((64, 48), (48, 80), (100, 76))  # sizes of the comparison if height and width are open
TOLERANCE = 1e-4  # largest difference between checkpoint and exported model, as a fraction of the value range
TOLERANCE_HALF = 1e-2


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


def write_onnx(net: Dehaze, path: Path, model: bytes, half: bool) -> List[str]:
    """Write `model`, read it again and compare it with `net` in onnxruntime. Then rename it to `path`.

    Returns: a line with the difference for each size.
    Raises: InputError above the tolerance, or if the file cannot be written.
    """
    try:
        with atomic_write(path) as temporary:
            temporary.write_bytes(model)
            return compare(net, OnnxRunner(path, model=temporary.read_bytes()), TOLERANCE_HALF if half else TOLERANCE)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or one_line(error)})") from None


def compare(net: Dehaze, runner: OnnxRunner, tolerance: float) -> List[str]:
    """The largest differences for seeded images of the model's size, or of three sizes if it is open."""
    lines = []
    for size in [runner.size] if runner.size else CHECKED_SIZES:
        x = np.random.default_rng(0).random((1, 3) + size, np.float32)
        white = VALUE_RANGE[net.arch]
        expected = np.clip(net(Tensor(x * white)).asnumpy() / white, 0, 1)
        difference = float(np.abs(runner(x) - expected).max())
        lines.append(f"loaded again, at {size[1]}x{size[0]}: largest difference to the checkpoint "
                     f"{difference:.1e} of the range")
        if not difference <= tolerance:
            raise InputError(f"{runner.path}: differs from the checkpoint by {difference:.1e} of the range, "
                             f"more than {tolerance}; nothing was written")
    return lines
