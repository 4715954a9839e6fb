"""Files that are either there whole or not at all, and their hash."""
from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path
from typing import Iterator, Union

from .errors import InputError, one_line

PathLike = Union[str, "os.PathLike[str]"]


@contextlib.contextmanager
def atomic_write(path: PathLike) -> Iterator[Path]:
    """Give a temporary path beside `path`; what is written there takes the final name when the block ends well.

    A reader never sees half a file, and an existing file survives a crash, a kill or a full disk in
    the middle of the block. The temporary name keeps the suffix of `path`, since libraries choose a
    format by it.

    Raises: whatever the block raises, after removing the temporary file.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        yield temporary
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def make_output_folder(path: PathLike, flag: str) -> Path:
    """Create the folder `path` if need be and make sure that files can be written there.

    Raises: InputError naming `flag` if it is not a folder or not writable.
    """
    path = Path(path)
    probe = path / f".probe.{os.getpid()}"
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise InputError(f"{flag} {path}: cannot write there ({error.strerror or one_line(error)})") from None
    return path


def sha256(path: PathLike) -> str:
    """Hash of a file, to know a checkpoint again."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def shipped(path: str) -> Path:
    """A file that the program ships with, as "configs/gitee.yaml": beside src/ in a clone, in the installed package.

    pyproject.toml says which folders are installed.
    """
    package = Path(__file__).resolve().parent
    return (package.parent if package.name == "src" else package) / path
