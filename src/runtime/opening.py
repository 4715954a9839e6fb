"""Opens the network of a file on the runtime that the user asks for. Imports no runtime before it is needed."""
from __future__ import annotations

import functools
import importlib
import importlib.util
import os
import sys
from pathlib import Path
from typing import List, NamedTuple

from ..errors import InputError, UsageError, one_line
from ..files import PathLike, sha256
from ..network.weights import load_weights
from ..packages import missing
from ..spec import FASTEST, INT8, MINDSPORE, RUNTIMES
from .onnx_int8 import Int8Graph, read_ranges
from .onnx_model import onnx_model
from .onnx_nodes import Graph
from .onnx_runner import OnnxRunner, import_runtime
from .runner import Runner


class NetworkChoice(NamedTuple):
    """A checkpoint or an ONNX file, and how to run it. The values are those of the flags in configs/gitee.yaml."""

    path: Path
    device_target: str = "CPU"
    device_id: int = 0
    raw_weights: bool = False
    dcn_backend: str = "auto"
    runtime: str = FASTEST
    precision: str = "float32"

    def check(self) -> NetworkChoice:
        """Find values that do not fit together, before a runtime computes.

        Returns: the same with a runtime in place of "auto", the fastest that is installed and does what is asked for.
        Raises: UsageError naming a flag, InputError naming a package that is not installed.
        """
        if self.runtime == FASTEST:
            return self._replace(runtime=self._fastest()).check()
        if self.precision != "float32" and self.runtime != "openvino":
            raise UsageError(f"--precision {self.precision}: needs --runtime openvino, not {self.runtime}")
        if self.runtime == MINDSPORE and self._is_onnx():
            raise UsageError(f"--ckpt_path {self.path}: MindSpore reads no ONNX; add --runtime onnxruntime or openvino")
        for flag in self._for_mindspore() if self.runtime != MINDSPORE else ():
            raise UsageError(f"--{flag} {getattr(self, flag)}: is for MindSpore; "
                             f"leave it out with --runtime {self.runtime}")
        if self._is_onnx() and self.raw_weights:
            raise UsageError("--raw_weights: an exported model holds one set of weights; leave it out")
        if self.precision == INT8:
            self._check_int8()
        if not _is_installed(self.runtime):
            raise InputError(f"--runtime {self.runtime}: {missing(self.runtime)}")
        return self

    def open(self) -> Runner:
        """The network, after `check`.

        Raises: InputError if the file, the device or the runtime cannot be used, or after a fork: the threads that a
            runtime has started do not live in the new process, and its first call would wait for them for ever.
        """
        if _process_of(self.runtime) != os.getpid():
            raise InputError(f"--runtime {self.runtime}: was started before the process forked; start processes by "
                             "spawn, or make the first Dehazer after the fork")
        if self.runtime == MINDSPORE:
            from .mindspore_runner import CheckpointRunner

            return CheckpointRunner(self.path, self.device_target, self.device_id, self.raw_weights, self.dcn_backend)
        if self._is_onnx():
            return OnnxRunner(self.path, self.runtime, self.precision)
        weights, description = load_weights(self.path, self.raw_weights)
        new_graph = functools.partial(Int8Graph, ranges=read_ranges(self.path)) if self.precision == INT8 else Graph
        model = onnx_model(weights, description["arch"], description.get("dcn_sampling", "exact"), sha256(self.path),
                           new_graph=new_graph)
        return OnnxRunner(self.path, self.runtime, self.precision, model)

    def _check_int8(self) -> None:
        if self._is_onnx():
            raise UsageError(f"--precision {INT8}: needs a checkpoint, not the ONNX file {self.path}")
        if self.raw_weights:
            raise UsageError(f"--raw_weights: does not go with --precision {INT8}; leave it out")
        read_ranges(self.path)

    def _fastest(self) -> str:
        """The first runtime that starts. MindSpore, which takes seconds to start and reads no ONNX, is the last one."""
        if self._for_mindspore():
            return MINDSPORE
        if self.precision != "float32":
            return "openvino"
        for runtime in RUNTIMES:
            if _is_installed(runtime) and (_starts(runtime) if runtime != MINDSPORE else not self._is_onnx()):
                return runtime
        raise InputError(f"--runtime auto: {missing('onnxruntime')}")

    def _for_mindspore(self) -> List[str]:
        """The flags that are set and that MindSpore alone obeys."""
        return [flag for flag in ("device_target", "dcn_backend") if getattr(self, flag) != self._field_defaults[flag]]

    def _is_onnx(self) -> bool:
        return self.path.suffix.lower() == ".onnx"


@functools.cache
def _process_of(runtime: str) -> int:
    """The process that opened the first network of `runtime`. A forked child keeps the answer of its parent."""
    return os.getpid()


def _is_installed(runtime: str) -> bool:
    return importlib.util.find_spec(runtime) is not None


def _starts(runtime: str) -> bool:
    try:
        import_runtime(runtime)
    except (ImportError, OSError) as error:  # a library of the system is missing, or is too old
        print(f"warning: {runtime} is installed but cannot start ({one_line(error)[:200]}); install it anew",
              file=sys.stderr)
        return False
    return True


def open_mindir(path: PathLike, device_target: str = "CPU", device_id: int = 0) -> Runner:
    """The network of an exported MINDIR. Raises: InputError if the model, its sidecar or the device cannot be used."""
    from .mindir_runner import MindirRunner

    return MindirRunner(path, device_target, device_id)
