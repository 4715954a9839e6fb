#!/usr/bin/env python3
"""Print which operators the compiled graphs contain, and where MindSpore's documentation says that they run.

    python benchmarks/operators.py --amp_level O3              training step and network, as compiled for CPU
    python benchmarks/operators.py --amp_level O3 --dcn_backend native --arch paper
    python benchmarks/operators.py --mindir aecrnet.mindir     an exported model, for MindSpore Lite

Platforms are those of the installed MindSpore's documentation. It has no entry for most gradients: `of NAME` then
stands for the operator that they belong to. Types are those of the graph.
"""
from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Dict, Set

import _clone  # noqa: F401
from src.cli.config import Parser
from src.cli.entry import run_as_program
from src.errors import InputError
from src.spec import ARCHS

CALL = re.compile(r"\s+%\d+\([^)]*\) = (?:PrimFunc_)?(\w+)\(")
NO_KERNEL = {"Depend", "Load", "MakeTuple", "TupleGetItem", "UpdateState", "Return", "Constant", "Partial", "Switch",
             "make_list"}
# Operators without an entry in the documentation -> what to look up in their place: an operator, or a function that
# compiles to them. TensorMove is a copy, which assignments compile to.
BASE = {"BiasAddGrad": "BiasAdd", "Conv2DBackpropFilter": "Conv2D", "Conv2DBackpropInput": "Conv2D",
        "DeformableOffsetsGrad": "DeformableOffsets", "MatMulExt": "MatMul", "MaxPoolGrad": "MaxPool", "Muls": "Mul",
        "ReluGrad": "ReLU", "RemainderTensorScalar": "remainder", "SigmoidGrad": "Sigmoid", "SplitWithSize": "split",
        "SqrtGrad": "Sqrt", "StridedSliceGrad": "StridedSlice", "SumExt": "sum", "TanhGrad": "Tanh",
        "TensorMove": "Assign"}
# MindSpore Lite's names, which its list of operators has (docs/lite/docs/source_en/reference/operator_list_lite.md of
# release 2.10 in mindspore-ai/docs); its column Ascend says FP16 for each of them.
LITE = {"Add": "AddFusion", "BiasAdd": "BiasAdd", "Cast": "Cast", "Concat": "Concat", "Conv2D": "Conv2DFusion",
        "Conv2DTranspose": "Conv2dTransposeFusion", "CumSum": "CumSum", "Floor": "Floor", "Gather": "Gather",
        "MatMul": "MatMulFusion", "MatMulExt": "MatMulFusion", "BatchMatMul": "MatMulFusion", "Maximum": "Maximum",
        "Minimum": "Minimum", "Mul": "MulFusion", "Muls": "MulFusion", "Pad": "PadFusion", "ReLU": "Activation",
        "ReduceMean": "ReduceFusion", "ReduceSum": "ReduceFusion", "Reshape": "Reshape", "Shape": "Shape",
        "Sigmoid": "Activation", "Split": "Split", "Stack": "Stack", "StridedSlice": "StridedSlice",
        "Sub": "SubFusion", "Tanh": "Activation", "Tile": "TileFusion", "Transpose": "Transpose"}


def main() -> int:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arch", choices=ARCHS, default="paper")
    parser.add_argument("--amp_level", choices=("O0", "O2", "O3"), default="O3")
    parser.add_argument("--dcn_backend", choices=("gather", "native"), default="native")
    parser.add_argument("--mindir", type=Path, help="an exported model instead")
    parser.add_argument("--compile", choices=("train", "infer"), help=argparse.SUPPRESS)  # in a process of its own
    options = parser.parse_args()
    if options.compile:
        compile_graph(options)
    elif options.mindir:
        if not options.mindir.is_file():
            raise InputError(f"--mindir {options.mindir}: no such file")
        print_lite_table(mindir_operators(options.mindir))
    else:
        print_table({kind: compiled_operators(kind) for kind in ("train", "infer")})
    return 0


def compile_graph(options: argparse.Namespace) -> None:
    """Compile the training step with CR or the network, on 32 px."""
    import mindspore
    import numpy as np
    from mindspore import Tensor

    from src.cli import config
    from src.cli.train import SECTIONS
    from src.distributed.ranks import Ranks
    from src.train import setup

    mindspore.set_context(mode=mindspore.GRAPH_MODE)
    run = config.parse(["--batch_size=2", "--neg_num=2", "--vgg_random", f"--arch={options.arch}",
                        f"--amp_level={options.amp_level}", f"--dcn_backend={options.dcn_backend}"], SECTIONS, "")
    net, image = setup.network(run), Tensor(np.full((2, 3, 32, 32), 0.5, np.float32))
    if options.compile == "infer":
        net.set_train(False)(image)
    else:
        setup.train_cell(run, net, Ranks())(image, image, Tensor(0.0, mindspore.float32), True)


def compiled_operators(kind: str) -> Dict[str, Set[str]]:
    """Operator -> types of its tensors, from the graphs that MindSpore hands to the device."""
    with tempfile.TemporaryDirectory() as folder:
        variables = {**os.environ, "MS_DEV_SAVE_GRAPHS": "1", "MS_DEV_SAVE_GRAPHS_PATH": folder}
        subprocess.run([sys.executable, *sys.argv, "--compile", kind], env=variables, check=True, capture_output=True)
        found = defaultdict(set)
        for path in Path(folder).rglob("*_validate_*.ir"):
            lines = path.read_text(errors="replace").splitlines()
            for line, types in zip(lines, lines[1:]):
                call = CALL.match(line)
                if call and call[1] not in NO_KERNEL:
                    found[call[1]].update(re.findall(r"Tensor\[(\w+)\]", types))
    return found


def documented(name: str) -> str:
    """Platforms by MindSpore's documentation of the operator, or of the function that it refers to."""
    import mindspore.ops.auto_generate as generated
    from mindspore import ops
    from mindspore.ops.operations import nn_ops

    for module in (ops, generated, nn_ops):
        text = getattr(getattr(module, name, None), "__doc__", None) or ""
        refers = re.search(r":func:`mindspore\.ops\.(\w+)`", text)
        if "Supported Platforms" not in text and refers:
            text = getattr(getattr(ops, refers[1], None), "__doc__", None) or ""
        platforms = re.search(r"Supported Platforms:\s+(.+)", text)
        if platforms and "Deprecated" not in platforms[1]:
            return " ".join(platforms[1].replace("`", "").split())
    return f"of {BASE[name]}: {documented(BASE[name])}" if name in BASE else "not listed"


def print_table(graphs: Dict[str, Dict[str, Set[str]]]) -> None:
    print("| operator | training | network | documented for |\n|---|---|---|---|")
    for name in sorted(set().union(*graphs.values())):
        types = [" ".join(sorted(graph.get(name, ()))) for graph in graphs.values()]
        print(f"| {name} | {types[0]} | {types[1]} | {documented(name)} |")


def mindir_operators(path: Path) -> Set[str]:
    """The operators of an exported model."""
    os.environ["PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION"] = "python"
    from mindspore.train.mind_ir_pb2 import ModelProto

    model = ModelProto()
    model.ParseFromString(path.read_bytes())
    names = {node.op_type for graph in (model.graph, *model.functions) for node in graph.node}
    return {name.split(":")[2] if name.startswith("REF::") else name for name in names} - NO_KERNEL


def print_lite_table(names: Set[str]) -> None:
    print("| operator | in MindSpore Lite | Ascend |\n|---|---|---|")
    for name in sorted(names):
        print(f"| {name} | {LITE.get(name, 'not listed')} | {'FP16' if name in LITE else ''} |")


if __name__ == "__main__":
    run_as_program(main)
