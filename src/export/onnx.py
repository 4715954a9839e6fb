"""Writes an ONNX model, if it equals the checkpoint."""
from __future__ import annotations

from pathlib import Path
from typing import List

from ..errors import InputError, one_line
from ..files import atomic_write
from ..network.aecrnet import Dehaze
from ..runtime.onnx_model import onnx_model
from ..runtime.onnx_nodes import Size
from ..runtime.onnx_runner import OnnxRunner
from ..spec import TOLERANCE, TOLERANCE_HALF
from .comparison import compare

# after mindspore, because mindspore selects the protobuf implementation that its message classes need
import onnx  # isort: skip


def checked_model(net: Dehaze, checkpoint_sha256: str, size: Size = None, dcn: str = "gather", half: bool = False
                  ) -> bytes:
    """`net` in evaluation as the content of an ONNX file, see `onnx_model`. The package `onnx` has checked it."""
    weights = {parameter.name: parameter.asnumpy() for parameter in net.get_parameters()}
    model = onnx_model(weights, net.arch, net.dcn_sampling, checkpoint_sha256, size, dcn, half)
    onnx.checker.check_model(model, full_check=True)  # with shape inference
    return model


def write_onnx(net: Dehaze, path: Path, model: bytes, half: bool) -> List[str]:
    """Write `model`, read it again and compare it with `net` in onnxruntime. Then rename it to `path`.

    Returns: a line with the difference for each size.
    Raises: InputError above the tolerance, or if the file cannot be written.
    """
    try:
        with atomic_write(path) as temporary:
            temporary.write_bytes(model)
            return compare(net, OnnxRunner(path, model=temporary.read_bytes()), TOLERANCE_HALF if half else TOLERANCE)
    except InputError as error:
        raise InputError(f"{error}; nothing was written") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or one_line(error)})") from None
