"""Which files are videos, and how each is encoded. Imports nothing slow, so that a command line is checked at once."""
from __future__ import annotations

from pathlib import Path

from ..files import PathLike

# suffix -> encoder of the pictures
CODECS = {**dict.fromkeys((".mp4", ".m4v", ".mov", ".mkv", ".avi"), "libx264"), ".webm": "libvpx-vp9"}
# a constant quality that the eye cannot tell from the frames that went in; VP9's settings for speed
ENCODER_OPTIONS = {
    "libx264": {"crf": "18"},
    "libvpx-vp9": {"crf": "24", "b": "0", "deadline": "realtime", "cpu-used": "6", "row-mt": "1"},
}


def is_video(path: PathLike) -> bool:
    """Whether the suffix is one that `src.video.dehaze.dehaze_video` reads and writes."""
    return Path(path).suffix.lower() in CODECS
