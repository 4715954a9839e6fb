"""Video files: reading frames with their times, writing frames with the sound of another file.

PyAV does both. Its wheel holds FFmpeg with the encoders that src.video.rules.CODECS names.
"""
from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Callable, Iterator, List, Optional

import av
import numpy as np
from av.video.reformatter import Colorspace

from ..errors import InputError
from .rules import ENCODER_OPTIONS
from .sound import Sound

READABLE_SHARE = 0.9  # of the frames that the header promises; a file with fewer readable ones is refused as truncated
BT709, BT601 = 1, 6  # FFmpeg's numbers of colour matrices
LIMITED_RANGE = 1  # FFmpeg's number of brightness in 16..235
FINE_TICK = Fraction(1, 90000)  # seconds; the unit of frame times where the rate varies


@dataclass
class Clip:
    """A readable video. `width` and `height` are upright and even, as the codecs here need them."""

    path: Path
    width: int
    height: int
    times: List[Fraction]  # of every frame, in seconds, strictly rising
    rate: Fraction  # frames a second, the mean where the rate varies
    tick: Fraction  # unit of the times in seconds: 1 / rate where the rate is constant
    aspect: Optional[Fraction] = None  # width of a pixel / its height; None: square, or not stated
    notes: List[str] = field(default_factory=list)  # differences between the result and the file, one line each


def probe(path: Path) -> Clip:
    """Decode the whole file once. Decoding is fast compared with dehazing, and finds damage before hours of work.

    Raises: InputError if the file is missing, not a video, without frames or truncated.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        with _open(path) as container:
            video = container.streams.video[0]
            ticks, first = [], None
            for frame in _decode(container, video):
                first = first or (_upright(frame).shape[:2], frame.rotation)
                ticks.append(frame.pts)
            promised = video.frames or float(container.duration or 0) / av.time_base * float(video.average_rate or 0)
            stated_rate, tick, aspect = video.average_rate, video.time_base, video.sample_aspect_ratio
    except (av.error.FFmpegError, IndexError):
        raise InputError(f"{path}: cannot be read as a video") from None
    if first is None:
        raise InputError(f"{path}: no frames")
    if len(ticks) < READABLE_SHARE * promised:
        raise InputError(f"{path}: truncated or damaged, only {len(ticks)} of {promised:.0f} frames can be read")
    (height, width), turn = first
    if min(height, width) < 2:
        raise InputError(f"{path}: frames of {width}x{height} are too small")
    clip = Clip(path, width // 2 * 2, height // 2 * 2, *_timing(ticks, tick, stated_rate))
    if aspect and aspect != 1:
        clip.aspect = 1 / aspect if turn % 180 else aspect
    if (width, height) != (clip.width, clip.height):
        clip.notes.append(f"size: {width}x{height} becomes {clip.width}x{clip.height}, video codecs need even sides")
    return clip


def read_frames(clip: Clip) -> Iterator[np.ndarray]:
    """The frames as uint8 RGB[clip.height, clip.width, 3]: upright, an odd last row or column left out."""
    with _open(clip.path) as container:
        frames = _decode(container, container.streams.video[0])
        for _ in clip.times:
            frame = next(frames, None)
            if frame is None:
                raise InputError(f"{clip.path}: changed while it was read")
            yield np.ascontiguousarray(_upright(frame)[:clip.height, :clip.width])


@contextlib.contextmanager
def write_frames(path: Path, clip: Clip, codec: str) -> Iterator[Callable[[np.ndarray], None]]:
    """Give a function that appends one uint8 RGB[clip.height, clip.width, 3] to the new file `path`.

    The frames get the times of `clip`, in order. The file gets the sound of `clip`. If it cannot, `clip.notes` gets a
    line that says why.

    Raises: OSError if the encoder cannot start or the disk is full.
    """
    with _open(path, "w") as result, _open(clip.path) as source:
        video = _add_video(result, clip, codec)
        sound = Sound(source, result)
        times, last = iter(clip.times), round(clip.times[0] / video.codec_context.time_base) - 1

        def write(frame: np.ndarray) -> None:
            nonlocal last
            time = next(times)
            picture = av.VideoFrame.from_ndarray(frame, "rgb24")
            picture.time_base = video.codec_context.time_base
            last = max(last + 1, round(time / picture.time_base))  # no two frames in one tick
            picture.pts = last
            result.mux(video.encode(picture))
            sound.copy(until=time)

        yield write
        result.mux(video.encode())
        sound.copy()
        clip.notes += sound.notes


def _open(path: Path, mode: str = "r"):
    av.logging.set_level(av.logging.PANIC)  # our own one line says what is wrong
    return av.open(str(path.resolve()), mode, metadata_errors="ignore")


def _add_video(result: av.container.OutputContainer, clip: Clip, codec: str) -> av.VideoStream:
    options = dict(ENCODER_OPTIONS.get(codec, {}))
    is_avi = result.format.name == "avi"
    if is_avi:
        options["bf"] = "0"  # no B-frames: AVI cannot store frames in another order than they are shown
    try:
        video = result.add_stream(codec, rate=clip.rate, options=options)
    except ValueError:
        raise OSError(f"this PyAV cannot encode {codec}") from None
    video.width, video.height, video.pix_fmt = clip.width, clip.height, "yuv420p"
    context = video.codec_context
    context.time_base = 1 / clip.rate if is_avi else clip.tick  # AVI counts frames
    context.thread_type = "AUTO"
    context.colorspace, context.color_range = BT601, LIMITED_RANGE  # what PyAV converts RGB to
    if clip.aspect:
        context.sample_aspect_ratio = clip.aspect
    return video


def _decode(container: av.container.InputContainer, video: av.VideoStream) -> Iterator[av.VideoFrame]:
    """The frames that can be decoded. The frames of a damaged packet are left out."""
    video.thread_type = "AUTO"
    for packet in container.demux(video):
        with contextlib.suppress(av.error.FFmpegError):
            yield from packet.decode()


def _upright(frame: av.VideoFrame) -> np.ndarray:
    """The frame as uint8 RGB[h, w, 3], turned upright. A phone stores the rotation beside the frames."""
    matrix = Colorspace.ITU709 if frame.colorspace == BT709 else Colorspace.DEFAULT
    return np.rot90(frame.to_ndarray(format="rgb24", src_colorspace=matrix), round(frame.rotation / 90))


def _timing(ticks: List[Optional[int]], tick: Fraction, stated: Optional[Fraction]):
    """Times of all frames in seconds, the (mean) rate, and the unit of the times.

    Args:
        ticks: the times of the frames in the file; None for a frame without a time.
        tick: unit of `ticks` in seconds.
        stated: frames a second by the header.
    """
    rises = None not in ticks and all(a < b for a, b in zip(ticks, ticks[1:]))
    times = [number * tick for number in ticks] if rises else []
    rate = stated or ((len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else Fraction(25))
    rate = rate.limit_denominator(1001)
    start = times[0] if times else Fraction(0)
    even = [start + number / rate for number in range(len(ticks))]
    if all(abs(time - place) <= tick for time, place in zip(times, even)):  # equal but for the container's rounding
        return even, rate, 1 / rate
    return times, rate, FINE_TICK
