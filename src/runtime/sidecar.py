"""The sidecar N.json of an exported model N.mindir: all that a program needs to run the model.

ascend310_infer/src/sidecar.cc reads the same files.
"""
from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, Optional, Tuple

from ..errors import InputError, one_line
from ..files import atomic_write, sha256
from ..spec import MULTIPLE, RGB_MEAN, VALUE_RANGE

INPUT_NAME = "x"
KEYS = {"format", "arch", "input_name", "layout", "dtype", "shape", "range", "mean", "clip", "multiple_of", "sha256"}

Size = Optional[Tuple[int, int]]  # height and width; None where they are open


def write_sidecar(path: Path, arch: str, size: Size, checkpoint_sha256: str = "") -> None:
    """Write `N.json` beside `N.mindir`: all that a program needs to run the model, and the hash of its checkpoint."""
    facts = {
        "format": 1, "arch": arch, "input_name": INPUT_NAME, "layout": "NCHW", "dtype": "float32",
        "shape": [1, 3, *(size or (-1, -1))], "range": [0, VALUE_RANGE[arch]],
        "mean": [mean * VALUE_RANGE[arch] for mean in RGB_MEAN] if arch == "gitee" else None,
        "clip": "in_graph", "multiple_of": MULTIPLE, "sha256": sha256(path),
        "checkpoint_sha256": checkpoint_sha256,
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
        missing = KEYS - set(facts)
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
