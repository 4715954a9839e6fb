"""Which files are videos, and how each is encoded. Imports nothing slow, so that a command line is checked at once."""
from __future__ import annotations

import contextlib
from pathlib import Path

from ..files import PathLike

# suffix of a result -> encoder of the pictures
CODECS = {**dict.fromkeys((".mp4", ".m4v", ".mov", ".mkv", ".avi"), "libx264"), ".webm": "libvpx-vp9"}
# suffixes that are read too; the result gets RESULT_SUFFIX
READ_ONLY = (".3g2", ".3gp", ".asf", ".divx", ".dv", ".f4v", ".flv", ".m2t", ".m2ts", ".m2v", ".mpeg", ".mpg", ".mts",
             ".mxf", ".ogv", ".qt", ".ts", ".vob", ".wmv", ".y4m")
RESULT_SUFFIX = ".mp4"
# a constant quality that the eye cannot tell from the frames that went in; settings for speed: slower ones take as long
# as the rest of dehazing and save 4 % of the file
ENCODER_OPTIONS = {
    "libx264": {"crf": "17", "preset": "veryfast"},
    "libvpx-vp9": {"crf": "24", "b": "0", "deadline": "realtime", "cpu-used": "6", "row-mt": "1"},
}
TRANSPORT_STREAM = b"G"  # the first byte of a .ts file that is a video; others are TypeScript or translations of Qt


def is_video(path: PathLike) -> bool:
    """Whether the suffix is one that `src.video.dehaze.dehaze_video` reads. Looks into files that end in .ts."""
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix == ".ts" and path.is_file():
        with contextlib.suppress(OSError), open(path, "rb") as file:
            return file.read(1) == TRANSPORT_STREAM
    return suffix in CODECS or suffix in READ_ONLY


def is_video_result(path: PathLike) -> bool:
    """Whether the suffix is one that `src.video.dehaze.dehaze_video` writes."""
    return Path(path).suffix.lower() in CODECS


def result_name(path: Path) -> Path:
    """The name of the result for a video: the same, or with RESULT_SUFFIX where videos of its kind are not written."""
    return path if is_video_result(path) else path.with_suffix(RESULT_SUFFIX)
