"""The operators of MINDIR version 3 and their form in version 1, which MindSpore Lite 2.0.0 reads."""
from __future__ import annotations

from typing import Dict, NamedTuple, Optional, Tuple

ANY = None  # a Rule for any number of inputs


class Rule(NamedTuple):
    """The form of an operator in version 1."""

    inputs: Optional[int]  # number of the first inputs that stay inputs
    attributes: Tuple[str, ...] = ()  # names of the attributes that the other inputs become
    name: str = ""  # name of the operator in version 1; empty: the same name
    flags: Tuple[str, ...] = ()  # more attributes that version 1 needs; all are false
    dropped: int = 0  # number of the last inputs that go, because Lite 2.0.0 computes them itself


# tests/test_lite.py runs every entry in MindSpore Lite and compares it with MindSpore
RULES: Dict[str, Rule] = {
    "Abs": Rule(1),
    "Add": Rule(2),
    "BiasAdd": Rule(2, ("format",)),
    "Cast": Rule(2),
    "Concat": Rule(1, ("axis",)),
    "Conv2D": Rule(2),
    "Conv2DTranspose": Rule(2, dropped=1),
    "CumSum": Rule(2, ("exclusive", "reverse")),
    "Div": Rule(2),
    "Exp": Rule(1),
    "ExpandDims": Rule(2),
    "Floor": Rule(1),
    "Gather": Rule(3, ("batch_dims",)),
    "GatherNd": Rule(2),
    "MakeTuple": Rule(ANY),
    "MatMul": Rule(2, ("transpose_a", "transpose_b")),
    "MatMulExt": Rule(2, name="MatMul", flags=("transpose_a", "transpose_b")),
    "Maximum": Rule(2),
    "Minimum": Rule(2),
    "Mul": Rule(2),
    "OnesLike": Rule(1),
    "Pad": Rule(1),
    "ReLU": Rule(1),
    "ReduceMean": Rule(2, ("keep_dims",)),
    "ReduceSum": Rule(2, ("keep_dims", "skip_mode")),
    "Reshape": Rule(2),
    "Sigmoid": Rule(1),
    "Split": Rule(1, ("axis", "output_num")),
    "Sqrt": Rule(1),
    "Square": Rule(1),
    "StridedSlice": Rule(4, ("begin_mask", "end_mask", "ellipsis_mask", "new_axis_mask", "shrink_axis_mask")),
    "Sub": Rule(2),
    "Tanh": Rule(1),
    "Tile": Rule(2),
    "Transpose": Rule(2),
    "TupleGetItem": Rule(2),
    "ZerosLike": Rule(1),
}
FORMATS = {0: b"NCHW", 1: b"NHWC"}  # BiasAdd's argument and attribute
