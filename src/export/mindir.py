"""An exported model: its file, the sidecar that describes it, and a network that runs it in Python."""
from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, Optional, Tuple

import mindspore
import numpy as np
from mindspore import Tensor, nn
from mindspore import dtype as mstype

from ..distributed.ranks import select_device
from ..errors import InputError, one_line
from ..files import PathLike, atomic_write, sha256
from ..network.aecrnet import MULTIPLE, RGB_MEAN, VALUE_RANGE, Dehaze
from ..runtime.padding import mirror_up, model_size
from .graph import ExportGraph

INPUT_NAME = "x"
SIDECAR_KEYS = {"format", "arch", "input_name", "layout", "dtype", "shape", "range", "mean", "clip", "multiple_of",
                "sha256"}

Size = Optional[Tuple[int, int]]  # height and width; None where they are open


def write_model(net: Dehaze, path: Path, file_format: str, size: Size) -> None:
    """Export `net` and its sidecar.

    Args:
        path: file with the suffix of the format. It is written under a temporary name and renamed when it is whole.
        size: height and width, multiples of 4. None leaves them open.

    Raises: InputError if MindSpore cannot write this network in this format, or the file cannot be written.
    """
    graph = ExportGraph(net)
    if size is None:
        example = Tensor(shape=(1, 3, None, None), dtype=mstype.float32)
    else:
        example = Tensor(np.zeros((1, 3) + size, np.float32))
    try:
        with atomic_write(path) as temporary:
            mindspore.export(graph, example, file_name=str(temporary.with_suffix("")), file_format=file_format)
            temporary.chmod(0o644)
    except (RuntimeError, ValueError, TypeError, OSError) as error:
        reason = one_line(error).split(" -----")[0][:200]  # what follows is MindSpore's call stack
        raise InputError(f"{path}: MindSpore {mindspore.__version__} cannot write this network as {file_format} "
                         f"({reason})") from None
    write_sidecar(path, net.arch, size)


def write_sidecar(path: Path, arch: str, size: Size) -> None:
    """Write `N.json` beside `N.mindir`. It holds all that a program needs to run the model."""
    facts = {
        "format": 1, "arch": arch, "input_name": INPUT_NAME, "layout": "NCHW", "dtype": "float32",
        "shape": [1, 3, *(size or (-1, -1))], "range": [0, VALUE_RANGE[arch]],
        "mean": [mean * VALUE_RANGE[arch] for mean in RGB_MEAN] if arch == "gitee" else None,
        "clip": "in_graph", "multiple_of": MULTIPLE, "sha256": sha256(path),
    }
    with atomic_write(path.with_suffix(".json")) as temporary:
        temporary.write_text(json.dumps(facts, indent=2) + "\n")


def read_sidecar(path: Path) -> Dict[str, Any]:
    """The sidecar of the model `path`.

    Raises: InputError if the sidecar is missing, is no such JSON, or belongs to another or a damaged model. These are
        the faults that ascend310_infer/src/sidecar.cc finds.
    """
    sidecar = path.with_suffix(".json")
    try:
        facts = json.loads(sidecar.read_text(encoding="utf-8"))
        missing = SIDECAR_KEYS - set(facts)
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{sidecar}: cannot be read, export.py writes it beside the model ({one_line(error)})") \
            from None
    if missing:
        raise InputError(f"{sidecar}: lacks {', '.join(sorted(missing))}; export the model anew")
    fault = _fault(facts)
    if fault:
        raise InputError(f"{sidecar}: {fault}; export the model anew")
    if facts["sha256"] != sha256(path):
        raise InputError(f"{path}: is not the model that {sidecar.name} describes, or damaged (sha256 differs)")
    return facts


def _fault(facts: Dict[str, Any]) -> str:
    """The first fact that this program does not support, or an empty text."""
    for key, value in (("format", 1), ("layout", "NCHW"), ("dtype", "float32"), ("multiple_of", MULTIPLE)):
        if facts[key] != value:
            return f"{key} is {facts[key]}, not {value}"
    shape, span = facts["shape"], facts["range"]
    sides = shape[2:] if isinstance(shape, list) and all(type(side) is int for side in shape) else []
    if not (len(sides) == 2 and shape[:2] == [1, 3]
            and (sides == [-1, -1] or all(side > 0 and side % MULTIPLE == 0 for side in sides))):
        return f"shape is {shape}, not 1, 3, height, width (multiples of {MULTIPLE}, or -1, -1)"
    if not (isinstance(span, list) and len(span) == 2 and all(type(end) in (int, float) for end in span)
            and span[0] == 0 < span[1]):
        return f"range is {span}, not 0 and a positive number"
    return ""


class MindirNetwork:
    """A MINDIR as the network of a `src.dehaze.dehazer.Dehazer`.

    Attributes: path, description, value_range as in src.runtime.mindspore_runner.NetworkRunner. size: height and width
        of its input, None if they are open.
    Raises: InputError if the model or its sidecar cannot be read.
    """

    def __init__(self, path: PathLike, device_target: str = "CPU", device_id: int = 0):
        self.path = Path(path)
        if not self.path.is_file():
            raise InputError(f"{self.path}: no such model")
        self.description = read_sidecar(self.path)
        self.value_range = float(self.description["range"][1])
        sides = tuple(self.description["shape"][2:])
        self.size: Size = None if sides == (-1, -1) else sides
        select_device(device_target, device_id)
        mindspore.set_context(mode=mindspore.GRAPH_MODE)  # a loaded graph runs in no other mode
        try:
            self._graph = nn.GraphCell(mindspore.load(str(self.path)))
        except (RuntimeError, ValueError) as error:
            raise InputError(f"{self.path}: not a MINDIR ({one_line(error)[:120]})") from None

    def expect(self, shape, calls: int) -> None:
        """Does nothing: the graph needs no preparation."""

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """float32[n, 3, h, w] in 0..value_range -> the same, restored.

        Raises: InputError for an image larger than a model of fixed size takes, or a model that does not run.
        """
        return np.concatenate([self._one(image[None]) for image in x])

    def _one(self, x: np.ndarray) -> np.ndarray:
        h, w = x.shape[2:]
        target = model_size((h, w), self.size, self.path)
        try:
            out = self._graph(Tensor(mirror_up(x, target))).asnumpy()
        except (RuntimeError, ValueError, TypeError) as error:
            raise InputError(f"{self.path}: MindSpore cannot run it at {target[1]}x{target[0]} "
                             f"({one_line(error)[:120]}); files for MindSpore Lite are for ascend310_infer/") from None
        return out[:, :, :h, :w]
