"""Adam equals the algorithm of its paper in float64. """
import mindspore
import numpy as np
import pytest
from mindspore import Parameter, Tensor

from compiled import both_modes, running
from src.network.aecrnet import Dehaze
from src.train.optimizer import Adam, learning_rate_factors, steps_frozen

SHAPES = {"a": (4, 3), "b": (5,), "c": ()}
RATES = [1e-2, 1e-2, 5e-3, 2e-2, 1e-3]


def start():
    rng = np.random.RandomState(0)
    return {name: np.asarray(rng.randn(*shape) * 0.01, np.float32) for name, shape in SHAPES.items()}


def gradients(step, scale):
    """Gradients of very different sizes; some are zero."""
    rng = np.random.RandomState(step)
    found = {}
    for name, shape in SHAPES.items():
        sizes = scale * 10.0 ** rng.uniform(-3, 0, shape)
        found[name] = np.asarray(rng.choice([-1, 1, 0], shape, p=[0.45, 0.45, 0.1]) * sizes, np.float32)
    return found


def algorithm_1(scale, betas=(0.9, 0.999), epsilon=1e-8, weight_decay=0.0):
    """The weights after each step in float64, in the order and notation of algorithm 1 of Kingma and Ba."""
    theta = {name: value.astype(np.float64) for name, value in start().items()}
    m, v = ({name: np.zeros(shape) for name, shape in SHAPES.items()} for _ in range(2))
    for t, alpha in enumerate(RATES, start=1):
        for name, gradient in gradients(t, scale).items():
            g = gradient.astype(np.float64) + weight_decay * theta[name]
            m[name] = betas[0] * m[name] + (1 - betas[0]) * g
            v[name] = betas[1] * v[name] + (1 - betas[1]) * g * g
            m_hat, v_hat = m[name] / (1 - betas[0]**t), v[name] / (1 - betas[1]**t)
            theta[name] = theta[name] - alpha * m_hat / (np.sqrt(v_hat) + epsilon)
        yield {name: value.copy() for name, value in theta.items()}


@pytest.mark.slow
@both_modes
@pytest.mark.parametrize("scale", [1.0, 1e-7])
@pytest.mark.parametrize("options", [{}, dict(weight_decay=0.1), dict(betas=(0.5, 0.99), epsilon=1e-3)],
                         ids=["default", "decay", "betas"])
def test_five_steps_equal_the_papers_algorithm(scale, options, mode):
    """Gradients near epsilon tell Adam from its variants. Half of the gradients of this network are below 1e-6."""
    parameters = [Parameter(Tensor(value), name=name) for name, value in start().items()]
    adam = Adam(parameters, **options)
    moved = 0.0
    with running(mode):
        for t, (rate, expected) in enumerate(zip(RATES, algorithm_1(scale, **options)), start=1):
            adam(tuple(Tensor(gradient) for gradient in gradients(t, scale).values()), Tensor(rate, mindspore.float32))
            moved += rate
            for parameter in parameters:
                np.testing.assert_allclose(parameter.asnumpy(), expected[parameter.name], rtol=0, atol=1e-4 * moved)
    assert int(adam.step.asnumpy()) == len(RATES)


def test_half_precision_gradients_move_float32_weights():
    parameter = Parameter(Tensor(np.zeros(3, np.float32)), name="w")
    Adam([parameter])((Tensor(np.array([1, -2, 0], np.float16)),), Tensor(0.01, mindspore.float32))
    np.testing.assert_allclose(parameter.asnumpy(), [-0.01, 0.01, 0], atol=1e-6)


def test_state_has_names_that_loading_a_network_passes_over():
    adam = Adam([Parameter(Tensor(np.zeros(3, np.float32)), name="down1.0.bias")])
    names = {parameter.name for parameter in [*adam.moment1, *adam.moment2, adam.step]}
    assert names == {"optimizer.moment1.down1.0.bias", "optimizer.moment2.down1.0.bias", "optimizer.step"}


def test_offsets_and_shared_block_have_factors_of_their_own():
    for arch in ("gitee", "paper"):
        parameters = Dehaze(arch).trainable_params()
        factors = dict(zip((parameter.name for parameter in parameters), learning_rate_factors(parameters, 0.1, 0.5)))
        offsets = {name for name, factor in factors.items() if factor == 0.1}
        assert offsets == {name for name in factors if ".p_conv." in name or ".m_conv." in name or "offset" in name}
        assert {name for name, factor in factors.items() if factor == 0.5} == {
            name for name in factors if name.startswith("block.")}
        assert len(offsets) == 2


def test_a_factor_is_one_on_the_learning_rate():
    """Adam's step is linear in the learning rate, so half the factor is half the step."""
    weights = [Parameter(Tensor(np.full(3, 2.0, np.float32)), name=f"w{index}") for index in range(2)]
    adam = Adam(weights, factors=(1.0, 0.5))
    gradient = Tensor(np.array([0.1, -3.0, 7.0], np.float32))
    with running(mindspore.GRAPH_MODE):
        for _ in range(3):
            adam((gradient, gradient), Tensor(0.01, mindspore.float32))
    whole, half = (weight.asnumpy() - 2.0 for weight in weights)
    assert np.abs(whole).min() > 0.02
    np.testing.assert_allclose(half, whole / 2, rtol=1e-4)


@pytest.mark.slow
@both_modes
def test_a_frozen_parameter_moves_from_its_step_on_as_if_the_rate_had_been_zero(mode):
    weights = [Parameter(Tensor(np.full(3, 2.0, np.float32)), name=f"w{index}") for index in range(2)]
    same = Parameter(Tensor(np.full(3, 2.0, np.float32)), name="same")
    adam, adam_of_same = Adam(weights, frozen=(0, 2)), Adam([same])
    with running(mode):
        for step in range(4):
            gradient = Tensor(np.array([0.1, -3.0, 7.0], np.float32) / (step + 1))
            before = [weight.asnumpy().copy() for weight in weights]
            adam((gradient, gradient), Tensor(0.01, mindspore.float32))
            adam_of_same((gradient,), Tensor(0.01 if step >= 2 else 0.0, mindspore.float32))
            moved = [bool((weight.asnumpy() != value).all()) for weight, value in zip(weights, before)]
            assert moved == [True, step >= 2]
            np.testing.assert_allclose(weights[1].asnumpy(), same.asnumpy(), rtol=1e-6)


def test_the_shared_block_alone_is_frozen():
    for arch in ("gitee", "paper"):
        parameters = Dehaze(arch).trainable_params()
        frozen = {parameter.name for parameter, steps in zip(parameters, steps_frozen(parameters, 7)) if steps == 7}
        assert frozen == {parameter.name for parameter in parameters if parameter.name.startswith("block.")}
        assert sum(steps_frozen(parameters, 0)) == 0
