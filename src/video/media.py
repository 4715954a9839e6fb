"""Opens video files and decodes their pictures. PyAV's wheel holds FFmpeg, which does both."""
from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, Iterator, Optional, Set

import av

from ..errors import one_line

TRANSPORT_STREAMS = (".m2t", ".m2ts", ".mts", ".ts")


@dataclass
class Seen:
    """What one pass over the packets of a file saw."""

    pictures: int = 0  # packets of the picture stream
    lengths: Dict[Optional[int], int] = field(default_factory=dict)  # time of a picture -> how long it is shown
    damaged: int = 0  # pictures that cannot be decoded
    incomplete: int = 0  # packets that are cut off
    end: float = 0.0  # seconds; of the last packet of any stream
    filled: Set[int] = field(default_factory=set)  # indices of the streams that have packets
    stop: str = ""  # the error that ended the pass early

    def add(self, packet: av.Packet, is_picture: bool) -> None:
        if is_picture and packet.size:
            self.pictures += 1
            self.lengths[packet.pts] = packet.duration or 0
        self.incomplete += packet.is_corrupt
        if packet.size:
            self.filled.add(packet.stream.index)
        last = packet.pts if packet.pts is not None else packet.dts
        if last is not None:
            self.end = max(self.end, float((last + (packet.duration or 0)) * packet.time_base))


def open_media(path: Path, mode: str = "r", **options):
    """The file, opened by PyAV. Raises: av.error.FFmpegError."""
    av.logging.set_level(None)  # any level lets FFmpeg's threads wait for Python, which may be waiting for them
    try:
        return av.open(str(path.resolve()), mode, metadata_errors="ignore", **options)
    except av.error.FFmpegError:
        if mode != "r" or path.suffix.lower() not in TRANSPORT_STREAMS:
            raise
        return av.open(str(path.resolve()), mode, format="mpegts", metadata_errors="ignore")  # too short to be guessed


def decode(container: av.container.InputContainer, video: av.VideoStream, seen: Optional[Seen] = None
           ) -> Iterator[av.VideoFrame]:
    """The frames that can be decoded. The frames of a damaged packet are left out.

    With `seen`, the packets of all streams are read, and counted there.
    """
    packets = container.demux(video) if seen is None else container.demux()
    seen, decoder = seen or Seen(), _decoder(video)
    while True:
        try:
            packet = next(packets, None)
        except av.error.FFmpegError as error:  # the rest of the file cannot be found
            seen.stop, packet = error.strerror or one_line(error), None
        if packet is None:
            return
        is_picture = packet.stream == video
        seen.add(packet, is_picture)
        if is_picture:
            try:
                yield from decoder.decode(packet if packet.size else None)
            except av.error.EOFError:
                pass
            except av.error.FFmpegError:
                seen.damaged += 1


def _decoder(video: av.VideoStream) -> av.VideoCodecContext:
    """The decoder of the stream. FFmpeg's own for VP8 and VP9 drops the transparency, that of libvpx does not."""
    name = {"vp8": "libvpx", "vp9": "libvpx-vp9"}.get(video.codec_context.name)
    if name and video.metadata.get("alpha_mode") == "1":
        with contextlib.suppress(ValueError):
            return av.CodecContext.create(name, "r")
    video.thread_type = "AUTO"
    return video.codec_context
