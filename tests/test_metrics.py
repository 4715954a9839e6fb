"""PSNR and SSIM equal the numbers of both originals and of scikit-image."""
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from golden.seeded import image
from src.errors import InputError
from src.evaluate import metrics

ALL = [metrics.psnr, metrics.ssim, metrics.official_ssim, metrics.psnr_y, metrics.ssim_y, metrics.psnr_y_basicsr]
SSIMS = [metrics.ssim, metrics.official_ssim, metrics.ssim_y]


def hwc(nchw):
    return np.ascontiguousarray(nchw[0].transpose(1, 2, 0))


@pytest.fixture
def official_pair():
    """The images of metric_official_* and metric_skimage_*, float32 in 0..1."""
    a = image(70, (1, 3, 40, 56))
    b = np.clip(a + np.random.RandomState(71).randn(*a.shape) * 0.05, 0, 1).astype(np.float32)
    return hwc(a), hwc(b)


@pytest.fixture
def gitee_pair():
    """The images of metric_gitee_* over 255: the prediction before rounding, and the truth."""
    a = image(5, (1, 3, 40, 56), 255)
    b = np.clip(a + np.random.RandomState(6).randn(*a.shape) * 12, 0, 255).astype(np.float32)
    return hwc(b) / 255.0, hwc(a) / 255.0


def photo(h=40, w=56, seed=1):
    return np.round(hwc(image(seed, (1, 3, h, w), 255))).astype(np.uint8)


def test_psnr_equals_scikit_image_and_the_authors(golden_official, official_pair):
    value = metrics.psnr(*official_pair)
    assert value == pytest.approx(float(golden_official["metric_skimage_psnr"]), abs=1e-6)
    assert value == pytest.approx(float(golden_official["metric_official_psnr"]), abs=1e-5)


def test_ssim_equals_scikit_image(golden_official, official_pair):
    assert metrics.ssim(*official_pair) == pytest.approx(float(golden_official["metric_skimage_ssim"]), abs=1e-6)


def test_official_ssim_equals_the_authors_zero_padded_mean(golden_official, official_pair):
    assert metrics.official_ssim(*official_pair) == pytest.approx(
        float(golden_official["metric_official_ssim"]), abs=1e-6)


def test_basicsrs_psnr_y_is_that_of_matlabs_luma_over_the_whole_image():
    """Y = 16 + (65.481 R + 128.553 G + 24.966 B) / 255 for RGB in 0..255, written out in float64."""
    a, b = photo(seed=1), photo(seed=2)
    luma_a, luma_b = (16 + (65.481 * x[..., 0] + 128.553 * x[..., 1] + 24.966 * x[..., 2]) / 255
                      for x in (a.astype(np.float64), b.astype(np.float64)))
    expected = 10 * np.log10(255**2 / np.mean((luma_a - luma_b) ** 2))
    assert metrics.psnr_y_basicsr(a, b) == pytest.approx(expected, abs=1e-9)
    assert abs(metrics.psnr_y_basicsr(a, b) - metrics.psnr_y(a, b)) > 0.01


def test_psnr_y_equals_the_model_zoo_on_a_prediction_that_it_rounds(golden_gitee, gitee_pair):
    assert metrics.psnr_y(*gitee_pair) == pytest.approx(float(golden_gitee["metric_gitee_psnr"]), abs=1e-5)


def test_ssim_y_equals_the_model_zoo(golden_gitee, gitee_pair):
    assert metrics.ssim_y(*gitee_pair) == pytest.approx(float(golden_gitee["metric_gitee_ssim"]), abs=1e-6)


def test_equal_images_give_inf_and_one_without_a_warning(recwarn):
    a = photo()
    assert [measure(a, a.copy()) for measure in ALL] == [
        float("inf"), 1.0, pytest.approx(1.0, abs=1e-12), float("inf"), pytest.approx(1.0, abs=1e-12),
        float("inf")]
    assert not recwarn.list


def test_psnr_of_black_against_white_is_zero():
    black = np.zeros((4, 4, 3), np.uint8)
    assert metrics.psnr(black, black + 255) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("measure", ALL)
def test_uint8_and_float_of_the_same_image_score_the_same(measure):
    a, b = photo(seed=1), photo(seed=2)
    in_bytes = measure(a, b)
    assert isinstance(in_bytes, float)
    assert measure(a / 255.0, b / 255.0) == pytest.approx(in_bytes, rel=1e-9)
    assert measure(a, (b / 255.0).astype(np.float32)) == pytest.approx(in_bytes, rel=1e-5)


@pytest.mark.parametrize("measure", ALL)
def test_shapes_that_differ_are_both_named(measure):
    with pytest.raises(InputError, match=r"\(40, 56, 3\) and \(56, 40, 3\)"):
        measure(photo(40, 56), photo(56, 40))


@pytest.mark.parametrize("measure, smallest", [(metrics.ssim, 11), (metrics.ssim_y, 13), (metrics.psnr_y, 3)])
def test_images_below_the_window_are_refused_and_those_of_its_size_scored(measure, smallest):
    a, b = photo(smallest, smallest, seed=1), photo(smallest, smallest, seed=2)
    assert np.isfinite(measure(a, b))
    with pytest.raises(InputError, match=f"smaller than the {smallest} px"):
        measure(a[1:], b[1:])


@pytest.mark.parametrize("bad", [
    photo().astype(np.float32), photo().astype(np.int64), photo()[..., 0], np.full((16, 16, 3), np.nan)])
def test_images_of_another_range_or_type_are_refused_instead_of_scored(bad):
    with pytest.raises(ValueError, match="image must be"):
        metrics.psnr(bad, bad)


@pytest.mark.slow
def test_metrics_load_neither_scikit_image_nor_mindspore_before_they_are_used():
    code = ("import sys, src.evaluate.metrics; "
            "sys.exit(any(m in sys.modules for m in ('skimage', 'scipy', 'cv2', 'mindspore')))")
    root = Path(__file__).parent.parent
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0


@pytest.mark.parametrize("measure", [metrics.psnr, metrics.ssim])
def test_bands_of_rows_score_as_the_whole_image(official_pair, measure, monkeypatch):
    whole = measure(*official_pair)
    monkeypatch.setattr(metrics, "BAND", 7)
    assert measure(*official_pair) == pytest.approx(whole, abs=1e-12)
