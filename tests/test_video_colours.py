"""A dehazed video has the colours that a player shows of its source, and says by its tags what they are."""
import numpy as np
import pytest
from clips import GREEN, KR_KB, colour_of, decoded, flat, middle, planes, tags_of, write

from src.errors import InputError
from src.video.colours import HLG, PQ, to_sdr
from src.video.dehaze import dehaze_video


def dehazed(source, tmp_path, suffix=".mp4"):
    """(what the network sees in the middle, the colour of the result there, its tags, the notes)."""
    seen, target = [], tmp_path / f"clear{suffix}"
    stats = dehaze_video(source, target, lambda image: seen.append(image[len(image) // 2, 32]) or image)
    tags = tags_of(target)
    return seen[0], colour_of(middle(decoded(target)[0]), tags[0]), tags, stats.notes


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi", ".webm"])
@pytest.mark.parametrize("tags, height, expected", [
    ((1, 1, 1, 1), 64, (1, 1, 1, 1)),  # BT.709 in a small video
    ((6, 6, 6, 1), 720, (6, 6, 6, 1)),  # BT.601 in a large one
    ((5, 5, 6, 1), 64, (5, 5, 6, 1)),
    ((7, 7, 7, 1), 64, (7, 7, 7, 1)),
    ((9, 9, 14, 1), 64, (9, 9, 14, 1)),
    ((1, 1, 13, 2), 64, (1, 1, 13, 1)),  # all numbers used, as phones and screen recorders write it
])
def test_each_matrix_and_range_gives_the_same_colour(tmp_path, suffix, tags, height, expected):
    colour = planes(GREEN, tags[0], full=tags[3] == 2)
    source = write(tmp_path / "clip.mp4", [flat(colour, 64, height)] * 2, tags=tags)
    seen, result, result_tags, notes = dehazed(source, tmp_path, suffix)
    assert np.abs(seen.astype(int) - GREEN).max() <= 2
    assert np.abs(result - GREEN).max() <= 2
    if suffix == ".webm":  # VP9 has one number for both forms of BT.601
        assert KR_KB[result_tags[0]] == KR_KB[expected[0]] and result_tags[1:] == expected[1:]
    else:
        assert result_tags == expected
    assert notes == ["sound: none in the source"]


@pytest.mark.parametrize("height, matrix", [(64, 6), (576, 6), (718, 6), (720, 1), (1080, 1)])
def test_untagged_video_is_read_by_its_size(tmp_path, height, matrix):
    source = write(tmp_path / "clip.mp4", [flat(planes(GREEN, matrix), 64, height)] * 2)
    seen, result, tags, _ = dehazed(source, tmp_path)
    assert np.abs(seen.astype(int) - GREEN).max() <= 2 and np.abs(result - GREEN).max() <= 2
    assert tags[0] == matrix and tags[3] == 1


def test_matrix_that_is_not_stated_follows_the_primaries(tmp_path):
    source = write(tmp_path / "clip.mp4", [flat(planes(GREEN, 9), 64, 64)] * 2, tags=(2, 9, 14, 1))
    seen, _, tags, _ = dehazed(source, tmp_path)
    assert np.abs(seen.astype(int) - GREEN).max() <= 2 and tags[0] == 9


def test_ten_bits_become_eight_and_the_user_is_told(tmp_path):
    source = write(tmp_path / "clip.mp4", [flat(planes(GREEN, 1, 10), 64, 64, "yuv420p10le")] * 2, tags=(1, 1, 1, 1))
    seen, result, _, notes = dehazed(source, tmp_path)
    assert np.abs(seen.astype(int) - GREEN).max() <= 2 and np.abs(result - GREEN).max() <= 2
    assert "colours: 10 bits become 8" in notes


def test_rgb_video_keeps_its_colours(tmp_path):
    images = [np.full((64, 64, 3), GREEN, np.uint8)] * 2
    seen, result, tags, _ = dehazed(write(tmp_path / "clip.mkv", images, codec="ffv1", pixels="bgr0"), tmp_path)
    assert np.abs(seen.astype(int) - GREEN).max() <= 1 and np.abs(result - GREEN).max() <= 2
    assert tags[0] == 6


@pytest.mark.parametrize("curve", [PQ, HLG])
def test_hdr_becomes_sdr_by_its_curve_with_one_note(tmp_path, curve):
    colour = (90, 130, 110)  # R'G'B' of BT.2020 in the curve of HDR
    frame = flat(planes(colour, 9, 10), 64, 64, "yuv420p10le")
    source = write(tmp_path / "clip.mp4", [frame] * 2, tags=(9, 9, curve, 1))
    seen, result, tags, notes = dehazed(source, tmp_path)
    expected = 255 * to_sdr(np.array(colour) / 255, curve)
    assert np.abs(seen - expected).max() <= 2 and np.abs(result - expected).max() <= 3
    assert tags == (1, 1, 1, 1)
    assert len([note for note in notes if note.startswith("colours:")]) == 1


def test_hdr_curves_at_the_values_of_the_standards():
    """ITU-R BT.2408 puts white at 58 % of PQ and 75 % of HLG. Both are 203 cd/m2, so they become one grey."""
    white = to_sdr(np.full(3, 0.5806), PQ), to_sdr(np.full(3, 0.75), HLG)
    assert np.ptp(white) < 0.003 and 0.88 < white[0][0] < 0.93  # what is brighter has a place above it
    for curve, top in ((PQ, 0.7518), (HLG, 1.0)):  # 1000 cd/m2
        ramp = to_sdr(np.linspace(0, top, 50)[:, None] * np.ones(3), curve)
        assert ramp[0].max() == 0 and ramp[-1].min() > 0.999
        assert (np.diff(ramp[:, 0]) > 0).all() and np.ptp(ramp, axis=1).max() < 0.001  # greys stay grey
    dark = to_sdr(np.full(3, 0.3), PQ)  # below the knee light stays as it is: 10.03 cd/m2, ST 2084
    assert dark == pytest.approx((10.03 / 203) ** (1 / 2.4), abs=0.003)


def test_hdr_primaries_become_those_of_bt709():
    """BT.709's red in linear BT.2020 (ITU-R BT.2087), as dark as the knee leaves it alone, comes back as pure red."""
    linear = np.array([0.6274, 0.0691, 0.0164]) * 20
    power = (linear / 10000) ** 0.1593017578125
    signal = ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375
    assert to_sdr(signal, PQ) == pytest.approx([(20 / 203) ** (1 / 2.4), 0, 0], abs=0.03)


def test_colours_that_cannot_be_read_are_refused_in_one_line(tmp_path):
    source = write(tmp_path / "clip.mp4", [flat((100, 128, 128), 64, 64)] * 2, tags=(8, 1, 1, 1))
    with pytest.raises(InputError, match="clip.mp4: colours of the matrix YCgCo cannot be read; convert it to BT.709"):
        dehaze_video(source, tmp_path / "clear.mp4", lambda image: image)
