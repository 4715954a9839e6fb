"""The PyTorch trainer in recipe trains the network that MindSpore runs."""
import contextlib
import csv
import functools
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

import needs
from golden.seeded import image, seeded
from src.data.images import write_image
from src.errors import InputError, UsageError

ROOT = Path(__file__).resolve().parent.parent
torch = pytest.importorskip("torch", reason="needs PyTorch: pip install -r recipe/requirements.txt")
if sys.version_info < (3, 10):
    pytest.skip("the recipe needs Python 3.10", allow_module_level=True)

from recipe import batches, curve, haze_variety, health, optimizer, real_pairs, sky, train  # noqa: E402
from recipe.network import Conv3x3, DeformPatches, Dehaze, compiled  # noqa: E402

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True, scope="module")
def two_threads():
    needs.need(("g++",))
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def golden_network(golden=None, amp=False):
    """The network with the weights of golden/official.npz, and with its statistics or those of a new network."""
    net = Dehaze(amp=amp)
    state = net.state_dict()
    for name, value in state.items():
        if "running" not in name and not name.startswith("mix"):
            state[name] = torch.from_numpy(seeded(name, value.shape, 1.0 if "conv_offset_mask" in name else 0.7))
        elif "running" in name and golden:
            state[name] = torch.from_numpy(golden[name.replace("deconv.", "dehaze_")])
    net.load_state_dict(state)
    return net


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """A small NYU: photos 0..5 for training, 1349..1351 for validation."""
    root = tmp_path_factory.mktemp("nyu")
    for kind in ("images", "depths"):
        (root / kind).mkdir()
    for number in (*range(6), *range(1349, 1352)):
        photo = image(number, (1, 3, 68, 84), 255)[0].transpose(1, 2, 0)
        write_image(root / f"images/{number}.jpg", photo.astype(np.uint8))
        depth = image(number + 9, (1, 1, 68, 84), 200)[0, 0] + 10
        cv2.imwrite(str(root / f"depths/{number}.png"), depth.astype(np.uint8))
    return root


def run(*arguments, **options):
    return subprocess.run([sys.executable, "-m", "recipe.train", *map(str, arguments)], cwd=ROOT,
                          capture_output=True, text=True, timeout=300, stdin=subprocess.DEVNULL, **options)


def short_run(data, out, *more):
    return ("--data", data, "--out", out, "--hours", 1, "--plan", "1:1.0:32:2", "--validation_images", 50, *more)


def random_weights(path, change=None):
    """A file of random weights. `change` edits them before they are written."""
    torch.manual_seed(0)
    state = Dehaze().state_dict()
    if change:
        change(state)
    torch.save(state, path)
    return path


@pytest.mark.parametrize("name, seed, shape", [("sq", 31, (1, 3, 64, 64)), ("rect", 32, (1, 3, 48, 80))])
def test_outputs_are_the_authors(golden_official, name, seed, shape):
    net = golden_network(golden_official)
    with torch.no_grad():
        out = net(torch.from_numpy(image(seed, shape))).numpy()
    assert np.abs(out - golden_official[f"dehaze_{name}_out"]).max() < 1e-5


@pytest.mark.parametrize("supported", [True, False])
def test_bfloat16_stays_near_float32_and_needs_a_cpu_that_has_it(golden_official, monkeypatch, supported):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: supported)
    if supported:  # the code for AVX-512 cannot run everywhere
        monkeypatch.setattr(Conv3x3, "forward", torch.nn.Conv2d.forward)
    hazy = torch.from_numpy(image(31, (1, 3, 64, 64)))
    with torch.no_grad():
        exact, short = (golden_network(golden_official, amp)(hazy) for amp in (False, True))
    assert 0 < (exact - short).abs().mean() < 5e-3 if supported else torch.equal(exact, short)


def test_gradients_of_a_step_are_those_of_the_mindspore_cell():
    """Uses the shipped weights. Random weights give offsets of hundreds of pixels, where rounding changes the cell."""
    from mindspore import Tensor

    from src.network.checkpoint import load_network
    from src.train.cell import TrainOneStepCell
    from src.train.loss import NetWithCRLossCell
    from src.train.optimizer import Adam

    reference, _ = load_network(ROOT / "checkpoints/aecrnet.ckpt")
    reference.set_train().deconv.freeze_statistics()
    weights = reference.trainable_params()
    net = Dehaze(amp=False)
    net.load_state_dict({value.name: torch.from_numpy(value.asnumpy()) for value in reference.get_parameters()})

    hazy, clear = image(51, (2, 3, 48, 48)), image(61, (2, 3, 48, 48))
    loss, _ = train.loss_of(net(torch.from_numpy(hazy)), torch.from_numpy(clear), pooled=0, fft=0, squared=0)
    loss.backward()
    own = dict(net.named_parameters())
    cell = TrainOneStepCell(NetWithCRLossCell(reference), Adam(weights))
    (expected, *_), gradients = cell.backward(Tensor(hazy), Tensor(clear))

    assert loss.item() == pytest.approx(float(expected), rel=1e-5)
    assert {weight.name for weight in weights} == set(own)
    for weight, gradient in zip(weights, gradients):
        gradient = gradient.asnumpy()
        difference = np.abs(own[weight.name].grad.numpy() - gradient).max()
        assert difference <= 1e-3 * np.abs(gradient).max(), weight.name


def test_parts_of_the_loss_have_their_weights():
    out, clear = (torch.from_numpy(image(seed, (2, 3, 64, 64))) for seed in (51, 61))
    error = (out - clear).numpy()
    spectrum = np.fft.fft2(error)
    means = [np.abs(error.reshape(2, 3, 64 // side, side, 64 // side, side).mean((3, 5))).mean() for side in (8, 32)]
    parts = {"pooled": sum(means), "fft": np.mean([np.abs(spectrum.real), np.abs(spectrum.imag)]),
             "squared": (error ** 2).mean()}
    for name, expected in parts.items():
        loss, l1 = train.loss_of(out, clear, **{**dict.fromkeys(parts, 0), name: 0.25})
        assert l1.item() == pytest.approx(np.abs(error).mean(), rel=1e-5)
        assert (loss - l1).item() == pytest.approx(0.25 * expected, rel=1e-4)


@pytest.mark.filterwarnings("ignore:Input")  # gradcheck recommends float64
def test_deformable_convolution_has_the_gradients_of_its_definition():
    """The finite differences avoid whole and half pixels, where the bilinear kernel has kinks."""
    rng = np.random.default_rng(0)
    x, mask = rng.random((1, 4, 5, 3)), rng.random((1, 4, 5, 9))
    offset = rng.integers(-2, 3, (1, 4, 5, 18)) + rng.uniform(0.2, 0.8, (1, 4, 5, 18))
    inputs = [torch.tensor(value, dtype=torch.float32, requires_grad=True) for value in (x, offset, mask)]
    assert torch.autograd.gradcheck(DeformPatches.apply, inputs, eps=1e-2, atol=2e-3, rtol=1e-3)


@pytest.mark.parametrize("programs, refusal", [
    (("c++", "ninja"), None),
    (("c++",), "winograd.cpp: to compile it for training on CPU takes ninja"),
    ((), "winograd.cpp: to compile it for training on CPU takes g\\+\\+ and ninja"),
])
def test_the_compiler_is_found_in_an_environment_that_nobody_activated(programs, refusal, tmp_path, monkeypatch):
    """PyTorch itself finds no ninja there."""
    from torch.utils import cpp_extension

    for program in programs:
        (tmp_path / program).write_text("#!/bin/sh\n")
        (tmp_path / program).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr(cpp_extension, "load", lambda *_, **__: cpp_extension.verify_ninja_availability())
    with pytest.raises(InputError, match=refusal) if refusal else contextlib.nullcontext():
        compiled.__wrapped__("winograd")


PATCHES_OF_BOTH = """
import torch
from recipe import deform_triton
from recipe.network import compiled

torch.manual_seed(0)
cpp = compiled("deform_im2col")
offset, mask = 2 * torch.randn(2, 5, 7, 18), torch.rand(2, 5, 7, 9)
for kind, tolerance in ((torch.float32, 1e-5), (torch.bfloat16, 1e-2)):
    x, grad = torch.randn(2, 5, 7, 16).to(kind), torch.randn(70, 144).to(kind)
    own = [deform_triton.im2col(x, offset, mask), *deform_triton.im2col_grad(x, offset, mask, grad)]
    other = [cpp.im2col(x, offset, mask), *cpp.im2col_grad(x, offset, mask, grad)]
    for one, two in zip(own, other, strict=True):
        torch.testing.assert_close(one.float(), two.float(), rtol=tolerance, atol=tolerance)
"""


def test_patches_on_cuda_are_those_on_cpu():
    """Triton's interpreter, which must be chosen before Triton is imported, runs the CUDA kernels here."""
    done = subprocess.run([sys.executable, "-c", PATCHES_OF_BOTH], cwd=ROOT, capture_output=True, text=True,
                          env={**os.environ, "TRITON_INTERPRET": "1"})
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("shape", [(3, 48, 48), (1, 1, 1), (2, 2, 3), (1, 33, 6)])
def test_winograd_in_float32_is_the_direct_convolution(shape):
    torch.manual_seed(0)
    n, height, width = shape
    conv = Conv3x3(64, 128)
    x, grad = torch.randn(n, 64, height, width, requires_grad=True), torch.randn(n, 128, height, width)
    ours, theirs = (
        (out, *torch.autograd.grad(out, (x, conv.weight, conv.bias), grad))
        for out in (conv(x), torch.nn.Conv2d.forward(conv, x)))
    for own, other in zip(ours, theirs, strict=True):
        assert own.shape == other.shape and (own - other).norm() < 1e-5 * other.norm()


@pytest.mark.skipif(not torch.cpu._is_avx512_bf16_supported(), reason="this code is for AVX-512 with bfloat16")
@pytest.mark.parametrize("shape", [(3, 48, 48), (1, 1, 1), (2, 2, 3), (1, 33, 6)])
def test_winograd_in_bfloat16_rounds_about_as_the_direct_convolution_does(shape):
    torch.manual_seed(0)
    n, height, width = shape
    conv = Conv3x3(64, 128)
    x = torch.relu(torch.randn(n, 64, height, width)).requires_grad_()
    grad = torch.randn(n, 128, height, width)

    def results(forward, x):
        out = forward(x)
        return [value.float() for value in (out, *torch.autograd.grad(out, (x, conv.weight, conv.bias), grad.to(out)))]

    direct = functools.partial(torch.nn.Conv2d.forward, conv)
    exact = results(direct, x)
    with torch.autocast("cpu", torch.bfloat16):
        ours, theirs = results(conv, x), results(direct, x)
    for own, other, truth in zip(ours, theirs, exact):
        scale = truth.norm()
        assert 0 < (own - truth).norm() / scale < max(3 * (other - truth).norm() / scale, 5e-3)


@pytest.mark.parametrize("muon", [0.0, 1.0])
def test_every_parameter_moves(muon):
    torch.manual_seed(0)
    net = Dehaze().to(memory_format=torch.channels_last)
    before = {name: value.clone() for name, value in net.named_parameters()}
    hazy = torch.rand(1, 3, 32, 32)
    steps = optimizer.Optimizer(net, muon)
    for _ in range(2):  # while the filter of the offsets is zero, it passes on no gradient
        net.zero_grad()
        train.loss_of(net(hazy), hazy, 0.5, 0.1, 0)[0].backward()
        steps.step(1e-3)
    still = [name for name, value in net.named_parameters() if torch.equal(value, before[name])]
    assert not still


def test_muon_turns_a_filter_by_an_orthogonal_matrix():
    net = Dehaze().to(memory_format=torch.channels_last)
    steps = optimizer.Optimizer(net, muon=1.0)
    weight = net.block.conv1.weight
    before = weight.detach().clone()
    for parameter in net.parameters():
        parameter.grad = torch.randn_like(parameter)
    steps.step(1.0)
    values = torch.linalg.svdvals((weight.detach() - before).reshape(256, -1))
    assert values.max() / values.min() < 3  # 2 for the random gradient itself, thousands for the gradient of a filter
    assert (weight.detach() - before).square().mean().sqrt() == pytest.approx(0.5 * 0.2, rel=0.3)


@pytest.mark.parametrize("shape", [(8, 24), (24, 8), (16, 16)])
def test_muon_in_float32_is_that_in_bfloat16_but_for_rounding(monkeypatch, shape):
    torch.manual_seed(0)
    start, ends = torch.randn(shape), []
    grads = [torch.randn(shape) for _ in range(4)]
    for supported in (True, False):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", functools.partial(bool, supported))
        matrix = torch.nn.Parameter(start.clone())
        muon = optimizer.Muon([{"params": [matrix], "lr": 0.01}])
        for grad in grads:
            matrix.grad = grad.clone()
            muon.step()
        ends.append(matrix.detach() - start)
    assert 0 < (ends[0] - ends[1]).norm() < 0.02 * ends[1].norm()


def test_offsets_and_shared_block_learn_more_slowly():
    names = dict(Dehaze().named_parameters())
    assert {name for name in names if optimizer.factor_of(name) == 0.1} == {
        "dcn_block.dcn.conv_offset_mask.weight", "dcn_block.dcn.conv_offset_mask.bias"}
    assert all(optimizer.factor_of(name) == (0.5 if name.startswith("block.") else 1.0)
               for name in names if "conv_offset_mask" not in name)


def test_health_tells_a_trunk_that_blows_up_and_channels_that_are_silent():
    torch.manual_seed(0)
    net, hazy = Dehaze(amp=False), torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        usual = health.trunk_state(net, hazy)
        net.block.conv2.weight.mul_(50)
        net.dcn_block.dcn.conv_offset_mask.bias[:18] = 7.0
        net.down2[0].bias[:32] = -100.0
        broken = health.trunk_state(net, hazy)
        with health.firing(net) as shares:
            net(hazy)
    assert usual["gain"] < 3 and usual["offset"] == 0
    assert broken["gain"] > 100 and broken["offset"] == pytest.approx(7.0)
    assert 32 / 448 <= health.silent_share(shares) < 0.5


def test_dead_channels_come_back_and_the_output_hardly_changes():
    torch.manual_seed(0)
    net, hazy = Dehaze(amp=False), torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        for layer in (net.down1[1], net.down2[0], net.down3[0]):
            layer.bias += 0.5
            layer.bias[3:9] = -100.0
        with health.firing(net) as shares:
            before = net(hazy)
        count = health.revive(net, shares)
        with health.firing(net) as shares:
            after = net(hazy)
    assert count >= 18
    assert all((share[3:9] > 0.1).all() for share in shares.values())
    assert 0 < (after - before).abs().max() < 0.02
    assert health.revive(net, shares) == 0


def test_varied_haze_is_haze():
    rng = np.random.default_rng(0)
    clear = np.round(image(1, (1, 3, 64, 64), 255)[0].transpose(1, 2, 0)).astype(np.uint8)
    depth = image(2, (1, 1, 64, 64))[0, 0]
    pairs = [haze_variety.varied_haze(clear, depth, rng) for _ in range(200)]
    contrast = [hazy.std() / scene.std() for hazy, scene in pairs]
    assert min(contrast) < 0.45 and 0.95 < max(contrast) < 1.1  # from dense to almost none
    tint = [np.ptp(hazy.reshape(-1, 3).mean(0)) for hazy, _ in pairs]
    assert max(tint) > 10
    assert all(side.dtype == np.uint8 and side.shape == clear.shape for pair in pairs for side in pair)


def only(monkeypatch, **changes):
    """Haze without random effects but those in `changes`: white, even, of transmission 0.8 everywhere."""
    for name, value in dict(BETA=(0.223, 0.2231), NEAR=(1.0, 1.0), SMOKE=0.0, AIRLIGHT=(1.0, 1.0), NOISE=0.0, CLOUD=0.0,
                            GLOW=0.0, UNEVEN_BETA=0.0, UNEVEN_LIGHT=0.0, JPEG_QUALITY=(99, 100), **changes).items():
        monkeypatch.setattr(haze_variety, name, value)


BLACK, FAR = np.zeros((8, 8, 3), np.uint8), np.ones((8, 8), np.float32)


def test_three_quarters_of_the_varied_haze_are_mixed_in_linear_light(monkeypatch):
    """Thin white haze lifts the black of a photo. In linear light it lifts it far more: 0.2 of light is 0.48 coded."""
    only(monkeypatch)
    rng = np.random.default_rng(3)
    levels = [haze_variety.varied_haze(BLACK, FAR, rng, by_channel=0.0)[0].mean() / 255 for _ in range(200)]
    coded, linear = (np.isclose(levels, level, atol=0.01) for level in (0.2, 0.2 ** (1 / 2.2)))
    assert (coded | linear).all() and linear.mean() == pytest.approx(0.75, abs=0.09)  # three deviations


@pytest.mark.parametrize("share", [0.0, 0.6])
def test_blue_light_is_scattered_more_than_red_in_the_given_share(share, monkeypatch):
    only(monkeypatch)
    monkeypatch.setattr(haze_variety, "LINEAR", 0.0)
    rng = np.random.default_rng(4)
    levels = np.array([haze_variety.varied_haze(BLACK, FAR, rng, share)[0].reshape(-1, 3).mean(0) for _ in range(200)])
    red, green, blue = -np.log(1 - levels.T / 255)  # optical thickness
    assert green == pytest.approx(0.223, abs=0.006)
    exponents = np.log(blue / red) / np.log(610 / 465)
    is_flat = np.abs(exponents) < 0.1
    assert (~is_flat).mean() == pytest.approx(share, abs=0.11)
    if share:
        assert exponents[~is_flat].mean() == pytest.approx(1.75, abs=0.3) and exponents.max() < 3.6


def test_the_airlight_of_smoke_is_dark_bluish_and_uneven():
    rng = np.random.default_rng(5)
    airlight = [haze_variety.airlight(32, 32, True, rng) for _ in range(400)]
    means = np.array([light.mean((0, 1)) for light in airlight])
    assert means[:, 1].mean() == pytest.approx((0.615 + 0.75) / 2, abs=0.03) and (means[:, 1] < 0.5).mean() > 0.1
    assert (means[:, 2] - means[:, 0]).mean() == pytest.approx(0.025, abs=0.012)  # half of them are smoke
    inside = [light[..., 1].std() / light[..., 1].mean() for light in airlight]
    assert 0.05 < np.median(inside) < 0.11  # a deviation of 0.1, less what a field of few values happens to have
    flat = haze_variety.airlight(32, 32, False, rng)
    assert np.ptp(flat.reshape(-1, 3), axis=0).max() == 0


def test_a_cloud_does_not_follow_the_depth(monkeypatch):
    only(monkeypatch, CLOUD_UNEVEN=0.6)
    monkeypatch.setattr(haze_variety, "CLOUD", 1.0)
    depth = np.tile(np.linspace(0, 1, 64, dtype=np.float32), (64, 1))
    rng, black = np.random.default_rng(6), np.zeros((64, 64, 3), np.uint8)
    hazy = [haze_variety.varied_haze(black, depth, rng)[0][..., 1] for _ in range(100)]
    follows = [np.corrcoef(levels.ravel(), depth.ravel())[0, 1] for levels in hazy]
    assert abs(np.mean(follows)) < 0.15 and np.std(follows) > 0.2
    thickness = [np.median(haze_variety.cloud(64, 64, rng)) for _ in range(300)]
    assert np.log(thickness).mean() == pytest.approx(np.log([0.1, 1.3]).mean(), abs=0.15)


def test_a_lamp_glows_where_there_is_haze():
    light, rng = np.zeros((64, 64, 3), np.float32), np.random.default_rng(7)
    light[30:34, 30:34] = 1.0
    through = np.full((64, 64, 1), 0.5, np.float32)
    around = haze_variety.glow(light, through, rng)
    assert around[32, 38].min() > 5 * around[32, 60].min() >= 0 and around[32, 38].min() > 1e-4
    assert haze_variety.glow(light, np.ones_like(through), rng).max() == 0
    assert haze_variety.glow(np.minimum(light, 0.7), through, rng).max() == 0  # no lamp


@pytest.fixture()
def pairs(tmp_path):
    """Three real pairs of 80x64 px, 01 to 03; the hazy photo is 100 brighter than the clear one, up to white."""
    for kind in ("hazy", "gt"):
        (tmp_path / "smoke" / kind).mkdir(parents=True)
    for number in (1, 2, 3):
        clear = np.round(image(number, (1, 3, 64, 80), 150)[0].transpose(1, 2, 0)).astype(np.uint8)
        write_image(tmp_path / f"smoke/gt/{number:02}.png", clear)
        write_image(tmp_path / f"smoke/hazy/{number:02}.png", clear + np.uint8(100))
    return tmp_path / "smoke"


def test_pairs_are_chosen_by_their_numbers(pairs):
    names = [pair.name for pair in real_pairs.load_real_pairs(f"{pairs}:Pairs:01,03-09")]
    assert names == ["smoke/01", "smoke/03"]
    assert len(real_pairs.load_real_pairs(f"{pairs}:Pairs")) == 3


def test_both_sides_of_a_real_crop_show_the_same_place_in_the_same_tones(pairs, monkeypatch):
    loaded = real_pairs.load_real_pairs(f"{pairs}:Pairs")
    rng = np.random.default_rng(8)
    crops = [real_pairs.real_crop(loaded, 32, rng) for _ in range(60)]
    assert all(side.shape == (32, 32, 3) and side.dtype == np.uint8 for crop in crops for side in crop[:2])
    alike = [np.corrcoef(hazy.ravel(), clear.ravel())[0, 1] for hazy, clear, _ in crops]
    assert min(alike) > 0.95
    monkeypatch.setattr(real_pairs, "THINNED", 0.0)
    monkeypatch.setattr(real_pairs, "TONED", 0.0)
    plain = [real_pairs.real_crop(loaded, 32, rng) for _ in range(20)]
    assert all(np.abs(hazy.astype(int) - clear - 100).max() <= 1 for hazy, clear, _ in plain)  # resized and mirrored
    assert len({name for *_, name in plain}) == 3


def test_a_photo_seen_whole_keeps_both_sides_alike_and_most_of_its_width_and_height(pairs, monkeypatch):
    monkeypatch.setattr(real_pairs, "THINNED", 0.0)
    monkeypatch.setattr(real_pairs, "TONED", 0.0)
    loaded, rng = real_pairs.load_real_pairs(f"{pairs}:Pairs"), np.random.default_rng(8)
    # shrunk, and at its own size, turned or not
    for side, sizes in ((40, {(32, 32)}), (800, {(32, 64), (64, 32), (64, 64)})):
        crops = [real_pairs.real_crop(loaded, side, rng, whole=True)[:2] for _ in range(20)]
        assert all(np.abs(hazy.astype(int) - clear - 100).max() <= 1 for hazy, clear in crops)
        assert {clear.shape[:2] for _, clear in crops} == sizes
    seen = set()
    for _ in range(200):
        window, size = real_pairs.whole_window((480, 640), 512, rng)
        assert all(0.7 * length < part.stop - part.start and part.stop <= length
                   for part, length in zip(window, (480, 640)))
        assert max(size) <= 512 and all(length % 32 == 0 for length in size)
        seen.add(size)
    assert 2 <= len(seen) <= 8
    assert real_pairs.whole_window((20, 50), 512, rng)[1] == (32, 32)


def test_real_pairs_are_seen_from_all_four_sides():
    upright = np.zeros((64, 64, 3), np.uint8)
    upright[:16] = 200
    rng, tops = np.random.default_rng(8), set()
    for whole in (False, True) * 20:
        hazy, clear, _ = real_pairs.real_crop([real_pairs.RealPair("one", upright, upright)], 64, rng, whole)
        assert np.array_equal(hazy, clear)
        sides = clear[0], clear[:, -1], clear[-1], clear[:, 0]
        tops.add((int(np.argmax([side.mean() for side in sides])), whole))
    assert len(tops) == 8


def test_thinner_haze_is_the_scattering_model_with_more_transmission():
    rng = np.random.default_rng(9)
    scene, airlight, through = rng.random((16, 16, 3)), np.array([0.3, 0.35, 0.4]), 0.4

    def coded(transmission):
        return np.rint(255 * (scene * transmission + airlight * (1 - transmission)) ** (1 / 2.2)).astype(np.uint8)

    thinner = real_pairs.thinner(coded(through), coded(1.0), share=0.25)
    assert np.abs(thinner.astype(int) - coded(1 - 0.25 * (1 - through))).max() <= 2
    np.testing.assert_array_equal(real_pairs.thinner(coded(through), coded(1.0), 1.0), coded(through))


def test_crops_have_the_shares_of_the_options(scenes, pairs):
    photos = batches.load_scenes(scenes, batches.TRAIN)
    made = batches.Batches(photos, batches.parse_plan("1:1:32:1"), batches.Shares(real=0.5, variety=0.2, clear=0.2), 0,
                           pairs=real_pairs.load_real_pairs(f"{pairs}:Pairs"))
    rng = np.random.default_rng(1)
    hazy, clear, names = zip(*(made._crop(rng, made.plan[0]) for _ in range(300)))
    assert np.mean([name.startswith("smoke/") for name in names]) == pytest.approx(0.5, abs=0.09)
    assert np.mean([np.array_equal(a, b) for a, b in zip(hazy, clear)]) == pytest.approx(0.2, abs=0.07)


def test_outdoor_photos_without_depth_get_a_share_of_resides_haze(scenes, tmp_path):
    write_image(tmp_path / "street.jpg", street())
    outdoors = batches.load_outdoors(tmp_path)
    assert [(photo.depth, photo.horizon) for photo in outdoors] == [(None, None)]  # haze before the sky, too
    made = batches.Batches(batches.load_scenes(scenes, batches.TRAIN), batches.parse_plan("1:1:32:1"),
                           batches.Shares(reside_outdoors=0.4), 0, outdoors)
    rng = np.random.default_rng(2)
    _, _, names = zip(*(made._crop(rng, made.plan[0]) for _ in range(300)))
    assert np.mean([name == "street.jpg" for name in names]) == pytest.approx(0.4, abs=0.09)


def street(seed=0):
    """A street below a bluish sky, with a smooth bright road that does not reach up to it. uint8[120, 160, 3]"""
    photo = np.random.default_rng(seed).integers(0, 120, (120, 160, 3)).astype(np.uint8)
    photo[:60] = [150, 180, 220] - np.arange(60)[:, None, None] // [2, 4, 6]
    photo[100:] = 200
    return photo


def test_the_sky_is_bright_smooth_and_touches_the_upper_edge():
    found = sky.find_sky(street())
    assert found[:55].all() and not found[61:].any()
    assert sky.find_sky(street()[::-1])[:15].all() and not sky.find_sky(street()[::-1])[25:].any()
    assert sky.find_sky(street()[61:100]) is None
    horizon = 255 * sky.horizon_colour(street(), found)
    assert horizon == pytest.approx(street()[44:56].mean((0, 1)), abs=3)


def test_a_layer_of_haze_has_the_colour_of_the_horizon_and_leaves_the_sky(monkeypatch):
    only(monkeypatch)
    for name, value in dict(BETA=(9.0, 9.0), GAMMA=(1.0, 1.0), through_jpeg=lambda hazy, quality: hazy).items():
        monkeypatch.setattr(haze_variety, name, value)
    far = np.full((120, 160), 0.5, np.float16)
    photo = batches.with_sky(batches.Photo("street", street(), far))
    covered = photo.depth == 1
    assert covered[:55].all() and not covered[61:].any() and photo.depth[covered == 0].max() == 0.5
    rng = np.random.default_rng(3)
    for _ in range(20):
        hazy, clear = haze_variety.varied_haze(photo.clear, photo.depth.astype(np.float32), rng, 0.0, photo.horizon)
        assert np.array_equal(hazy[covered], clear[covered])
        assert hazy[64:100].astype(float).mean((0, 1)) == pytest.approx(255 * photo.horizon, abs=5)
    monkeypatch.setattr(haze_variety, "CLOUD", 1.0)  # smoke hangs before the sky, and has its own colour
    changed = [np.abs(np.subtract(*haze_variety.varied_haze(photo.clear, covered.astype(np.float32), rng, 0.0,
                                                            photo.horizon), dtype=float))[covered].mean()
               for _ in range(20)]
    assert np.median(changed) > 10


def test_clouds_and_blue_are_painted_into_the_whole_sky_and_nowhere_else():
    photo, rng = street(), np.random.default_rng(4)
    found = sky.find_sky(photo)
    painted, covered = zip(*(sky.painted_sky(photo, found, rng) for _ in range(20)))
    assert all(mask[:59].all() and not mask[61:].any() for mask in covered)  # 59: the seam of `find_sky` is sky too
    assert all(np.array_equal(result[61:], photo[61:]) for result in painted)
    change = np.array([result[:59].astype(float) - photo[:59] for result in painted])
    assert (np.abs(change).max((1, 2, 3)) > 20).sum() > 10
    blueness = (change[..., 2] - change[..., 0]).mean((0, 2))  # of each row
    assert blueness[:15].mean() > blueness[-15:].mean() + 5
    assert np.abs(change[:, 45:]).mean() > 2  # clouds reach down to the horizon
    np.testing.assert_array_equal(sky.painted_sky(photo, np.zeros_like(found), rng)[0], photo)


@pytest.mark.parametrize("stretch", (1.0, 4.0))
def test_fractal_noise_has_one_deviation_and_the_stretch_asked_for(stretch):
    noise = sky.fractal(256, 256, stretch, np.random.default_rng(2))
    assert (noise.mean(), noise.std()) == pytest.approx((0, 1), abs=1e-3)
    steep, flat = (np.abs(np.diff(noise, axis=axis)).mean() for axis in (0, 1))
    assert steep / flat == pytest.approx(stretch, rel=0.4)


@pytest.mark.parametrize("share, painted", ((0.0, 0), (0.5, 10), (1.0, 20)))
def test_a_share_of_crops_has_a_painted_sky(monkeypatch, share, painted):
    photo = batches.with_sky(batches.Photo("street", street(), np.full((120, 160), 0.5, np.float16)))
    monkeypatch.setattr(batches, "PAINTED", share)
    monkeypatch.setattr(sky, "CLOUDS", 1.0)
    rng, crops = np.random.default_rng(3), batches.Crops(1, 0.0, 160, 1)
    taken = [batches._photo_crop([photo], crops, rng)[:2] for _ in range(20)]
    assert all((depth[:30] == 1).all() and not (depth[-30:] == 1).any() for _, depth in taken)
    cloudy = [clear[:30].std(axis=1).max() > 1 for clear, _ in taken]  # the rows of the street's own sky are even
    assert sum(cloudy) == pytest.approx(painted, abs=4 * (share % 1 > 0))


def test_outdoor_photos_that_are_hazy_themselves_are_left_out(tmp_path):
    for kind in ("images", "depths"):
        (tmp_path / kind).mkdir()
    photo = np.round(image(5, (1, 3, 60, 80), 255)[0].transpose(1, 2, 0)).astype(np.uint8)
    for name, shown in (("0", photo), ("1", photo // 3 + np.uint8(160))):
        write_image(tmp_path / f"images/{name}.jpg", shown)
        depth = np.tile(np.linspace(20, 220, 40), (30, 1)).astype(np.uint8)
        cv2.imwrite(str(tmp_path / f"depths/{name}.png"), depth)
    kept = batches.load_outdoors(tmp_path)
    assert [photo.name for photo in kept] == ["0.jpg"] and kept[0].clear.shape == (60, 80, 3)
    (tmp_path / "images/0.jpg").unlink()
    with pytest.raises(InputError, match="every photo there is hazy itself"):
        batches.load_outdoors(tmp_path)


def test_validation_haze_is_that_of_sots(scenes):
    photo = batches.load_scenes(scenes, batches.VALIDATION)[0]
    hazy, clear = batches.validation_pair(photo, 9)
    through = np.exp(-1.5 * photo.depth.astype(np.float64))[..., None]
    assert np.abs(hazy - (clear * through + 255 * (1 - through))).max() < 1.0
    assert hazy.shape == (48, 64, 3)  # 10 px are cut off each side


@pytest.fixture(scope="module")
def resumed_run(scenes, tmp_path_factory):
    """A run that SIGTERM stopped, and that took two steps more after --resume: its folder, the steps of both parts."""
    out = tmp_path_factory.mktemp("recipe") / "run"
    command = short_run(scenes, out, "--validate_minutes", 0.001)  # a validation after each step writes a row
    with subprocess.Popen([sys.executable, "-m", "recipe.train", *map(str, command)],
                          cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 240
        while not (out / "log.csv").exists() and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    stopped = torch.load(out / "state.pt")["step"]
    again = run(*short_run(scenes, out, "--resume", "--max_steps", stopped + 2))
    assert again.returncode == 0, again.stderr
    return out, stopped, torch.load(out / "state.pt")["step"]


def test_stop_and_resume(resumed_run):
    out, stopped, last = resumed_run
    assert 1 <= stopped == last - 2
    rows = (out / "log.csv").read_text().splitlines()
    assert rows[0] == ",".join(train.COLUMNS) and rows[-1].startswith(f"{last},")


def test_the_average_weights_of_a_run_convert(resumed_run, tmp_path):
    from scripts.convert_weights import main
    from src.network.checkpoint import load_network

    out, _, _ = resumed_run
    main(["aecrnet", str(out / "ema.pth"), str(tmp_path / "net.ckpt")])
    net, description = load_network(tmp_path / "net.ckpt")
    assert description["arch"] == "paper"
    stored = torch.load(out / "ema.pth")
    np.testing.assert_array_equal(net.down2[0].weight.asnumpy(), stored["down2.0.weight"].numpy())


def test_a_run_is_not_overwritten(scenes, tmp_path):
    (tmp_path / "state.pt").write_bytes(b"of another run")
    with pytest.raises(UsageError, match="--resume continues it"):
        train.main([*map(str, short_run(scenes, tmp_path))])
    assert (tmp_path / "state.pt").read_bytes() == b"of another run"


def damaged(scenes, tmp_path, damage):
    shutil.copytree(scenes, tmp_path / "nyu")
    damage(tmp_path / "nyu")
    return tmp_path / "nyu"


@pytest.mark.parametrize("damage, named", [
    (lambda root: (root / "images/3.jpg").write_bytes((root / "images/3.jpg").read_bytes()[:900]), "3.jpg"),
    (lambda root: (root / "depths/3.png").unlink(), "3.jpg"),
    (lambda root: cv2.imwrite(str(root / "depths/3.png"), np.full((50, 84), 9, np.uint8)), "3.png"),
    (lambda root: (root / "depths/3.png").write_bytes(b"no image"), "3.png"),
])
def test_damaged_photos_are_named(scenes, tmp_path, damage, named):
    with pytest.raises(InputError, match=re.escape(named)):
        batches.load_scenes(damaged(scenes, tmp_path, damage), batches.TRAIN)


@pytest.mark.parametrize("change, said", [
    (lambda state: state.pop("mix1.w"), "missing mix1.w"),
    (lambda state: state.update({"down2.0.bias": torch.zeros(3)}), r"down2.0.bias is \(3,\)"),
    (lambda state: state["up1.0.weight"].fill_(float("nan")), "inf or nan in up1.0.weight"),
])
def test_start_weights_of_another_network_are_refused(tmp_path, change, said):
    path = random_weights(tmp_path / "start.pth", change)
    with pytest.raises(InputError, match=f"start.pth.*{said}"):
        train.start_weights(str(path), Dehaze())


def test_a_loss_that_is_nan_ends_the_run_and_keeps_the_step_before(scenes, tmp_path):
    options = train.parse([*map(str, short_run(scenes, tmp_path))])
    training = train.Training(options, tmp_path)
    clear = torch.rand(1, 3, 32, 32)
    training.learn_from(iter([batches.Batch(clear, clear, ["1.jpg"])]))
    kept = {name: value.clone() for name, value in training.net.state_dict().items()}
    with pytest.raises(InputError, match="step 2, photos 7.jpg; step 1 is kept"):
        training.learn_from(iter([batches.Batch(clear, clear * float("nan"), ["7.jpg"])]))
    state = torch.load(tmp_path / "state.pt")
    assert state["step"] == 1 and all(torch.equal(value, kept[name]) for name, value in state["net"].items())


def test_a_loss_that_is_read_late_is_read_before_the_state_is_kept(scenes, tmp_path):
    """On CUDA, the weights have taken a step before its loss is read."""
    training = train.Training(train.parse([*map(str, short_run(scenes, tmp_path))]), tmp_path)
    training.lag = 1
    clear = torch.rand(1, 3, 32, 32)
    training.learn_from(iter([batches.Batch(clear, clear, ["1.jpg"])]))
    training.keep()
    training.learn_from(iter([batches.Batch(clear, clear * float("nan"), ["7.jpg"])]))
    with pytest.raises(InputError, match="step 2, photos 7.jpg; .* holds"):
        training.keep()
    assert torch.load(tmp_path / "state.pt")["step"] == 1


@pytest.mark.parametrize("flags, said", [
    (("--plan", "1:1.0:30:2"), "multiples of 4"), (("--plan", "1:1.0"), "share:scale:side:count"),
    (("--plan", "1:0:32:2"), "count must be 1"),
    (("--hours", "0"), "--hours"), (("--lr", "nan"), "--lr"), (("--variety", "2"), "--variety"),
    (("--validation_images", "0"), "--validation_images"), (("--nonsense", "1"), "--nonsense"),
    (("--real", "0.7", "--variety", "0.4", "--pairs", "x:Pairs"),
     "--real 0.7, --variety 0.4 and --clear 0.0: must sum"),
    (("--real", "0.7"), "--real 0.7 with 0 --pairs"), (("--pairs", "x:Pairs"), "--real 0.0 with 1 --pairs"),
    (("--real", "0.7", "--pairs", "x"), "--pairs x: must be FOLDER:LAYOUT"),
    (("--real", "0.7", "--pairs", "x:Pairs:1-2-3"), "--pairs x:Pairs:1-2-3: 1-2-3 is neither"),
    (("--validation_pairs", "x:Pears"), "^--validation_pairs x:Pears"),
    (("--reside_outdoors", "0.4"), "^--reside_outdoors 0.4: needs --outdoors of photos without depth"),
])
def test_bad_flags(flags, said):
    with pytest.raises(UsageError, match=said):
        train.parse(["--data", "x", "--out", "y", "--hours", "1", *flags])


@pytest.mark.parametrize("damage, said", [
    (lambda root: (root / "gt/02.png").unlink(),
     "^--pairs .*: 1 hazy images without ground truth, the first is 02.png"),
    (lambda root: write_image(root / "gt/02.png", np.zeros((64, 76, 3), np.uint8)), "02.png is 80x64 but its .* 76x64"),
    (lambda root: (root / "hazy/02.png").write_bytes(b"no image"), "02.png"),
])
def test_pairs_that_do_not_fit_are_named(damage, said, pairs):
    damage(pairs)
    with pytest.raises(InputError, match=said):
        real_pairs.load_real_pairs(f"{pairs}:Pairs")


def test_real_pairs_are_trained_on_and_scored(scenes, pairs, tmp_path):
    done = run(*short_run(scenes, tmp_path / "run", "--max_steps", 2, "--real", 0.5, "--pairs", f"{pairs}:Pairs:1-2",
                          "--validation_pairs", f"{pairs}:Pairs:3"))
    assert done.returncode == 0, done.stderr
    with open(tmp_path / "run/log.csv", newline="") as file:
        assert 3 < float(list(csv.DictReader(file))[-1]["real"]) < 60


def test_one_line_for_a_folder_without_photos(tmp_path):
    done = run(*short_run(tmp_path, tmp_path / "run"), env={**os.environ})
    assert done.returncode == 1
    assert [line for line in done.stderr.splitlines() if line.startswith("error: ")] and "Traceback" not in done.stderr


def test_the_curve_of_runs_counts_the_crops_of_those_before(tmp_path):
    logs = {"a": "50,1,90,0.08,,,,1,1,1,1\n99,2,180,0.07,22.5,,,1,1,1,1\n", "b": "50,1,90,0.06,23.5,,,1,1,1,1\n"}
    for name, rows in logs.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "log.csv").write_text(",".join(train.COLUMNS) + "\n" + rows)
    assert curve.read_log(tmp_path / "b/log.csv", 180) == ([(270, 0.06)], [(270, 23.5)])
    assert curve.main([str(tmp_path / "a"), str(tmp_path / "b"), "--output", str(tmp_path / "curve.png")]) == 0
    assert cv2.imread(str(tmp_path / "curve.png")) is not None
    for text, said in (("", "holds no row"), ("step,l1\n1,2\n", "not the log of a run")):
        (tmp_path / "b/log.csv").write_text(text)
        with pytest.raises(InputError, match=f"log.csv: {said}"):
            curve.main([str(tmp_path / "b"), "--output", str(tmp_path / "curve.png")])
