"""Both graphs equal the originals, take any image size, and have right gradients in every call."""
import functools

import mindspore
import numpy as np
import pytest
from mindspore import Tensor, nn, ops

from compiled import Gradients, arrays, both_modes, both_modes_slow_graph, difference, running
from golden.seeded import image, seeded
from src.network.aecrnet import RGB_MEAN, RGB_STD, Dehaze
from src.network.layers import ReflectionPad, WideConv
from src.network.shapes import parameter_shapes
from src.spec import ARCHS, VALUE_RANGE

BLOCK = ["block.conv1", "block.conv2", "block.calayer.ca.0", "block.calayer.ca.2", "block.palayer.pa.0",
         "block.palayer.pa.2"]
GITEE = BLOCK + ["sub_mean", "add_mean", "deconv", "down1.0", "down2.0", "down3.0", "up1.0", "up2.0", "up3.0"]
PAPER = BLOCK + ["deconv", "down1.1", "down2.0", "down3.0", "up1.0", "up2.0", "up3.1", "dcn_block.dcn",
                 "dcn_block.dcn.conv_offset_mask"]
NAMES = {
    "gitee": {f"{cell}.{kind}" for cell in GITEE for kind in ("weight", "bias")} | {
        "dcn_block.p_conv.weight", "dcn_block.m_conv.weight", "dcn_block.conv.weight", "mix4.w", "mix5.w"},
    "paper": {f"{cell}.{kind}" for cell in PAPER for kind in ("weight", "bias")} | {
        "deconv.running_mean", "deconv.running_deconv", "mix1.w", "mix2.w"},
}
IMAGES = {  # seeds and sizes of the golden outputs
    "gitee": {"sq": image(1, (1, 3, 64, 64), 255), "rect": image(2, (1, 3, 48, 80), 255)},
    "paper": {"sq": image(31, (1, 3, 64, 64)), "rect": image(32, (1, 3, 48, 80))},
}
CASES = pytest.mark.parametrize("case", ["sq", "rect"])
BOTH_ARCHS = pytest.mark.parametrize("arch", ARCHS)


def set_weights(net, gain, offset_gain):
    """Set seeded weights. The layers that give offsets have another gain."""
    for parameter in net.trainable_params():
        if not parameter.name.startswith("mix"):
            gives_offsets = "p_conv" in parameter.name or "conv_offset_mask" in parameter.name
            values = seeded(parameter.name, parameter.shape, offset_gain if gives_offsets else gain)
            parameter.set_data(Tensor(values))
    return net


def golden_gitee_network():
    """The network of gitee.npz, with the reference's add_mean, which is not the inverse of its sub_mean."""
    net = set_weights(Dehaze("gitee", dcn_sampling="gitee"), 0.5, 3.0).set_train(False)
    std, mean = np.array(RGB_STD), np.array(RGB_MEAN)
    net.add_mean.weight.set_data(Tensor(np.diag(1 / std).reshape(3, 3, 1, 1).astype(np.float32)))
    net.add_mean.bias.set_data(Tensor((255 * mean / std).astype(np.float32)))
    return net


@functools.cache
def seeded_network(arch):
    """A network in evaluation mode, which the tests leave as it is."""
    return set_weights(Dehaze(arch), 0.7, 0.5).set_train(False)


@pytest.fixture(scope="module")
def paper_network():
    return golden_paper_network()


def golden_paper_network():
    """The network of official.npz, after the training forward that made its running statistics."""
    net = set_weights(Dehaze("paper"), 0.7, 1.0).set_train()
    net(Tensor(image(30, (2, 3, 64, 64))))
    return net.set_train(False)


@BOTH_ARCHS
def test_parameters_have_the_originals_names_and_count(arch):
    net = Dehaze(arch)
    assert {parameter.name for parameter in net.get_parameters()} == NAMES[arch]
    trained = sum(parameter.size for parameter in net.trainable_params())
    everything = sum(parameter.size for parameter in net.get_parameters())
    statistics = 27 + 27 * 27
    assert (trained, everything - trained) == {"gitee": (2613946, 24), "paper": (2614229, statistics)}[arch]


@BOTH_ARCHS
def test_the_shapes_that_are_known_without_mindspore_are_those_of_the_network(arch):
    assert {one.name: tuple(one.shape) for one in Dehaze(arch).get_parameters()} == parameter_shapes(arch)


def test_impossible_networks_are_an_error():
    with pytest.raises(ValueError, match="arch must be one of gitee, paper, not resnet"):
        Dehaze("resnet")
    with pytest.raises(ValueError, match="dcn_sampling.* paper .*exact.*gitee"):
        Dehaze("paper", dcn_sampling="gitee")
    with pytest.raises(ValueError, match="sampling must be exact or gitee, not nearest"):
        Dehaze("gitee", dcn_sampling="nearest")


def test_new_gitee_network_starts_with_add_mean_the_inverse_of_sub_mean():
    net, x = Dehaze("gitee"), image(5, (2, 3, 9, 8), 255)
    np.testing.assert_allclose(net.add_mean(net.sub_mean(Tensor(x))).asnumpy(), x, rtol=0, atol=1e-3)


# parity with the authors' network

@both_modes_slow_graph
def test_paper_statistics_and_outputs_are_the_authors(golden_official, mode):
    with running(mode):
        net = golden_paper_network()
        for name in ("running_mean", "running_deconv"):
            found = getattr(net.deconv, name).asnumpy()
            assert difference(found, golden_official[f"dehaze_{name}"]) < 1e-5, name
        for case, x in IMAGES["paper"].items():
            assert difference(net(Tensor(x)).asnumpy(), golden_official[f"dehaze_{case}_out"]) < 1e-5


@CASES
def test_paper_stages_are_the_authors(golden_official, paper_network, case):
    net = paper_network
    down3 = net.down3(net.down2(net.down1(net.deconv(Tensor(IMAGES["paper"][case])))))
    block6 = down3
    for _ in range(6):
        block6 = net.block(block6)
    for name, found in (("down3", down3), ("block6", block6), ("dcn1", net.dcn_block(block6))):
        assert difference(found.asnumpy(), golden_official[f"dehaze_{case}_{name}"]) < 1e-5, name


# parity with the model-zoo reference

class GiteeStages(nn.Cell):
    """Compute each stage from the golden values before it: down3, block6, dcn1, output."""

    def __init__(self, net):
        super().__init__(auto_prefix=False)
        self.net = net

    def construct(self, x, down3, block6, dcn1):
        net = self.net
        down2 = net.down2(net.down1(net.deconv(net.sub_mean(x))))
        found_down3, found_block6 = net.down3(down2), down3
        for _ in range(6):
            found_block6 = net.block(found_block6)
        up1 = net.up1(net.mix4(down3, net.dcn_block(dcn1)))
        out = net.add_mean(net.up3(net.up2(net.mix5(down2, up1))))
        return found_down3, found_block6, net.dcn_block(block6), out


@both_modes_slow_graph
@CASES
def test_gitee_stages_are_the_references(golden_gitee, case, mode):
    """Each stage from the reference's own input to it, within 2e-5 of its range, where float32 can tell.

    The golden weights make offsets of up to 4000 px on activations of up to 800, and the reference's
    sampling jumps at the border. So the rounding of one convolution shows in a few of dcn1's 256
    positions: four above 1e-5 at most, the worst 1.2e-4; offsets in float64 give the same.
    """
    golden = {name: golden_gitee[f"dehaze_{case}_{name}"] for name in ("down3", "block6", "dcn1", "out")}
    inputs = [IMAGES["gitee"][case], golden["down3"], golden["block6"], golden["dcn1"]]
    with running(mode):
        down3, block6, dcn1, out = arrays(GiteeStages(golden_gitee_network())(*map(Tensor, inputs)))
    assert difference(down3, golden["down3"]) < 5e-6
    assert difference(block6, golden["block6"]) < 2e-5
    assert difference(out, golden["out"]) < 2e-5
    by_position = np.abs(dcn1 - golden["dcn1"]).max((0, 1)) / np.ptp(golden["dcn1"])
    assert np.median(by_position) < 1e-6
    assert (by_position > 1e-5).sum() <= 8
    assert (by_position > 1e-4).sum() <= 2
    assert by_position.max() < 1e-3


@pytest.mark.slow
@CASES
def test_gitee_output_differs_from_the_references_less_than_rounding_the_input_moves_it(golden_gitee, case):
    """The whole graph is as close to the golden output as float32 allows with the golden weights.

    Relative noise of 1e-7 on the input, a change of the last bit, moves our output by up to 5e-3 (sq)
    and 8e-3 (rect) of its range; the golden output is 2.9e-3 and 6.3e-3 away. A tighter bound would
    test the rounding of one machine's convolutions; the test of the stages above is the sharp one.
    """
    net, x, golden = golden_gitee_network(), IMAGES["gitee"][case], golden_gitee[f"dehaze_{case}_out"]
    with running(mindspore.GRAPH_MODE):
        out = net(Tensor(x)).asnumpy()
        rng, moves = np.random.RandomState(1), []
        for _ in range(6):
            noisy = (x * (1 + 1e-7 * rng.randn(*x.shape))).astype(np.float32)
            moves.append(difference(net(Tensor(noisy)).asnumpy(), out))
    assert difference(out, golden) <= max(moves) < 0.03


# image sizes

@BOTH_ARCHS
@pytest.mark.parametrize("size", [(16, 16), (17, 30), (19, 21)])
def test_any_size_gives_the_mirrored_images_result_cut_back(arch, size):
    net, x = seeded_network(arch), image(8, (1, 3) + size, VALUE_RANGE[arch])
    out = net(Tensor(x)).asnumpy()
    assert out.shape == x.shape
    assert np.isfinite(out).all() and np.ptp(out) > 0
    assert difference(out, cut_back(net, x)) < 1e-5


@pytest.mark.slow
@BOTH_ARCHS
def test_any_size_gives_the_mirrored_images_result_cut_back_when_compiled(arch):
    net, x = set_weights(Dehaze(arch), 0.7, 0.5).set_train(False), image(8, (2, 3, 17, 30), VALUE_RANGE[arch])
    expected = cut_back(net, x)
    with running(mindspore.GRAPH_MODE):
        assert difference(net(Tensor(x)).asnumpy(), expected) < 1e-4


def cut_back(net, x):
    h, w = x.shape[2:]
    mirrored = np.pad(x, ((0, 0), (0, 0), (0, -h % 4), (0, -w % 4)), mode="reflect")
    return net(Tensor(mirrored)).asnumpy()[:, :, :h, :w]


@pytest.mark.slow
@BOTH_ARCHS
def test_images_of_a_batch_do_not_mix_in_evaluation(arch):
    net = seeded_network(arch)
    x = image(9, (3, 3, 16, 20), VALUE_RANGE[arch])
    together = net(Tensor(x)).asnumpy()
    for i in range(3):
        assert difference(net(Tensor(x[i:i + 1])).asnumpy(), together[i:i + 1]) < 1e-4


# layers

@both_modes
@pytest.mark.parametrize("padding", [0, 3])
def test_wide_convolution_equals_the_plain_one_with_its_gradients(padding, mode):
    with running(mode):
        wide = WideConv(5, 3, 7, padding)
        plain = nn.Conv2d(5, 3, 7, pad_mode="pad", padding=padding, has_bias=True)
        plain.weight.set_data(wide.weight.value())
        plain.bias.set_data(wide.bias.value())
        functions = [Gradients(layer, 1, [layer.weight, layer.bias]) for layer in (wide, plain)]
        for seed in (1, 2, 2, 1):
            x = Tensor(image(seed, (2, 5, 11, 14)))
            factor = Tensor(image(seed + 5, (2, 3, 5 + 2 * padding, 8 + 2 * padding)))
            found, expected = (arrays(function(factor, x)) for function in functions)
            for a, b in zip([found[0]] + found[1] + found[2], [expected[0]] + expected[1] + expected[2]):
                assert difference(a, b) < 1e-5


@both_modes
def test_reflection_padding_and_its_gradient_equal_numpys(mode):
    with running(mode):
        function = Gradients(ReflectionPad(3), 1)
        for seed in (1, 2, 2, 1):
            x, factor = image(seed, (2, 3, 5, 9)), image(seed + 5, (2, 3, 11, 15))
            out, (gradient,), _ = arrays(function(Tensor(factor), Tensor(x)))
            np.testing.assert_array_equal(out, np.pad(x, ((0, 0), (0, 0), (3, 3), (3, 3)), mode="reflect"))
            sources = np.pad(np.arange(x.size).reshape(x.shape), ((0, 0), (0, 0), (3, 3), (3, 3)), mode="reflect")
            expected = np.bincount(sources.ravel(), factor.ravel()).reshape(x.shape)
            np.testing.assert_allclose(gradient, expected, rtol=0, atol=1e-5)


# gradients of the whole network

class Training:
    """A network in training with one compiled graph for output and gradients, a batch, and factors for the output.

    The values are chosen for finite differences in float32: an image near sub_mean's centre, offsets
    of a pixel or so, and no large constant in the output.
    """

    def __init__(self, arch):
        net = set_weights(Dehaze(arch), {"gitee": 0.7, "paper": 0.85}[arch], 0.5).set_train()
        x = image(1, (2, 3, 16, 20))
        if arch == "gitee":
            x = (255 * np.array(RGB_MEAN).reshape(3, 1, 1) + x - 0.5).astype(np.float32)
            net.add_mean.bias.set_data(ops.zeros_like(net.add_mean.bias))
        self.net, self.x, self.weights = net, x, net.trainable_params()
        self.factor = np.random.RandomState(0).randn(*x.shape).astype(np.float32)
        self.function = Gradients(net, 0, self.weights)

    def run(self):
        """The output, and the gradients by name."""
        out, _, gradients = arrays(self.function(Tensor(self.factor), Tensor(self.x)))
        return out, dict(zip((weight.name for weight in self.weights), gradients))

    def total(self):
        """What the gradients are of, summed in float64."""
        return (self.run()[0].astype(np.float64) * self.factor).sum()


@pytest.fixture(scope="module", params=ARCHS)
def training(request):
    return Training(request.param)


@pytest.mark.slow
def test_every_weight_gets_the_same_gradient_on_five_calls(training):
    with running(mindspore.GRAPH_MODE):
        first = training.run()[1]
        for _ in range(4):
            again = training.run()[1]
    for name, gradient in first.items():
        assert np.isfinite(gradient).all() and np.abs(gradient).max() > 0, name
        np.testing.assert_allclose(again[name], gradient, rtol=0, atol=1e-4 * np.abs(gradient).max(), err_msg=name)


@pytest.mark.slow
def test_gradients_equal_finite_differences_on_repeated_calls(training):
    """The check is along the gradient of each parameter, on a random three quarters of its values."""
    change = {"gitee": 1.6e-3, "paper": 7e-3}[training.net.arch]  # of the total: above its rounding, below its kinks
    rng = np.random.RandomState(2)
    with running(mindspore.GRAPH_MODE):
        gradients = training.run()[1]
        for weight in training.weights:
            gradient = gradients[weight.name].astype(np.float64)
            direction = gradient * (rng.rand(*gradient.shape) < 0.75) if gradient.size > 3 else gradient
            direction = direction / np.linalg.norm(direction)
            expected = (gradient * direction).sum()
            step = min(change / expected, 2e-3)
            assert slope(training, weight, direction, step) == pytest.approx(expected, rel=0.03), weight.name


def slope(training, weight, direction, step):
    """The derivative of the total along a direction of one parameter, as a central difference."""
    original, totals = weight.asnumpy().copy(), []
    for sign in (1, -1):
        weight.set_data(Tensor((original + sign * step * direction).astype(np.float32)))
        totals.append(training.total())
    weight.set_data(Tensor(original))
    return (totals[0] - totals[1]) / (2 * step)


@pytest.mark.slow
def test_gradients_are_the_same_in_pynative_mode(training):
    with running(mindspore.GRAPH_MODE):
        out, compiled = training.run()
    with running(mindspore.PYNATIVE_MODE):
        eager_out, eager = training.run()
    assert difference(eager_out, out) < 1e-4
    for name, gradient in compiled.items():
        np.testing.assert_allclose(eager[name], gradient, rtol=0, atol=1e-2 * np.abs(gradient).max(), err_msg=name)


@BOTH_ARCHS
def test_every_weight_of_a_new_network_gets_a_gradient(arch):
    """This includes the parameters behind offsets that start at zero."""
    mindspore.set_seed(1)
    net = Dehaze(arch).set_train()
    function = Gradients(net, 0, net.trainable_params())
    x = image(4, (1, 3, 16, 16), VALUE_RANGE[arch])
    gradients = arrays(function(Tensor(image(5, x.shape)), Tensor(x)))[2]
    for weight, gradient in zip(net.trainable_params(), gradients):
        assert np.isfinite(gradient).all() and np.abs(gradient).max() > 0, weight.name
