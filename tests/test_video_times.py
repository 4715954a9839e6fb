"""A dehazed video shows its frames when a player shows those of the source, and only a truncated file is refused."""
from fractions import Fraction

import av
import numpy as np
import pytest
from clips import add_sound, decoded, picture, shown, write

from src.errors import InputError
from src.video.dehaze import dehaze_video
from src.video.probe import probe
from src.video.timing import COARSE_TICK, TICK, one_rate, timing_of

MS = Fraction(1, 1000)


def same(image):
    return image


def pictures(count):
    return [picture(number) for number in range(count)]


def length(path):
    """Of the picture stream or the file, in seconds."""
    with av.open(str(path)) as file:
        return file.duration / av.time_base


@pytest.mark.parametrize("first, count", [(0, 10), (6, 10)])
def test_a_cut_by_an_edit_list_gives_the_frames_that_a_player_shows(tmp_path, first, count):
    """As phones and editors trim: the file holds 20 frames, and its edit list shows `count` of them."""
    options = {"bf": "0", "g": "100", "qp": "4"}
    source = write(tmp_path / "clip.mp4", pictures(20), options=options, tick=Fraction(1, 12800))
    data = bytearray(source.read_bytes())
    place = data.index(b"elst")
    data[place + 12:place + 20] = (count * 40).to_bytes(4, "big") + (first * 512).to_bytes(4, "big")
    source.write_bytes(data)
    seen = []
    stats = dehaze_video(source, tmp_path / "clear.mp4", lambda image: seen.append(int(image[0, 0, 2])) or image)
    assert stats.frames == len(decoded(tmp_path / "clear.mp4")) == count
    assert seen == pytest.approx([40 + 5 * number for number in range(first, first + count)], abs=4)
    assert stats.notes == ["sound: none in the source"]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm", ".mov", ".avi"])
def test_a_cut_film_keeps_the_sound_of_what_is_shown(tmp_path, suffix):
    source = write(tmp_path / "clip.mp4", pictures(50), options={"bf": "0", "g": "100"}, tick=Fraction(1, 12800),
                   prepare=lambda file: add_sound(file, 2))
    data = bytearray(source.read_bytes())
    place = 0
    for start in (25 * 512, 48000 + 1024):  # the second second, of the pictures and of the sound
        place = data.index(b"elst", place + 1)
        data[place + 12:place + 20] = (1000).to_bytes(4, "big") + start.to_bytes(4, "big")
    source.write_bytes(data)
    stats = dehaze_video(source, tmp_path / f"clear{suffix}", same)
    assert stats.frames == 25 and stats.audio
    assert shown(tmp_path / f"clear{suffix}")[0] < 0.085  # AVI: two frames
    with av.open(str(tmp_path / f"clear{suffix}")) as result:
        sound = list(result.decode(audio=0))
    assert 0.95 < sum(frame.samples for frame in sound) / 48000 < 1.06
    assert abs(float(sound[0].pts * sound[0].time_base)) < 0.03


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".avi", ".wmv", ".ts", ".flv"])
def test_sound_longer_than_the_pictures_is_no_truncation(tmp_path, suffix):
    codec = {"codec": "wmv2"} if suffix == ".wmv" else {}
    tick = {} if suffix in (".mkv", ".mp4", ".ts", ".flv") else {"tick": Fraction(1, 25)}
    sound = "wmav2" if suffix == ".wmv" else "aac"
    source = write(tmp_path / f"clip{suffix}", pictures(12), **codec, **tick,
                   prepare=lambda file: add_sound(file, 3, codec=sound))
    stats = dehaze_video(source, tmp_path / "clear.mkv", same)
    assert stats.frames == 12 and stats.audio
    assert 2.9 < length(tmp_path / "clear.mkv") < 3.2


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
def test_pictures_that_start_later_than_the_sound_stay_late(tmp_path, suffix):
    times = [5 + Fraction(number, 25) for number in range(10)]
    source = write(tmp_path / "clip.mkv", pictures(10), times, prepare=lambda file: add_sound(file, 6))
    stats = dehaze_video(source, tmp_path / f"clear{suffix}", same)
    assert shown(tmp_path / f"clear{suffix}") == pytest.approx([float(time) for time in times], abs=0.025)
    assert stats.audio and 5.9 < length(tmp_path / f"clear{suffix}") < 6.1


def test_a_transport_stream_begins_at_zero(tmp_path):
    """Cameras and recorders count from the switching on; a player shows the first frame at once."""
    times = [3600 + Fraction(number, 25) for number in range(10)]
    source = write(tmp_path / "clip.mts", pictures(10), times, prepare=lambda file: add_sound(file, 0.4, start=3600))
    dehaze_video(source, tmp_path / "clear.mp4", same)
    assert shown(tmp_path / "clear.mp4") == pytest.approx([number / 25 for number in range(10)], abs=0.05)
    assert length(tmp_path / "clear.mp4") < 0.6


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
def test_a_last_picture_that_is_held_stays_as_long(tmp_path, suffix):
    source = write(tmp_path / "clip.mp4", pictures(5), last=2)
    assert length(source) == pytest.approx(2.16)
    dehaze_video(source, tmp_path / f"clear{suffix}", same)
    assert shown(tmp_path / f"clear{suffix}") == pytest.approx(shown(source), abs=2e-3)
    assert length(tmp_path / f"clear{suffix}") == pytest.approx(2.16, abs=5e-3)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
def test_pictures_hours_apart_stay_hours_apart(tmp_path, suffix):
    times = [Fraction(number, 25) for number in range(4)] + [Fraction(9 * 3600 + number) for number in range(3)]
    source = write(tmp_path / "clip.mkv", pictures(7), times)
    stats = dehaze_video(source, tmp_path / f"clear{suffix}", same)
    assert stats.frames == 7
    assert shown(tmp_path / f"clear{suffix}") == pytest.approx([float(time) for time in times], abs=2e-3)


def test_pictures_an_hour_apart_each(tmp_path):
    times = [3600 * number for number in range(4)]
    dehaze_video(write(tmp_path / "clip.mkv", pictures(4), times), tmp_path / "clear.mp4", same)
    assert shown(tmp_path / "clear.mp4") == times


@pytest.mark.parametrize("ticks, expected", [
    ([0, 40, 40, 120, 160], [0, 40, 80, 120, 160]),  # a repeated time
    ([0, 40, 40, 40, 80, 120], [0, 40, 160 / 3, 200 / 3, 80, 120]),
    ([0, 40, 30, 80, 120], [0, 40, 60, 80, 120]),  # one that goes back
    ([0, 40, 80, 80], [0, 40, 80, 120]),
    ([None, 40, 80, None, 160], [0, 40, 80, 120, 160]),
    ([5000, 5040, 5080, 0, 40, 80], [5000, 5040, 5080, 5120, 5160, 5200]),  # two films in one file
    ([None, None, None], [0, 40, 80]),
])
def test_only_the_times_that_are_wrong_change_and_the_user_is_told(ticks, expected):
    timing = timing_of(ticks, MS, Fraction(25))
    assert [float(1000 * time) for time in timing.times] == pytest.approx(expected)
    assert len(timing.notes) == 1 and timing.notes[0].startswith("times: ")


def test_good_times_change_nothing():
    timing = timing_of([0, 40, 80, 500, 540], MS, Fraction(25), last=900)
    assert [float(1000 * time) for time in timing.times] == [0, 40, 80, 500, 540] and timing.notes == []
    assert timing.end == Fraction(1440, 1000) and timing.varies and timing.tick == TICK
    assert timing_of([0, 10 ** 8], MS, None).tick == COARSE_TICK


def test_repeated_times_in_a_file_are_moved_and_told(tmp_path):
    source = write(tmp_path / "clip.mkv", pictures(6), codec="ffv1", pixels="yuv420p", tick=Fraction(1, 1000))
    data = bytearray(source.read_bytes())
    place = data.index(b"\x81" + (120).to_bytes(2, "big")) + 1  # track 1, time of the fourth frame
    data[place:place + 2] = (80).to_bytes(2, "big")
    source.write_bytes(data)
    stats = dehaze_video(source, tmp_path / "clear.mp4", same)
    assert shown(tmp_path / "clear.mp4") == pytest.approx([0, 0.04, 0.08, 0.12, 0.16, 0.20], abs=1e-3)
    assert "times: 1 of 6 frames have none of their own, placed between their neighbours" in stats.notes


def test_varying_times_in_avi_are_kept_to_half_a_frame_and_told_before_the_work(tmp_path):
    times = [Fraction(number, 30) + (1 if number > 5 else 0) for number in range(12)]
    source = write(tmp_path / "clip.mp4", pictures(12), times, rate=30)
    told = []

    def dehaze(image):
        assert any("AVI holds one rate only" in line for line in told)
        return image

    dehaze_video(source, tmp_path / "clear.avi", dehaze, tell=told.append)
    blue = [int(frame.to_ndarray(format="rgb24")[..., 2].mean()) for frame in decoded(tmp_path / "clear.avi")]
    expected = [max(number for number, time in enumerate(times) if time <= Fraction(place, 30)) for place in range(42)]
    assert blue == pytest.approx([40 + 5 * number for number in expected], abs=4)
    with av.open(str(tmp_path / "clear.avi")) as result:
        assert result.streams.video[0].average_rate == 30


def test_one_rate_says_by_how_much_frames_move():
    timing = timing_of([0, 40, 80, 130, 170], MS, None)
    rate, shift = one_rate(timing)
    assert rate == 25 and shift == Fraction(10, 1000)


@pytest.mark.parametrize("suffix", [".mkv", ".avi", ".flv", ".mp4"])
def test_truncation_is_judged_by_time(tmp_path, suffix):
    """A frame a second, stated as 25: the header's rate times its length would promise 500 frames."""
    tick = Fraction(1, 25) if suffix == ".avi" else Fraction(1, 90000)
    noise = np.random.default_rng(0)
    frames = [noise.integers(0, 255, (48, 64, 3), np.uint8) for _ in range(20)]
    source = write(tmp_path / f"clip{suffix}", frames, list(range(20)), tick=tick)
    assert len(probe(source).times) == 20
    data = source.read_bytes()
    if suffix == ".mp4":  # the index comes first, as in files for the web
        with av.open(str(source)) as file, av.open(str(tmp_path / "web.mp4"), "w",
                                                   options={"movflags": "faststart"}) as web:
            stream = web.add_stream_from_template(file.streams.video[0])
            for packet in file.demux(video=0):
                if packet.size:
                    packet.stream = stream
                    web.mux(packet)
        data = (tmp_path / "web.mp4").read_bytes()
    source.write_bytes(data[:len(data) // 2])
    with pytest.raises(InputError, match=rf"clip{suffix}: truncated or damaged, \d+.\d\d of \d+.\d\d seconds can be "
                                         "read; to dehaze what is there: ffmpeg -i"):
        probe(source)


def test_pictures_that_cannot_be_decoded_are_counted(tmp_path):
    noise = np.random.default_rng(0)
    frames = [noise.integers(0, 255, (48, 64, 3), np.uint8) for _ in range(40)]
    source = write(tmp_path / "clip.mp4", frames, options={"bf": "0", "g": "1"})
    with av.open(str(source)) as file:
        packets = [(packet.pos, packet.size) for packet in file.demux(video=0) if packet.size]
    data = bytearray(source.read_bytes())
    for place, size in packets[10:12]:
        data[place:place + size] = b"\xff" * size
    source.write_bytes(data)
    stats = dehaze_video(source, tmp_path / "clear.mp4", same)
    assert "damage: 2 of 40 pictures cannot be decoded, or have holes" in stats.notes
    for place, size in packets[:30]:
        data[place:place + size] = b"\xff" * size
    source.write_bytes(data)
    with pytest.raises(InputError, match="clip.mp4: damaged, 30 of 40 pictures cannot be decoded"):
        probe(source)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
def test_two_recordings_in_one_file_follow_each_other_with_their_sound(tmp_path, suffix):
    one = write(tmp_path / "one.ts", pictures(25), prepare=lambda file: add_sound(file, 1, codec="mp2")).read_bytes()
    (tmp_path / "two.ts").write_bytes(one + one)
    stats = dehaze_video(tmp_path / "two.ts", tmp_path / f"clear{suffix}", same)
    assert np.diff(shown(tmp_path / f"clear{suffix}")) == pytest.approx([0.04] * 49, abs=2e-3)
    with av.open(str(tmp_path / f"clear{suffix}")) as result:
        assert 1.95 < sum(frame.samples for frame in result.decode(audio=0)) / 48000 < 2.15
    assert "times: begin anew (1 times within the film), continued without a gap" in stats.notes


def test_a_recording_that_was_cut_off_and_states_no_length_is_told(tmp_path):
    """Fragments, as cameras and browsers write them: each can be read, also if the rest is missing."""
    whole = tmp_path / "clip.mp4"
    with av.open(str(whole), "w", options={"movflags": "frag_keyframe+empty_moov"}) as file:
        stream = file.add_stream("libx264", rate=25, options={"bf": "0", "g": "5"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(30):
            file.mux(stream.encode(av.VideoFrame.from_ndarray(picture(number), "rgb24")))
        file.mux(stream.encode())
    with av.open(str(whole)) as file:
        packets = [packet for packet in file.demux(video=0) if packet.size]
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole.read_bytes()[:packets[22].pos + packets[22].size // 2])
    assert "damage: 1 packets are incomplete, the file may be cut short" in probe(cut).notes
    assert probe(whole).notes == []
