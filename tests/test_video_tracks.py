"""A dehazed video keeps tags, chapters, languages, sound and subtitles where its container can, and names the rest."""
from fractions import Fraction
from types import SimpleNamespace

import av
import numpy as np
import pytest
from clips import add_sound, picture, write

from src.video.dehaze import dehaze_video
from src.video.metadata import copy_chapters

TAGS = {"title": "Holiday", "comment": "by the sea", "date": "2024", "location": "+52.5000+013.4000/",
        "creation_time": "2024-05-06T07:08:09.000000Z"}
CHAPTERS = [{"id": number, "start": 500 * number, "end": 500 * number + 500, "time_base": Fraction(1, 1000),
             "metadata": {"title": title}} for number, title in enumerate(("one", "two"))]
needs_chapters = pytest.mark.skipif(not hasattr(av.container.InputContainer, "chapters"),
                                    reason="this PyAV cannot read chapters")


def same(image):
    return image


def pictures(count=25):
    return [picture(number) for number in range(count)]


def rich(tmp_path, suffix=".mkv", **tags):
    """A film with tags, chapters and two sound tracks."""
    def prepare(file):
        file.metadata.update({**TAGS, **tags})
        if hasattr(file, "set_chapters"):
            file.set_chapters(CHAPTERS)
        file.streams.video[0].metadata["language"] = "eng"
        ends = [add_sound(file, 1, language="ger" if suffix == ".mov" else "deu", title="Kommentar"),
                add_sound(file, 1, language="jpn")]
        return lambda: [end() for end in ends]

    return write(tmp_path / f"clip{suffix}", pictures(), prepare=prepare)


def opened(path):
    """(tags, languages of all streams, titles of the chapters)."""
    with av.open(str(path)) as file:
        chapters = [chapter["metadata"]["title"] for chapter in file.chapters()] if hasattr(file, "chapters") else []
        films = [stream for stream in file.streams if stream.type != "data"]  # MP4 stores chapters as a text track
        return ({key.lower(): value for key, value in file.metadata.items()},
                [stream.metadata.get("language") for stream in films], chapters)


@needs_chapters
@pytest.mark.parametrize("source", [".mkv", ".mp4", ".mov"])
@pytest.mark.parametrize("target", [".mkv", ".mp4", ".mov", ".webm"])
def test_tags_chapters_and_languages_are_kept(tmp_path, source, target):
    stats = dehaze_video(rich(tmp_path, source), tmp_path / f"clear{target}", same)
    tags, languages, chapters = opened(tmp_path / f"clear{target}")
    assert {key: tags.get(key) for key in TAGS} == TAGS
    assert languages == ["eng", "ger" if ".mov" in (source, target) else "deu", "jpn"] and chapters == ["one", "two"]
    assert stats.audio and not [note for note in stats.notes if "left out" in note]


@needs_chapters
@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".mov"])
def test_chapters_that_an_old_pyav_cannot_read_are_named(tmp_path, suffix):
    for path, found in ((rich(tmp_path, suffix), 1), (write(tmp_path / f"plain{suffix}", pictures(3)), 0)):
        with av.open(str(path)) as file:
            old = SimpleNamespace(name=str(path), format=file.format)  # without the method `chapters`
        assert copy_chapters(old, None) == ["chapters: left out, PyAV 16 or later keeps them"] * found


@pytest.mark.parametrize("target", [".mp4", ".mov", ".mkv"])
def test_tags_of_cameras_are_kept(tmp_path, target):
    tags = {"make": "Canon", "com.apple.quicktime.model": "iPhone 15"}
    stats = dehaze_video(rich(tmp_path, **tags), tmp_path / f"clear{target}", same)
    kept = opened(tmp_path / f"clear{target}")[0]
    assert {key: kept.get(key) for key in {**TAGS, **tags}} == {**TAGS, **tags}
    assert not [note for note in stats.notes if "left out: " in note and "make" in note]


@needs_chapters
def test_what_a_container_cannot_hold_is_named(tmp_path):
    stats = dehaze_video(rich(tmp_path), tmp_path / "clear.avi", same)
    line = next(note for note in stats.notes if note.startswith("left out: "))
    assert all(word in line for word in ("LOCATION", "creation_time", "language of stream 1", "2 chapters", ".avi can"))
    assert opened(tmp_path / "clear.avi")[0]["title"] == "Holiday"


def test_the_film_is_dehazed_and_not_the_cover(tmp_path):
    """A cover as the first picture stream: one frame, larger than the film."""
    with av.open(str(tmp_path / "clip.mkv"), "w") as file:
        cover = file.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 96, 80, "yuvj420p"
        film = file.add_stream("libx264", rate=25)
        film.width, film.height, film.pix_fmt = 64, 48, "yuv420p"
        file.mux(cover.encode(av.VideoFrame.from_ndarray(picture(0, 96, 80), "rgb24")) + cover.encode())
        for number in range(10):
            file.mux(film.encode(av.VideoFrame.from_ndarray(picture(number), "rgb24")))
        file.mux(film.encode())
    stats = dehaze_video(tmp_path / "clip.mkv", tmp_path / "clear.mp4", same)
    assert (stats.frames, stats.width, stats.height) == (10, 64, 48)
    assert "pictures: stream 0: left out, 96x80; only the main film is dehazed" in stats.notes


def with_subtitles(tmp_path):
    text = tmp_path / "text.srt"
    text.write_text("1\n00:00:00,200 --> 00:00:00,600\nHello\n\n2\n00:00:00,700 --> 00:00:00,900\nagain\n")
    source = av.open(str(text))

    def prepare(file):
        track = file.add_stream_from_template(source.streams[0])
        track.metadata["language"] = "deu"

        def finish():
            for packet in source.demux():
                if packet.size:
                    packet.stream = track
                    file.mux(packet)
        return finish

    return write(tmp_path / "clip.mkv", pictures(), prepare=prepare)


def test_subtitles_are_kept_with_their_times_and_language(tmp_path):
    stats = dehaze_video(with_subtitles(tmp_path), tmp_path / "clear.mkv", same)
    with av.open(str(tmp_path / "clear.mkv")) as result:
        track = result.streams.subtitles[0]
        lines = [(packet.pts, packet.duration, bytes(packet)) for packet in result.demux(track) if packet.size]
        assert track.metadata["language"] == "deu"
    assert lines == [(200, 400, b"Hello"), (700, 200, b"again")]
    assert stats.notes == ["sound: none in the source"]


@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".avi"])
def test_subtitles_that_cannot_be_held_are_named_before_the_work(tmp_path, suffix):
    told = []
    dehaze_video(with_subtitles(tmp_path), tmp_path / f"clear{suffix}", lambda image: told and image, tell=told.append)
    assert f"subtitles: stream 1 (deu): left out, {suffix} cannot hold it" in told


@pytest.mark.parametrize("suffix, channels, note", [
    (".mkv", 6, None),
    (".mp4", 6, None),
    (".webm", 6, "sound: stream 1: aac becomes opus, because .webm cannot hold it"),
])
def test_six_channels_stay_six(tmp_path, suffix, channels, note):
    source = write(tmp_path / "clip.mkv", pictures(), prepare=lambda file: add_sound(file, 1, "5.1"))
    stats = dehaze_video(source, tmp_path / f"clear{suffix}", same)
    with av.open(str(tmp_path / f"clear{suffix}")) as result:
        sound = np.concatenate([frame.to_ndarray() for frame in result.decode(audio=0)], axis=1)
        assert result.streams.audio[0].codec_context.channels == channels
    assert (np.abs(sound).max(axis=1) > 0.1).sum() >= 5  # the sixth has deep tones only
    assert stats.notes == [note] * bool(note)


def test_channels_that_are_lost_are_told_before_the_work(tmp_path):
    told = []
    source = write(tmp_path / "clip.mkv", pictures(), prepare=lambda file: add_sound(file, 1, "5.1", codec="libopus"))
    dehaze_video(source, tmp_path / "clear.avi", lambda image: told and image, tell=told.append)
    assert told == ["sound: stream 1: opus becomes mp3, because .avi cannot hold it; 6 channels become 2"]


def test_sound_of_a_track_that_cannot_be_decoded_costs_only_that_track(tmp_path):
    source = rich(tmp_path, ".mp4")
    data = source.read_bytes()
    for name in (b"mp4a", b"esds"):  # the sample description of the first sound track
        data = data.replace(name, b"zzzz", 1)
    source.write_bytes(data)
    stats = dehaze_video(source, tmp_path / "clear.webm", same)
    assert stats.frames == 25 and stats.audio
    assert opened(tmp_path / "clear.webm")[1] == ["eng", "jpn"]
    assert [note for note in stats.notes if note.startswith("sound: stream 1 (deu): left out")]
