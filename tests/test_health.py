"""Training and evaluation tell a network with a dead trunk from a healthy one."""
import csv
import json
from types import SimpleNamespace

import mindspore
import numpy as np
import pytest
from mindspore import Tensor

from compiled import both_modes_slow_graph, running
from golden.seeded import image
from src.cli import eval as eval_script
from src.cli import train
from src.dehaze.dehazer import BENCHMARK_CHECKPOINT, SHIPPED_CHECKPOINT, Dehazer
from src.network.aecrnet import Dehaze
from src.network.checkpoint import describe, save_checkpoint
from src.network.health import Health, ProbeCell, Probed, judge, middle
from training import flags, write_pairs

pytest_plugins = "training_fixtures"
HEALTHY = Health(gain=1.2, offset=0.5, silent=0.05, side=60.0)
SHIPPED_OFFSETS = {"aecrnet.ckpt": 3.08, "aecrnet_real.ckpt": 4.54}  # px; new weights bring new numbers


def network(arch, broken=False):
    """A network with random weights. In a broken network, the features grow with every pass, the offsets leave the map,
    and half of the channels that `Health.silent` counts are dead."""
    mindspore.set_seed(1)
    np.random.seed(1)
    net = Dehaze(arch).set_train(False)
    encoder = (net.down1[1], net.down2[0], net.down3[0]) if arch == "paper" else ()
    for layer in encoder:  # with random weights, a fifth of the channels does not fire on a single small image
        change(layer.bias, lambda bias: bias + 1)
    if broken:
        change(net.block.conv2.weight, lambda weight: weight * 30)
        if arch == "paper":
            change(net.dcn_block.dcn.conv_offset_mask.bias, lambda bias: np.where(np.arange(27) < 18, 50, bias))
            for layer in encoder:
                change(layer.bias, lambda bias: np.where(np.arange(len(bias)) < len(bias) // 2, -1e3, bias))
        else:
            change(net.dcn_block.p_conv.weight, lambda weight: weight + 1.0)
            change(net.block.conv1.bias, lambda bias: np.where(np.arange(256) < 128, -1e6, bias))
    return net


def change(parameter, to):
    parameter.set_data(Tensor(np.asarray(to(parameter.asnumpy()), np.float32)))


@pytest.mark.parametrize("arch", ["gitee", "paper"])
@both_modes_slow_graph
def test_a_broken_network_is_told_from_a_healthy_one(arch, mode):
    x = image(1, (1, 3, 64, 80), 255 if arch == "gitee" else 1)
    with running(mode):
        healthy, broken = (judge([ProbeCell(network(arch, broken)).of(x)]) for broken in (False, True))
    assert healthy.warning() == "" and healthy.gain < 3 and healthy.offset == 0 and healthy.side == 16
    assert broken.gain > 100 and broken.offset > 4
    assert 0.5 <= broken.silent < 0.9
    for said in ("fold in the six passes", "offsets are", "of the channels never fire", "--block_lr_factor 0.5"):
        assert said in broken.warning()


def test_gain_and_offset_are_those_of_their_definition():
    net, x = network("paper"), Tensor(image(2, (1, 3, 32, 32)))
    change(net.dcn_block.dcn.conv_offset_mask.bias, lambda bias: np.arange(27) - 9.0)
    down3 = net.down3(net.down2(net.down1(net.deconv(x))))
    after = down3
    for _ in range(6):
        after = net.block(after)
    found = ProbeCell(net).of(x.asnumpy())
    assert found.before == pytest.approx(down3.asnumpy().std(), rel=1e-5)
    assert found.after == pytest.approx(after.asnumpy().std(), rel=1e-5)
    assert found.offset == pytest.approx(np.abs(np.arange(18) - 9.0).mean(), rel=1e-5)
    assert len(found.peaks) == 64 + 128 + 256
    np.testing.assert_allclose(found.peaks[-256:], down3.asnumpy().max((0, 2, 3)), rtol=1e-5)


def test_looking_leaves_the_running_statistics_alone():
    net = network("paper").set_train()
    before = net.deconv.running_mean.asnumpy().copy()
    ProbeCell(net).of(image(3, (1, 3, 32, 32)))
    assert net.training
    np.testing.assert_array_equal(net.deconv.running_mean.asnumpy(), before)


@pytest.mark.parametrize("change, said", [
    ({"gain": 10.1}, "features grow 10.1-fold"), ({"gain": float("inf")}, "features grow inf-fold"),
    ({"gain": float("nan")}, "features grow nan-fold"), ({"offset": 15.1}, "offsets are 15.1 px"),
    ({"silent": 0.1}, "10% of the channels"), ({}, ""), ({"gain": 10.0, "offset": 15.0, "silent": 0.09}, ""),
])
def test_warnings_begin_at_their_bounds(change, said):
    warning = HEALTHY._replace(**change).warning()
    assert said in warning and bool(said) == bool(warning)


def test_a_channel_is_silent_only_if_no_image_moves_it():
    peaks = np.array([[0, 0, 1, 2], [0, 3, 0, 1]], np.float32)
    assert judge([Probed(1, 2, 0, row, 16) for row in peaks]).silent == 0.25


def test_the_middle_of_a_photo_has_sides_the_network_takes():
    photo = np.arange(300 * 70 * 3, dtype=np.uint32).reshape(300, 70, 3)
    assert middle(photo).shape == (256, 68, 3)
    np.testing.assert_array_equal(middle(photo), photo[22:278, 1:69])


@pytest.mark.slow
def test_metrics_hold_the_trunk_and_training_warns_once(tmp_path, capfd):
    """The trunk is measured on the validation photos, and every log_every steps on a crop of the training set."""
    data = write_pairs(tmp_path / "data", 4)
    net = network("paper", broken=True)
    save_checkpoint(tmp_path / "start.ckpt", net.parameters_dict(), describe(net, step=0))
    assert train.main(flags(data, tmp_path / "run", "--arch=paper", f"--ckpt_path={tmp_path / 'start.ckpt'}",
                            "--batch_size=2", "--log_every=17", "--epochs=2", "--lr=1e-9", "--data_test=Pairs",
                            "--test_images=1")) == 0
    with open(tmp_path / "run/metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    start, step, *validations = rows
    assert start["step"] == "0" and float(start["gain"]) > 100  # the start is validated
    assert step["step"] == "1" and float(step["gain"]) > 100 and step["silent"] == ""
    assert len(validations) == 2
    assert all(float(row["gain"]) > 100 and float(row["offset"]) > 4 and float(row["silent"]) >= 0.5
               for row in validations)
    output = capfd.readouterr()
    assert (output.out + output.err).count("part of the network does not work") == 1


@pytest.mark.slow
def test_evaluation_warns_of_such_a_checkpoint(tmp_path, capsys):
    data = write_pairs(tmp_path / "data", 2)
    for broken in (False, True):
        net = network("paper", broken)
        save_checkpoint(tmp_path / "net.ckpt", net.parameters_dict(), describe(net, step=0))
        code = eval_script.main([f"--dir_data={data}", "--data_test=Pairs", f"--ckpt_path={tmp_path / 'net.ckpt'}",
                                 f"--output_dir={tmp_path / 'out'}"])
        assert code == 0
        assert ("net.ckpt: part of the network does not work" in capsys.readouterr().err) == broken
        health = json.loads((tmp_path / "out/summary.json").read_text())["health"]
        assert (health["gain"] > 100) == broken


@pytest.mark.parametrize("checkpoint", [SHIPPED_CHECKPOINT, BENCHMARK_CHECKPOINT], ids=lambda path: path.name)
def test_the_shipped_weights_are_healthy(checkpoint):
    photo = np.round(image(4, (1, 3, 128, 128), 255)[0].transpose(1, 2, 0)).astype(np.uint8)
    health = Dehazer(checkpoint, runtime="mindspore").diagnose([photo])
    assert not health.warning() and health.gain < 2
    assert health.offset == pytest.approx(SHIPPED_OFFSETS[checkpoint.name], abs=0.05)


def test_an_exported_model_cannot_be_looked_into():
    exported = SimpleNamespace(path="x.mindir", description={"arch": "paper"}, value_range=1.0)
    assert Dehazer(network=exported).diagnose([np.zeros((16, 16, 3), np.uint8)]) is None
