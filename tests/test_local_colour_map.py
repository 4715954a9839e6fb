"""The colour map of the small picture, against loops written from its definition."""
import tracemalloc

import numpy as np
import pytest

from src.dehaze import local_colour_map
from src.dehaze.local_colour_map import EPSILON, RADIUS, apply, fit, shrink

SIZES = ((7, 9), (12, 5), (1, 13), (13, 1), (1, 1), (2, 3))


def picture(height, width, seed=0):
    return np.random.default_rng(seed).random((height, width, 3))


def photo(height, width, dtype=np.uint8, seed=0):
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max + 1, (height, width, 3)).astype(dtype)


def in_window(values, y, x):
    near = values[max(y - RADIUS, 0):y + RADIUS + 1, max(x - RADIUS, 0):x + RADIUS + 1]
    return near.reshape(-1, *values.shape[2:])


def fitted_by_a_loop(hazy, clear):
    height, width = hazy.shape[:2]
    maps = np.zeros((height, width, 3, 4))
    for y in range(height):
        for x in range(width):
            before, change = in_window(hazy, y, x), in_window(clear - hazy, y, x)
            apart, mean = before - before.mean(0), before.mean(0)
            spread = apart.T @ apart / len(apart) + EPSILON * np.eye(3)
            factors = (change - change.mean(0)).T @ apart / len(apart) @ np.linalg.inv(spread)
            maps[y, x, :, :3] = np.eye(3) + factors
            maps[y, x, :, 3] = change.mean(0) - factors @ mean
    smooth = [[in_window(maps, y, x).mean(0) for x in range(width)] for y in range(height)]
    return np.array(smooth).transpose(2, 3, 0, 1)


def applied_by_a_loop(coefficients, image):
    """float[h, w, 3], not rounded."""
    (rows, columns), (height, width) = coefficients.shape[2:], image.shape[:2]
    white = np.iinfo(image.dtype).max
    result = np.zeros(image.shape)
    for y, x in np.ndindex(height, width):
        place = [min(max((i + 0.5) * small / full - 0.5, 0), small - 1)
                 for i, small, full in ((y, rows, height), (x, columns, width))]
        top, left = int(place[0]), int(place[1])
        bottom, right = min(top + 1, rows - 1), min(left + 1, columns - 1)
        down, across = place[0] - top, place[1] - left
        here = ((1 - down) * ((1 - across) * coefficients[..., top, left] + across * coefficients[..., top, right])
                + down * ((1 - across) * coefficients[..., bottom, left] + across * coefficients[..., bottom, right]))
        result[y, x] = here[:, :3] @ image[y, x] + here[:, 3] * white
    return np.clip(result, 0, white)


@pytest.mark.parametrize("size", SIZES)
def test_the_fit_is_that_of_the_definition(size):
    hazy, clear = picture(*size), picture(*size, seed=1)
    assert np.allclose(fit(hazy, clear), fitted_by_a_loop(hazy, clear), atol=1e-5)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("full", ((31, 43), (70, 29), (16, 1), (1, 16)))
@pytest.mark.parametrize("dtype", (np.uint8, np.uint16))
def test_the_enlarged_map_is_that_of_the_definition(size, full, dtype):
    coefficients = np.random.default_rng(3).normal(0.2, 0.3, (3, 4, *size)).astype(np.float32)
    image = photo(*full, dtype)
    result = apply(coefficients, image)
    assert result.dtype == dtype and result.shape == image.shape
    assert np.abs(result - applied_by_a_loop(coefficients, image)).max() <= 0.5 + 4e-7 * np.iinfo(dtype).max


def test_a_network_that_changes_nothing_leaves_every_bit():
    image = photo(150, 220, np.uint16)
    small = shrink(image, (15, 22)) / 65535
    assert np.array_equal(apply(fit(small, small), image), image)


def test_an_affine_network_is_repeated_on_every_pixel():
    """Where the picture has contrast, K is exact but for EPSILON."""
    mixing, added = np.array([[1.3, 0.1, -0.2], [0.0, 1.5, 0.1], [-0.1, 0.2, 1.2]]), np.array([-0.1, 0.05, -0.15])
    image = (photo(96, 128) // 2 + 60).astype(np.uint8)
    small = shrink(image, (24, 32)) / 255
    expected = np.clip(image / 255 @ mixing.T + added, 0, 1) * 255
    assert np.abs(apply(fit(small, small @ mixing.T + added), image) - expected).max() < 1.5


@pytest.mark.parametrize("value", (0.0, 0.5, 1.0))
def test_flat_areas_get_the_flat_change_and_no_nan(value):
    hazy = np.full((9, 11, 3), value)
    clear = hazy + np.array([-0.2, 0.0, 0.1])
    coefficients = fit(hazy, clear)
    assert np.isfinite(coefficients).all()
    assert np.allclose(coefficients[:, 3, 4, 4], [-0.2, 0.0, 0.1], atol=1e-6)
    assert np.allclose(coefficients[:, :3, 4, 4], np.eye(3), atol=1e-4)


def test_a_grey_picture_has_a_finite_map_that_keeps_it_grey():
    grey = np.repeat(picture(20, 24)[..., :1], 3, axis=2)
    coefficients = fit(grey, np.clip(grey * 1.4 - 0.2, 0, 1))
    assert np.isfinite(coefficients).all()
    result = apply(coefficients, np.repeat(photo(200, 240)[..., :1], 3, axis=2)).astype(int)
    assert np.ptp(result, axis=2).max() <= 1


@pytest.mark.parametrize("strip", (1, 7, 32, 1000))
def test_strips_leave_no_seam(strip, monkeypatch):
    coefficients = fit(picture(11, 13), picture(11, 13, 1))
    image = photo(101, 67, np.uint16)
    whole = apply(coefficients, image)
    monkeypatch.setattr(local_colour_map, "STRIP", strip)
    monkeypatch.setattr(local_colour_map, "BAND", 3 * strip)
    assert np.abs(apply(coefficients, image).astype(int) - whole).max() <= 1


def test_the_map_of_a_smooth_sky_is_smooth():
    """No step between rows or columns of (result - input) is larger than those of the input."""
    down, across = np.mgrid[0:600, 0:800]
    sky = np.stack([(90 + 40 * down / 600 + 20 * across / 800) * 257 * share for share in (0.9, 1.0, 1.1)], axis=2)
    sky = sky.astype(np.uint16)
    small = shrink(sky, (48, 64)) / 65535
    change = apply(fit(small, (small - 0.3) * 1.8 + 0.1 * small**2), sky).astype(int) - sky
    steps, own = ([np.abs(np.diff(picture.astype(int), axis=axis)).max() for axis in (0, 1)]
                  for picture in (change, sky))
    assert steps[0] <= own[0] + 1 and steps[1] <= own[1] + 1


def test_small_and_full_pixels_have_their_centres_in_one_place():
    """A ramp keeps its place. A shift by half a small pixel would be 5 of 65535 * 10 / 400."""
    ramp = np.repeat(np.linspace(10000, 50000, 400)[None, :, None], 300, axis=0).repeat(3, axis=2)
    ramp = np.ascontiguousarray(ramp).astype(np.uint16)
    small = shrink(ramp, (30, 40)) / 65535
    coefficients = np.zeros((3, 4, 30, 40), np.float32)
    coefficients[:, 3] = small.transpose(2, 0, 1)  # the result is the enlarged small picture itself
    inside = np.s_[:, 10:-10]
    assert np.abs(apply(coefficients, ramp).astype(int) - ramp)[inside].max() <= 3


def test_a_weaker_change_gives_a_map_that_is_weaker_alike():
    hazy, clear = picture(9, 8), picture(9, 8, 1)
    unchanged = np.eye(3, 4)[..., None, None]
    half = fit(hazy, hazy + 0.5 * (clear - hazy))
    assert np.allclose(half - unchanged, 0.5 * (fit(hazy, clear) - unchanged), atol=1e-6)


def test_a_large_photo_needs_little_memory_beside_its_result():
    """The coefficients at the width of the photo would take 64 MB, were they in memory all at once."""
    coefficients, image = np.zeros((3, 4, 500, 400), np.float32), photo(2000, 2667)
    tracemalloc.start()
    result = apply(coefficients, image)
    beside = tracemalloc.get_traced_memory()[1] - result.nbytes
    tracemalloc.stop()
    assert beside < 16e6
