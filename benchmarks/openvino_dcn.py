"""Compares the deformable convolution from gathers with OpenVINO's own operator, in the whole network.

    python benchmarks/openvino_dcn.py --height 240 --width 320 --precision f32 --seconds 20

The two run in turns, so that other programs slow both. Prints the largest difference of the results, and least and
median time.
"""
from __future__ import annotations

import statistics
import time

import numpy as np
import openvino
from openvino import opset8
from openvino.frontend import ConversionExtension

import _clone  # noqa: F401
from src.cli.config import Parser
from src.dehaze.dehazer import SHIPPED_CHECKPOINT
from src.network.weights import load_weights
from src.runtime.onnx_model import onnx_model


def converted(node):
    """ONNX's DeformConv as OpenVINO's DeformableConvolution of opset 8, which has the mask but no bias."""
    x, weight, offset, bias, mask = (node.get_input(i) for i in range(5))
    ones = [1, 1]
    out = opset8.deformable_convolution(x, offset, weight, ones, ones, ones, ones, mask, "EXPLICIT", 1, 1, True)
    return opset8.add(out, opset8.reshape(bias, np.array([1, -1, 1, 1]), False)).outputs()


def main() -> None:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("--height", type=int, default=240)
    parser.add_argument("--width", type=int, default=320)
    parser.add_argument("--precision", choices=("f32", "bf16"), default="f32")
    parser.add_argument("--seconds", type=float, default=20)
    options = parser.parse_args()
    core = openvino.Core()
    core.add_extension(ConversionExtension("DeformConv", converted))
    weights, description = load_weights(SHIPPED_CHECKPOINT)
    x = np.random.default_rng(0).random((1, 3, options.height, options.width), np.float32)
    requests, results, times = {}, {}, {"gather": [], "native": []}
    for dcn in times:
        model = core.read_model(onnx_model(weights, description["arch"], description["dcn_sampling"], "", dcn=dcn))
        settings = {"INFERENCE_PRECISION_HINT": options.precision, "PERFORMANCE_HINT": "LATENCY"}
        requests[dcn] = core.compile_model(model, "CPU", settings).create_infer_request()
        results[dcn] = requests[dcn].infer({0: x})[0].copy()
    end = time.perf_counter() + options.seconds
    while time.perf_counter() < end:
        for dcn, request in requests.items():
            start = time.perf_counter()
            request.infer({0: x})
            times[dcn].append(time.perf_counter() - start)
    print(f"largest difference {np.abs(results['gather'] - results['native']).max():.1e} of the range")
    for dcn, seconds in times.items():
        print(f"{dcn}: least {min(seconds):.3f} s, median {statistics.median(seconds):.3f} s of {len(seconds)}")


if __name__ == "__main__":
    main()
