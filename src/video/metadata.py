"""What a video file says beside pictures and sound: title, date, place, languages, chapters."""
from __future__ import annotations

import re
from pathlib import Path
from typing import Dict, Iterable, List, Optional

import av

# what a file says about itself as a file; the result says its own
OF_THE_FILE = ("major_brand", "minor_version", "compatible_brands", "encoder", "software", "duration", "handler_name",
               "vendor_id", "alpha_mode", "rotate", "bps", "number_of_frames", "number_of_bytes", "variant_bitrate")
# what MP4 has fields for; other tags need the fields of QuickTime, which fewer programs show
FIELDS_OF_MP4 = ("title", "artist", "album_artist", "composer", "album", "date", "comment", "genre", "copyright",
                 "description", "synopsis", "location", "creation_time", "grouping", "lyrics", "keywords")
# ISO 639-2 has two codes for some languages; MOV has numbers for one of them
LANGUAGES_OF_MOV = {"deu": "ger", "ell": "gre", "fre": "fra", "isl": "ice", "nld": "dut", "zho": "chi"}
# kind of a file -> what stands in it, near its beginning or its end, if it has chapters
MARKS_OF_CHAPTERS = {"matroska": rb"\x10\x43\xa7\x70", "mov": rb"chpl|tref.{4}chap"}
LONG = 2 ** 20  # bytes
TYPES = {"video": "pictures", "audio": "sound", "subtitle": "subtitles", "data": "data", "attachment": "attachment"}


def named(stream: av.stream.Stream) -> str:
    """For a note: kind, number and language of a stream."""
    language = stream.metadata.get("language", "und")
    return f"{TYPES.get(stream.type, stream.type)}: stream {stream.index}" + f" ({language})" * (language != "und")


def suffix_of(container: av.container.Container) -> str:
    """For a note: the kind of a file, such as ".webm"."""
    return Path(container.name).suffix.lower()


def tags_of(holder) -> Dict[str, str]:
    """The tags of a container or stream that its copy keeps."""
    tags = {key: value for key, value in holder.metadata.items() if not _is_of_the_file(key)}
    if isinstance(holder, av.stream.Stream):
        tags.pop("creation_time", None)  # the file states it
    if "name" in tags:  # so MP4 calls the title of a stream
        tags.setdefault("title", tags.pop("name"))
    return {key: value for key, value in tags.items() if key.rpartition("-")[0] not in tags}  # location, location-eng


def muxer_options(source: av.container.InputContainer) -> Dict[str, str]:
    """Options of the MP4 and MOV writer for the tags of `source`; other writers need none."""
    others = [key for key in tags_of(source) if key.lower() not in FIELDS_OF_MP4]
    return {"movflags": "+use_metadata_tags"} if others else {}


def copy_tags(source, result) -> None:
    """Give a container or stream the tags of another. A stream gets the disposition too, such as "default"."""
    result.metadata.update(tags_of(source))
    if isinstance(source, av.stream.Stream):
        if result.container.format.name == "mov" and "language" in result.metadata:
            language = result.metadata["language"]
            result.metadata["language"] = LANGUAGES_OF_MOV.get(language, language)
        result.disposition = source.disposition.value  # PyAV 15 takes a number only


def copy_chapters(source: av.container.InputContainer, result: av.container.OutputContainer) -> List[str]:
    """Returns: notes. PyAV 15 cannot read chapters."""
    if hasattr(source, "chapters"):
        result.set_chapters(source.chapters())
        return []
    with open(source.name, "rb") as file:
        ends = file.read(LONG)
        file.seek(max(len(ends), file.seek(0, 2) - LONG))
        ends += file.read()
    marks = [mark for kind, mark in MARKS_OF_CHAPTERS.items() if kind in source.format.name]
    found = any(re.search(mark, ends, re.DOTALL) for mark in marks)
    return ["chapters: left out, PyAV 16 or later keeps them"] * found


def missing(source: av.container.InputContainer, result: av.container.InputContainer, pairs: Dict[int, Optional[int]]
            ) -> List[str]:
    """What the written file does not hold, found by reading it.

    Args:
        pairs: index of a stream -> its index in the result; None: left out.
    """
    lost = _lost(source, result)
    for index, new in pairs.items():
        if new is not None and new >= len(result.streams):
            lost.append(f"stream {index}, which is empty")
        elif new is not None:
            lost += [f"{key} of stream {index}" for key in _lost(source.streams[index], result.streams[new])]
    if hasattr(source, "chapters") and len(source.chapters()) > len(result.chapters()):
        lost.append(f"{len(source.chapters())} chapters")
    return [f"left out: {', '.join(lost)}; {suffix_of(result)} cannot hold them"] * bool(lost)


def left_out(source: av.container.InputContainer, copied: Iterable[int]) -> List[str]:
    """Lines on the streams that are not copied. The text track of a MOV file's chapters is copied as chapters."""
    others = [stream for stream in source.streams if stream.index not in copied]
    data = [str(stream.index) for stream in others if stream.type == "data"]
    if "mov" in source.format.name and hasattr(source, "chapters") and source.chapters():
        data = data[1:]
    lines = [f"{named(stream)}: left out" + _what(stream) for stream in others if stream.type != "data"]
    return lines + [f"data: stream {', '.join(data)}: left out"] * bool(data)


def _what(stream: av.stream.Stream) -> str:
    if stream.disposition & av.stream.Disposition.attached_pic:
        return ", a cover"
    if stream.type == "video" and stream.codec_context is not None:
        return f", {stream.codec_context.width}x{stream.codec_context.height}; only the main film is dehazed"
    return ""


def _lost(source, result) -> List[str]:
    kept = {key.lower() for key in tags_of(result)}
    stated = [key for key, value in tags_of(source).items() if (key, value) != ("language", "und")]
    return [key for key in stated if key.lower() not in kept]


def _is_of_the_file(key: str) -> bool:
    key = key.lower()
    return key.startswith("_statistics") or key.partition("-")[0] in OF_THE_FILE
