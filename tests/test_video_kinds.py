"""Every kind of video file that rules.py names is read, and a file that is none, or is damaged, costs one line."""
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from clips import add_sound, picture, shown, write

from mutated import damaged
from src.dehaze.plan import plan
from src.errors import InputError
from src.video.dehaze import dehaze_video
from src.video.rules import CODECS, READ_ONLY, is_video, is_video_result, result_name

# suffix -> FFmpeg's container and encoders of pictures and sound, as cameras and programs use them
KINDS = {".3g2": ("3g2", "libx264", "aac"), ".3gp": ("3gp", "libx264", "aac"), ".asf": ("asf", "wmv2", "wmav2"),
         ".divx": ("avi", "mpeg4", "libmp3lame"), ".dv": ("dv", "dvvideo", None), ".f4v": ("f4v", "libx264", "aac"),
         ".flv": ("flv", "libx264", "aac"), ".m2t": ("mpegts", "mpeg2video", "mp2"),
         ".m2ts": ("mpegts", "libx264", "ac3"), ".m2v": ("mpeg2video", "mpeg2video", None),
         ".mpeg": ("mpeg", "mpeg1video", "mp2"), ".mpg": ("mpeg", "mpeg1video", "mp2"),
         ".mts": ("mpegts", "libx264", "ac3"), ".mxf": ("mxf", "mpeg2video", None),
         ".ogv": ("ogg", "libtheora", "flac"), ".qt": ("mov", "libx264", "aac"),
         ".ts": ("mpegts", "libx264", "aac"), ".vob": ("vob", "mpeg2video", "ac3"), ".wmv": ("asf", "wmv2", "wmav2"),
         ".y4m": ("yuv4mpegpipe", "wrapped_avframe", None)}


def same(image):
    return image


def make(path):
    """12 frames of the kind that the suffix names, with sound where it has any."""
    kind, codec, sound = KINDS[path.suffix]
    if path.suffix == ".y4m":
        path.write_bytes(b"YUV4MPEG2 W64 H48 F25:1 Ip C444\n" + 12 * (b"FRAME\n" + bytes([128] * 3 * 64 * 48)))
        return path
    size = (720, 576) if path.suffix == ".dv" else (64, 48)
    codec = codec if codec in av.codecs_available else "libvpx"  # the wheel has no encoder of Theora
    return write(path, [picture(number, *size) for number in range(12)], codec=codec, tick=Fraction(1, 25),
                 container=kind, prepare=sound and (lambda file: add_sound(file, 0.4, codec=sound)))


@pytest.mark.parametrize("suffix", READ_ONLY)
def test_every_kind_of_video_is_read_and_becomes_an_mp4(tmp_path, suffix):
    source = make(tmp_path / f"clip{suffix}")
    target = result_name(source)
    assert target == tmp_path / "clip.mp4"
    stats = dehaze_video(source, target, same)
    assert stats.frames == 12 and stats.fps == 25 and stats.audio == (KINDS[suffix][2] is not None)
    assert np.diff(shown(target)) == pytest.approx([0.04] * 11, abs=1e-3)


def test_suffixes_are_known_whatever_their_case():
    for suffix in (*CODECS, *READ_ONLY):
        assert is_video(f"a/IMG_1{suffix.upper()}")
    assert not is_video("photo.png") and not is_video_result("clip.mts") and is_video_result("clip.MOV")
    assert result_name(Path("a/CLIP.MOV")) == Path("a/CLIP.MOV")


def test_typescript_is_no_video(tmp_path):
    code = tmp_path / "index.ts"
    code.write_text("export const a = 1;\n")
    assert not is_video(code) and is_video(make(tmp_path / "clip.ts"))


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi", ".webm", ".mts", ".mpg", ".wmv", ".flv"])
def test_damaged_files_give_a_result_or_one_line(tmp_path, suffix):
    if suffix in KINDS:
        whole = make(tmp_path / f"clip{suffix}").read_bytes()
    else:
        sound = {".webm": "libopus", ".avi": "libmp3lame"}.get(suffix, "aac")
        tick = Fraction(1, 25) if suffix == ".avi" else Fraction(1, 90000)
        whole = write(tmp_path / f"clip{suffix}", [picture(number) for number in range(12)], tick=tick,
                      prepare=lambda file: add_sound(file, 0.4, codec=sound)).read_bytes()
    rng, source, outcomes = np.random.default_rng(0), tmp_path / f"odd{suffix}", set()
    for number in range(16):
        source.write_bytes(damaged(whole, rng, header=len(whole) if number % 2 else 2000))
        target = tmp_path / ("clear.mp4", "clear.webm", "clear.mkv", "clear.avi")[number % 4]
        try:
            assert dehaze_video(source, target, same).frames > 0
            outcomes.add("result")
        except InputError as error:
            assert str(error).startswith(str(source)) and "\n" not in str(error)
            outcomes.add("line")
    assert outcomes
    assert not list(tmp_path.glob(".*"))  # no temporary file stays


def test_videos_of_one_name_get_results_of_their_own(tmp_path):
    folder = tmp_path / "camera"
    folder.mkdir()
    for name in ("clip.mts", "clip.MP4", "clip.3gp", "other.wmv"):
        (folder / name).write_bytes(b"\0")
    jobs = plan([str(folder)], str(tmp_path / "out")).jobs
    long = [folder / ("a" * 251 + suffix) for suffix in (".wmv", ".mpg")]
    for path in long:
        path.write_bytes(b"\0")
    assert {job.target.name for job in plan([str(path) for path in long], str(tmp_path / "out")).jobs} == {
        "a" * 247 + ".wmv.mp4", "a" * 247 + ".mpg.mp4"}
    assert {job.source.name: job.target.name for job in jobs} == {
        "clip.mts": "clip.mts.mp4", "clip.MP4": "clip.MP4", "clip.3gp": "clip.3gp.mp4", "other.wmv": "other.mp4"}
