"""The loss and the training step equal the originals', and are right with every option."""
import math

import mindspore
import numpy as np
import pytest
from mindspore import Tensor, amp, nn, ops

from compiled import both_modes, running
from golden.seeded import image, seeded
from src.network.aecrnet import RGB_MEAN, RGB_STD, Dehaze
from src.train.cell import TrainOneStepCell
from src.train.loss import ContrastLoss, NetWithCRLossCell
from src.train.optimizer import Adam
from src.train.vgg import Vgg19

REFERENCE_CONSTANTS = ("sub_mean", "add_mean", "mix")  # values that the constructor sets


@pytest.fixture(autouse=True, scope="module")
def graph_mode():
    with running(mindspore.GRAPH_MODE):
        yield


def set_weights(net, value_of):
    """Set every parameter to value_of(name, shape). None keeps the old value."""
    for parameter in net.get_parameters():
        value = value_of(parameter.name, parameter.shape)
        if value is not None:
            parameter.set_data(Tensor(np.asarray(value, np.float32).reshape(parameter.shape)))


def contrast_loss(form):
    """CR with the VGG19 weights of the golden files."""
    vgg = Vgg19(has_bias=form == "paper")
    prefix = "vgg19.features" if form == "paper" else "vgg19.layers"
    set_weights(vgg, lambda name, shape: seeded(name.replace("layers", prefix), shape))
    return ContrastLoss(vgg, form)


def gitee_net():
    """The reference's network with the weights of golden/gitee.npz."""
    net = Dehaze("gitee", "gitee")
    set_weights(net, lambda name, shape: None if name.startswith(REFERENCE_CONSTANTS)
                else seeded(name, shape, 3.0 if "p_conv" in name else 0.5))
    own = {"add_mean.weight": np.diag(1 / np.array(RGB_STD)), "add_mean.bias": 255 * np.divide(RGB_MEAN, RGB_STD)}
    set_weights(net, lambda name, shape: own.get(name))
    return net


class Official:
    """The authors' network, loss and step with the weights of golden/official.npz. A test can reset them."""

    def __init__(self):
        self.net = Dehaze("paper").set_train()
        set_weights(self.net, lambda name, shape: None if "running" in name or name.startswith("mix")
                    else seeded(name, shape, 1.0 if "conv_offset_mask" in name else 0.7))
        self.optimizer = Adam(self.net.trainable_params())
        self.cell = TrainOneStepCell(NetWithCRLossCell(self.net, contrast_loss("paper"), 0.1), self.optimizer)
        self.start = self.state()

    def parameters(self):
        return list(self.net.get_parameters()) + list(self.optimizer.moment1) + list(self.optimizer.moment2) + [
            self.optimizer.step]

    def state(self):
        return {parameter.name: parameter.asnumpy().copy() for parameter in self.parameters()}

    def set_back(self):
        for parameter in self.parameters():  # in place, because a branch of a compiled graph does not see `set_data`
            ops.assign(parameter, Tensor(self.start[parameter.name]))

    def step(self, index):
        """One step on the golden batch `index`. Returns: loss, L1, CR."""
        hazy, clear = Tensor(image(50 + index, (2, 3, 48, 48))), Tensor(image(60 + index, (2, 3, 48, 48)))
        return [float(value) for value in self.cell(hazy, clear, Tensor(1e-4, mindspore.float32), True)[:3]]


@pytest.fixture(scope="module")
def official():
    return Official()


@pytest.fixture(scope="module")
def official_first_step(official):
    official.set_back()
    losses = official.step(0)
    return losses, official.state()


@pytest.mark.slow
def test_three_steps_equal_the_official_implementation(official, official_first_step, golden_official):
    """Adam's first steps are as large for a gradient of rounding errors, which that of the offsets nearly is. So for
    the offsets it counts how far all weights moved."""
    official.set_back()
    for index, (l1, cr, loss) in enumerate(golden_official["train3_losses"]):
        np.testing.assert_allclose(official.step(index), [loss, l1, cr], atol=1e-4)
    names = [name for name in golden_official if name.startswith("train3_") and name != "train3_losses"]
    assert len(names) == 7
    state = official.state()
    for name in names:
        found, start = (values[name[len("train3_"):]].ravel()[:64] for values in (state, official.start))
        error = np.linalg.norm(found - golden_official[name])
        assert error < 0.1 * np.linalg.norm(golden_official[name] - start), name
        if "conv_offset_mask" not in name:
            np.testing.assert_allclose(found, golden_official[name], atol=1e-5, err_msg=name)


@pytest.mark.slow
def test_a_compiled_step_gives_the_same_numbers_in_every_call(official, official_first_step):
    losses, state = official_first_step
    for _ in range(2):
        official.set_back()
        assert official.step(0) == losses
        for name, value in official.state().items():
            np.testing.assert_array_equal(value, state[name], err_msg=name)


@pytest.mark.slow
def test_graph_mode_and_pynative_agree(official_first_step):
    losses, state = official_first_step
    with running(mindspore.PYNATIVE_MODE):
        eager = Official()
        np.testing.assert_allclose(eager.step(0), losses, rtol=1e-5)
        for name, value in eager.state().items():
            if not name.startswith("optimizer."):
                np.testing.assert_allclose(value, state[name], atol=1e-5, err_msg=name)


@pytest.mark.slow
def test_every_trainable_parameter_receives_a_finite_gradient(official, official_first_step):
    _, state = official_first_step
    for parameter in official.net.trainable_params():
        gradient = state[f"optimizer.moment1.{parameter.name}"]  # a tenth of the gradient after one step
        assert np.isfinite(gradient).all() and np.abs(gradient).max() > 0, parameter.name


@pytest.mark.slow
def test_losses_equal_the_reference(golden_gitee):
    clear, _, hazy = (Tensor(image(seed, (3, 3, 64, 64), 255)) for seed in (10, 11, 12))
    loss, l1, cr = NetWithCRLossCell(gitee_net(), contrast_loss("gitee"), 20.0, neg_num=2)(hazy, clear)
    np.testing.assert_allclose(float(l1), golden_gitee["netcr_l1"], rtol=1e-4)
    np.testing.assert_allclose(float(cr), golden_gitee["netcr_cr"], rtol=1e-4)
    np.testing.assert_allclose(float(loss), float(l1) + 20.0 * float(cr), rtol=1e-6)


# The other tests of the step use a small network, which compiles in a moment.

class Small(nn.Cell):
    """Two convolutions."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, has_bias=True)
        self.second = nn.Conv2d(4, 3, 3)
        set_weights(self, lambda name, shape: seeded(name, shape, 0.5))

    def construct(self, x):
        return self.second(nn.ReLU()(self.first(x)))


class SmallRun:
    """A run of the small network, with everything that a step may change."""

    def __init__(self, net, **options):
        self.net = net
        self.optimizer = Adam(self.net.trainable_params())
        statistics = [parameter for parameter in self.net.get_parameters() if not parameter.requires_grad]
        self.cell = TrainOneStepCell(NetWithCRLossCell(self.net), self.optimizer, statistics=statistics, **options)
        self.start = [parameter.asnumpy().copy() for parameter in self.parameters()]

    def parameters(self):
        cell, optimizer = self.cell, self.optimizer
        return [*self.net.get_parameters(), *optimizer.moment1, *optimizer.moment2, optimizer.step, *cell.ema,
                *cell.kept, *cell.sums, *cell.scale, cell.losses, cell.report]

    def set_back(self):
        """Make it a new run, whose graph is compiled already. In place, as for `Official`."""
        for parameter, value in zip(self.parameters(), self.start):
            ops.assign(parameter, Tensor(value))

    def step(self, batch, apply=True, rate=1e-3):
        loss, _, _, finite = self.cell(Tensor(batch[0]), Tensor(batch[1]), Tensor(rate, mindspore.float32), apply)
        return float(loss), bool(finite)

    def weights(self):
        return np.concatenate([parameter.asnumpy().ravel() for parameter in self.net.get_parameters()])

    def state(self):
        kept = [*self.net.get_parameters(), *self.optimizer.moment1, *self.optimizer.moment2, *self.cell.ema,
                self.optimizer.step]
        return np.concatenate([parameter.asnumpy().ravel() for parameter in kept])

    def gradient(self):
        """The gradient of the first step."""
        return np.concatenate([moment.asnumpy().ravel() for moment in self.optimizer.moment1]) / 0.1


@pytest.fixture(scope="module")
def runs():
    """Gives new runs. Runs of equal options share one compiled graph, so a test uses one after the other.

    scale: loss scale at the start, which doubles after `window` steps; 0: no loss scale.
    """
    made = {}

    def new(net=None, scale=0.0, window=1000, **options):
        mode = mindspore.get_context("mode")
        key = (mode, net, bool(scale), window, *sorted(options.items()))
        if key not in made:
            scaler = amp.DynamicLossScaler(scale, 2, window) if scale else None
            made[key] = SmallRun((net or Small)(), scaler=scaler, **options)
        made[key].set_back()
        if scale:
            ops.assign(made[key].cell.scale[0], Tensor(scale, mindspore.float32))
        return made[key]
    return new


def small_batch(seed, count=2):
    return image(seed, (count, 3, 8, 8)), image(seed + 1000, (count, 3, 8, 8))


OVERFLOWING = (small_batch(1)[0] * np.float32(1e34), small_batch(1)[1])


def after(run, batches):
    for batch in batches:
        run.step(batch)
    return run


def test_the_fourier_loss_is_added_with_its_weight_and_l1_is_reported_without_it():
    net, (hazy, clear) = Small(), small_batch(0)
    loss, l1, _ = NetWithCRLossCell(net, fft_weight=0.1)(Tensor(hazy), Tensor(clear))
    error = net(Tensor(hazy)).asnumpy() - clear
    transform = np.fft.fft2(error)
    fourier = (np.abs(transform.real) + np.abs(transform.imag)).mean() / 2
    assert float(l1) == pytest.approx(np.abs(error).mean(), rel=1e-5)
    assert float(loss) == pytest.approx(float(l1) + 0.1 * fourier, rel=1e-5)


def test_a_loss_scale_changes_neither_loss_nor_step(runs):
    batches = [small_batch(seed) for seed in range(3)]
    plain, scaled = runs(), runs(scale=1024.0)
    for batch in batches:
        assert scaled.step(batch) == pytest.approx(plain.step(batch), rel=1e-6)
    np.testing.assert_allclose(scaled.weights(), plain.weights(), atol=1e-7)


def test_the_loss_scale_is_halved_by_an_overflow_and_doubled_after_the_window(runs):
    run = runs(scale=1024.0, window=2)
    scales = []
    for batch in [small_batch(0), small_batch(1), OVERFLOWING, small_batch(0), small_batch(1), small_batch(2)]:
        run.step(batch)
        scales.append([float(value.asnumpy()) for value in run.cell.scale])
    assert scales == [[1024, 1], [2048, 0], [1024, 0], [1024, 1], [2048, 0], [2048, 1]]


@pytest.mark.slow
def test_a_step_that_overflows_says_so_and_changes_nothing_but_the_loss_scale(runs):
    undisturbed = after(runs(scale=2.0**16, ema_decay=0.9), [small_batch(0), small_batch(2)]).state()
    run = after(runs(scale=2.0**16, ema_decay=0.9), [small_batch(0)])
    before = run.state()
    loss, finite = run.step(OVERFLOWING)
    assert not finite and math.isfinite(loss)
    np.testing.assert_array_equal(run.state(), before)
    np.testing.assert_array_equal(after(run, [small_batch(2)]).state(), undisturbed)


NAN = (small_batch(1)[0] * np.float32(np.nan), small_batch(1)[1])


class CountingSmall(Small):
    """Keeps a running mean of its input, as FastDeconv does."""

    def __init__(self):
        super().__init__()
        self.mean = mindspore.Parameter(Tensor(0.0, mindspore.float32), name="mean", requires_grad=False)

    def construct(self, x):
        return super().construct(ops.depend(x, ops.assign(self.mean, 0.9 * self.mean + 0.1 * x.mean())))


@both_modes
@pytest.mark.parametrize("scale", [0.0, 2.0**16], ids=["plain", "scaled"])
def test_a_step_that_is_not_finite_is_skipped_and_counted(mode, scale, runs):
    """Weights, moments, average and running statistics are those of a run that never saw the batch."""
    with running(mode):
        def state_after(*batches):
            run = runs(CountingSmall, ema_decay=0.9, scale=scale)
            assert [run.step(batch)[1] for batch in batches] == [batch is not NAN for batch in batches]
            assert run.net.mean.asnumpy() != 0
            return run.state(), run.cell.read_report()

        undisturbed, expected = state_after(small_batch(0), small_batch(2), small_batch(3))
        disturbed, report = state_after(small_batch(0), NAN, NAN, small_batch(2), small_batch(3))
        np.testing.assert_array_equal(disturbed, undisturbed)
        assert np.isfinite(disturbed).all()
        assert (report.steps, report.skipped, report.in_a_row, report.last_skipped) == (5, 2, 0, 3)
        assert report.loss == pytest.approx(expected.loss)


def accumulated_step(run, *batches):
    """One step of several batches. Returns: whether it was taken."""
    for batch in batches[:-1]:
        run.step(batch, apply=False)
    return run.step(batches[-1])[1]


@both_modes
def test_a_batch_that_is_not_finite_among_accumulated_ones_skips_their_step(mode, runs):
    with running(mode):
        undisturbed = runs(CountingSmall, accumulate=2)
        assert accumulated_step(undisturbed, small_batch(2), small_batch(3))
        expected = undisturbed.state()
        run = runs(CountingSmall, accumulate=2)
        for bad in ((NAN, small_batch(0)), (small_batch(0), NAN)):
            assert not accumulated_step(run, *bad)
        assert accumulated_step(run, small_batch(2), small_batch(3))
        np.testing.assert_array_equal(run.state(), expected)
        assert (run.cell.read_report().skipped, run.cell.read_report().in_a_row) == (2, 0)


def test_the_report_holds_the_mean_losses_of_accumulated_batches(runs):
    run, batches = runs(accumulate=2), [small_batch(0), small_batch(4)]
    for _ in range(2):
        losses = [run.step(batch, apply=bool(index), rate=0.0)[0] for index, batch in enumerate(batches)]
        assert losses[1] == pytest.approx(run.cell.read_report().loss)
        single = [float(run.cell.network(Tensor(hazy), Tensor(clear))[0]) for hazy, clear in batches]
        assert run.cell.read_report().loss == pytest.approx(np.mean(single), rel=1e-5)


def test_a_step_of_a_rank_that_failed_changes_nothing(runs):
    run = after(runs(scale=2.0**16, ema_decay=0.9), [small_batch(0)])
    before, scale = run.state(), [value.asnumpy().copy() for value in run.cell.scale]
    failed = Tensor(np.array([1, 1], np.float32))
    hazy, clear = map(Tensor, small_batch(1))
    for _ in range(2):
        assert not bool(run.cell(hazy, clear, Tensor(1e-3, mindspore.float32), True, failed)[3])
    np.testing.assert_array_equal(run.state(), before)
    assert [value.asnumpy() for value in run.cell.scale] == scale
    report = run.cell.read_report()
    assert (report.steps, report.lost, report.stop, report.skipped) == (3, 2, True, 0)


@pytest.mark.slow
def test_an_overflow_leaves_nothing_behind_in_accumulated_gradients(runs):
    undisturbed = runs(scale=2.0**16, accumulate=2)
    assert accumulated_step(undisturbed, small_batch(2), small_batch(3))
    expected = undisturbed.state()
    run = runs(scale=2.0**16, accumulate=2)
    assert not accumulated_step(run, OVERFLOWING, small_batch(0))
    assert accumulated_step(run, small_batch(2), small_batch(3))
    np.testing.assert_array_equal(run.state(), expected)


def test_accumulated_batches_are_one_batch_of_their_total_size(runs):
    small, large = runs(accumulate=2), runs()
    for seed in (0, 4):
        hazy, clear = small_batch(seed, 4)
        before = small.weights()
        small.step((hazy[:2], clear[:2]), apply=False)
        np.testing.assert_array_equal(small.weights(), before)
        small.step((hazy[2:], clear[2:]))
        large.step((hazy, clear))
    np.testing.assert_allclose(small.gradient(), large.gradient(), rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(small.weights(), large.weights(), atol=1e-6)


@pytest.mark.slow
def test_clipping_scales_a_large_gradient_down_to_the_norm_and_leaves_a_small_one(runs):
    free = after(runs(), [small_batch(0)]).gradient()
    norm = np.linalg.norm(free)
    clipped = after(runs(clip_norm=float(norm) / 4), [small_batch(0)]).gradient()
    np.testing.assert_allclose(clipped, free / 4, rtol=1e-4, atol=1e-7)
    untouched = after(runs(clip_norm=float(norm) * 4), [small_batch(0)]).gradient()
    np.testing.assert_array_equal(untouched, free)


def test_clipping_comes_after_the_loss_scale_is_taken_off(runs):
    plain, scaled = (after(runs(clip_norm=0.1, scale=scale), [small_batch(0)])
                     for scale in (0.0, 1024.0))
    np.testing.assert_allclose(scaled.gradient(), plain.gradient(), rtol=1e-5, atol=1e-8)


def test_the_average_of_the_weights_follows_its_formula(runs):
    run = runs(ema_decay=0.25)
    average = run.weights()
    for count in range(1, 5):
        run.step(small_batch(count), rate=1e-2)
        decay = min(0.25, (1 + count) / (10 + count))
        average = decay * average + (1 - decay) * run.weights()
        found = np.concatenate([parameter.asnumpy().ravel() for parameter in run.cell.ema])
        np.testing.assert_allclose(found, average, atol=1e-6)
