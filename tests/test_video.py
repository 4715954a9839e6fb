"""A dehazed clip has the frames, times, size and sound of its source, or there is no file at all."""
import contextlib
import os
import resource
import signal
import threading
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from src.errors import InputError
from src.video import dehaze as dehaze_module
from src.video import rules
from src.video import tracks as video_tracks
from src.video.clip import read_frames
from src.video.dehaze import AHEAD, BEHIND, dehaze_video
from src.video.media import open_media
from src.video.probe import probe
from src.video.rules import is_video
from src.video.timing import timing_of

HEIGHT, WIDTH, FRAMES = 48, 64, 12


def frame(number, height=HEIGHT, width=WIDTH):
    """A gradient, uint8 RGB, which is redder to the right and brighter with time."""
    red = np.linspace(40, 160, width)[None, :] + np.zeros((height, 1))
    return np.dstack([red + 5 * number, red * 0 + 60, 200 - red]).astype(np.uint8)


def make_clip(path, fps=25.0, codec="mp4v", frames=FRAMES):
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*codec), fps, (WIDTH, HEIGHT))
    assert writer.isOpened()
    for number in range(frames):
        writer.write(cv2.cvtColor(frame(number), cv2.COLOR_RGB2BGR))
    writer.release()
    return path


def write_clip(path, times, rate, samples=None):
    """A clip whose frames have the given times in seconds, with a sound track of float samples, 48000 a second."""
    with av.open(str(path), "w") as file:
        video = file.add_stream("libvpx-vp9" if path.suffix == ".webm" else "libx264", rate=rate)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        video.codec_context.time_base = Fraction(1, 120000)
        audio = file.add_stream("aac", rate=48000, layout="mono") if samples is not None else None
        for number, time in enumerate(times):
            picture = av.VideoFrame.from_ndarray(frame(number), "rgb24")
            picture.time_base, picture.pts = Fraction(1, 120000), round(time * 120000)
            file.mux(video.encode(picture))
        file.mux(video.encode())
        if audio:
            sound = av.AudioFrame.from_ndarray(samples[None], "fltp", "mono")
            sound.sample_rate = 48000
            file.mux(audio.encode(sound))
            file.mux(audio.encode())
    return path


def tone(seconds):
    """Silence in the first half of the time, a sine in the second: float32 in -0.5..0.5, 48000 values a second."""
    sine = 0.5 * np.sin(np.arange(int(24000 * seconds)) * 0.1)
    return np.concatenate((sine * 0, sine)).astype(np.float32)


def times_of(path):
    with av.open(str(path)) as file:
        return [float(picture.pts * picture.time_base) for picture in file.decode(video=0)]


def samples_of(path):
    with av.open(str(path)) as file:
        resample = av.AudioResampler("flt", "mono", 48000)
        return np.concatenate([part.to_ndarray()[0] for sound in file.decode(audio=0)
                               for part in resample.resample(sound)])


def make_raw_clip(path, width, height, frames=FRAMES, tags=""):
    """Write YUV4MPEG2, a text header and plain samples. This format can hold odd sides, which no encoder here can."""
    with open(path, "wb") as file:
        file.write(f"YUV4MPEG2 W{width} H{height} F25:1 Ip C444 {tags}\n".encode())
        for number in range(frames):
            file.write(b"FRAME\n" + np.full((3, height, width), 100 + number, np.uint8).tobytes())
    return path


def read_clip(path):
    """The frames as uint8 RGB, and the rate."""
    capture, frames = cv2.VideoCapture(str(path)), []
    fps = capture.get(cv2.CAP_PROP_FPS)
    while True:
        seen, image = capture.read()
        if not seen:
            return frames, fps
        frames.append(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))


def darker(image):
    return image // 2


@pytest.fixture
def clip(tmp_path):
    return make_clip(tmp_path / "clip.mp4")


@pytest.mark.parametrize("suffix", sorted(rules.CODECS))
def test_every_format_keeps_frames_rate_size_and_colours(clip, tmp_path, suffix):
    target = tmp_path / f"clear{suffix}"
    stats = dehaze_video(clip, target, darker)
    frames, fps = read_clip(target)
    assert len(frames) == stats.frames == FRAMES
    assert fps == pytest.approx(25) and stats.fps == 25
    for got, source in zip(frames, read_clip(clip)[0]):
        assert got.shape == (HEIGHT, WIDTH, 3)
        assert np.abs(got.astype(int) - darker(source)).mean() < 4


@pytest.mark.parametrize("source, rate", [
    ("clip.mp4", Fraction(30000, 1001)), ("clip.mp4", Fraction(120000, 1001)),
    ("clip.webm", Fraction(24000, 1001)),  # WebM rounds times to milliseconds
])
def test_rates_that_are_no_whole_numbers_are_kept_exactly(tmp_path, source, rate):
    source = write_clip(tmp_path / source, [number / rate for number in range(FRAMES)], rate)
    stats = dehaze_video(source, tmp_path / "clear.mp4", darker)
    with av.open(str(tmp_path / "clear.mp4")) as result:
        assert result.streams.video[0].average_rate == rate
    assert stats.fps == float(rate)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
def test_frames_keep_their_times_where_the_rate_varies(tmp_path, suffix):
    times = [Fraction(number, 30) + (Fraction(1, 4) if number > 5 else 0) for number in range(FRAMES)]
    source = write_clip(tmp_path / "phone.mp4", times, Fraction(30))
    stats = dehaze_video(source, tmp_path / f"clear{suffix}", darker)
    assert times_of(tmp_path / f"clear{suffix}") == pytest.approx([float(time) for time in times], abs=1e-3)
    assert stats.notes == ["sound: none in the source"]


def test_function_sees_rgb_frames_in_order_and_progress_counts_them(clip, tmp_path):
    seen, steps = [], []
    dehaze_video(clip, tmp_path / "clear.mp4", lambda image: seen.append(image) or image,
                 progress=lambda done, total: steps.append((done, total)))
    assert steps == [(number + 1, FRAMES) for number in range(FRAMES)]
    assert np.abs(seen[3].astype(int) - frame(3)).mean() < 4  # in BGR order it would be 80


def test_frames_are_read_while_the_network_computes_but_not_all_of_them(clip, tmp_path, monkeypatch):
    ahead, read = threading.Event(), []

    def counted(frames):
        for image in frames:
            read.append(image)
            if len(read) == 2:
                ahead.set()
            yield image

    def dehaze(image):
        assert ahead.wait(10)
        done.append(image)
        assert len(read) <= len(done) + AHEAD + 1
        return image

    done = []
    monkeypatch.setattr(dehaze_module, "read_frames", lambda clip: counted(read_frames(clip)))
    stats = dehaze_video(clip, tmp_path / "clear.mp4", dehaze)
    assert len(done) == FRAMES
    assert f"{FRAMES / stats.seconds:.3g} frames a second dehazed" in stats.summary()


def test_frames_are_dehazed_while_the_encoder_is_busy_but_not_all_of_them(clip, tmp_path, monkeypatch):
    ahead, dehazed, written = threading.Event(), [], []

    @contextlib.contextmanager
    def slow(path, clip, codec):
        def write(image):
            assert ahead.wait(10)
            written.append(image)
        path.touch()
        yield write

    def dehaze(image):
        dehazed.append(image)
        assert len(dehazed) <= len(written) + 1 + BEHIND
        if len(dehazed) == 1 + BEHIND:
            ahead.set()
        return image

    monkeypatch.setattr(dehaze_module, "write_frames", slow)
    dehaze_video(clip, tmp_path / "clear.mp4", dehaze)
    assert len(written) == FRAMES


def test_phone_clips_come_out_upright(clip, tmp_path):
    data = bytearray(clip.read_bytes())
    matrix = data.index(b"tkhd") + 44
    quarter_turn = b"".join(value.to_bytes(4, "big", signed=True) for value in (0, 1 << 16, 0, -1 << 16, 0, 0))
    data[matrix:matrix + 24] = quarter_turn  # "turn me clockwise"
    clip.write_bytes(data)
    stats = dehaze_video(clip, tmp_path / "clear.mp4", darker)
    image = read_clip(tmp_path / "clear.mp4")[0][0].astype(int)
    assert image.shape == (WIDTH, HEIGHT, 3) and (stats.width, stats.height) == (HEIGHT, WIDTH)
    assert image[-4:, :, 0].mean() > image[:4, :, 0].mean() + 30  # the red right side is at the bottom now


def test_odd_sides_are_cut_and_the_user_is_told(tmp_path):
    stats = dehaze_video(make_raw_clip(tmp_path / "odd.y4m", 65, 49), tmp_path / "clear.mp4", darker)
    assert "size: 65x49 becomes 64x48, video codecs need even sides" in stats.notes
    assert read_clip(tmp_path / "clear.mp4")[0][0].shape == (48, 64, 3)


def test_shape_of_pixels_is_kept(tmp_path):
    dehaze_video(make_raw_clip(tmp_path / "wide.y4m", 64, 48, tags="A4:3"), tmp_path / "clear.mp4", darker)
    with av.open(str(tmp_path / "clear.mp4")) as result:
        assert result.streams.video[0].sample_aspect_ratio == Fraction(4, 3)


def test_missing_rate_is_taken_from_the_frames_times():
    timing = timing_of([0, 50, 100, 150, 200], Fraction(1, 1000), None)
    assert timing.rate == 20 and timing.tick == Fraction(1, 20)


def test_flicker_is_the_mean_difference_of_consecutive_frames(clip, tmp_path):
    offsets = iter([0, 20] * FRAMES)
    stats = dehaze_video(clip, tmp_path / "clear.mp4", lambda image: np.full_like(image, 100 + next(offsets)))
    frames = [image.astype(int) for image in read_frames(probe(clip))]
    expected = np.mean([np.abs(a - b).mean() for a, b in zip(frames[1:], frames)])
    assert stats.flicker_input == pytest.approx(expected, abs=1e-6)
    assert stats.flicker_output == 20.0


@pytest.mark.parametrize("fault", [KeyboardInterrupt, RuntimeError])
def test_interrupted_run_leaves_the_old_file_and_nothing_else(clip, tmp_path, fault):
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "clear.mp4").write_bytes(b"older result")
    calls = iter(range(FRAMES))

    def stops(image):
        if next(calls) == 5:
            raise fault
        return image

    with pytest.raises(fault):
        dehaze_video(clip, folder / "clear.mp4", stops)
    assert [path.name for path in folder.iterdir()] == ["clear.mp4"]
    assert (folder / "clear.mp4").read_bytes() == b"older result"


def test_full_disk_is_named(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (FRAMES, HEIGHT, WIDTH, 3), np.uint8)
    source, frames = make_clip(tmp_path / "clip.mp4"), iter(noise)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1][1]))  # a file that grows beyond is refused
    try:
        with pytest.raises(InputError, match="clear.mp4: cannot be written .File too large"):
            dehaze_video(source, tmp_path / "clear.mp4", lambda image: next(frames))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before[1])
        signal.signal(signal.SIGXFSZ, before[0])
    assert os.listdir(tmp_path) == ["clip.mp4"]


def test_truncated_clip_is_refused_before_any_work(tmp_path):
    source = make_clip(tmp_path / "clip.mkv")
    source.write_bytes(source.read_bytes()[:source.stat().st_size // 2])
    with pytest.raises(InputError, match=r"clip.mkv: truncated or damaged, 0.\d+ of 0.48 seconds can be read"):
        dehaze_video(source, tmp_path / "clear.mp4", lambda image: pytest.fail("dehazed a frame"))


@pytest.mark.parametrize("content, message", [
    (None, "no such file"),
    (b"", "cannot be read as a video"),
    (b"not a video", "cannot be read as a video"),
    (b"version https://git-lfs.github.com/spec/v1\n", "cannot be read as a video .a Git LFS pointer"),
    (b"<!DOCTYPE html><html></html>", "cannot be read as a video .a web page"),
    (b"YUV4MPEG2 W64 H48 F25:1 Ip C444\n", "no frames"),
    (b"YUV4MPEG2 W1 H48 F25:1 Ip C444\nFRAME\n" + bytes(3 * 48), "frames of 1x48 are too small"),
])
def test_source_that_cannot_be_used_is_named(tmp_path, content, message):
    source = tmp_path / "clip.y4m"
    if content is not None:
        source.write_bytes(content)
    with pytest.raises(InputError, match=f"clip.y4m: {message}"):
        dehaze_video(source, tmp_path / "clear.mp4", darker)
    assert not (tmp_path / "clear.mp4").exists()


@pytest.mark.parametrize("target, message", [
    ("missing/clear.mp4", "no such folder"),
    ("clear.gif", "a video must end in one of .mp4"),
    ("folder.mp4", "it is a folder"),
    ("clip.mp4", "is the source itself"),
])
def test_target_that_cannot_be_written_is_named(clip, tmp_path, target, message):
    (tmp_path / "folder.mp4").mkdir()
    before = clip.read_bytes()
    with pytest.raises(InputError, match=f"{target}: .*{message}"):
        dehaze_video(clip, tmp_path / target, lambda image: pytest.fail("dehazed a frame"))
    assert clip.read_bytes() == before


def test_encoder_that_is_missing_is_named(clip, tmp_path, monkeypatch):
    monkeypatch.setitem(rules.CODECS, ".mp4", "zzzz")
    with pytest.raises(InputError, match="this PyAV cannot encode zzzz"):
        dehaze_video(clip, tmp_path / "clear.mp4", darker)
    assert os.listdir(tmp_path) == ["clip.mp4"]


@pytest.mark.parametrize("wrong", [lambda image: image[::2], lambda image: image / 255.0])
def test_function_that_changes_shape_or_type_is_refused(clip, tmp_path, wrong):
    with pytest.raises(ValueError, match="dehaze gave"):
        dehaze_video(clip, tmp_path / "clear.mp4", wrong)


def test_video_suffixes_are_known_whatever_their_case():
    assert is_video("a/IMG_1.MOV") and not is_video("photo.png")


@pytest.mark.parametrize("suffix", [".mp4", ".avi", ".webm"])  # .webm cannot hold AAC, it is encoded anew
def test_sound_is_kept_and_in_time(tmp_path, suffix):
    source = write_clip(tmp_path / "loud.mp4", [Fraction(number, 25) for number in range(50)], Fraction(25), tone(2))
    target = tmp_path / f"clear{suffix}"
    stats = dehaze_video(source, target, darker)
    assert stats.audio
    assert stats.notes == ["sound: stream 1: aac becomes opus, because .webm cannot hold it"] * (suffix == ".webm")
    heard = samples_of(target)
    assert 0.95 * 2 * 48000 < heard.size < 1.1 * 2 * 48000
    assert np.abs(heard[:44000]).max() < 0.05  # the tone begins after one second
    assert 0.25 < heard[52000:90000].std() < 0.45  # a sine of height 0.5 has 0.35


def test_sound_that_cannot_be_kept_costs_only_the_sound(tmp_path, monkeypatch):
    source = write_clip(tmp_path / "loud.mp4", [Fraction(number, 25) for number in range(FRAMES)], Fraction(25),
                        tone(0.5))
    monkeypatch.setitem(video_tracks.ENCODERS, "webm", "zzzz")
    stats = dehaze_video(source, tmp_path / "clear.webm", darker)
    assert stats.notes == ["sound: stream 1: left out (zzzz)"] and not stats.audio
    assert len(read_clip(tmp_path / "clear.webm")[0]) == FRAMES


def test_damage_in_the_middle_costs_little(tmp_path):
    source = write_clip(tmp_path / "loud.mp4", [Fraction(number, 25) for number in range(100)], Fraction(25), tone(4))
    data = bytearray(source.read_bytes())
    start, stop = data.index(b"mdat") + 1000, data.index(b"moov") - 1000
    for place in range(start, stop, (stop - start) // 10):
        data[place:place + 40] = b"\xff" * 40
    source.write_bytes(data)
    stats = dehaze_video(source, tmp_path / "clear.webm", darker)
    assert stats.audio and 90 <= stats.frames <= 100
    assert samples_of(tmp_path / "clear.webm").size > 0.9 * 4 * 48000


def test_threads_of_the_decoder_never_wait_for_python(clip):
    """With any level of PyAV's log, an error of a thread takes Python's lock. Of 120 short clips three hung."""
    av.logging.set_level(av.logging.ERROR)
    with open_media(clip):
        assert av.logging.get_level() is None


def test_silent_source_gives_a_silent_result_without_fuss(clip, tmp_path):
    stats = dehaze_video(clip, tmp_path / "clear.mp4", darker)
    assert not stats.audio and stats.notes == ["sound: none in the source"]
