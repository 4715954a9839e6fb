"""A dehazed clip is the source's in frames, rate, size and sound, or there is no file at all."""
import os
import shutil
import subprocess
import wave

import cv2
import numpy as np
import pytest

import needs
from src.errors import InputError, UsageError
from src.video import clip as video_file
from src.video import rules
from src.video.dehaze import dehaze_video
from src.video.rules import is_video

HEIGHT, WIDTH, FRAMES = 48, 64, 12


def frame(number, height=HEIGHT, width=WIDTH):
    """uint8 RGB: a gradient, redder to the right and brighter with time."""
    red = np.linspace(40, 160, width)[None, :] + np.zeros((height, 1))
    return np.dstack([red + 5 * number, red * 0 + 60, 200 - red]).astype(np.uint8)


def make_clip(path, fps=25.0, codec="mp4v", frames=FRAMES):
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*codec), fps, (WIDTH, HEIGHT))
    assert writer.isOpened()
    for number in range(frames):
        writer.write(cv2.cvtColor(frame(number), cv2.COLOR_RGB2BGR))
    writer.release()
    return path


def make_raw_clip(path, width, height, frames=FRAMES, tags=""):
    """YUV4MPEG2, a text header and bare samples: holds the odd sides that no encoder here would write."""
    with open(path, "wb") as file:
        file.write(f"YUV4MPEG2 W{width} H{height} F25:1 Ip C444 {tags}\n".encode())
        for number in range(frames):
            file.write(b"FRAME\n" + np.full((3, height, width), 100 + number, np.uint8).tobytes())
    return path


def read_clip(path):
    """Frames as uint8 RGB, and the rate."""
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


@pytest.fixture
def no_ffmpeg(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))


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


@pytest.mark.parametrize("fps, kept", [(29.97, 29.97), (23.976, 23.976), (119.881, 119.88)])
def test_rates_that_are_no_whole_numbers_are_kept(tmp_path, fps, kept):
    source = make_clip(tmp_path / "clip.webm", fps, "VP90")  # Matroska holds any rate, MPEG-4 does not
    stats = dehaze_video(source, tmp_path / "clear.mp4", darker)
    assert read_clip(tmp_path / "clear.mp4")[1] == pytest.approx(kept, rel=1e-3)
    assert stats.fps == pytest.approx(kept, rel=1e-3)


def test_function_sees_rgb_frames_in_order_and_progress_counts_them(clip, tmp_path):
    seen, steps = [], []
    dehaze_video(clip, tmp_path / "clear.mp4", lambda image: seen.append(image) or image,
                 progress=lambda done, total: steps.append((done, total)))
    assert steps == [(number + 1, FRAMES) for number in range(FRAMES)]
    assert np.abs(seen[3].astype(int) - frame(3)).mean() < 4  # in BGR order it would be 80


def test_phone_clips_come_out_upright(clip, tmp_path):
    data = bytearray(clip.read_bytes())
    matrix = data.index(b"tkhd") + 44
    quarter_turn = b"".join(value.to_bytes(4, "big", signed=True) for value in (0, 1 << 16, 0, -1 << 16, 0, 0))
    data[matrix:matrix + 24] = quarter_turn  # "show me turned clockwise"
    clip.write_bytes(data)
    stats = dehaze_video(clip, tmp_path / "clear.mp4", darker)
    image = read_clip(tmp_path / "clear.mp4")[0][0].astype(int)
    assert image.shape == (WIDTH, HEIGHT, 3) and (stats.width, stats.height) == (HEIGHT, WIDTH)
    assert image[-4:, :, 0].mean() > image[:4, :, 0].mean() + 30  # the red right side is at the bottom now


def test_odd_sides_are_cut_and_the_user_is_told(tmp_path):
    stats = dehaze_video(make_raw_clip(tmp_path / "odd.y4m", 65, 49), tmp_path / "clear.mp4", darker)
    assert "size: 65x49 becomes 64x48, video codecs need even sides" in stats.notes
    assert read_clip(tmp_path / "clear.mp4")[0][0].shape == (48, 64, 3)


def test_pixels_that_are_not_square_are_mentioned(tmp_path):
    stats = dehaze_video(make_raw_clip(tmp_path / "wide.y4m", 64, 48, tags="A4:3"), tmp_path / "clear.mp4", darker)
    assert "shape: pixels are 4:3 in the source, square in the result" in stats.notes


def test_varying_rate_is_mentioned_with_the_drift_it_causes():
    clip = video_file.Clip(None, 5, WIDTH, HEIGHT, fps=10.0)
    video_file._settle_rate(clip, [0, 100, 200, 600, 700])
    assert clip.notes == ["rate: varies in the source, constant 10 frames a second in the result; "
                          "picture and sound part by up to 0.30 s"]


def test_missing_rate_is_taken_from_the_frames_times():
    clip = video_file.Clip(None, 5, WIDTH, HEIGHT, fps=float("nan"))
    video_file._settle_rate(clip, [0, 50, 100, 150, 200])
    assert clip.fps == 20.0 and "20 frames a second taken" in clip.notes[0]


def test_flicker_is_the_mean_difference_of_consecutive_frames(clip, tmp_path):
    offsets = iter([0, 20] * FRAMES)
    stats = dehaze_video(clip, tmp_path / "clear.mp4", lambda image: np.full_like(image, 100 + next(offsets)))
    frames = [image.astype(int) for image in read_clip(clip)[0]]
    expected = np.mean([np.abs(a - b).mean() for a, b in zip(frames[1:], frames)])
    assert stats.flicker_input == pytest.approx(expected, abs=1e-6)
    assert stats.flicker_output == stats.flicker_unblended == 20.0


def test_blend_lowers_the_flicker_of_the_written_frames(tmp_path):
    source = make_clip(tmp_path / "still.mp4", frames=1)
    still = read_clip(source)[0][0]
    writer = cv2.VideoWriter(str(source), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*"mp4v"), 25, (WIDTH, HEIGHT))
    for _ in range(FRAMES):
        writer.write(still)
    writer.release()
    wobble = iter([0, 12] * FRAMES)
    stats = dehaze_video(source, tmp_path / "clear.mp4", lambda image: image // 2 + next(wobble), blend=0.8)
    assert stats.flicker_unblended == pytest.approx(12, abs=0.5)
    assert stats.flicker_output < 3
    written = [image.astype(int) for image in read_clip(tmp_path / "clear.mp4")[0]]
    assert np.mean([np.abs(a - b).mean() for a, b in zip(written[1:], written)]) < 4
    assert f"{stats.flicker_unblended:.2f} before the blend" in stats.summary()


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


@pytest.mark.slow
def test_interruption_while_the_sound_is_added_leaves_no_file(clip, tmp_path, monkeypatch):
    def interrupted(command):
        if command[1] == "-i":
            return subprocess.CompletedProcess(command, 1, "", "Stream #0:1: Audio: aac")
        command[-1].write_bytes(b"half a file")
        raise KeyboardInterrupt

    monkeypatch.setattr(video_file.shutil, "which", lambda name: name)
    monkeypatch.setattr(video_file, "_run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        dehaze_video(clip, tmp_path / "clear.mp4", darker)
    assert os.listdir(tmp_path) == ["clip.mp4"]


@pytest.mark.slow
def test_sound_that_ffmpeg_cannot_write_costs_only_the_sound(clip, tmp_path, monkeypatch):
    monkeypatch.setattr(video_file.shutil, "which", lambda name: name)
    monkeypatch.setattr(video_file, "_run", lambda command: subprocess.CompletedProcess(
        command, 1, "", "Stream #0:1: Audio: odd" if command[1] == "-i" else "no such\n  encoder"))
    stats = dehaze_video(clip, tmp_path / "clear.mp4", darker)
    assert stats.notes == ["sound: not kept, ffmpeg said: no such encoder"]
    assert len(read_clip(tmp_path / "clear.mp4")[0]) == FRAMES


def test_full_disk_is_noticed(clip, tmp_path, monkeypatch):
    class Losing:
        """A writer that drops what it gets, as OpenCV does, silently, on a full disk."""

        def __init__(self, *args):
            self.writer, self.isOpened = real(*args), lambda: True
            self.write, self.release = (lambda image: None), self.writer.release

    real = cv2.VideoWriter
    monkeypatch.setattr(video_file.cv2, "VideoWriter", Losing)
    with pytest.raises(InputError, match="0 of 12 frames arrived, is the disk full"):
        dehaze_video(clip, tmp_path / "clear.mp4", darker)
    assert os.listdir(tmp_path) == ["clip.mp4"]


def test_truncated_clip_is_refused_before_any_work(tmp_path):
    source = make_clip(tmp_path / "clip.mkv")
    source.write_bytes(source.read_bytes()[:source.stat().st_size // 2])
    with pytest.raises(InputError, match=r"clip.mkv: truncated or damaged, only \d of 12 frames can be read"):
        dehaze_video(source, tmp_path / "clear.mp4", lambda image: pytest.fail("dehazed a frame"))


@pytest.mark.parametrize("content, message", [
    (None, "no such file"),
    (b"", "cannot be read as a video"),
    (b"not a video", "cannot be read as a video"),
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
    with pytest.raises(InputError, match="this OpenCV cannot encode zzzz in .mp4"):
        dehaze_video(clip, tmp_path / "clear.mp4", darker)
    assert os.listdir(tmp_path) == ["clip.mp4"]


def test_blend_out_of_range_names_the_flag(clip, tmp_path):
    with pytest.raises(UsageError, match="--blend 1.5: must be"):
        dehaze_video(clip, tmp_path / "clear.mp4", darker, blend=1.5)


@pytest.mark.parametrize("wrong", [lambda image: image[::2], lambda image: image / 255.0])
def test_function_that_changes_shape_or_type_is_refused(clip, tmp_path, wrong):
    with pytest.raises(ValueError, match="dehaze gave"):
        dehaze_video(clip, tmp_path / "clear.mp4", wrong)


def test_video_suffixes_are_known_whatever_their_case():
    assert is_video("a/IMG_1.MOV") and not is_video("photo.png")


def test_without_ffmpeg_the_lost_sound_is_mentioned(clip, tmp_path, no_ffmpeg):
    stats = dehaze_video(clip, tmp_path / "clear.mp4", darker)
    assert stats.notes == ["sound: not kept, there is no ffmpeg on PATH"] and not stats.audio
    assert len(read_clip(tmp_path / "clear.mp4")[0]) == FRAMES


@pytest.fixture
def ffmpeg():
    """The real program."""
    needs.need(("ffmpeg",))
    return shutil.which("ffmpeg")


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".mp4", ".webm"])  # AAC is copied into the first, encoded anew for the second
def test_sound_is_kept(clip, tmp_path, ffmpeg, suffix):
    with wave.open(str(tmp_path / "tone.wav"), "wb") as tone:
        tone.setnchannels(1)
        tone.setsampwidth(2)
        tone.setframerate(8000)
        samples = np.sin(np.arange(8000 * FRAMES // 25) * 0.3) * 9000
        tone.writeframes(samples.astype("<i2").tobytes())
    loud, target = tmp_path / "loud.mp4", tmp_path / f"clear{suffix}"
    subprocess.run([ffmpeg, "-v", "error", "-i", clip, "-i", tmp_path / "tone.wav", "-c:v", "copy", "-c:a", "aac",
                    loud], check=True)
    stats = dehaze_video(loud, target, darker)
    assert stats.audio and not stats.notes
    assert len(read_clip(target)[0]) == FRAMES
    decoded = subprocess.run([ffmpeg, "-v", "error", "-i", target, "-f", "s16le", "-ar", "8000", "-ac", "1", "-"],
                             check=True, stdout=subprocess.PIPE).stdout
    heard = np.frombuffer(decoded, "<i2").astype(float)
    assert heard.size >= 0.9 * samples.size and 3000 < heard[500:3000].std() < 9000
    assert sorted(os.listdir(tmp_path)) == sorted([target.name, "clip.mp4", "loud.mp4", "tone.wav"])


def test_silent_source_gives_a_silent_result_without_fuss(clip, tmp_path, ffmpeg):
    stats = dehaze_video(clip, tmp_path / "clear.mp4", darker)
    assert not stats.audio and stats.notes == ["sound: none in the source"]
