"""FastDeconv equals the authors' numbers, its definition and finite differences."""
import mindspore
import numpy as np
import pytest
from mindspore import Tensor

from compiled import Gradients, arrays, both_modes_slow_graph, difference, running
from golden.seeded import image, seeded
from src.network.fast_deconv import FastDeconv

BATCH = image(20, (2, 3, 24, 30))  # input of fastdeconv_train_out
SINGLE = image(21, (1, 3, 24, 30))  # input of fastdeconv_eval_out


def golden_layer():
    layer = FastDeconv(3, 3, 3, padding=1)
    for parameter in layer.trainable_params():
        parameter.set_data(Tensor(seeded("fastdeconv." + parameter.name, parameter.shape)))
    return layer.set_train()


def patches(x, kernel, padding, step):
    """The patches at every `step` pixels, as rows of c * k * k values."""
    x = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (padding,) * 2, (padding,) * 2))
    n, c, h, w = x.shape
    return np.array([x[b, :, i:i + kernel, j:j + kernel].ravel() for b in range(n)
                     for i in range(0, h - kernel + 1, step) for j in range(0, w - kernel + 1, step)])


def definition(x, weight, bias, padding=1):
    """Training output, patch mean and whitening matrix as Ye et al. define them, in float64."""
    kernel = weight.shape[2]
    sampled = patches(x, kernel, padding, 3)
    mean = sampled.mean(0)
    covariance = (sampled - mean).T @ (sampled - mean) / len(sampled) + 1e-5 * np.eye(len(mean))
    norm = np.linalg.norm(covariance)
    y, z = covariance / norm, np.eye(len(mean))
    for _ in range(5):
        t = 0.5 * (3 * np.eye(len(mean)) - z @ y)
        y, z = y @ t, t @ z
    deconv = z / np.sqrt(norm)
    out = (patches(x, kernel, padding, 1) - mean) @ deconv @ weight.reshape(len(weight), -1).T.astype(np.float64)
    height, width = (side + 2 * padding - kernel + 1 for side in x.shape[2:])
    return (out + bias).reshape(len(x), height, width, -1).transpose(0, 3, 1, 2), mean, deconv


def test_definition_gives_the_golden_numbers(golden_official):
    """This proves the definition that the tests below use."""
    layer = golden_layer()
    out, mean, deconv = definition(BATCH, layer.weight.asnumpy(), layer.bias.asnumpy())
    assert difference(out, golden_official["fastdeconv_train_out"]) < 1e-6
    assert difference(0.1 * mean, golden_official["fastdeconv_running_mean"]) < 1e-6
    assert difference(0.9 * np.eye(27) + 0.1 * deconv, golden_official["fastdeconv_running_deconv"]) < 1e-6


@both_modes_slow_graph
def test_golden_training_output_statistics_and_evaluation_output(golden_official, mode):
    with running(mode):
        layer = golden_layer()
        out = layer(Tensor(BATCH)).asnumpy()
        assert difference(out, golden_official["fastdeconv_train_out"]) < 1e-5
        assert difference(layer.running_mean.asnumpy(), golden_official["fastdeconv_running_mean"]) < 1e-5
        assert difference(layer.running_deconv.asnumpy(), golden_official["fastdeconv_running_deconv"]) < 1e-5
        layer.set_train(False)
        for _ in range(2):
            out = layer(Tensor(SINGLE)).asnumpy()
            assert difference(out, golden_official["fastdeconv_eval_out"]) < 1e-5
        assert difference(layer.running_mean.asnumpy(), golden_official["fastdeconv_running_mean"]) < 1e-5


@both_modes_slow_graph
def test_a_backward_pass_moves_the_statistics_once(mode):
    with running(mode):
        layer = golden_layer()
        function = Gradients(layer, 1, layer.trainable_params())
        mean, deconv = np.zeros(27), np.eye(27)
        for seed in (20, 22, 23):
            x = image(seed, BATCH.shape)
            function(Tensor(np.ones_like(BATCH)), Tensor(x))[0].asnumpy()
            _, new_mean, new_deconv = definition(x, layer.weight.asnumpy(), layer.bias.asnumpy())
            mean, deconv = 0.9 * mean + 0.1 * new_mean, 0.9 * deconv + 0.1 * new_deconv
            assert difference(layer.running_mean.asnumpy(), mean) < 1e-5
            assert difference(layer.running_deconv.asnumpy(), deconv) < 1e-5


@pytest.mark.slow
@both_modes_slow_graph
def test_gradients_equal_finite_differences_on_repeated_calls(mode):
    shape = (2, 2, 6, 7)
    factor = np.random.RandomState(1).randn(2, 3, 6, 7)
    with running(mode):
        layer = FastDeconv(2, 3, 3, padding=1).set_train()
        function = Gradients(layer, 1, [layer.weight, layer.bias])
        weight, bias = layer.weight.asnumpy(), layer.bias.asnumpy()
        for seed in (1, 2, 2, 2, 1):
            x = image(seed, shape)
            _, (by_x,), (by_weight, by_bias) = arrays(function(Tensor(factor.astype(np.float32)), Tensor(x)))
            for found, values, total in [
                (by_x, x, lambda moved: (definition(moved, weight, bias)[0] * factor).sum()),
                (by_weight, weight, lambda moved, x=x: (definition(x, moved, bias)[0] * factor).sum()),
                (by_bias, bias, lambda moved, x=x: (definition(x, weight, moved)[0] * factor).sum()),
            ]:
                assert difference(found, finite_differences(total, values)) < 1e-4


def finite_differences(total, values, step=1e-4):
    result = np.zeros(values.shape)
    for position in np.ndindex(*values.shape):
        up, down = values.astype(np.float64), values.astype(np.float64)
        up[position] += step
        down[position] -= step
        result[position] = (total(up) - total(down)) / (2 * step)
    return result


@both_modes_slow_graph
def test_frozen_statistics_are_used_in_training_and_stay_as_they_are(mode):
    with running(mode):
        layer = golden_layer()
        layer(Tensor(BATCH))
        mean, deconv = layer.running_mean.asnumpy().copy(), layer.running_deconv.asnumpy().copy()
        layer.set_train(False)
        expected = layer(Tensor(SINGLE)).asnumpy()
        layer.freeze_statistics()
        layer.set_train()
        function = Gradients(layer, 1, layer.trainable_params())
        for _ in range(3):
            out = function(Tensor(np.ones_like(SINGLE)), Tensor(SINGLE))[0].asnumpy()
        np.testing.assert_array_equal(layer.running_mean.asnumpy(), mean)
        np.testing.assert_array_equal(layer.running_deconv.asnumpy(), deconv)
        np.testing.assert_allclose(out, expected, rtol=0, atol=1e-6)


def test_statistics_are_no_weights_to_train():
    assert [parameter.name for parameter in FastDeconv(3, 3, 3).trainable_params()] == ["weight", "bias"]


def test_new_layer_evaluates_as_a_plain_convolution():
    """The statistics of a new FastDeconv are zero mean and identity."""
    layer = FastDeconv(3, 4, 3).set_train(False)
    plain = mindspore.ops.conv2d(Tensor(SINGLE), layer.weight, layer.bias)
    np.testing.assert_allclose(layer(Tensor(SINGLE)).asnumpy(), plain.asnumpy(), rtol=0, atol=1e-6)
