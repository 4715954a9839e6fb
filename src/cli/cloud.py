"""ModelArts: copies data from its object storage and results to it. The package moxing exists only there."""
from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import threading
from pathlib import Path
from types import SimpleNamespace

import psutil

from ..distributed.signals import is_distributed
from ..errors import UsageError, one_line
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


class Upload:
    """Copies the folder of checkpoints to `--train_url`: in the background after each `request`, and at the end.

    Use it as a context manager. A job that is preempted keeps what was saved. A thread uploads whole files only: it
    gives checkpoints a second name, which a later save leaves alone, and copies the small files, to which rows are
    added. Requests during an upload become one more upload.

    Args:
        wanted: False: do nothing, as on all ranks but the first.
    """

    def __init__(self, options: SimpleNamespace, wanted: bool):
        self._source, self._target = Path(options.ckpt_save_path), options.train_url if wanted else ""
        self._asked, self._ends = threading.Event(), False
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> Upload:
        if self._target:
            self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        if self._target:
            self._ends = True
            self._asked.set()
            self._thread.join()
            _moxing().file.copy_parallel(src_url=str(self._source), dst_url=self._target)

    def request(self) -> None:
        """Copy soon what is there now. Returns at once."""
        self._asked.set()

    def _work(self) -> None:
        while self._asked.wait() and not self._ends:
            self._asked.clear()
            try:
                self._copy()
            except Exception as error:  # moxing's errors are of many kinds, and the training must go on
                print(f"warning: {self._target}: could not be written ({one_line(error)[:120]}); the next save tries "
                      f"again")

    def _copy(self) -> None:
        with tempfile.TemporaryDirectory(prefix=".upload", dir=self._source) as staging:
            for path in list(self._source.rglob("*")):
                name = path.relative_to(self._source)
                if path.is_file() and not any(part.startswith(".") for part in name.parts):
                    place = staging / name
                    place.parent.mkdir(parents=True, exist_ok=True)
                    (os.link if path.suffix == ".ckpt" else shutil.copyfile)(path, place)
            _moxing().file.copy_parallel(src_url=staging, dst_url=self._target)


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
