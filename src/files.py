"""Files that are written whole or not at all, their hash, and the files that the program ships with."""
from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import socket
import sys
import time
from pathlib import Path
from typing import Iterator, TextIO, Union

from .errors import InputError, UsageError, one_line

PathLike = Union[str, "os.PathLike[str]"]

LONGEST_NAME = 255  # bytes, of the usual file systems


@contextlib.contextmanager
def atomic_write(path: PathLike) -> Iterator[Path]:
    """Give a temporary path beside `path`. The file there gets the final name when the block ends without an exception.

    A reader never sees half a file. An existing file survives a crash, a kill or a full disk during the block. The
    temporary name has the suffix of `path`, because libraries choose a format by the suffix.

    Raises: the exception of the block, after the temporary file is removed.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    if len(os.fsencode(temporary.name)) > LONGEST_NAME:
        short = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:32]
        temporary = path.with_name(f".{short}.{os.getpid()}.tmp{path.suffix}")
    try:
        yield temporary
        with open(temporary, "r+b") as written:  # Windows writes to the disk only what is open for writing
            os.fsync(written.fileno())
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def path_rule(text: str) -> str:
    """The rule that a path breaks, or an empty text. For such names, `Path.is_file` raises an exception."""
    if text == "":
        return "must not be empty"
    if "\0" in text or any(len(os.fsencode(part)) > LONGEST_NAME for part in text.split("/")) or len(text) > 4000:
        return f"must be a path of names of at most {LONGEST_NAME} bytes"
    return ""


def make_output_folder(path: PathLike, flag: str) -> Path:
    """Create the folder `path` if it is missing, and make sure that it is writable.

    Raises: UsageError naming `flag` if `path` is empty, InputError if it is not a folder or not writable.
    """
    if not os.fspath(path):
        raise UsageError(f"{flag} must not be empty")
    path = Path(path)
    probe = path / f".probe.{os.getpid()}"
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise InputError(f"{flag} {path}: cannot write there ({error.strerror or one_line(error)})") from None
    return path


@contextlib.contextmanager
def lock_folder(path: PathLike, flag: str) -> Iterator[None]:
    """Lock the folder `path` during the block against other processes that lock it, also on other hosts.

    The kernel drops the lock when the process ends in any way.

    Raises: InputError naming `flag` and the holder of the lock, UsageError on Windows.
    """
    try:
        import fcntl
    except ImportError:
        raise UsageError("train.py needs Linux or macOS, because it locks its folder; on Windows, use WSL 2") from None

    file = Path(path) / ".lock"
    while True:
        with open(file, "a+", encoding="utf-8") as lock:
            try:
                # This lock belongs to the process, and flock's to the open file. A forked child does not keep it.
                fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno in (errno.EACCES, errno.EAGAIN):
                    lock.seek(0)
                    raise InputError(f"{flag} {path}: in use by {lock.read().strip() or 'another process'}") from None
                print(f"warning: {flag} {path}: cannot be locked ({error.strerror})", file=sys.stderr)
            else:
                if not _is_same(lock, file):
                    continue  # the holder removed the file between open and lock
                lock.truncate(0)
                lock.write(f"process {os.getpid()} on {socket.gethostname()}, since {time.strftime('%F %T')}\n")
                lock.flush()
            try:
                yield
                return
            finally:
                with contextlib.suppress(OSError):
                    file.unlink()  # before the lock is dropped, so that another process notices the removal


def _is_same(opened: TextIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(opened.fileno()), path.stat())
    except FileNotFoundError:
        return False


def mistaken_download(content: bytes) -> str:
    """What a file is, if it is what people often save in place of a large file, and what to do. Otherwise empty."""
    if not content:
        return "the file is empty; copy or download it anew"
    start = content[:1000].lstrip().lower()
    if start.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer, not the file itself; run `git lfs pull`, or download the file from its page"
    if start.startswith((b"<!doctype html", b"<html", b"<?xml")):
        return "a web page, not the file that it offers; open the page in a browser and download the file there"
    if content.startswith((b"\xff\x0a", b"\0\0\0\x0cJXL ")):
        return "a JPEG XL photo, whatever its name says; convert it to PNG"
    return ""


def sha256(path: PathLike) -> str:
    """The SHA-256 hash of a file, which identifies a checkpoint or a model."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def shipped(path: str) -> Path:
    """The path of a file that the program ships with, such as "configs/gitee.yaml".

    In a clone the file lies beside src/, in an installation inside the package. pyproject.toml lists the folders.
    """
    package = Path(__file__).resolve().parent
    return (package.parent if package.name == "src" else package) / path


def found_or_shipped(path: PathLike) -> Path:
    """The path itself if it exists, else that of the shipped file of this name, if there is one.

    So checkpoints/aecrnet.ckpt is found from any folder.
    """
    return shipped(str(path)) if not Path(path).exists() and shipped(str(path)).is_file() else Path(path)
