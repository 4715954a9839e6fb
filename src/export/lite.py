"""Rewrites a MINDIR of MindSpore 2.8 for MindSpore Lite 2.0.0.

MindSpore 2.8 writes MINDIR version 3, where the arguments of an operator (axis, keep_dims, masks ...) are inputs of its
node. Lite 2.0.0, the newest Lite on PyPI, reads version 1, where they are attributes of the operator. A Lite of the
same release as MindSpore reads version 3.

In the file, a node names its operator by the reference REF::NAME to a primitive, which holds the attributes.
"""
from __future__ import annotations

from typing import Dict, Mapping, Optional, Tuple

# The import of mindspore selects the protobuf implementation that its message classes need.
from mindspore.train.mind_ir_pb2 import AttributeProto, ModelProto, NodeProto, PrimitiveProto

from ..errors import InputError
from ..files import PathLike, atomic_write
from .lite_rules import ANY, FORMATS, RULES, Rule

VERSION_2_8 = 3
VERSION_LITE_2_0 = 1
READER = "MindSpore Lite 2.0.0"


def rewrite_for_lite20(mindir_in: PathLike, mindir_out: PathLike) -> None:
    """Write the MINDIR `mindir_in` of MindSpore 2.8 as `mindir_out` for MindSpore Lite 2.0.0.

    Weights, input, output and results stay the same.

    Raises: InputError if `mindir_in` cannot be read, has another version, or needs an operator that is not in `RULES`.
        `mindir_out` is then not changed.
    """
    model = _read(mindir_in)
    try:
        for rewrite in REWRITES:
            rewrite(model)
    except InputError as error:
        raise InputError(f"{mindir_in}: {error}") from None
    model.mind_ir_version = VERSION_LITE_2_0
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


class _Graph:
    """The operators and the sources of the values in a model, by name."""

    def __init__(self, model: ModelProto):
        self.primitives = {f"REF::{primitive.name}": primitive for primitive in model.primitives}
        self.sources = {node.output[0]: node for node in model.graph.node}

    def operator(self, node: Optional[NodeProto]) -> str:
        """The operator of a node, such as Conv2D, or Constant. Empty for no node."""
        if node is None:
            return ""
        return self.primitives[node.op_type].op_type if node.op_type in self.primitives else node.op_type


def refuse_control_flow(model: ModelProto) -> None:
    """Only a model of one graph can be rewritten."""
    if model.functions:
        raise InputError(f"has control flow (more than one graph), which is not rewritten for {READER}")


def bypass_side_effects(model: ModelProto) -> None:
    """Connect the readers of Load and Depend to the inputs of these nodes. An exported network changes no parameter."""
    graph, passed_on = _Graph(model), {}
    for node in model.graph.node:
        inputs = [passed_on.get(name, name) for name in node.input]
        del node.input[:]
        node.input.extend(inputs)
        if graph.operator(node) in ("Load", "Depend"):
            passed_on[node.output[0]] = inputs[0]
    for output in model.graph.output:
        output.name = passed_on.get(output.name, output.name)


def bypass_tiles(model: ModelProto) -> None:
    """Replace a Tile before a Mul by broadcasting in the Mul, which Lite does faster and without memory."""
    graph = _Graph(model)
    for node in model.graph.node:
        if graph.operator(node) != "Mul":
            continue
        for place, name in enumerate(node.input):
            tile = graph.sources.get(name)
            if graph.operator(tile) == "Tile" and _only_repeats_ones(tile, graph.sources):
                node.input[place] = tile.input[0]


def refuse_other_starts(model: ModelProto) -> None:
    """Refuse a graph of open size that does not start with convolutions.

    If Lite 2.0.0 knows a shape except for its open sides, it assumes that all open sides are equal. It then drops a
    reduction that keeps its axes, and crashes on a Reshape. After a convolution of open size it knows no shape, and its
    results are right.
    """
    inputs = {value.name for value in model.graph.input}
    if all(side >= 0 for value in model.graph.input for tensor in value.tensor for side in tensor.dims):
        return
    graph = _Graph(model)
    for node in model.graph.node:
        if inputs.intersection(node.input) and graph.operator(node) != "Conv2D":
            raise InputError(f"operator {graph.operator(node)} ({node.domain}) reads the input of open size, "
                             f"{READER} needs convolutions there")


def turn_arguments_into_attributes(model: ModelProto) -> None:
    """Give every operator its form in version 1, as RULES has it. Nodes with equal arguments share a primitive."""
    graph, rewritten = _Graph(model), {}
    for node in model.graph.node:
        if node.op_type != "Constant":
            _rewrite_node(node, graph, rewritten)
    del model.primitives[:]
    model.primitives.extend(rewritten.values())


def drop_arguments(model: ModelProto) -> None:
    """Drop the arguments that Lite 2.0.0 computes itself."""
    graph = _Graph(model)
    for node in model.graph.node:
        rule = RULES.get(graph.operator(node))
        if rule and rule.dropped and len(node.input) == (rule.inputs or 0) + len(rule.attributes) + rule.dropped:
            del node.input[-rule.dropped:]


def drop_unused(model: ModelProto) -> None:
    """Drop the nodes that compute nothing for an output, such as those of a dropped argument."""
    needed, kept = {output.name for output in model.graph.output}, []
    for node in reversed(model.graph.node):
        if not needed.isdisjoint(node.output):
            needed.update(node.input)
            kept.append(node)
    del model.graph.node[:]
    model.graph.node.extend(reversed(kept))


# drop_unused twice: an operator that only a dropped argument needs may not be in RULES, and attributes leave constants
REWRITES = (refuse_control_flow, bypass_side_effects, bypass_tiles, drop_arguments, drop_unused, refuse_other_starts,
            turn_arguments_into_attributes, drop_unused)


def _only_repeats_ones(tile: NodeProto, sources: Mapping[str, NodeProto]) -> bool:
    """Whether every repeated axis has one element before the Tile."""
    repeats = [value.ints[0] for attribute in sources[tile.input[1]].attribute for value in attribute.values]
    source = sources.get(tile.input[0])
    shapes = [attribute for attribute in source.attribute if attribute.name == "shape"] if source else []
    sides = list(shapes[0].tensors[0].dims) if shapes and shapes[0].tensors else []
    return len(sides) == len(repeats) and all(side == 1 for side, repeat in zip(sides, repeats) if repeat != 1)


def _rewrite_node(node: NodeProto, graph: _Graph, rewritten: Dict[Tuple[str, ...], PrimitiveProto]) -> None:
    operator = graph.operator(node)
    rule = RULES.get(operator)
    if rule is None:
        raise InputError(f"operator {operator} ({node.domain}) is not in the table for {READER}")
    arguments = () if rule.inputs is ANY else tuple(node.input[rule.inputs:])
    if len(arguments) != len(rule.attributes) or len(node.input) < (rule.inputs or 0):
        raise InputError(f"operator {operator} ({node.domain}) has {len(node.input)} inputs, "
                         f"the table for {READER} expects {(rule.inputs or 0) + len(rule.attributes)}")
    key = (node.op_type, *arguments)
    if key not in rewritten:
        rewritten[key] = _primitive_of_version_1(graph.primitives[node.op_type], rule, len(rewritten))
        for name, argument in zip(rule.attributes, arguments):
            _add_attribute(rewritten[key], name, graph.sources.get(argument))
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


def _add_attribute(primitive: PrimitiveProto, name: str, argument: Optional[NodeProto]) -> None:
    if argument is None or argument.op_type != "Constant":
        raise InputError(f"argument {name} of operator {primitive.op_type} is computed, {READER} wants a constant")
    constant, attribute = argument.attribute[0], primitive.attribute.add()
    if name == "format":
        attribute.type, attribute.s = AttributeProto.STRING, FORMATS[constant.i]
    else:
        attribute.CopyFrom(constant)
    attribute.name = name
