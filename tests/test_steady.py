"""Frames of a video: a map that is smoothed over time and follows the motion, full frames from small ones."""
import cv2
import numpy as np
import pytest

from halving import HalvingNetwork
from src.dehaze.dehazer import Dehazer
from src.dehaze.frames import CarriedMap, FrameDehazer
from src.errors import UsageError

HEIGHT, WIDTH, FRAMES = 96, 128, 16
NONE = 1e-9  # a blend without memory: the network's own map of each frame
ROOMS = {"work_size": -1}  # the network sees the frames of these tests at their own size


def scene(width=WIDTH):
    """A hazy textured view: blobs on a gradient, uint8 RGB[HEIGHT, width, 3]."""
    blobs = np.random.default_rng(0).normal(0, 1, (HEIGHT, width, 3))
    blobs = cv2.GaussianBlur(blobs, (0, 0), 2.5)
    blobs *= 30 / blobs.std()
    return np.clip(150 + blobs + np.linspace(-40, 40, HEIGHT)[:, None, None], 0, 255).astype(np.uint8)


def panning(step):
    """The view, moving by `step` pixels a frame."""
    wide = scene(WIDTH + step * FRAMES)
    return [wide[:, i * step:i * step + WIDTH] for i in range(FRAMES)]


class Wobbly:
    """1.5 times the contrast, and an error of brightness and contrast that depends on the call."""

    value_range, description, path = 255.0, {"arch": "wobbly"}, "wobbly.ckpt"

    def __init__(self, strength):
        self.errors, self.calls, self.strength = np.random.default_rng(1).normal(0, strength, 1000), 0, strength

    def expect(self, shape, calls):
        pass

    def __call__(self, x):
        self.calls += 1
        error = self.errors[self.calls]
        return ((x - 200) * (1.5 + error / 300) + 180 + error).astype(np.float32)


def restored(frames, wobble=5.0, blend=0.8, network_every=1, **settings):
    network = Wobbly(wobble)
    dehaze = FrameDehazer(Dehazer(network=network, **{**ROOMS, **settings}), blend, network_every)
    return [dehaze(frame) for frame in frames], network.calls


def flicker(frames):
    return np.mean([cv2.absdiff(a, b).mean() for a, b in zip(frames[1:], frames)])


def difference(some, others):
    """Mean and largest absolute difference of two clips, in grey levels."""
    pixels = np.stack([cv2.absdiff(a, b) for a, b in zip(some, others)])
    return pixels.mean(), pixels.max()


def test_wobble_of_a_still_scene_falls_to_a_third():
    frames = panning(0)
    plain, smooth = flicker(restored(frames, blend=NONE)[0]), flicker(restored(frames)[0])
    assert plain > 3 and smooth < plain / 3


def test_noise_of_the_scene_does_not_stop_the_smoothing():
    generator = np.random.default_rng(2)
    frames = [np.clip(frame + generator.normal(0, 2, frame.shape), 0, 255).astype(np.uint8) for frame in panning(0)]
    steady = flicker(restored(frames, wobble=0)[0])
    plain, smooth = flicker(restored(frames, blend=NONE)[0]), flicker(restored(frames)[0])
    assert smooth - steady < (plain - steady) / 3


@pytest.mark.parametrize("step", (1, 3))
def test_the_map_follows_a_pan(step):
    """The largest error of a carried map lies at the border, where new parts of the scene come into view."""
    frames = panning(step)
    true, (carried, calls) = restored(frames, 0, blend=NONE)[0], restored(frames, 0, network_every=4)
    assert calls == FRAMES / 4
    assert difference(carried, true)[0] < 1
    assert difference(restored(frames)[0], true)[0] < 0.6 * difference(restored(frames, blend=NONE)[0], true)[0]


def test_the_network_sees_every_nth_frame_and_the_first_after_a_cut():
    still = [scene()] * 5 + [255 - scene()] * 5
    assert [restored(still, network_every=every)[1] for every in (1, 2, 4, 100)] == [10, 6, 4, 2]


def test_the_first_frame_after_a_cut_is_the_networks_own():
    frames = [scene()] * 4 + [255 - scene()] * 4
    plain, smooth = restored(frames, blend=NONE)[0], restored(frames)[0]
    assert difference(smooth[4:5], plain[4:5])[1] <= 2


def test_an_object_that_crosses_leaves_no_ghost():
    """What the network does to the object differs from what it does to the scene behind it."""
    frames = [scene() for _ in range(FRAMES)]
    for i, frame in enumerate(frames):
        frame[30:60, i * 6:i * 6 + 24] = (20, 40, 230)
    true, smooth = restored(frames, 0, blend=NONE)[0], restored(frames, 0)[0]
    assert difference(smooth, true)[0] < 0.5
    passed = np.s_[30:60, :40]  # the object has left
    assert difference([smooth[-1][passed]], [true[-1][passed]])[1] <= 4


def test_what_came_into_view_between_two_frames_of_the_network_gets_its_own_map():
    """The network sees the frames 0 and 2. The object comes with frame 1 and stays."""
    frames = [scene() / np.float32(255) for _ in range(3)]
    for frame in frames[1:]:
        frame[20:80, 30:90] = (0.1, 0.2, 0.9)
    carried, own = CarriedMap(0.8), np.ones((3, 4, HEIGHT, WIDTH), np.float32)
    carried.follow(frames[0])
    carried.renew(0 * own)
    carried.follow(frames[1])
    carried.follow(frames[2])
    carried.renew(own)
    assert carried.coefficients[0, 0, 25:75, 35:85].min() > 0.99
    assert carried.coefficients[0, 0, :, 110:].mean() < 0.4  # the scene beside it keeps its past: 1 - 0.8**2


def test_the_smoothing_lasts_as_many_frames_whatever_the_network_sees():
    """Of the error of frame 0, blend**4 is left in frame 4."""
    def left(every):
        carried = CarriedMap(0.8)
        for number in range(5):
            carried.follow(np.full((64, 64, 3), 0.5, np.float32))
            if number % every == 0:
                carried.renew(np.full((3, 4, 64, 64), float(number == 0), np.float32))
        return carried.coefficients.mean()

    assert [left(1), left(2), left(4)] == pytest.approx([0.8 ** 4] * 3, rel=1e-4)


@pytest.mark.parametrize("frame", ((480, 854), (1080, 1920), (200, 320)))
def test_frames_are_seen_at_the_work_size_of_videos(tmp_path, frame):
    network = HalvingNetwork(tmp_path / "halving.ckpt")
    image = np.random.default_rng(0).integers(0, 256, (*frame, 3), np.uint8)
    result = FrameDehazer(Dehazer(network=network), 0.8)(image)
    assert {max(shape[2:]) for shape in network.seen} == {320} and result.shape == image.shape
    assert np.abs(result.astype(float) - image / 2).mean() < 1


def test_without_blend_the_frames_are_those_of_the_dehazer(tmp_path):
    dehazer = Dehazer(network=HalvingNetwork(tmp_path / "halving.ckpt"), work_size=64)
    dehaze = FrameDehazer(dehazer)
    assert all(np.array_equal(dehaze(frame), dehazer.dehaze(frame)) for frame in panning(2))


def test_strength_0_leaves_every_frame():
    frames = panning(2)
    assert difference(restored(frames, strength=0)[0], frames) == (0, 0)


@pytest.mark.parametrize("size", ((16, 16), (49, 65), (17, 200)))
def test_small_and_odd_frames_keep_their_shape(size):
    frames = [np.full((*size, 3), value, np.uint8) for value in (90, 92, 94)]
    for result in restored(frames, 0)[0]:
        assert result.shape == (*size, 3)
    assert np.abs(restored(frames, 0)[0][2].astype(int) - ((94 - 200) * 1.5 + 180)).max() <= 1


@pytest.mark.parametrize("blend", (-0.1, 1.0, float("nan")))
def test_blend_outside_its_range_is_refused(blend):
    with pytest.raises(UsageError, match="at least 0 and below 1"):
        CarriedMap(blend)
