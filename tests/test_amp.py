"""Mixed precision: every graph compiles and learns in float16 as in float32, on CPU."""
import functools

import mindspore
import numpy as np
import pytest
from mindspore import Tensor

from compiled import running
from golden.seeded import image, seeded
from src.cli import config, train
from src.distributed.ranks import Ranks
from src.network.dcn import DeformConv2d
from src.spec import VALUE_RANGE
from src.train import amp, setup

STEPS, SIDE = 30, 16
SCALE = 32  # gives 2 crops of 16 px the gradients that 16 crops of 240 px have at 65536, the default
RATE = {"gitee": 5e-5, "paper": 1e-4}  # of Adam; at 1e-4, float32 on its own makes losses of arch gitee jump
archs = pytest.mark.parametrize("arch", ["gitee", "paper"])
followed = pytest.mark.parametrize("arch, level", [("gitee", "O3"), ("paper", "O2")])


@pytest.fixture(autouse=True, scope="module")
def graph_mode():
    with running(mindspore.GRAPH_MODE):
        yield


@pytest.fixture(scope="module")
def thirty_steps(graph_mode):
    """A function that trains. It trains once for the tests that ask for the same run."""
    return functools.lru_cache(maxsize=None)(train_thirty_steps)


def train_thirty_steps(arch, level):
    """The loss of each step over three batches in turn, with L1 alone; and the cell."""
    _, _, cell = run(f"--arch={arch}", f"--amp_level={level}", "--contra_lambda=0", "--ema_decay=0.9")
    rate, batches = Tensor(RATE[arch], mindspore.float32), [batch(arch, seed) for seed in range(3)]
    results = [cell(*batches[step % 3], rate, True) for step in range(STEPS)]
    assert all(bool(finite) for *_, finite in results)
    return [float(loss) for loss, *_ in results], cell


def run(*flags):
    """Options, network and train cell of `train.py` with these flags, weights of seed 1."""
    mindspore.set_seed(1)
    flags = (f"--loss_scale={SCALE}", "--batch_size=2", "--neg_num=2", "--vgg_random", *flags)
    options = config.parse(flags, train.SECTIONS, "")
    net = setup.network(options)
    return options, net, setup.train_cell(options, net, Ranks())


def batch(arch, seed=0):
    """Hazy and clear: a contrast of half, brightened."""
    clear = image(seed, (2, 3, SIDE, SIDE), VALUE_RANGE[arch])
    return Tensor(clear * np.float32(0.5) + np.float32(0.4 * VALUE_RANGE[arch])), Tensor(clear)


def assert_all_learn(cell):
    """Weights are float32, and each has a gradient that is finite and not zero."""
    for weight, moment in zip(cell.optimizer.parameters, cell.optimizer.moment1):
        assert weight.dtype == mindspore.float32
        assert np.isfinite(moment.asnumpy()).all() and np.abs(moment.asnumpy()).max() > 0, weight.name


@pytest.mark.slow
@followed
def test_thirty_steps_in_float16_follow_float32(thirty_steps, arch, level):
    """The loss of every single step is within 5 % of float32's. Both runs start from the same random weights."""
    full, half = (np.array(thirty_steps(arch, one)[0]) for one in ("O0", level))
    first, *_, last = full.reshape(-1, 3).mean(1)  # of the passes over the batches
    assert last < 0.95 * first
    np.testing.assert_allclose(half, full, rtol=0.05)
    assert (half != full).any()


@pytest.mark.slow
@followed
def test_every_weight_and_its_average_learn_in_float16(thirty_steps, arch, level):
    _, cell = thirty_steps(arch, level)
    assert_all_learn(cell)
    for average, weight in zip(cell.ema, cell.weights):
        assert average.dtype == mindspore.float32
        difference = np.abs(average.asnumpy() - weight.asnumpy()).max()
        assert 0 < difference < 3 * STEPS * RATE[arch], average.name


@pytest.mark.slow
@pytest.mark.parametrize("arch, level, flags", [("gitee", "O2", ["--accumulate=2"]),
                                                ("paper", "O3", ["--loss_scale=4096"])])
def test_every_weight_learns_in_float16_with_the_contrastive_loss(arch, level, flags):
    """Arch gitee accumulates gradients. The first gradients of arch paper's attention vanish at a loss scale of 32."""
    _, _, cell = run(f"--arch={arch}", f"--amp_level={level}", *flags)
    loss, l1, contrast, finite = cell(*batch(arch), Tensor(1e-5, mindspore.float32), True)
    assert bool(finite) and 0 < float(l1) < float(loss) < np.inf and float(contrast) > 0
    assert_all_learn(cell)


@pytest.mark.slow
@pytest.mark.parametrize("sampling", ["exact", "gitee"])
def test_float16_samples_where_float32_does(sampling):
    """At 199 pixels, float16 has steps of 1/8. Positions in it would change results by 0.008 and 0.16."""
    results = []
    for dtype in (mindspore.float32, mindspore.float16):
        layer = DeformConv2d(1, 1, sampling=sampling)
        for weight in layer.get_parameters():
            weight.set_data(Tensor(seeded(weight.name, weight.shape)))
        results.append(layer.to_float(dtype)(Tensor(image(0, (1, 1, 16, 200)))))
    assert results[1].dtype == mindspore.float16
    np.testing.assert_allclose(results[1].asnumpy(), results[0].asnumpy(), atol=0.003, rtol=0)


@pytest.mark.slow
@archs
def test_bfloat16_passes_type_inference_and_fails_at_a_kernel_that_cpu_lacks(arch, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # MindSpore may leave an analysis of the failed graph
    _, net, _ = run(f"--arch={arch}", "--contra_lambda=0", "--amp_level=O3", "--amp_dtype=bfloat16")
    with pytest.raises(TypeError, match="Kernel select failed"):
        net(batch(arch)[0])


@pytest.mark.parametrize("flags, expected", [
    ([], None), (["--amp_level=O0", "--device_target=GPU"], None), (["--device_target=GPU"], 65536.0),
    (["--device_target=Ascend", "--amp_dtype=bfloat16"], None), (["--amp_level=O3", "--loss_scale=8"], 8.0)])
def test_float16_alone_gets_a_loss_scale(flags, expected):
    scaler = amp.loss_scaler(config.parse(flags, train.SECTIONS, ""))
    assert (scaler and float(scaler.scale_value.asnumpy())) == expected


def test_each_level_lowers_its_own_cells():
    wanted = {"O0": set(), "O2": {"block.conv1", "dcn_block.dcn.conv_offset_mask", "down1", "up2"},
              "O3": {"block.conv1", "dcn_block.dcn.conv_offset_mask", "down1", "up2", "block.calayer", "mix1"}}
    always_float32 = {"deconv", "up3.1"}
    for level, lowered in wanted.items():
        _, net, _ = run("--arch=paper", "--contra_lambda=0", f"--amp_level={level}")
        found = {name for name, cell in net.cells_and_names() if getattr(cell, "fp16", False)}
        assert lowered <= found and not found & (always_float32 | wanted["O3"] - lowered)
