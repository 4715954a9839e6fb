"""ModelArts: copies data from its object storage and results to it. The package moxing exists only there."""
from __future__ import annotations

import hashlib
import os
from pathlib import Path
from types import SimpleNamespace

import psutil

from ..distributed.signals import is_distributed
from ..errors import UsageError
from ..files import PathLike

LOCAL_DATA = "/cache/data"


def download(options: SimpleNamespace) -> None:
    """Copy `--data_url` to the local disk, and use the copy as `--dir_data`.

    Raises: UsageError if moxing is missing (this is no ModelArts machine) or no `--data_url` is given.
    """
    if not options.data_url:
        raise UsageError("--modelArts_mode: needs --data_url, where the data is")
    _copy_once_a_host(options.data_url, LOCAL_DATA)
    options.dir_data = LOCAL_DATA


def download_results(options: SimpleNamespace) -> None:
    """Copy the results of an earlier run from `--train_url` to the folder of checkpoints, for `--resume`."""
    _copy_once_a_host(options.train_url, options.ckpt_save_path)


def upload(options: SimpleNamespace) -> None:
    """Copy the folder of checkpoints to `--train_url`, if it is given."""
    if options.train_url:
        _moxing().file.copy_parallel(src_url=options.ckpt_save_path, dst_url=options.train_url)


def _copy_once_a_host(source: str, target: PathLike) -> None:
    """The first of the ranks that one launcher started on this host copies. The others wait for it."""
    import fcntl  # Windows has none, and is no ModelArts machine

    moxing, parent = _moxing(), psutil.Process(os.getppid())
    copy = hashlib.sha256(f"{source} {target} {parent.pid} {parent.create_time()}".encode()).hexdigest()[:16]
    folder = Path(LOCAL_DATA).parent
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / f".copy.{copy}.lock", "a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # until the file is closed, even by a kill
        lock.seek(0)
        if not (is_distributed() and lock.read() == "done"):
            moxing.file.copy_parallel(src_url=source, dst_url=target)
            lock.truncate(0)
            lock.write("done")


def _moxing():
    try:
        import moxing
    except ImportError:
        raise UsageError("--modelArts_mode: the package moxing is missing, this is no ModelArts machine") from None
    return moxing
