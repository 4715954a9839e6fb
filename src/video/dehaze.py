"""Dehaze a video file frame by frame."""
from __future__ import annotations

import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Deque, Dict, Iterator, List, Optional

import av
import cv2
import numpy as np

from ..errors import InputError, one_line
from ..files import PathLike, atomic_write
from .clip import Clip, read_frames
from .probe import probe
from .rules import CODECS, is_video_result
from .writer import write_frames

DehazeFrame = Callable[[np.ndarray], np.ndarray]
Progress = Callable[[int, int], None]
Tell = Callable[[str], None]

AHEAD = 2  # frames that are decoded while the network computes
BEHIND = 2  # dehazed frames that wait for the encoder; a frame that the network sees takes longer than the next one


@dataclass
class VideoStats:
    """What was done. Flicker is the mean of |frame - frame before| over all pixels and channels, in grey levels 0..255.

    Motion counts as flicker too, and moving contrast counts more in a clear picture. Compare only results of one clip.
    """

    frames: int
    width: int
    height: int
    fps: float
    codec: str
    audio: bool  # the result has the source's sound
    flicker_input: float
    flicker_output: float
    seconds: float  # from reading the first frame to writing the last
    notes: List[str] = field(default_factory=list)  # what the user should know, one line each

    def summary(self) -> str:
        """One line for the terminal."""
        return (f"{self.frames} frames of {self.width}x{self.height} at {self.fps:.5g} a second, "
                f"{'with' if self.audio else 'without'} sound; "
                f"flicker {self.flicker_output:.2f} (input {self.flicker_input:.2f}); "
                f"{self.frames / self.seconds:.3g} frames a second dehazed")


def dehaze_video(
    source: PathLike, target: PathLike, dehaze: DehazeFrame, progress: Optional[Progress] = None,
    tell: Optional[Tell] = None,
) -> VideoStats:
    """Write `source` dehazed to `target`: the same frames at the same times, upright, with the same sound.

    `target` appears only when it is whole. An interrupted run does not touch an older file of that name.

    Args:
        target: the suffix decides the codec (src.video.rules.CODECS). Browsers play .mp4 and .webm.
        dehaze: uint8 RGB[h, w, 3] -> uint8 RGB[h, w, 3], called for each frame in order, as
            src.dehaze.frames.FrameDehazer.
        progress: called with (frames done, all frames) after each frame.
        tell: called with each line of the notes as soon as it is known; most come before the first frame.

    Raises:
        InputError: the source is missing, unreadable, truncated or empty, or the target cannot be written.
        ValueError: `dehaze` changed the shape or the type of a frame.
    """
    source, target = Path(source), Path(target)
    _check_target(source, target)
    clip = probe(source)
    codec, start = CODECS[target.suffix.lower()], time.perf_counter()
    try:
        with atomic_write(target) as whole:
            flicker = _dehaze_frames(clip, whole, codec, dehaze, progress, tell)
    except (OSError, av.error.FFmpegError) as error:
        raise InputError(f"{target}: cannot be written ({error.strerror or one_line(error)})") from None
    return VideoStats(len(clip.times), clip.width, clip.height, float(clip.rate), codec, clip.has_sound,
                      flicker["input"], flicker["output"],
                      time.perf_counter() - start, clip.notes)


def _check_target(source: Path, target: Path) -> None:
    if not is_video_result(target):
        raise InputError(f"{target}: a video must end in one of {', '.join(CODECS)}")
    if not target.parent.is_dir():
        raise InputError(f"{target}: cannot be written (no such folder)")
    if target.is_dir():
        raise InputError(f"{target}: cannot be written (it is a folder)")
    if target.exists() and source.exists() and target.samefile(source):
        raise InputError(f"{target}: is the source itself, choose another name")


def _dehaze_frames(
    clip: Clip, path: Path, codec: str, dehaze: DehazeFrame, progress: Optional[Progress],
    tell: Optional[Tell],
) -> Dict[str, float]:
    """Write the dehazed frames to `path`. Returns: the flicker of the input and of the output."""
    total = {"input": 0.0, "output": 0.0}
    before: Dict[str, np.ndarray] = {}
    with write_frames(path, clip, codec) as write, ThreadPoolExecutor(1) as writer:
        def finish(hazy: np.ndarray, dehazed: np.ndarray) -> None:
            now = {"input": hazy, "output": dehazed}
            write(dehazed)
            for name in before:
                total[name] += cv2.norm(now[name], before[name], cv2.NORM_L1) / now[name].size
            before.update(now)

        told = _tell(clip.notes, tell)
        unfinished: Deque[Future] = deque()
        for number, hazy in enumerate(_read_ahead(read_frames(clip)), 1):
            dehazed = dehaze(hazy)
            if dehazed.shape != hazy.shape or dehazed.dtype != np.uint8:
                raise ValueError(f"dehaze gave {dehazed.dtype}{dehazed.shape} for uint8{hazy.shape}")
            if len(unfinished) == BEHIND:
                unfinished.popleft().result()
            unfinished.append(writer.submit(finish, hazy, dehazed))  # while the network computes the next frame
            if progress:
                progress(number, len(clip.times))
        for future in unfinished:
            future.result()
    _tell(clip.notes[told:], tell)
    return {name: change / max(len(clip.times) - 1, 1) for name, change in total.items()}


def _tell(lines: List[str], tell: Optional[Tell]) -> int:
    """Returns: the number of lines."""
    for line in lines if tell else ():
        tell(line)
    return len(lines)


def _read_ahead(frames: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """The same frames, read in a thread of their own."""
    with ThreadPoolExecutor(1) as reader:
        waiting = deque(reader.submit(next, frames, None) for _ in range(AHEAD))
        while (frame := waiting.popleft().result()) is not None:
            waiting.append(reader.submit(next, frames, None))
            yield frame
