"""Opens the network of a file on the runtime that the user asks for. Imports no runtime before it is needed."""
from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import NamedTuple

from ..errors import InputError, UsageError
from ..files import PathLike, sha256
from ..spec import MINDSPORE
from .onnx_runner import OnnxRunner
from .runner import Runner


class NetworkChoice(NamedTuple):
    """A checkpoint or an ONNX file, and how to run it. The values are those of the flags in configs/gitee.yaml."""

    path: Path
    device_target: str = "CPU"
    device_id: int = 0
    raw_weights: bool = False
    dcn_backend: str = "auto"
    runtime: str = MINDSPORE
    precision: str = "float32"

    def check(self) -> None:
        """Find values that do not fit together, before a runtime is imported.

        Raises: UsageError naming a flag, InputError naming a package that is not installed.
        """
        if self.precision != "float32" and self.runtime != "openvino":
            raise UsageError(f"--precision {self.precision}: needs --runtime openvino, not {self.runtime}")
        if self.runtime == MINDSPORE:
            if self._is_onnx():
                raise UsageError(f"--ckpt_path {self.path}: MindSpore reads no ONNX; "
                                 "add --runtime onnxruntime or openvino")
            return
        for flag in ("device_target", "dcn_backend"):
            if getattr(self, flag) != self._field_defaults[flag]:
                raise UsageError(f"--{flag} {getattr(self, flag)}: is for MindSpore; "
                                 f"leave it out with --runtime {self.runtime}")
        if self._is_onnx() and self.raw_weights:
            raise UsageError("--raw_weights: an exported model holds one set of weights; leave it out")
        needed = [self.runtime] if self._is_onnx() else [self.runtime, "onnx"]
        missing = [package for package in needed if importlib.util.find_spec(package) is None]
        if missing:
            raise InputError(f"--runtime {self.runtime}: needs what is not installed; pip install {' '.join(missing)}")

    def open(self) -> Runner:
        """The network, after `check`. Raises: InputError if the file, the device or the runtime cannot be used."""
        if self.runtime == MINDSPORE:
            from .mindspore_runner import CheckpointRunner

            return CheckpointRunner(self.path, self.device_target, self.device_id, self.raw_weights, self.dcn_backend)
        if self._is_onnx():
            return OnnxRunner(self.path, self.runtime, self.precision)
        from ..network.checkpoint import load_network
        from .onnx_model import onnx_model

        net, _ = load_network(self.path, self.raw_weights)
        return OnnxRunner(self.path, self.runtime, self.precision, onnx_model(net, sha256(self.path)))

    def _is_onnx(self) -> bool:
        return self.path.suffix.lower() == ".onnx"


def open_mindir(path: PathLike, device_target: str = "CPU", device_id: int = 0) -> Runner:
    """The network of an exported MINDIR. Raises: InputError if the model, its sidecar or the device cannot be used."""
    from .mindir_runner import MindirRunner

    return MindirRunner(path, device_target, device_id)
