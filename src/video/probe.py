"""Finds out what a video file holds, and whether it is whole."""
from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import List, Optional, Tuple

import av

from ..errors import InputError, one_line
from ..files import mistaken_download
from .clip import Clip
from .colours import CURVES, OTHER_MATRICES, Colours, colours_of
from .frames import Turn, Upright, is_transparent, turn_of
from .media import Seen, decode, open_media
from .timing import timing_of, usual_step

READABLE_SHARE = 0.9  # of the length that the file states, and of its pictures; less is refused
FROM_ZERO = ("avi", "matroska", "mov")  # formats whose times count from the start of the film; others start anywhere
STATES_END = ("flv", "matroska")  # formats whose length counts from time 0, also where the first frame comes later
OWN_LENGTH = ("avi", "mov")  # formats that state a length for each stream

# FFmpeg's name of what a picture may carry -> its name in a note
IN_PICTURES = {"A53_CC": "closed captions", "SPHERICAL": "the sphere of a 360 degree film", "STEREO3D": "two views"}


@dataclass
class _Look(Seen):
    """What decoding the whole file saw."""

    first: Optional[av.VideoFrame] = None
    ticks: List[Optional[int]] = field(default_factory=list)  # times of the frames; None: not stated
    sizes: List[Tuple[int, int]] = field(default_factory=list)  # each (width, height) that differs from the one before
    interlaced: int = 0  # frames
    transparent: bool = False  # a frame has pixels that are not opaque

    def add_frame(self, frame: av.VideoFrame) -> None:
        self.first = self.first or frame
        self.ticks.append(frame.pts)
        self.interlaced += frame.interlaced_frame
        self.damaged += frame.is_corrupt
        self.transparent = self.transparent or is_transparent(frame)
        size = frame.width, frame.height
        if not self.sizes or self.sizes[-1] != size:
            self.sizes.append(size)


def probe(path: Path) -> Clip:
    """Decode the whole file once. Decoding is fast compared with dehazing, and finds damage before hours of work.

    Raises: InputError if the file is missing, not a video, without frames or truncated.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    with open(path, "rb") as file:
        mistake = mistaken_download(file.read(1000))
    if mistake:
        raise InputError(f"{path}: cannot be read as a video ({mistake})")
    look = _Look()
    try:
        with open_media(path) as container:
            video = _film(path, container)
            for frame in decode(container, video, look):
                look.add_frame(frame)
            if look.first is None:
                damage = f", {look.damaged} of {look.pictures} pictures cannot be decoded" if look.damaged else ""
                raise InputError(f"{path}: no frames{damage}")
            _refuse_truncated(path, look, container, video)
            return _clip(path, look, container, video)
    except av.error.FFmpegError as error:
        raise InputError(f"{path}: cannot be read as a video ({error.strerror or one_line(error)}); it may be cut "
                         "short, or of another kind") from None


def _film(path: Path, container: av.container.InputContainer) -> av.VideoStream:
    """The picture stream that players show. Raises: InputError if there is none."""
    covers = [stream for stream in container.streams.video
              if stream.disposition & av.stream.Disposition.attached_pic]
    films = [stream for stream in container.streams.video if stream not in covers and stream.codec_context is not None]
    if not films:
        found = "only a cover" if covers else "no pictures that this PyAV can decode"
        raise InputError(f"{path}: is no video, it holds {found}")
    best = container.streams.best("video")
    return best if best in films else films[0]


def _refuse_truncated(path: Path, look: _Look, container: av.container.InputContainer, video: av.VideoStream) -> None:
    """Compare the end of what can be read with the end that the file states. Raises: InputError."""
    kind = container.format.name.split(",")[0]
    start = 0 if kind in STATES_END else (container.start_time or 0) / av.time_base
    stated, end = start + (container.duration or 0) / av.time_base, look.end
    if kind in OWN_LENGTH and video.duration:
        start = float((video.start_time or 0) * video.time_base)
        units = video.frames if kind == "avi" else video.duration  # FFmpeg shortens the duration of a truncated AVI
        stated = start + float(units * video.time_base)
        known = [number for number in look.ticks if number is not None]
        if known:
            last = max(known)
            end = float((last + look.lengths.get(last, 0)) * video.time_base)
    remedy = f"to dehaze what is there: ffmpeg -i {path.name} -c copy mended{path.suffix}"
    frame = float(usual_step(look.ticks, video.time_base, video.average_rate))  # the last one may state no length
    if end + frame - start < READABLE_SHARE * (stated - start):
        raise InputError(f"{path}: truncated or damaged, {end - start:.2f} of {stated - start:.2f} seconds can be "
                         f"read; {remedy}")
    if look.damaged > (1 - READABLE_SHARE) * look.pictures:
        raise InputError(f"{path}: damaged, {look.damaged} of {look.pictures} pictures cannot be decoded; copy it anew "
                         "from its source")


def _clip(path: Path, look: _Look, container: av.container.InputContainer, video: av.VideoStream) -> Clip:
    frame, turn = look.first, turn_of(look.first)
    colours = colours_of(frame, video.codec_context)
    if colours.matrix in OTHER_MATRICES:
        raise InputError(f"{path}: colours of the matrix {OTHER_MATRICES[colours.matrix]} cannot be read; convert it "
                         "to BT.709 first")
    width, height = (frame.height, frame.width) if turn.diagonal else (frame.width, frame.height)
    if min(height, width) < 2:
        raise InputError(f"{path}: frames of {width}x{height} are too small")
    cut = width // 2 * 2, height // 2 * 2
    is_from_zero = container.format.name.split(",")[0] in FROM_ZERO
    origin = Fraction(0) if is_from_zero else Fraction(container.start_time or 0, av.time_base)
    last = look.lengths.get(look.ticks[-1], 0)
    timing = timing_of(look.ticks, video.time_base, video.average_rate, last)
    timing.shift(-origin)
    clip = Clip(path, video.index, look.filled, origin, *cut, timing, colours,
                Upright(colours, turn, (frame.width, frame.height), cut, look.interlaced > 0, look.transparent))
    aspect = video.sample_aspect_ratio
    if aspect and aspect != 1:
        clip.aspect = 1 / aspect if turn.diagonal else aspect
    clip.alpha = deque() if look.transparent else None
    clip.notes += _differences(look, turn, colours, (width, height), cut) + timing.notes
    return clip


def _differences(look: _Look, turn: Turn, colours: Colours, size: Tuple[int, int], cut: Tuple[int, int]) -> List[str]:
    """What the result cannot keep, one line each."""
    notes = []
    if size != cut:
        notes.append("size: {}x{} becomes {}x{}, video codecs need even sides".format(*size, *cut))
    if len(look.sizes) > 1:
        others = ", ".join("{}x{}".format(*size) for size in dict.fromkeys(look.sizes[1:]))
        notes.append("size: changes within the film ({}); all frames become {}x{}".format(others, *look.sizes[0]))
    if turn.rest > 1:
        notes.append(f"turn: {turn.rest:.0f} degrees are left out, only quarter turns are made")
    if colours.is_hdr:
        notes.append(f"colours: HDR ({CURVES[colours.curve]}) becomes SDR of BT.709, 8 bits; light over 1000 "
                     "cd/m2 is white")
    elif (bits := max(component.bits for component in look.first.format.components)) > 8:
        notes.append(f"colours: {bits} bits become 8")
    if _is_finer(look.first.format):
        notes.append("colours: one for each pixel or two becomes one for each four (4:2:0)")
    beside = [text for name, text in IN_PICTURES.items() if look.first.side_data.get(name) is not None]
    if beside:
        notes.append(f"left out: {', '.join(beside)}, which the pictures carry")
    if look.interlaced:
        notes.append(f"interlaced: the fields of {look.interlaced} frames become whole frames (bwdif)")
    if look.damaged:
        notes.append(f"damage: {look.damaged} of {look.pictures} pictures cannot be decoded, or have holes")
    if look.incomplete:
        notes.append(f"damage: {look.incomplete} packets are incomplete, the file may be cut short")
    if look.stop:
        notes.append(f"damage: the file ends early ({look.stop})")
    return notes


def _is_finer(pixels: av.VideoFormat) -> bool:
    """Whether the layout stores colour for more than each fourth pixel."""
    if pixels.is_rgb:
        return True
    return len(pixels.components) >= 3 and pixels.chroma_width(64) * pixels.chroma_height(64) > 32 * 32
