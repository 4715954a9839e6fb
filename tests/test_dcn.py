"""DCN_v2 equals torchvision, its definition and finite differences; `gitee` equals the reference."""
import subprocess
import sys
from pathlib import Path

import mindspore
import numpy as np
import pytest
from mindspore import Parameter, Tensor, ops

from compiled import Function, Gradients, arrays, both_modes, both_modes_slow_graph, difference, running
from golden.seeded import image, seeded
from src.network import dcn
from src.network.dcn import DCN, DeformConv2d, modulated_deform_conv2d

ROOT = Path(__file__).resolve().parent.parent
both_backends = pytest.mark.parametrize("backend", ["gather", "native"])
SLOW_CASES = ("nomask", "far")  # of the golden numbers
GEOMETRIES = {  # kernel, stride, padding, dilation: with as few equal numbers as possible
    "3x2": ((3, 2), (2, 1), (1, 0), (2, 1)),
    "2x3": ((2, 3), (1, 2), (0, 2), (1, 2)),
    "1x1": ((1, 1), (1, 1), (0, 0), (1, 1)),
    "3x3": ((3, 3), 1, 1, 1),
}


def pair(value):
    return (value, value) if isinstance(value, int) else value


class Case:
    """The inputs of one call: tensors in the order of the arguments, the geometry, a factor for the gradient."""

    def __init__(self, tensors, geometry, factor):
        self.tensors, self.geometry, self.factor, self.backend = tensors, geometry, factor, "gather"

    def function(self):
        """modulated_deform_conv2d of the tensors that the case has."""
        stride, padding, dilation = self.geometry
        masked, biased, backend = "mask" in self.tensors, "bias" in self.tensors, self.backend

        def forward(*tensors):
            x, offset, weight = tensors[0], tensors[1], tensors[2 + masked]
            mask = tensors[2] if masked else None
            bias = tensors[-1] if biased else None
            return modulated_deform_conv2d(x, offset, mask, weight, bias, stride, padding, dilation, backend)

        return forward

    def gradients(self):
        return Gradients(self.function(), len(self.tensors))

    def arguments(self):
        return [Tensor(self.factor)] + [Tensor(value) for value in self.tensors.values()]

    def replaced(self, **tensors):
        return Case({**self.tensors, **tensors}, self.geometry, self.factor)


def golden_case(golden, name):
    names = [key for key in ("x", "offset", "mask", "weight", "bias") if f"dcn_{name}_{key}" in golden]
    geometry = tuple(tuple(map(int, golden[f"dcn_{name}_{key}"])) for key in ("stride", "padding", "dilation"))
    return Case({key: golden[f"dcn_{name}_{key}"] for key in names}, geometry, golden[f"dcn_{name}_grad_out"])


def random_case(name, seed=0, n=2, channels=(6, 2), size=(5, 4), spread=2.0):
    """A call whose offsets reach over the border. They end on 1/4 to 3/4 of a pixel, far from kinks."""
    kernel, *geometry = GEOMETRIES[name]
    rng = np.random.RandomState(seed)
    taps = kernel[0] * kernel[1]
    stride, padding, dilation = (pair(value) for value in geometry)
    out = tuple((size[a] + 2 * padding[a] - dilation[a] * (kernel[a] - 1) - 1) // stride[a] + 1 for a in (0, 1))
    whole = np.round(rng.randn(n, 2 * taps, *out) * spread)
    tensors = {
        "x": rng.randn(n, channels[0], *size),
        "offset": whole + rng.uniform(0.25, 0.75, whole.shape),
        "mask": rng.uniform(0.1, 1.5, (n, taps) + out),
        "weight": rng.randn(channels[1], channels[0], *kernel),
        "bias": rng.randn(channels[1]),
    }
    tensors = {key: value.astype(np.float32) for key, value in tensors.items()}
    return Case(tensors, tuple(geometry), rng.randn(n, channels[1], *out).astype(np.float32))


def bilinear(plane, y, x):
    """The value of a 2-D array at a point, zero outside."""
    y0, x0 = int(np.floor(y)), int(np.floor(x))
    value = 0.0
    for row, column in ((y0, x0), (y0, x0 + 1), (y0 + 1, x0), (y0 + 1, x0 + 1)):
        if 0 <= row < plane.shape[0] and 0 <= column < plane.shape[1]:
            value += plane[row, column] * (1 - abs(y - row)) * (1 - abs(x - column))
    return value


def naive(case):
    """Equation 1 of Deformable ConvNets v2 as plain sums in float64."""
    x, offset, mask, weight, bias = (case.tensors[key].astype(np.float64)
                                     for key in ("x", "offset", "mask", "weight", "bias"))
    stride, padding, dilation = (pair(value) for value in case.geometry)
    c_out, c_in, kh, kw = weight.shape
    out = np.zeros((x.shape[0], c_out) + offset.shape[2:])
    for b, o, i, j in np.ndindex(*out.shape):
        out[b, o, i, j] = bias[o]
        for c, ki, kj in np.ndindex(c_in, kh, kw):
            tap = ki * kw + kj
            y = i * stride[0] - padding[0] + ki * dilation[0] + offset[b, 2 * tap, i, j]
            z = j * stride[1] - padding[1] + kj * dilation[1] + offset[b, 2 * tap + 1, i, j]
            out[b, o, i, j] += weight[o, c, ki, kj] * mask[b, tap, i, j] * bilinear(x[b, c], y, z)
    return out


def assert_golden(golden, name, case, result):
    out, gradients, _ = result
    np.testing.assert_allclose(out, golden[f"dcn_{name}_out"], rtol=0, atol=1e-4)
    for key, gradient in zip(case.tensors, gradients):
        np.testing.assert_allclose(gradient, golden[f"dcn_{name}_grad_{key}"], rtol=0, atol=1e-4, err_msg=key)


@both_modes
@both_backends
@pytest.mark.parametrize("name", ["k3", "asym", *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW_CASES)])
def test_golden_output_and_gradients_on_five_equal_calls_and_after_other_inputs(golden_official, name, backend, mode):
    case = golden_case(golden_official, name)
    case.backend = backend
    other = [Tensor(1.5 - 0.7 * argument.asnumpy()) for argument in case.arguments()]
    with running(mode):
        function = case.gradients()
        for _ in range(5 if mode == mindspore.GRAPH_MODE else 1):
            assert_golden(golden_official, name, case, arrays(function(*case.arguments())))
        for _ in range(2 if mode == mindspore.GRAPH_MODE else 1):
            function(*other)
            assert_golden(golden_official, name, case, arrays(function(*case.arguments())))


@both_modes_slow_graph
@both_backends
@pytest.mark.parametrize("name", GEOMETRIES)
def test_output_equals_the_definition(name, backend, mode):
    with running(mode):
        case = random_case(name)
        case.backend = backend
        function = Function(case.function())
        for seed in (1, 2):
            case = random_case(name, seed)
            out = function(*case.arguments()[1:])
            np.testing.assert_allclose(out.asnumpy(), naive(case), rtol=0, atol=2e-5)


@both_modes_slow_graph
def test_an_infinite_offset_points_outside_the_map_as_a_very_large_one_does(mode):
    """Output and gradients, on repeated calls of one compiled function."""
    case = random_case("3x3")
    offset = case.tensors["offset"].copy()
    offset[0, :2], offset[1, 3] = 1e6, -1e6
    infinite = np.where(np.abs(offset) == 1e6, np.sign(offset) * np.float32(np.inf), offset)
    assert np.isinf(infinite).any()
    with running(mode):
        run = case.gradients()
        for _ in range(2):
            (far_out, far_gradients, _), (out, gradients, _) = (
                arrays(run(*case.replaced(offset=values).arguments())) for values in (offset, infinite))
            np.testing.assert_array_equal(out, far_out)
            for found, expected in zip(gradients, far_gradients):
                assert np.isfinite(found).all()
                np.testing.assert_array_equal(found, expected)


@pytest.mark.slow
@both_modes
def test_gradients_equal_finite_differences_on_repeated_calls(mode):
    """The output is linear in every single value here, so wide differences are exact."""
    step = 0.125
    with running(mode):
        case = random_case("3x2", seed=3, n=1, channels=(2, 2))
        function = case.gradients()
        for seed in (3, 4, 3):
            case = random_case("3x2", seed, n=1, channels=(2, 2))
            gradients = arrays(function(*case.arguments()))[1]
            for key, gradient in zip(case.tensors, gradients):
                expected = finite_differences(case, key, step)
                np.testing.assert_allclose(gradient, expected, rtol=0, atol=1e-4, err_msg=key)


def finite_differences(case, key, step):
    """The derivatives of sum(naive output * factor) by all values of one tensor."""
    values = case.tensors[key]
    result = np.zeros(values.shape)
    for position in np.ndindex(*values.shape):
        sums = []
        for sign in (1, -1):
            moved = values.astype(np.float64)
            moved[position] += sign * step
            sums.append((naive(case.replaced(**{key: moved})) * case.factor).sum())
        result[position] = (sums[0] - sums[1]) / (2 * step)
    return result


@pytest.mark.slow
@both_modes
def test_chunks_do_not_change_output_or_gradients(monkeypatch, mode):
    case = random_case("3x3", channels=(6, 5), size=(7, 9))
    with running(mode):
        whole = arrays(case.gradients()(*case.arguments()))
        monkeypatch.setattr(dcn, "CHUNK_BYTES", 40000)  # chunks of 46 of 126 positions, which cross the end of an image
        function = case.gradients()
        for _ in range(3):
            parts = arrays(function(*case.arguments()))
            for a, b in zip([parts[0]] + parts[1], [whole[0]] + whole[1]):
                np.testing.assert_allclose(a, b, rtol=0, atol=2e-5)


@both_modes_slow_graph
@pytest.mark.parametrize("name", GEOMETRIES)
def test_zero_offsets_and_a_mask_of_ones_give_the_plain_convolution(name, mode):
    case = random_case(name, channels=(6, 4), size=(8, 7))
    offset, mask = np.zeros_like(case.tensors["offset"]), np.ones_like(case.tensors["mask"])
    case = case.replaced(offset=offset, mask=mask)
    stride, padding, dilation = (pair(value) for value in case.geometry)
    x, _, _, weight, bias = case.arguments()[1:]
    padded = np.pad(x.asnumpy(), ((0, 0), (0, 0), (padding[0],) * 2, (padding[1],) * 2))
    expected = ops.conv2d(Tensor(padded), weight, bias, stride=stride, dilation=dilation)
    with running(mode):
        out = Function(case.function())(*case.arguments()[1:])
    np.testing.assert_allclose(out.asnumpy(), expected.asnumpy(), rtol=0, atol=2e-5)


def test_a_missing_mask_and_bias_mean_ones_and_zeros():
    case = random_case("3x2")
    full = case.replaced(mask=np.ones_like(case.tensors["mask"]), bias=np.zeros_like(case.tensors["bias"]))
    bare = Case({key: case.tensors[key] for key in ("x", "offset", "weight")}, case.geometry, None)
    tensors = [Tensor(value) for value in bare.tensors.values()]
    np.testing.assert_allclose(bare.function()(*tensors).asnumpy(), naive(full), rtol=0, atol=2e-5)


WRONG = {  # tensor, its shape, what the message says; right are x [2, 6, 5, 4], weight [2, 6, 3, 2], output 2 x 3
    "x": ("x", (2, 5, 5, 4), "x has 5 channels, weight needs 6"),
    "offset": ("offset", (2, 9, 2, 3), "offset has 9 channels, a 3x2 kernel needs 12"),
    "mask": ("mask", (2, 12, 2, 3), "mask has 12 channels, a 3x2 kernel needs 6"),
    "offset height": ("offset", (2, 12, 5, 3), "offset is 5x3, the output's side 0 is 2"),
    "offset width": ("offset", (2, 12, 2, 4), "offset is 2x4, the output's side 1 is 3"),
    "mask size": ("mask", (2, 6, 2, 2), "mask is 2x2, the output's side 1 is 3"),
}


@pytest.mark.parametrize("fault", WRONG)
def test_shapes_that_do_not_fit_are_named_with_both_numbers(fault):
    key, shape, message = WRONG[fault]
    case = random_case("3x2").replaced(**{key: np.zeros(shape, np.float32)})
    with pytest.raises(ValueError, match=message):
        case.function()(*case.arguments()[1:])


def test_shapes_that_do_not_fit_are_an_error_when_compiled_too(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # MindSpore writes a file about the failed graph
    case = random_case("3x2").replaced(mask=np.zeros((2, 12, 2, 3), np.float32))
    with running(mindspore.GRAPH_MODE), pytest.raises(ValueError, match="mask has 12 channels"):
        Function(case.function())(*case.arguments()[1:])


@pytest.mark.parametrize("arguments, message", [
    (dict(sampling="zeros"), "sampling must be exact or gitee, not zeros"),
    (dict(backend="torch"), "dcn_backend must be one of auto, gather, native, not torch"),
    (dict(sampling="gitee", backend="native"), "dcn_backend native needs dcn_sampling exact, not gitee"),
    (dict(sampling="gitee", kernel_size=2), "odd kernel and stride 1, not 2 and 1"),
    (dict(sampling="gitee", stride=2), "odd kernel and stride 1, not 3 and 2"),
])
def test_layer_options_that_cannot_be_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        DeformConv2d(4, 4, **arguments)


@pytest.mark.parametrize("device, sampling, expected", [
    ("CPU", "exact", "gather"), ("GPU", "exact", "native"), ("Ascend", "exact", "native"),
    ("Ascend", "gitee", "gather")])
def test_the_backend_is_chosen_by_the_device(device, sampling, expected, monkeypatch):
    monkeypatch.setattr(mindspore, "get_context", lambda name: device)
    assert DeformConv2d(4, 4, sampling=sampling).backend == expected


@pytest.mark.slow
@both_modes
def test_layers_compute_the_same_with_both_backends(mode):
    with running(mode):
        for kind in (DCN, DeformConv2d):
            outputs = []
            for backend in ("gather", "native"):
                layer = kind(8, 8, backend=backend)
                for parameter in layer.get_parameters():
                    parameter.set_data(Tensor(seeded("dcn_alone." + parameter.name, parameter.shape, 1.0)))
                outputs.append(layer(Tensor(image(3, (2, 8, 10, 9)))).asnumpy())
            assert difference(*outputs) < 1e-5


def gitee_layer():
    """The layer of dcn_sq_out and dcn_rect_out."""
    layer = DeformConv2d(8, 6, sampling="gitee")
    for parameter in layer.get_parameters():
        gain = 3.0 if "p_conv" in parameter.name else 0.5
        parameter.set_data(Tensor(seeded("dcn_alone." + parameter.name, parameter.shape, gain)))
    return layer


@both_modes_slow_graph
def test_gitee_sampling_repeats_the_reference(golden_gitee, mode):
    with running(mode):
        layer = gitee_layer()
        for _ in range(2):
            for key, size in (("sq", (10, 10)), ("rect", (7, 12))):
                out = layer(Tensor(image(3, (2, 8) + size))).asnumpy()
                assert difference(out, golden_gitee[f"dcn_{key}_out"]) < 1e-5


@pytest.mark.slow
@both_modes
def test_gitee_gradients_equal_finite_differences_on_repeated_calls(mode):
    """Gradients by input, kernel and mask weights, with zero offsets, where the reference's sampling has no jumps."""
    with running(mode):
        layer = gitee_layer()
        layer.p_conv.weight.set_data(ops.zeros_like(layer.p_conv.weight))
        x, factor = Parameter(Tensor(image(3, (2, 8, 7, 12))), name="x"), np.random.RandomState(4).randn(2, 6, 7, 12)
        function = Gradients(layer, 1, [layer.conv.weight, layer.m_conv.weight])
        for _ in range(3):
            _, by_input, by_weights = arrays(function(Tensor(factor.astype(np.float32)), x.value()))
        for value, gradient in zip([x, layer.conv.weight, layer.m_conv.weight], by_input + by_weights):
            for corner in [(0, 0, 0, 0), (1, 1, 0, 1), (0, 1, 1, 0), (1, 0, 1, 1)]:
                position = tuple(np.array(corner) * (np.array(gradient.shape) - 1))
                expected = slope(lambda: layer(x.value()).asnumpy() * factor, value, position, 0.02)
                assert gradient[position] == pytest.approx(expected, rel=1e-2, abs=2e-3), value.name


def slope(values, weight, position, step):
    """The derivative of the sum of values() by one number of a parameter, as a central difference."""
    original, sums = weight.asnumpy().copy(), []
    for sign in (1, -1):
        moved = original.copy()
        moved[position] += sign * step
        weight.set_data(Tensor(moved))
        sums.append(values().sum())
    weight.set_data(Tensor(original))
    return (sums[0] - sums[1]) / (2 * step)


def test_new_layers_start_as_plain_convolutions():
    x = Tensor(image(5, (1, 4, 9, 8)))
    layer = DCN(4, 6)
    expected = 0.5 * ops.conv2d(x, layer.weight, padding=1, pad_mode="pad") + layer.bias.reshape(1, -1, 1, 1)
    np.testing.assert_allclose(layer(x).asnumpy(), expected.asnumpy(), rtol=0, atol=1e-5)
    layer = DeformConv2d(4, 6)
    layer.m_conv.weight.set_data(ops.zeros_like(layer.m_conv.weight))
    expected = 0.5 * ops.conv2d(x, layer.conv.weight, padding=1, pad_mode="pad")
    np.testing.assert_allclose(layer(x).asnumpy(), expected.asnumpy(), rtol=0, atol=1e-5)


def test_layer_passes_stride_and_padding_on():
    layer = DeformConv2d(4, 6, kernel_size=2, stride=3, padding=2)
    assert layer(Tensor(image(5, (1, 4, 9, 8)))).shape == (1, 6, 4, 4)


MEASURE = """
import re, sys
import mindspore, numpy as np
from mindspore import Tensor, ops
from src.network.dcn import DCN

def memory(key):  # kB; getrusage would begin with the parent's peak
    return int(re.search(key + r":\\s+(\\d+)", open("/proc/self/status").read()).group(1))

mindspore.set_context(mode=int(sys.argv[1]))
warm = mindspore.nn.Conv2d(3, 8, 3)(Tensor(np.ones((1, 3, 64, 64), np.float32))).asnumpy()
before = memory("VmRSS")
layer = DCN(256, 256)
rng = np.random.default_rng(1)
for parameter in layer.get_parameters():
    parameter.set_data(Tensor(rng.standard_normal(parameter.shape, np.float32) * 0.02))
out = layer(Tensor(rng.random((1, 256, 300, 400), np.float32))).asnumpy()
assert out.shape == (1, 256, 300, 400) and np.isfinite(out).all()
print("MB", (memory("VmHWM") - before) / 1e3)
"""


@pytest.mark.slow
@both_modes
def test_memory_of_a_large_image_stays_below_1500_mb(mode):
    done = subprocess.run([sys.executable, "-c", MEASURE, str(mode)], cwd=ROOT, capture_output=True, text=True,
                          check=True)
    assert float(done.stdout.split("MB")[1]) < 1500
