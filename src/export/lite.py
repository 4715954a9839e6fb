"""Rewrites a MINDIR of MindSpore 2.8 for MindSpore Lite 2.0.0.

MindSpore 2.8 writes MINDIR version 3, where the arguments of an operator (axis, keep_dims, masks ...) are inputs of its
node. Lite 2.0.0, the newest Lite on PyPI, reads version 1, where they are attributes of the operator. A Lite of the
same release as MindSpore reads version 3.
"""
from __future__ import annotations

from typing import Dict, List, NamedTuple, Optional, Tuple

# The import of mindspore selects the protobuf implementation that its message classes need.
from mindspore.train.mind_ir_pb2 import AttributeProto, ModelProto, NodeProto, PrimitiveProto

from ..errors import InputError
from ..files import PathLike, atomic_write

VERSION_2_8 = 3
VERSION_LITE_2_0 = 1
ANY = None  # a Rule for any number of inputs
DROPPED = ""  # an argument that Lite 2.0.0 computes itself


class Rule(NamedTuple):
    """The form of an operator in version 1."""

    inputs: Optional[int]  # number of the first inputs that stay inputs
    attributes: Tuple[str, ...] = ()  # names of the attributes that the other inputs become
    name: str = ""  # name of the operator in version 1; empty: the same name
    flags: Tuple[str, ...] = ()  # more attributes that version 1 needs; all are false


def _rules(inputs: Optional[int], names: str) -> Dict[str, Rule]:
    return {name: Rule(inputs) for name in names.split()}


# tests/test_lite.py runs every entry in MindSpore Lite and compares it with MindSpore
RULES: Dict[str, Rule] = {
    **_rules(1, "Abs Exp Floor OnesLike Pad ReLU Sigmoid Sqrt Square Tanh ZerosLike"),
    **_rules(2, "Add Cast Conv2D Div ExpandDims GatherNd Maximum Minimum Mul Reshape Sub Tile Transpose TupleGetItem"),
    **_rules(ANY, "MakeTuple"),
    "BiasAdd": Rule(2, ("format",)),
    "Concat": Rule(1, ("axis",)),
    "Conv2DTranspose": Rule(2, (DROPPED,)),
    "CumSum": Rule(2, ("exclusive", "reverse")),
    "Gather": Rule(3, ("batch_dims",)),
    "MatMul": Rule(2, ("transpose_a", "transpose_b")),
    "MatMulExt": Rule(2, name="MatMul", flags=("transpose_a", "transpose_b")),
    "ReduceMean": Rule(2, ("keep_dims",)),
    "ReduceSum": Rule(2, ("keep_dims", "skip_mode")),
    "Split": Rule(1, ("axis", "output_num")),
    "StridedSlice": Rule(4, ("begin_mask", "end_mask", "ellipsis_mask", "new_axis_mask", "shrink_axis_mask")),
}
FORMATS = {0: b"NCHW", 1: b"NHWC"}  # BiasAdd's argument and attribute


def rewrite_for_lite20(mindir_in: PathLike, mindir_out: PathLike) -> None:
    """Write the MINDIR `mindir_in` of MindSpore 2.8 as `mindir_out` for MindSpore Lite 2.0.0.

    Weights, input, output and results stay the same.

    Raises: InputError if `mindir_in` cannot be read, has another version, or needs an operator that is not in `RULES`.
        `mindir_out` is then not changed.
    """
    model = _read(mindir_in)
    try:
        _rewrite(model)
    except InputError as error:
        raise InputError(f"{mindir_in}: {error}") from None
    try:
        with atomic_write(mindir_out) as temporary:
            temporary.write_bytes(model.SerializeToString())
    except OSError as error:
        raise InputError(f"{mindir_out}: cannot be written ({error.strerror})") from None


def _read(path: PathLike) -> ModelProto:
    model = ModelProto()
    try:
        with open(path, "rb") as file:
            model.ParseFromString(file.read())
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except Exception:  # DecodeError, or any other exception of protobuf's Python implementation
        raise InputError(f"{path}: not a MINDIR file, or cut off") from None
    if not model.graph.node:
        raise InputError(f"{path}: not a MINDIR file, or cut off")
    if model.mind_ir_version != VERSION_2_8:
        raise InputError(f"{path}: MINDIR version {model.mind_ir_version}, "
                         f"only version {VERSION_2_8} (MindSpore 2.8) can be rewritten")
    return model


def _rewrite(model: ModelProto) -> None:
    if model.functions:
        raise InputError("has control flow (more than one graph), which is not rewritten for MindSpore Lite 2.0.0")
    _bypass_side_effects(model)
    _bypass_tiles(model)
    _check_start(model)
    constants = {node.output[0]: node.attribute[0] for node in model.graph.node if node.op_type == "Constant"}
    primitives = {f"REF::{primitive.name}": primitive for primitive in model.primitives}
    rewritten: Dict[Tuple[str, ...], PrimitiveProto] = {}
    needed = {output.name for output in model.graph.output}
    kept: List[NodeProto] = []
    # Backwards from the outputs: nodes that only compute dropped arguments are never reached.
    for node in reversed(model.graph.node):
        if needed.isdisjoint(node.output):
            continue
        if node.op_type != "Constant":
            _rewrite_node(node, primitives, constants, rewritten)
        needed.update(node.input)
        kept.append(node)
    kept.reverse()
    del model.graph.node[:]
    model.graph.node.extend(kept)
    del model.primitives[:]
    model.primitives.extend(rewritten.values())
    model.mind_ir_version = VERSION_LITE_2_0


def _bypass_side_effects(model: ModelProto) -> None:
    """Connect the readers of Load and Depend to the inputs of these nodes. An exported network changes no parameter."""
    operators = {f"REF::{primitive.name}": primitive.op_type for primitive in model.primitives}
    passed_on: Dict[str, str] = {}
    for node in model.graph.node:
        inputs = [passed_on.get(name, name) for name in node.input]
        del node.input[:]
        node.input.extend(inputs)
        if operators.get(node.op_type) in ("Load", "Depend"):
            passed_on[node.output[0]] = inputs[0]
    for output in model.graph.output:
        output.name = passed_on.get(output.name, output.name)


def _bypass_tiles(model: ModelProto) -> None:
    """Replace a Tile before a Mul by broadcasting in the Mul, which Lite does faster and without memory."""
    operators = {f"REF::{primitive.name}": primitive.op_type for primitive in model.primitives}
    nodes = {node.output[0]: node for node in model.graph.node}
    for node in model.graph.node:
        if operators.get(node.op_type) != "Mul":
            continue
        for place, name in enumerate(node.input):
            tile = nodes.get(name)
            if tile is not None and operators.get(tile.op_type) == "Tile" and _only_repeats_ones(tile, nodes):
                node.input[place] = tile.input[0]


def _only_repeats_ones(tile: NodeProto, nodes: Dict[str, NodeProto]) -> bool:
    """Whether every repeated axis has one element before the Tile."""
    repeats = [value.ints[0] for attribute in nodes[tile.input[1]].attribute for value in attribute.values]
    source = nodes.get(tile.input[0])
    shapes = [attribute for attribute in source.attribute if attribute.name == "shape"] if source else []
    sides = list(shapes[0].tensors[0].dims) if shapes and shapes[0].tensors else []
    return len(sides) == len(repeats) and all(side == 1 for side, repeat in zip(sides, repeats) if repeat != 1)


def _check_start(model: ModelProto) -> None:
    """Refuse a graph of open size that does not start with convolutions.

    If Lite 2.0.0 knows a shape except for its open sides, it assumes that all open sides are equal. It then drops a
    reduction that keeps its axes, and crashes on a Reshape. After a convolution of open size it knows no shape, and its
    results are right.
    """
    inputs = {value.name for value in model.graph.input}
    if all(side >= 0 for value in model.graph.input for tensor in value.tensor for side in tensor.dims):
        return
    operators = {f"REF::{primitive.name}": primitive.op_type for primitive in model.primitives}
    for node in model.graph.node:
        if inputs.intersection(node.input) and operators.get(node.op_type) != "Conv2D":
            raise InputError(f"operator {operators.get(node.op_type)} ({node.domain}) reads the input of open size, "
                             "MindSpore Lite 2.0.0 needs convolutions there")


def _rewrite_node(
    node: NodeProto,
    primitives: Dict[str, PrimitiveProto],
    constants: Dict[str, AttributeProto],
    rewritten: Dict[Tuple[str, ...], PrimitiveProto],
) -> None:
    """Turn the arguments of `node` into attributes of its primitive. Nodes with equal arguments share a primitive."""
    primitive = primitives.get(node.op_type)
    operator = primitive.op_type if primitive else node.op_type
    rule = RULES.get(operator)
    if rule is None:
        raise InputError(f"operator {operator} ({node.domain}) is not in the table for MindSpore Lite 2.0.0")
    arguments = () if rule.inputs is ANY else tuple(node.input[rule.inputs:])
    if len(arguments) != len(rule.attributes) or len(node.input) < (rule.inputs or 0):
        raise InputError(f"operator {operator} ({node.domain}) has {len(node.input)} inputs, "
                         f"the table for MindSpore Lite 2.0.0 expects {(rule.inputs or 0) + len(rule.attributes)}")
    key = (node.op_type, *arguments)
    if key not in rewritten:
        rewritten[key] = _primitive_of_version_1(primitive, rule, len(rewritten))
        for name, argument in zip(rule.attributes, arguments):
            if name != DROPPED:
                _add_attribute(rewritten[key], name, argument, constants)
    node.op_type = f"REF::{rewritten[key].name}"
    if arguments:
        del node.input[rule.inputs:]


def _primitive_of_version_1(primitive: PrimitiveProto, rule: Rule, number: int) -> PrimitiveProto:
    result = PrimitiveProto()
    result.CopyFrom(primitive)
    result.op_type = rule.name or primitive.op_type
    result.name = f"{result.op_type}:{number}"
    result.prim_type = PrimitiveProto.PRIMITIVE
    for attribute in result.attribute:
        if attribute.name == "pad_list" and any(value.ints[:] == [-1] for value in attribute.values):
            # -1: depends on the open size. Lite computes the padding from pad_mode, but refuses negative values.
            for value in attribute.values:
                value.ints[:] = [0]
    for flag in rule.flags:
        result.attribute.add(name=flag, type=AttributeProto.BOOL, i=0)
    return result


def _add_attribute(primitive: PrimitiveProto, name: str, argument: str, constants: Dict[str, AttributeProto]) -> None:
    constant = constants.get(argument)
    if constant is None:
        raise InputError(f"argument {name} of operator {primitive.op_type} is computed, "
                         "MindSpore Lite 2.0.0 wants a constant")
    attribute = primitive.attribute.add()
    if name == "format":
        attribute.type, attribute.s = AttributeProto.STRING, FORMATS[constant.i]
    else:
        attribute.CopyFrom(constant)
    attribute.name = name
