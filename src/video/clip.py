"""Video files as frames: reading, writing, sound. OpenCV does the pictures, ffmpeg (where there is one) the sound."""
from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Iterator, List, Optional

import cv2
import numpy as np

from ..errors import InputError

READABLE_SHARE = 0.9  # a file that gives fewer of the frames its header promises counts as truncated


@dataclass
class Clip:
    """A readable video. `width` and `height` are upright and even, as every codec here needs them."""

    path: Path
    frames: int
    width: int
    height: int
    fps: float
    notes: List[str] = field(default_factory=list)  # in what the result must differ from the file, one line each


def probe(path: Path) -> Clip:
    """Decode the whole file once, which is quick beside dehazing it: damage shows before hours of work.

    Raises: InputError if the file is missing, not a video, without frames or truncated.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    capture = _open(path)
    if not capture.isOpened():
        raise InputError(f"{path}: cannot be read as a video")
    promised, stated_fps = capture.get(cv2.CAP_PROP_FRAME_COUNT), capture.get(cv2.CAP_PROP_FPS)
    aspect = capture.get(cv2.CAP_PROP_SAR_NUM), capture.get(cv2.CAP_PROP_SAR_DEN)
    seen, first = capture.read()
    if not seen:
        raise InputError(f"{path}: no frames")
    times = [capture.get(cv2.CAP_PROP_POS_MSEC)]
    while capture.grab():
        times.append(capture.get(cv2.CAP_PROP_POS_MSEC))
    if len(times) < READABLE_SHARE * promised:
        raise InputError(f"{path}: truncated or damaged, only {len(times)} of {promised:.0f} frames can be read")
    height, width = first.shape[:2]
    if min(height, width) < 2:
        raise InputError(f"{path}: frames of {width}x{height} are too small")
    clip = Clip(path, len(times), width // 2 * 2, height // 2 * 2, stated_fps)
    if (width, height) != (clip.width, clip.height):
        clip.notes.append(f"size: {width}x{height} becomes {clip.width}x{clip.height}, video codecs need even sides")
    if aspect[0] != aspect[1] and all(aspect):
        clip.notes.append(f"shape: pixels are {aspect[0]:.0f}:{aspect[1]:.0f} in the source, square in the result")
    _settle_rate(clip, times)
    return clip


def read_frames(clip: Clip) -> Iterator[np.ndarray]:
    """The frames as uint8 RGB[clip.height, clip.width, 3]: upright, an odd last row or column left out."""
    capture = _open(clip.path)
    for _ in range(clip.frames):
        seen, frame = capture.read()
        if not seen:
            raise InputError(f"{clip.path}: changed while it was read")
        yield cv2.cvtColor(frame[:clip.height, :clip.width], cv2.COLOR_BGR2RGB)


@contextlib.contextmanager
def write_frames(path: Path, clip: Clip, codec: str) -> Iterator[Callable[[np.ndarray], None]]:
    """Give a function that appends one uint8 RGB[clip.height, clip.width, 3] to the new file `path`.

    Sets `clip.fps` to the rate that the container can hold. At the end every frame is looked for in
    the file, since OpenCV does not say when a disk is full.

    Raises: OSError if the encoder cannot start or frames are missing at the end.
    """
    path.touch()  # OpenCV would not say why it cannot
    code = cv2.VideoWriter_fourcc(*codec)
    for rate in (clip.fps, round(clip.fps, 2), float(round(clip.fps))):  # MPEG-4 holds few digits
        writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, code, rate, (clip.width, clip.height))
        if writer.isOpened():
            clip.fps = rate
            break
    else:
        raise OSError(f"this OpenCV cannot encode {codec} in {path.suffix}")
    try:
        yield lambda frame: writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    finally:
        writer.release()
    arrived = sum(1 for _ in iter(_open(path).grab, False))
    if arrived != clip.frames:
        raise OSError(f"{arrived} of {clip.frames} frames arrived, is the disk full?")


def add_sound(silent: Path, source: Path, target: Path) -> Optional[str]:
    """Make `target` from the picture of `silent` and the sound of `source`, if that has any.

    Returns: None if the sound was kept, else why not; `target` then holds the picture alone.
    """
    ffmpeg = shutil.which("ffmpeg")
    if not ffmpeg:
        reason = "not kept, there is no ffmpeg on PATH"
    elif not re.search(r"Stream #0.*: Audio:", _run([ffmpeg, "-i", source.resolve()]).stderr):
        reason = "none in the source"
    else:
        command = [ffmpeg, "-y", "-v", "error", "-i", silent.resolve(), "-i", source.resolve(),
                   "-map", "0:v:0", "-map", "1:a", "-c:v", "copy"]
        for audio in (["-c:a", "copy"], []):  # as it is, else in the container's usual codec
            done = _run(command + audio + [target.resolve()])
            if done.returncode == 0:
                return None
        reason = f"not kept, ffmpeg said: {' '.join(done.stderr.split())[-200:]}"
    os.replace(silent, target)
    return reason


def _open(path: Path) -> cv2.VideoCapture:
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # our own one line says what is wrong
    cv2.setLogLevel(2)  # errors only
    capture = cv2.VideoCapture(str(path.resolve()), cv2.CAP_FFMPEG)
    capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)  # phones store a rotation; OpenCV 4.11 ignores it unless told
    return capture


def _settle_rate(clip: Clip, times: List[float]) -> None:
    """Choose the constant rate to write; `times` are the frames' times in milliseconds."""
    if not 0.01 < clip.fps <= 1000:
        seconds = (times[-1] - times[0]) / 1000
        clip.fps = min((len(times) - 1) / seconds, 1000.0) if seconds > 0 else 25.0
        clip.notes.append(f"rate: the file states none, {clip.fps:.5g} frames a second taken")
    drift = max(abs(time - times[0] - 1000 * i / clip.fps) for i, time in enumerate(times)) / 1000
    if drift > 1.5 / clip.fps:
        clip.notes.append(f"rate: varies in the source, constant {clip.fps:.5g} frames a second in the result; "
                          f"picture and sound part by up to {drift:.2f} s")


def _run(command: list) -> subprocess.CompletedProcess:
    return subprocess.run([str(part) for part in command], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, errors="replace", check=False)
