"""The scattering model equals its definition, and gives the demo photos the right haze."""
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from src.data import demo, haze
from src.data.images import read_image
from src.evaluate.metrics import psnr


def ramp_depth(dtype=np.float32):
    return np.tile(np.linspace(10, 250, 25), (12, 1)).astype(dtype)


@pytest.mark.parametrize("dtype, scale", [(np.float64, 1), (np.float64, 0.001), (np.uint8, 1), (np.uint16, 1)])
def test_transmission_depends_on_depth_over_its_maximum_whatever_the_unit(dtype, scale):
    depth = (ramp_depth(dtype) * scale).astype(dtype)
    expected = np.exp(-1.3 * depth.astype(np.float64) / depth.max())
    np.testing.assert_allclose(haze.transmission(depth, 1.3), expected, rtol=1e-6)
    assert haze.transmission(depth, 1.3).dtype == np.float32


def test_transmission_of_a_crop_takes_the_maximum_of_the_whole_map():
    depth = ramp_depth(np.uint8)
    crop = depth[2:8, 3:11]
    np.testing.assert_array_equal(
        haze.transmission(crop, 0.9, max_depth=depth.max()), haze.transmission(depth, 0.9)[2:8, 3:11])


@pytest.mark.parametrize("depth", [np.zeros((4, 4)), np.full((4, 4), np.nan), np.full((4, 4), np.inf)])
def test_transmission_refuses_a_depth_without_a_positive_maximum(depth):
    with pytest.raises(ValueError, match="largest depth"):
        haze.transmission(depth, 1.0)


def test_haze_is_the_clear_image_where_light_arrives_and_airlight_where_none_does():
    clear = np.random.RandomState(0).rand(3, 2, 3)
    through = np.array([[1, 1], [0, 0], [0.25, 0.25]])
    hazy = haze.add_haze(clear, through, 0.8)
    np.testing.assert_allclose(hazy[0], clear[0], atol=1e-6)
    np.testing.assert_allclose(hazy[1], 0.8, atol=1e-6)
    np.testing.assert_allclose(hazy[2], 0.25 * clear[2] + 0.75 * 0.8, atol=1e-6)


def test_haze_on_a_byte_image_is_the_rounded_haze_on_its_float_image():
    clear = np.random.RandomState(0).randint(0, 256, (9, 7, 3)).astype(np.uint8)
    through = np.random.RandomState(1).rand(9, 7)
    for airlight in (0.7, 1.0):
        hazy = haze.add_haze(clear, through, airlight)
        assert hazy.dtype == np.uint8
        np.testing.assert_allclose(hazy, haze.add_haze(clear / 255.0, through, airlight) * 255, atol=0.501)


def test_sampled_haze_fills_the_its_ranges():
    rng = np.random.default_rng(0)
    airlight, beta = np.array([haze.sample_haze(rng) for _ in range(2000)]).T
    for values, (low, high) in ((airlight, (0.7, 1.0)), (beta, (0.6, 1.8))):
        assert low <= values.min() < low + 0.01 * (high - low)
        assert high - 0.01 * (high - low) < values.max() <= high


def test_mirror_and_crop_makes_reside_size_from_nyu_size():
    image = np.arange(480 * 640 * 3).reshape(480, 640, 3)
    reside = haze.mirror_and_crop(image)
    assert reside.shape == (460, 620, 3)
    np.testing.assert_array_equal(reside[0, 0], image[10, 629])
    with pytest.raises(ValueError, match="20x30"):
        haze.mirror_and_crop(np.zeros((20, 30)))


def test_synthetic_depth_is_smooth_within_its_range_and_repeats_with_the_seed():
    depth = haze.synthetic_depth(90, 130, np.random.default_rng(3))
    assert depth.shape == (90, 130) and depth.dtype == np.float32
    assert 0.1 <= depth.min() < 0.5 and depth.max() == pytest.approx(1.0, abs=0.01)
    assert max(np.abs(np.diff(depth, axis=0)).max(), np.abs(np.diff(depth, axis=1)).max()) < 0.06
    np.testing.assert_array_equal(depth, haze.synthetic_depth(90, 130, np.random.default_rng(3)))
    assert np.abs(depth - haze.synthetic_depth(90, 130, np.random.default_rng(4))).mean() > 0.05


def test_window_of_synthetic_depth_is_a_part_of_the_whole_map():
    whole = haze.synthetic_depth(90, 130, np.random.default_rng(3))
    part = haze.synthetic_depth(90, 130, np.random.default_rng(3), window=(20, 50, 32, 24))
    np.testing.assert_allclose(part, whole[20:52, 50:74], atol=1e-6)


def test_depth_from_disparity_is_focal_length_times_baseline_over_disparity():
    disparity = np.array([[10.0, 20.0, 40.0]])
    np.testing.assert_allclose(haze.disparity_to_depth(disparity, 100, 2), [[20, 10, 5]])
    np.testing.assert_allclose(haze.disparity_to_depth(disparity, 100, 2, principal_offset=10), [[10, 20 / 3, 4]])


def test_hidden_pixels_get_the_farther_of_their_neighbours_depths():
    disparity = np.array([[np.inf, 20.0, np.nan, np.inf, 10.0, np.nan]])
    np.testing.assert_allclose(haze.disparity_to_depth(disparity, 100, 2), [[10, 10, 20, 20, 20, 20]])
    with pytest.raises(ValueError, match="row"):
        haze.disparity_to_depth(np.full((2, 3), np.nan), 100, 2)


def test_demo_photos_are_hazy_and_always_the_same():
    pairs = demo.demo_pairs()
    assert [name for name, _, _ in pairs] == ["motorcycle", "astronaut", "coffee", "chelsea", "rocket"]
    for (_, hazy, clear), (_, again, _) in zip(pairs, demo.demo_pairs()):
        assert hazy.shape == clear.shape and hazy.dtype == clear.dtype == np.uint8
        assert 8 < psnr(hazy, clear) < 15
        np.testing.assert_array_equal(hazy, again)


@pytest.mark.slow
def test_demo_photos_need_neither_pooch_nor_a_network():
    code = "import sys, socket; sys.modules['pooch'] = None; socket.getaddrinfo = None; " \
           "from src.data.demo import demo_pairs; assert len(demo_pairs()) == 5"
    subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent.parent, check=True)


def test_motorcycle_haze_follows_the_measured_depth():
    _, hazy, clear = demo.demo_pairs()[0]
    loss = [hazy[part].std() / clear[part].std() for part in (np.s_[0:120, 300:700], np.s_[230:400, 150:420])]
    assert loss[0] < 0.42 < loss[1]  # contrast kept on the shelves at the back, on the engine in front


def test_demo_set_is_written_as_pairs(tmp_path):
    folder = demo.write_demo_set(tmp_path / "new" / "demo")
    for name, hazy, clear in demo.demo_pairs():
        np.testing.assert_array_equal(read_image(folder / "hazy" / f"{name}.png"), hazy)
        np.testing.assert_array_equal(read_image(folder / "clear" / f"{name}.png"), clear)
