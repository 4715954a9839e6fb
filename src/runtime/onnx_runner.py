"""The network as an ONNX model on onnxruntime or OpenVINO, as a function of numpy arrays.

It needs neither MindSpore nor the package `onnx`.
"""
from __future__ import annotations

import functools
import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, Callable, Dict, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ..errors import InputError, one_line
from ..files import PathLike, mistaken_download
from ..spec import INT8
from .onnx_graph import BATCH_NAME
from .padding import mirror_up, model_size

FORMAT = "1"  # format of the metadata
FACTS = ("arch", "dcn_sampling", "checkpoint_sha256", "onnx_dcn", "dtype")
# devices of onnxruntime, best first; a wheel has some of them
PROVIDERS = {"CUDAExecutionProvider": "CUDA", "CoreMLExecutionProvider": "CoreML", "DmlExecutionProvider": "DirectML",
             "CPUExecutionProvider": "CPU"}
TELEMETRY = "openvino_telemetry"
SHAPES = 8  # of images, whose compiled models OpenVINO keeps: four ratios of sides, upright and wide
SMALL = 100_000  # pixels of an image, up to which OpenVINO takes the model of open sides


class _Opened(NamedTuple):
    """A model in its runtime."""

    run: Callable[[np.ndarray], np.ndarray]
    metadata: Dict[str, str]
    shape: Sequence[Any]  # shape of the input; a side that is no int is open
    device: str


class OnnxRunner:
    """An ONNX model on a runtime, as a `src.runtime.runner.Runner`. It takes and gives values in 0..1, clipped.

    Args:
        path: the file, or a name for `model`.
        runtime: "onnxruntime" or "openvino".
        precision: type of the computations, "float32" or (OpenVINO only) "bfloat16" or "int8". The last is for a
            `model` of `Int8Graph`, of which it computes the rest in bfloat16 if the processor has it.
        model: content of the file; None: read the file.

    Raises: InputError if the runtime is not installed or does not start, or if the file is no model of export.py.
    """

    value_range = 1.0

    def __init__(self, path: PathLike, runtime: str = "onnxruntime", precision: str = "float32",
                 model: Optional[bytes] = None):
        self.path = Path(path)
        if model is None:
            if not self.path.is_file():
                raise InputError(f"{self.path}: no such model")
            model = self.path.read_bytes()
            if mistake := mistaken_download(model):
                raise InputError(f"{self.path}: {mistake}")
        library = _imported(runtime)
        opened = _on_openvino(library, self.path, model, precision) if runtime == "openvino" else \
            _on_onnxruntime(library, self.path, model)
        if opened.metadata.get("format") != FORMAT or not set(FACTS) <= set(opened.metadata):
            raise InputError(f"{self.path}: not a model that this export.py wrote (its metadata lack format {FORMAT}); "
                             "write it with export.py --file_format ONNX")
        self._run = opened.run
        self.description = {**{key: opened.metadata[key] for key in FACTS},
                            "runtime": f"{runtime} {_version(library)} on {opened.device}"}
        sides = tuple(opened.shape[2:])
        self.size: Optional[Tuple[int, int]] = sides if all(isinstance(side, int) for side in sides) else None

    def expect(self, shape, calls: int) -> None:
        """Does nothing: the model needs no preparation."""

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Hazy images, float32[n, 3, h, w] in 0..1 -> restored images of the same shape, clipped.

        Raises: InputError if an image is larger than a model of fixed size, or if the runtime fails.
        """
        return np.concatenate([self._one(image[None]) for image in x])

    def _one(self, x):
        h, w = x.shape[2:]
        size = model_size((h, w), self.size, self.path)
        try:
            out = self._run(mirror_up(x, size))
        except Exception as error:  # exceptions of the runtimes, which have no other common base
            raise InputError(f"{self.path}: {self.description['runtime']} fails at {size[1]}x{size[0]} "
                             f"({one_line(error)[:200]}); a smaller --tile needs less memory") from None
        return out[:, :, :h, :w]


def import_runtime(runtime: str) -> ModuleType:
    """The package of a runtime. OpenVINO's reports each import to its makers; without openvino_telemetry it cannot."""
    if runtime != "openvino" or runtime in sys.modules:
        return importlib.import_module(runtime)
    absent = object()
    kept = sys.modules.get(TELEMETRY, absent)
    sys.modules[TELEMETRY] = None  # type: ignore[assignment]  # makes its import fail
    try:
        return importlib.import_module(runtime)
    finally:
        del sys.modules[TELEMETRY]
        if kept is not absent:
            sys.modules[TELEMETRY] = kept


def _imported(runtime):
    try:
        return import_runtime(runtime)
    except (ImportError, OSError) as error:
        raise InputError(f"--runtime {runtime}: cannot start ({one_line(error)[:200]}); install it anew") from None


def _on_onnxruntime(onnxruntime, path, model) -> _Opened:
    providers = [provider for provider in PROVIDERS if provider in onnxruntime.get_available_providers()]
    settings = onnxruntime.SessionOptions()
    settings.enable_mem_pattern = False  # it holds the memory twice: 1.1 GB in place of 0.6 at 480x640
    settings.log_severity_level = 3  # errors only, which are exceptions too
    settings.add_free_dimension_override_by_name(BATCH_NAME, 1)  # images go one by one
    try:
        session = onnxruntime.InferenceSession(model, settings, providers=providers)
        taken = session.get_inputs()[0]
    except Exception as error:
        raise _refused(path, model, f"onnxruntime {_version(onnxruntime)}", error) from None
    return _Opened(lambda x: session.run(None, {taken.name: x})[0], session.get_modelmeta().custom_metadata_map,
                   taken.shape, PROVIDERS[session.get_providers()[0]])


@functools.cache
def _core(openvino):
    """One for the process: after several were made and freed, OpenVINO 2026.4 crashes at the next signal."""
    return openvino.Core()


def _on_openvino(openvino, path, model, precision) -> _Opened:
    core = _core(openvino)
    name = _fastest_float(core) if precision == INT8 else {"float32": "f32", "bfloat16": "bf16"}[precision]
    try:
        network = core.read_model(model)
        shape = [side.get_length() if side.is_static else None for side in network.input(0).get_partial_shape()]
        if None not in shape[1:]:
            network.reshape([1, *shape[1:]])  # images go one by one, and a graph without open sizes is faster
        # always set, because OpenVINO's default is bfloat16 if the processor has it
        settings = {"INFERENCE_PRECISION_HINT": name, "PERFORMANCE_HINT": "LATENCY"}
        compiled = core.compile_model(network, "CPU", settings)
        metadata = network.get_rt_info(["framework"]).value if network.has_rt_info(["framework"]) else {}
    except Exception as error:
        raise _refused(path, model, f"OpenVINO {_version(openvino)}", error) from None
    if compiled.get_property("INFERENCE_PRECISION_HINT").to_string() != name:
        raise InputError(f"--precision {precision}: this processor cannot compute in it; give int8 or float32")
    rest = {"f32": " and float32", "bf16": " and bfloat16"}[name] if precision == INT8 else ""
    run = _ByShape(core, network, settings, compiled) if None in shape[1:] else _Compiled(compiled)
    return _Opened(run, metadata, shape, f"CPU in {precision}{rest}")


class _Compiled:
    """A compiled model as a function."""

    def __init__(self, model) -> None:
        self._model, self._request = model, model.create_infer_request()

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return self._request.infer({0: x})[0]

    def release(self) -> None:
        """Frees the memory of the layers. The next call takes it again."""
        self._model.release_memory()


class _ByShape:
    """OpenVINO's model of open sides, compiled anew for each shape of large images. Only the last one used has memory.

    With open sides, layers share no memory: 964 MB in place of 397 for an image of 512x384 in float32. To compile takes
    0.3 s, in int8 0.5 s. So small images, which need less of both, take the model as it is. The models of the last
    SHAPES shapes are kept.
    """

    def __init__(self, core, network, settings, compiled) -> None:
        self._core, self._network, self._settings = core, network, settings
        self._open = self._last = _Compiled(compiled)
        self._by_shape: Dict[Tuple[int, ...], _Compiled] = {}  # the one last used is last

    def __call__(self, x: np.ndarray) -> np.ndarray:
        function = self._open if x.shape[2] * x.shape[3] <= SMALL else self._of(x.shape)
        if function is not self._last:
            self._last.release()
            self._last = function
        return function(x)

    def _of(self, shape):
        function = self._by_shape.pop(shape, None)
        if function is None:
            if len(self._by_shape) == SHAPES:
                del self._by_shape[next(iter(self._by_shape))]
            self._network.reshape(list(shape))
            function = _Compiled(self._core.compile_model(self._network, "CPU", self._settings))
        self._by_shape[shape] = function
        return function


def _fastest_float(core):
    return "bf16" if "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES") else "f32"


def _version(library):
    return library.__version__.split("-")[0]  # OpenVINO's version ends with its build


def _refused(path, model, runtime, error):
    text = one_line(error)
    if "DeformConv" in text:
        return InputError(f"{path}: {runtime} has no DeformConv; export with --onnx_dcn gather")
    if "NOT_IMPLEMENTED" in text and b"float16" in model:  # from our metadata
        return InputError(f"{path}: {runtime} has no float16 on this processor; export without --half")
    return InputError(f"{path}: {runtime} cannot read it, damaged or no ONNX model ({text[:120]})")
