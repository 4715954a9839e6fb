"""What counts as a video, and as a blend. Imports nothing slow, so that a command line is checked at once."""
from __future__ import annotations

from pathlib import Path

from ..errors import UsageError
from ..files import PathLike

# suffix -> what the opencv-python-headless wheel can encode there; it holds no H.264 encoder
CODECS = {".mp4": "mp4v", ".m4v": "mp4v", ".mov": "mp4v", ".mkv": "mp4v", ".avi": "XVID", ".webm": "VP90"}


def is_video(path: PathLike) -> bool:
    """Whether the suffix is one that `src.video.dehaze.dehaze_video` reads and writes."""
    return Path(path).suffix.lower() in CODECS


def check_blend(blend: float) -> None:
    """Raises: UsageError naming --blend if it is no share of the past, 0 to below 1."""
    if not 0 <= blend < 1:
        raise UsageError(f"--blend {blend}: must be at least 0 and below 1")
