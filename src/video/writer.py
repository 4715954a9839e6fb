"""Writes the frames of a dehazed video, with everything else that its source holds."""
from __future__ import annotations

import contextlib
from fractions import Fraction
from pathlib import Path
from typing import Callable, Dict, Iterator

import av
import numpy as np

from .clip import Clip
from .colours import colours_of_result
from .frames import Encodable
from .media import open_media
from .metadata import copy_chapters, copy_tags, left_out, missing, muxer_options, suffix_of
from .rules import ENCODER_OPTIONS
from .timing import numbers, one_rate
from .tracks import Tracks


@contextlib.contextmanager
def write_frames(path: Path, clip: Clip, codec: str) -> Iterator[Callable[[np.ndarray], None]]:
    """Give a function that appends one uint8 RGB[clip.height, clip.width, 3] to the new file `path`.

    The frames get the times of `clip`, in order. The file gets the sound, subtitles, chapters and tags of `clip`.
    Before the first frame, `clip.notes` says what cannot be kept; more lines may follow at the end.

    Raises: OSError if the encoder cannot start or the disk is full.
    """
    with open_media(clip.path) as source:
        suffix = path.suffix.lower()
        options = muxer_options(source) if suffix in (".mp4", ".m4v", ".mov") else {}
        with open_media(path, "w", options=options, format="mp4" if suffix == ".m4v" else None) as result:
            pictures = _Pictures(result, clip, codec)
            copy_tags(source, result)
            copy_tags(source.streams[clip.stream], pictures.stream)
            clip.notes += copy_chapters(source, result)
            tracks = Tracks(source, result, clip)
            clip.notes += tracks.notes + left_out(source, {clip.stream, *tracks.streams})
            clip.has_sound, told = tracks.has_sound, len(tracks.notes)

            def write(frame: np.ndarray) -> None:
                tracks.copy(until=pictures.write(frame))

            yield write
            pictures.finish()
            tracks.copy()
            clip.notes += tracks.notes[told:]
            copies = {clip.stream: pictures.stream, **tracks.streams}
            pairs = {index: new and new.index for index, new in copies.items()}
        with open_media(path) as written:
            clip.notes += missing(source, written, pairs)


class _Pictures:
    """The picture stream of the result."""

    def __init__(self, result: av.container.OutputContainer, clip: Clip, codec: str) -> None:
        kind, timing = result.format.name, clip.timing
        alpha = clip.alpha is not None and kind == "webm"
        if clip.alpha is not None and not alpha:
            clip.notes.append(f"transparency: left out, {suffix_of(result)} does not hold it; a result named "
                              ".webm keeps it")
        rate, tick = timing.rate, timing.tick
        if kind == "avi" and timing.varies:
            rate, shift = one_rate(timing)
            tick = 1 / rate
            clip.notes.append(f"times: AVI holds one rate only; frames are repeated to give {float(rate):.5g} a "
                              f"second, and move by up to {float(shift):.3f} s; .mp4, .mkv and .webm keep the times")
        options = dict(ENCODER_OPTIONS.get(codec, {}))
        if kind == "avi" or timing.varies:
            options["bf"] = "0"  # B-frames: AVI cannot store them, and MP4 states too short a film where times vary
        try:
            self.stream = result.add_stream(codec, rate=rate, options=options)
        except ValueError:
            raise OSError(f"this PyAV cannot encode {codec}") from None
        self._result, self._clip, self._alpha = result, clip, alpha
        colours = colours_of_result(clip.colours, clip.height)
        self._encodable = Encodable(colours, clip.width, clip.height, alpha)
        self.stream.width, self.stream.height, self.stream.pix_fmt = clip.width, clip.height, self._encodable.pixels
        context = self.stream.codec_context
        context.time_base, context.thread_type = tick, "AUTO"
        context.colorspace, context.color_range = colours.matrix, 2 if colours.full else 1
        context.color_primaries, context.color_trc = colours.primaries, colours.curve
        if clip.aspect:
            context.sample_aspect_ratio = clip.aspect
        self._places = numbers(timing.times, tick)
        ends = self._places[1:] + [max(round(timing.end / tick), self._places[-1] + 1)]
        self._lengths: Dict[int, int] = {place: end - place for place, end in zip(self._places, ends)}
        self._repeats = kind == "avi" and timing.varies  # FFmpeg reads H.264 in AVI wrongly where frames are missing
        self._count = 0

    def write(self, frame: np.ndarray) -> Fraction:
        """Append a frame. Returns: its time in seconds."""
        if self._clip.alpha is not None:
            alpha = self._clip.alpha.popleft()
            frame = np.dstack([frame, alpha]) if self._alpha else frame
        picture, start = self._encodable(np.ascontiguousarray(frame)), self._places[self._count]
        picture.time_base = self.stream.codec_context.time_base
        for place in range(start, start + (self._lengths[start] if self._repeats else 1)):
            picture.pts = place
            self._mux(picture)
        self._count += 1
        return self._clip.times[self._count - 1]

    def finish(self) -> None:
        self._mux(None)

    def _mux(self, picture) -> None:
        for packet in self.stream.encode(picture):
            packet.duration = 1 if self._repeats else self._lengths.get(packet.pts, 0)
            self._result.mux(packet)
