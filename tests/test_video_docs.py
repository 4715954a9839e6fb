"""The tables in docs/formats.md say what videos are read, what is written, and what the results keep."""
import re
from fractions import Fraction
from pathlib import Path

import av
import pytest
from clips import add_sound, picture, shown, write
from test_video_frames import transparent
from test_video_tracks import TAGS, opened, rich, same

from src.video.dehaze import dehaze_video
from src.video.rules import CODECS, READ_ONLY

PAGE = (Path(__file__).parents[1] / "docs/formats.md").read_text(encoding="utf-8").partition("## Video")[2]
ROWS = {cells[0].strip("` "): [cell.strip() for cell in cells[1:]]
        for cells in (line.strip("|").split("|") for line in PAGE.splitlines() if line.startswith("| `."))}
SOUND = {"AAC": "aac", "Opus": "opus", "MP3, stereo": "mp3"}


def test_the_page_names_all_kinds_that_are_read_and_written():
    read = re.search(r"\*\*Read:\*\*(.*?)PyAV", PAGE, re.DOTALL).group(1)
    assert re.findall(r"`(\.\w+)`", read) == [*CODECS, *READ_ONLY]
    assert set(ROWS) == set(CODECS)
    assert {row[0] for row in ROWS.values()} == {"H.264", "VP9"}


@pytest.mark.skipif(not hasattr(av.container.InputContainer, "chapters"), reason="this PyAV cannot read chapters")
@pytest.mark.parametrize("suffix", CODECS)
def test_the_result_keeps_what_the_page_says(tmp_path, suffix):
    pictures, sound, alpha, times, chapters, languages, tags = ROWS[suffix]
    target = tmp_path / f"clear{suffix}"
    told = " ".join(dehaze_video(rich(tmp_path), target, same).notes).lower()
    kept_tags, kept_languages, kept_chapters = opened(target)
    with av.open(str(target)) as result:
        assert result.streams.video[0].codec_context.codec.canonical_name == {"H.264": "h264", "VP9": "vp9"}[pictures]
    for word, kept in ((chapters, kept_chapters == ["one", "two"]), (languages, kept_languages[1] in ("deu", "ger")),
                       (tags, {key: kept_tags.get(key) for key in TAGS} == TAGS)):
        assert kept == (word == "kept")
    assert ("left out: " in told) == ("-" in (chapters, languages, tags))

    stats = dehaze_video(transparent(tmp_path, ".mov"), target, same)
    with av.open(str(target)) as result:
        assert (result.streams.video[0].metadata.get("alpha_mode") == "1") == (alpha == "kept")
    assert any(note.startswith("transparency: left out") for note in stats.notes) == (alpha == "-")

    source = write(tmp_path / "vary.mp4", [picture(number) for number in range(4)],
                   [Fraction(number, 25) for number in (0, 1, 5, 6)])
    stats = dehaze_video(source, target, same)
    assert (len(shown(target)) == 4) == (times == "kept")
    assert any(note.startswith("times: AVI") for note in stats.notes) == (times == "-")


FOREIGN = {".mkv": (".flv", "nellymoser", 22050), ".mov": (".wmv", "wmav2", 48000), ".avi": (".mkv", "opus", 48000)}


@pytest.mark.parametrize("suffix", CODECS)
def test_sound_that_a_result_cannot_hold_becomes_what_the_page_says(tmp_path, suffix):
    kind, codec, rate = FOREIGN.get(suffix, FOREIGN[".mov"])
    source = write(tmp_path / f"clip{kind}", [picture(number) for number in range(12)], tick=Fraction(1, 25),
                   codec="wmv2" if kind == ".wmv" else None,
                   prepare=lambda file: add_sound(file, 1, codec="libopus" if codec == "opus" else codec, rate=rate))
    stats = dehaze_video(source, tmp_path / f"clear{suffix}", same)
    with av.open(str(tmp_path / f"clear{suffix}")) as result:
        name = result.streams.audio[0].codec_context.codec.canonical_name
    assert name == SOUND[ROWS[suffix][1]]
    assert f"sound: stream 1: {codec} becomes {name}, because {suffix} cannot hold it" in stats.notes
