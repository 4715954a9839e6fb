"""Copies the sound of one video file into another."""
from __future__ import annotations

import contextlib
from fractions import Fraction
from typing import List, Optional

import av

from ..errors import one_line

# container -> encoder for sound that the container cannot hold as it is
ENCODERS = {"webm": "libopus", "avi": "libmp3lame"}
USUAL_ENCODER = "aac"
SAMPLE_RATE = 48000  # a rate that all of these encoders take


class Sound:
    """Copies every sound track of `source` into `result`. A track that the container cannot hold is encoded anew.

    A track that cannot be read or encoded is left out, and `notes` says why.

    Args:
        source: an open file that only this object reads.
        result: open for writing, without frames yet.
    """

    def __init__(self, source: av.container.InputContainer, result: av.container.OutputContainer):
        self.notes: List[str] = [] if source.streams.audio else ["sound: none in the source"]
        self._result = result
        self._tracks = {track.index: self._add(track) for track in source.streams.audio}
        self._packets = source.demux(*source.streams.audio) if self._tracks else iter(())
        self._next: Optional[av.Packet] = None  # a packet that is read but not yet due

    def copy(self, until: Optional[Fraction] = None) -> None:
        """Write the sound up to a time in seconds, or all the rest (None). Raises: OSError if the disk is full."""
        while True:
            packet = self._next or next(self._packets, None)
            self._next = None
            if packet is None:
                return
            if until is not None and packet.dts is not None and packet.dts * packet.time_base > until:
                self._next = packet
                return
            track = self._tracks[packet.stream.index]
            try:
                if track:
                    self._write(packet, track)
            except ValueError as error:  # FFmpeg does not accept these packets
                self._tracks[packet.stream.index] = None
                self.notes.append(f"sound: ends early ({one_line(error)})")

    def _add(self, track: av.AudioStream) -> Optional[av.AudioStream]:
        """The new track of the result for `track`. None if it cannot be created."""
        with contextlib.suppress(ValueError):
            return self._result.add_stream_from_template(track)
        try:
            layout = "mono" if track.codec_context.channels == 1 else "stereo"
            return self._result.add_stream(ENCODERS.get(self._result.format.name, USUAL_ENCODER), SAMPLE_RATE,
                                           layout=layout)
        except (ValueError, AttributeError) as error:  # no encoder; no decoder, and then no codec_context
            self.notes.append(f"sound: not kept ({one_line(error)})")
            return None

    def _write(self, packet: av.Packet, track: av.AudioStream) -> None:
        is_end = packet.dts is None  # an empty packet, which ends the track
        if not track.codec_context.is_encoder:
            if not is_end:
                packet.stream = track
                self._result.mux(packet)
            return
        encoded = []
        with contextlib.suppress(av.error.FFmpegError):  # the sound of a damaged packet is left out
            for frame in packet.decode():
                encoded += track.encode(frame)
        self._result.mux(encoded + track.encode() if is_end else encoded)
