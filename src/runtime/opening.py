"""Opens the network of a file on the runtime that the user asks for. Imports no runtime before it is needed."""
from __future__ import annotations

import importlib.util
from pathlib import Path

from ..errors import InputError, UsageError
from ..files import PathLike, sha256
from ..spec import MINDSPORE
from .onnx_runner import OnnxRunner
from .runner import Runner


def check_runtime(path: Path, runtime: str, precision: str, device_target: str = "CPU", raw_weights: bool = False,
                  dcn_backend: str = "auto") -> None:
    """Find flags that do not fit together, before a runtime is imported.

    Args: `path` of a checkpoint or an ONNX file, flags as in configs/gitee.yaml.
    Raises: UsageError naming a flag, InputError naming a package that is not installed.
    """
    is_model = path.suffix.lower() == ".onnx"
    if precision != "float32" and runtime != "openvino":
        raise UsageError(f"--precision {precision}: needs --runtime openvino, not {runtime}")
    if runtime == MINDSPORE:
        if is_model:
            raise UsageError(f"--ckpt_path {path}: MindSpore reads no ONNX; add --runtime onnxruntime or openvino")
        return
    for flag, value, default in (("device_target", device_target, "CPU"), ("dcn_backend", dcn_backend, "auto")):
        if value != default:
            raise UsageError(f"--{flag} {value}: is for MindSpore; leave it out with --runtime {runtime}")
    if is_model and raw_weights:
        raise UsageError("--raw_weights: an exported model holds one set of weights; leave it out")
    needed = [runtime] if is_model else [runtime, "onnx"]
    missing = [package for package in needed if importlib.util.find_spec(package) is None]
    if missing:
        raise InputError(f"--runtime {runtime}: needs what is not installed; pip install {' '.join(missing)}")


def open_runner(path: Path, runtime: str, precision: str, device_target: str = "CPU", device_id: int = 0,
                raw_weights: bool = False, dcn_backend: str = "auto") -> Runner:
    """The network of a checkpoint or of an ONNX file, with options that `check_runtime` has accepted.

    Raises: InputError if the file, the device or the runtime cannot be used.
    """
    if runtime == MINDSPORE:
        from .mindspore_runner import CheckpointRunner

        return CheckpointRunner(path, device_target, device_id, raw_weights, dcn_backend)
    if path.suffix.lower() == ".onnx":
        return OnnxRunner(path, runtime, precision)
    from ..network.checkpoint import load_network
    from .onnx_model import onnx_model

    net, _ = load_network(path, raw_weights)
    return OnnxRunner(path, runtime, precision, onnx_model(net, sha256(path)))


def open_mindir(path: PathLike, device_target: str = "CPU", device_id: int = 0) -> Runner:
    """The network of an exported MINDIR. Raises: InputError if the model, its sidecar or the device cannot be used."""
    from .mindir_runner import MindirRunner

    return MindirRunner(path, device_target, device_id)
