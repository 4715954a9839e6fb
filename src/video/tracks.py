"""Copies sound and subtitles of one video file into another."""
from __future__ import annotations

import contextlib
import io
from collections import Counter
from fractions import Fraction
from typing import Dict, List, Optional, Tuple

import av

from ..errors import one_line
from .clip import Clip
from .media import open_media
from .metadata import copy_tags, named, suffix_of

# container -> encoder for sound that the container cannot hold as it is
ENCODERS = {"webm": "libopus", "avi": "libmp3lame"}
USUAL_ENCODER = "aac"
LAYOUTS = {1: "mono", 6: "5.1", 7: "6.1", 8: "7.1"}  # number of channels -> their names; others become stereo
STEREO_ONLY = ("libmp3lame",)
JUMP_BACK = 0.5  # seconds; where the times of a track go back by more, they begin anew
SAMPLE_RATE = 48000  # a rate that all of these encoders take


class Tracks:
    """Copies every sound and subtitle track of `source` into `result`, each with its language and title.

    Sound that the container cannot hold is encoded anew. What cannot be read, held or encoded is left out. `notes` says
    what changes.

    Args:
        source: an open file that only this object reads.
        result: open for writing, without frames yet.
        clip: what is known about `source`.
    """

    def __init__(self, source: av.container.InputContainer, result: av.container.OutputContainer, clip: Clip):
        self.notes: List[str] = [] if source.streams.audio else ["sound: none in the source"]
        self._result, self._origin = result, clip.origin
        trials = _first_packets(clip, [track.index for track in source.streams.audio])
        self._tracks: Dict[int, Optional[av.stream.Stream]] = {}
        for track in (*source.streams.audio, *source.streams.subtitles):
            if track.index in clip.filled:
                self._tracks[track.index] = self._add(track, trials.get(track.index))
            else:
                self._tracks[track.index] = None
                self.notes.append(f"{named(track)}: left out, it is empty")
        copied = [source.streams[index] for index, track in self._tracks.items() if track]
        self.has_sound = any(track.type == "audio" for track in copied)
        self._packets = source.demux(*copied) if copied else iter(())
        self._next: Optional[av.Packet] = None  # a packet that is read but not yet due
        self._damaged: Counter = Counter()  # packets that cannot be decoded, by the index of their track
        self._shifts: Dict[int, int] = {}  # index of a track in the source -> what its times change by
        self._ends: Dict[int, Tuple[int, int]] = {}  # time and end of the latest packet in the result

    @property
    def streams(self) -> Dict[int, Optional[av.stream.Stream]]:
        """Index of a track in the source -> the track of the result, None if it is left out."""
        return self._tracks

    def copy(self, until: Optional[Fraction] = None) -> None:
        """Write the packets up to a time in seconds, or all the rest (None). Raises: OSError if the disk is full."""
        while True:
            packet = self._next or self._read()
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
                self.notes.append(f"{named(packet.stream)}: ends early ({_reason(error)})")

    def _read(self) -> Optional[av.Packet]:
        try:
            packet = next(self._packets, None)
        except av.error.FFmpegError as error:  # the rest of the file cannot be found
            self.notes.append(f"sound: ends early ({_reason(error)})")
            return None
        if packet is not None and packet.dts is not None:
            self._place(packet)
        return packet

    def _place(self, packet: av.Packet) -> None:
        """Give the packet its time in the result. Where the times of a track begin anew, it goes on without a gap."""
        index, unit = packet.stream.index, packet.time_base
        before, end = self._ends.get(index, (None, None))
        shift = self._shifts.get(index, -round(self._origin / unit))
        if before is not None and (packet.dts + shift - before) * unit < -JUMP_BACK:
            shift = end - packet.dts
        self._shifts[index] = shift
        delay = 0 if packet.pts is None else packet.pts - packet.dts
        packet.dts = packet.dts + shift if before is None else max(packet.dts + shift, before + 1)
        packet.pts = packet.dts + delay
        self._ends[index] = packet.dts, packet.dts + max(packet.duration or 0, 1)

    def _add(self, track: av.stream.Stream, packet: Optional[av.Packet]) -> Optional[av.stream.Stream]:
        """The new track of the result for `track`, whose first packet is given for sound. None if none can be made."""
        new = self._result.add_stream_from_template(track) if _can_hold(self._result, track, packet) else None
        if new is None and track.type == "audio":
            new = self._add_encoder(track)
        elif new is None:
            self.notes.append(f"{named(track)}: left out, {suffix_of(self._result)} cannot hold it")
        if new is not None:
            copy_tags(track, new)
        return new

    def _add_encoder(self, track: av.AudioStream) -> Optional[av.AudioStream]:
        encoder = ENCODERS.get(self._result.format.name, USUAL_ENCODER)
        try:
            channels = track.codec_context.channels
            layout = "stereo" if encoder in STEREO_ONLY and channels > 1 else LAYOUTS.get(channels, "stereo")
            new = self._result.add_stream(encoder, SAMPLE_RATE, layout=layout)
        except (ValueError, AttributeError) as error:  # no encoder; no decoder, and then no codec_context
            self.notes.append(f"{named(track)}: left out ({_reason(error)})")
            return None
        old, now = (one.codec_context.codec.canonical_name for one in (track, new))
        fewer = f"; {channels} channels become {kept}" if (kept := new.codec_context.channels) < channels else ""
        self.notes.append(f"{named(track)}: {old} becomes {now}, because {suffix_of(self._result)} cannot hold it"
                          + fewer)
        return new

    def _write(self, packet: av.Packet, track: av.stream.Stream) -> None:
        is_end = packet.dts is None  # an empty packet, which ends the track
        if track.type != "audio" or not track.codec_context.is_encoder:
            if not is_end and not packet.is_discard:  # an edit list hides what is to be discarded
                packet.stream = track
                self._result.mux(packet)
            return
        try:
            encoded = [new for frame in packet.decode() for new in track.encode(frame)]
        except av.error.FFmpegError:
            encoded, self._damaged[packet.stream.index] = [], self._damaged[packet.stream.index] + 1
        self._result.mux(encoded + track.encode() if is_end else encoded)
        if is_end and self._damaged[packet.stream.index]:
            self.notes.append(f"{named(packet.stream)}: {self._damaged[packet.stream.index]} packets cannot be decoded")


def _reason(error: Exception) -> str:
    """FFmpeg's few words for an error, without the name of the file."""
    return getattr(error, "strerror", None) or one_line(error)


def _first_packets(clip: Clip, indices: List[int]) -> Dict[int, av.Packet]:
    """Index of a stream -> its first packet, for those of `indices` that have any."""
    first: Dict[int, av.Packet] = {}
    wanted = clip.filled.intersection(indices)
    with open_media(clip.path) as source, contextlib.suppress(av.error.FFmpegError):
        for packet in source.demux(*wanted) if wanted else ():
            if packet.size:
                first.setdefault(packet.stream.index, packet)
            if len(first) == len(wanted):
                break
    return first


def _can_hold(result: av.container.OutputContainer, track: av.stream.Stream, packet: Optional[av.Packet]) -> bool:
    """Whether the container takes the track as it is. With a packet, also whether the file can be read then."""
    if track.codec_context is None:
        return False  # no decoder; PyAV 15 would crash below
    memory = io.BytesIO()
    try:
        with av.open(memory, "w", format=result.format.name) as trial:
            new = trial.add_stream_from_template(track)
            trial.start_encoding()
            if packet:
                packet.stream = new
                trial.mux(packet)
        if packet:
            memory.seek(0)
            av.open(memory).close()
    except (ValueError, OSError, av.error.FFmpegError):
        return False
    return True
