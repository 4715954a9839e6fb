"""The network as an ONNX graph, built from its parameters.

It uses only operators that all runtimes have, including onnxruntime-web. WebGPU lacks Min and Max of integers, which
onnxruntime-web computes in WebAssembly, on few values.
"""
from __future__ import annotations

from typing import Any, Callable, Mapping

import numpy as np

from ..spec import MULTIPLE, PASSES, VALUE_RANGE
from .onnx_dcn import deform_conv
from .onnx_nodes import Graph, Size

INPUT_NAME, OUTPUT_NAME, BATCH_NAME = "x", "restored", "batch"


def build_graph(weights: Mapping[str, np.ndarray], arch: str, dcn_sampling: str, size: Size, dcn: str = "gather",
                dtype: Any = np.float32, new_graph: Callable[..., Graph] = Graph) -> bytes:
    """The graph from hazy to restored image, float32[n, 3, h, w] in 0..1 for both archs. The result is clipped.

    Args:
        weights: parameters of a `src.network.aecrnet.Dehaze` of this arch and dcn_sampling by name, float32.
        size: h and w, multiples of 4; None leaves them open, as n always is.
        dcn: "gather", or "native" for the operator DeformConv (sampling exact only).
        dtype: np.float16 to store and compute in float16.
        new_graph: makes the empty graph from weights and dtype; `src.runtime.onnx_int8` has others.

    Returns: ONNX's GraphProto.
    """
    g = new_graph(weights, np.dtype(dtype))
    x = INPUT_NAME if dtype == np.float32 else g.cast(INPUT_NAME, dtype)
    small = size and (size[0] // MULTIPLE, size[1] // MULTIPLE)  # of the maps in the middle of the network
    out = _paper(g, x, dcn, small) if arch == "paper" else _gitee(g, x, dcn_sampling, dcn, small)
    out = g("Clip", out, np.float32(0), np.float32(1))
    out = g.cast(out, np.float32)
    g.nodes[-1].outputs[0] = OUTPUT_NAME
    shape = [BATCH_NAME, 3, *(size or ("height", "width"))]
    return g.content("aecrnet", {INPUT_NAME: shape}, {OUTPUT_NAME: shape})


def _paper(g, x, dcn, size):
    x = g.conv_of(x, *_folded_deconv(g.weights), padding=1)
    x = g("Relu", g.conv(g.pad(x, 3, 3, "reflect"), "down1.1"))
    x_down2 = g("Relu", g.conv(x, "down2.0", 1, stride=2))
    x_down3 = g("Relu", g.conv(x_down2, "down3.0", 1, stride=2))
    features = _six_passes(g, x_down3)
    name = "dcn_block.dcn"
    for _ in range(2):
        offset, mask = g("Split", g.conv(features, f"{name}.conv_offset_mask", 1), np.array([18, 9]), axis=1, outputs=2)
        features = deform_conv(g, features, offset, g("Sigmoid", mask), g.weights[f"{name}.weight"],
                               g.weights[f"{name}.bias"], "exact", dcn, size)
    x = g("Relu", g.upsample(_mix(g, x_down3, features, "mix1"), "up1.0", 1))
    x = g("Relu", g.upsample(_mix(g, x_down2, x, "mix2"), "up2.0", 1))
    return g("Tanh", g.conv(g.pad(x, 3, 3, "reflect"), "up3.1"))


def _gitee(g, x, dcn_sampling, dcn, size):
    white, shift = np.float32(VALUE_RANGE["gitee"]), g.weights
    x = g.conv_of(x, shift["sub_mean.weight"] * white, shift["sub_mean.bias"])
    x_down2 = g.conv(g.conv(g.conv(x, "deconv", 1), "down1.0", 3), "down2.0", 1, stride=2)
    x_down3 = g.conv(x_down2, "down3.0", 1, stride=2)
    features = _six_passes(g, x_down3)
    for _ in range(2):
        mask = g("Sigmoid", g.conv(features, "dcn_block.m_conv", 1))
        features = deform_conv(g, features, g.conv(features, "dcn_block.p_conv", 1), mask,
                               g.weights["dcn_block.conv.weight"], None, dcn_sampling, dcn, size)
    x = g.pad(g.upsample(_mix(g, x_down3, features, "mix4"), "up1.0", 0), 0, 1, "constant")
    x = g.pad(g.upsample(_mix(g, x_down2, x, "mix5"), "up2.0", 0), 0, 1, "constant")
    x = g.conv(x, "up3.0", 3)
    return g.conv_of(x, shift["add_mean.weight"] / white, shift["add_mean.bias"] / white)


def _folded_deconv(weights):
    """FastDeconv in evaluation, as kernel and bias of one convolution."""
    kernel = weights["deconv.weight"]
    flat = kernel.reshape(len(kernel), -1) @ weights["deconv.running_deconv"]
    return flat.reshape(kernel.shape), weights["deconv.bias"] - flat @ weights["deconv.running_mean"]


def _six_passes(g, x):
    for _ in range(PASSES):
        res = g("Add", g("Relu", g.conv(x, "block.conv1", 1)), x)
        out = g.conv(res, "block.conv2", 1)
        # not GlobalAveragePool, which some runtimes sum up in float16
        mean = g("ReduceMean", out, np.array([2, 3]), keepdims=1)
        out = g("Mul", out, _attention(g, mean, "block.calayer.ca"))
        x = g("Add", g("Mul", out, _attention(g, out, "block.palayer.pa")), x)
    return x


def _attention(g, x, name):
    return g("Sigmoid", g.conv(g("Relu", g.conv(x, f"{name}.0")), f"{name}.2"))


def _mix(g, fea1, fea2, name):
    factor = 1 / (1 + np.exp(-g.weights[f"{name}.w"].reshape(())))
    return g("Add", g("Mul", fea1, factor), g("Mul", fea2, 1 - factor))
