"""The blend removes the flicker of large areas and keeps moving objects sharp."""
import cv2
import numpy as np
import pytest

from src.errors import UsageError
from src.video.blend import TemporalBlend

HEIGHT, WIDTH, FRAMES = 96, 128, 24


def scene(width=WIDTH):
    """A hazy textured view: sharp squares on a gradient, uint8 RGB[HEIGHT, width, 3]."""
    generator = np.random.RandomState(0)
    squares = np.kron(generator.randint(-40, 40, (HEIGHT // 8, width // 8, 3)), np.ones((8, 8, 1)))
    return np.clip(150 + squares + np.linspace(-40, 40, HEIGHT)[:, None, None], 0, 255).astype(np.uint8)


def panning(step):
    """The view, moving by `step` pixels a frame."""
    wide = scene(WIDTH + step * FRAMES + 8 - step * FRAMES % 8)
    return [wide[:, i * step:i * step + WIDTH] for i in range(FRAMES)]


def dehaze(hazy, wobble=0.0):
    """An inverted scattering model: 1.5 times the contrast, and a brightness error that depends on the frame."""
    return np.clip(np.rint((hazy.astype(np.float64) - 200) * 1.5 + 180 + wobble), 0, 255).astype(np.uint8)


def wobbly(frames):
    return [dehaze(frame, wobble) for frame, wobble in zip(frames, np.random.RandomState(1).randn(len(frames)) * 5)]


def blended(frames, dehazed, blend=0.8):
    smooth = TemporalBlend(blend)
    return [smooth(before, after) for before, after in zip(frames, dehazed)]


def flicker(frames):
    return np.mean([cv2.absdiff(a, b).mean() for a, b in zip(frames[1:], frames)])


def difference(some, others):
    """Mean and largest absolute difference of two clips, in grey levels."""
    pixels = np.stack([cv2.absdiff(a, b) for a, b in zip(some, others)])
    return pixels.mean(), pixels.max()


def test_wobble_of_a_still_scene_falls_to_a_quarter():
    frames = panning(step=0)
    raw = wobbly(frames)
    assert flicker(raw) > 4
    assert flicker(blended(frames, raw)) < 0.25 * flicker(raw)


@pytest.mark.parametrize("step", [1, 2])
def test_wobble_under_a_pan_is_halved_and_nothing_trails(step):
    frames = panning(step)
    steady, raw = [dehaze(frame) for frame in frames], wobbly(frames)
    out = blended(frames, raw)
    assert flicker(out) - flicker(steady) < 0.5 * (flicker(raw) - flicker(steady))
    assert difference(out, steady)[0] < difference(raw, steady)[0]
    assert difference(blended(frames, steady), steady)[1] <= 3  # 5.1 k grey levels, k = 0.5


def test_averaging_whole_frames_would_trail_ten_times_as_far():
    """This shows the worth of the bound above. A plain average of frames is measured on the same clip."""
    frames = panning(step=2)
    steady = [dehaze(frame) for frame in frames]
    average, past = [], steady[0].astype(np.float64)
    for frame in steady:
        past = 0.8 * past + 0.2 * frame
        average.append(np.rint(past).astype(np.uint8))
    assert difference(average, steady)[1] > 50


def test_object_crossing_the_scene_leaves_no_ghost():
    frames = [scene() for _ in range(FRAMES)]
    for i, frame in enumerate(frames):
        frame[30:60, i * 4:i * 4 + 24] = (20, 40, 230)
    steady = [dehaze(frame) for frame in frames]
    assert difference(blended(frames, steady), steady)[1] <= 3


def test_first_frame_after_a_cut_is_the_networks_own():
    frames = [scene()] * 6 + [255 - scene()] * 6
    raw = [dehaze(frame) for frame in frames]
    np.testing.assert_array_equal(blended(frames, raw)[6], raw[6])


def test_without_blend_the_frames_are_untouched():
    frames = panning(step=2)
    raw = wobbly(frames)
    assert difference(blended(frames, raw, blend=0.0), raw) == (0, 0)


@pytest.mark.parametrize("blend", [-0.1, 1.0, float("nan")])
def test_blend_outside_its_range_is_refused(blend):
    with pytest.raises(UsageError, match="at least 0 and below 1"):
        TemporalBlend(blend)


def test_result_keeps_the_shape_of_odd_and_tiny_frames():
    for shape in ((49, 65, 3), (2, 40, 3), (1, 1, 3)):
        hazy = np.full(shape, 90, np.uint8)
        smooth = TemporalBlend(0.5)
        smooth(hazy, hazy + 10)
        np.testing.assert_array_equal(smooth(hazy, hazy + 30), hazy + 20)
