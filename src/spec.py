"""Facts of the network and its files on which several parts agree. It imports nothing of ours."""
from __future__ import annotations

ARCHS = ("gitee", "paper")  # the two published graphs: the model-zoo reference's, and the authors'
VALUE_RANGE = {"gitee": 255.0, "paper": 1.0}  # arch -> the value of white; black is 0
SAMPLINGS = ("exact", "gitee")  # of the deformable convolution: DCN_v2, or the reference's
DCN_BACKENDS = ("auto", "gather", "native")
TAPS = 9  # of the network's deformable convolution, whose kernel is 3x3

# Mean and deviation of the reference's training images, as fractions of the value range. The reference divides values
# in 0..255 by this deviation, and its checkpoints were trained so.
RGB_MEAN = (0.58726025, 0.59813744, 0.63799095)
RGB_STD = (0.18993913, 0.18339698, 0.17736082)

PASSES = 6  # through the shared block

MULTIPLE = 4  # pixels: the encoder halves the size twice, so sides and starts of tiles are multiples of it
MIN_SIDE = 16  # pixels; for a shorter side, the quarter-size map is smaller than the reach of a deformable kernel
RECEPTIVE_FIELD = 145  # pixels across, as ascend310_infer/inc/options.h counts them
OVERLAP = 64  # pixels that tiles share at least; about as wide as what the network sees on each side of a pixel

MINDSPORE = "mindspore"
RUNTIMES = ("openvino", "onnxruntime", MINDSPORE)  # the fastest on CPU first
FASTEST = "auto"  # the fastest runtime that is installed
INT8 = "int8"
PRECISIONS = ("float32", "bfloat16", INT8)  # of the computations; the last two on OpenVINO alone

# Largest difference between a checkpoint and the model exported from it, as a fraction of the value range.
TOLERANCE = 1e-4
TOLERANCE_HALF = 1e-2  # of a model in float16


def align_up(value: int) -> int:
    """The least multiple of MULTIPLE that is at least `value`."""
    return -(-value // MULTIPLE) * MULTIPLE
