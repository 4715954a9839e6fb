"""Writes a checkpoint's network as MINDIR or AIR, with a sidecar that describes it."""
from __future__ import annotations

from pathlib import Path
from typing import Optional, Tuple

import mindspore
import numpy as np
from mindspore import Tensor
from mindspore import dtype as mstype

from ..errors import InputError, one_line
from ..files import atomic_write
from ..network.aecrnet import Dehaze
from ..runtime.sidecar import write_sidecar
from .graph import ExportGraph

Size = Optional[Tuple[int, int]]  # height and width; None where they are open


def write_model(net: Dehaze, path: Path, file_format: str, size: Size, checkpoint_sha256: str = "") -> None:
    """Export `net` and its sidecar.

    Args:
        path: file with the suffix of the format. It is written under a temporary name and renamed when it is whole.
        size: height and width, multiples of 4. None leaves them open.
        checkpoint_sha256: hash of the file with the weights, for the sidecar.

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
    write_sidecar(path, net.arch, size, checkpoint_sha256)
