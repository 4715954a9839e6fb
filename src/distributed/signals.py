"""Signals to the ranks of a distributed run, and the tests by which a process knows that it is a rank."""
from __future__ import annotations

import ctypes
import os
import re
import signal
import socket
import sys
import threading
import time
from typing import Optional, Set

from ..errors import UsageError

STOP_RANK = getattr(signal, "SIGUSR1", signal.SIGTERM)  # Windows has no SIGUSR1 and no msrun
APART = 1.0  # seconds; the data pipeline of MindSpore answers one SIGINT with a SIGTERM of its own at once


def started_by_msrun() -> bool:
    """Whether msrun started this process. `src.cli.launch` starts msrun and stops the ranks with STOP_RANK."""
    return "MS_ROLE" in os.environ


def stop_number() -> int:
    """The signal that asks this process to stop, besides SIGINT.

    For a rank of msrun it is STOP_RANK: MindSpore uses SIGTERM to end a rank that waits for lost ones, and its data
    pipeline answers SIGINT with SIGTERM.
    """
    return STOP_RANK if started_by_msrun() else signal.SIGTERM


def say_done(code: int) -> None:
    """If this process is a rank, note in its log that its work is done, and with which exit code.

    MindSpore can crash afterwards, while it takes leave of the scheduler. `said_done` finds the note.
    """
    if started_by_msrun():
        print(f"[INFO] RANK({os.getpid()}): done, exit code {code}")


def said_done(log: str) -> Optional[int]:
    """The exit code that `say_done` noted in the log of a rank, or None."""
    found = re.search(r"\[INFO\] RANK\(\d+\): done, exit code (\d+)\n", log)
    return int(found[1]) if found else None


def is_distributed() -> bool:
    """Whether this process is a rank. msrun started it (with one rank or more), or RANK_SIZE is above 1.

    Raises: UsageError if RANK_SIZE is no number.
    """
    size = os.getenv("RANK_SIZE", "1")
    if not size.isdecimal():
        raise UsageError(f"RANK_SIZE must be the number of ranks, not {size}")
    return started_by_msrun() or int(size) > 1


def end_with_parent(number: int) -> None:
    """Ask the kernel to send this process a signal when its parent ends, even by SIGKILL. Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, int(number))  # PR_SET_PDEATHSIG


class StopSignals:
    """A context manager that turns SIGINT and SIGTERM (in a rank: STOP_RANK) into a request to stop after this step.

    A second signal, at least APART seconds after the first, ends the process at once with exit code 130, also while
    MindSpore compiles a graph, which can take minutes. The ranks of a run leave that to `src.cli.launch`.
    """

    def __enter__(self) -> StopSignals:
        self.requested = False
        self._awake: Optional[socket.socket] = None
        numbers = {stop_number()} if started_by_msrun() else {signal.SIGINT, stop_number()}
        self._before = {number: signal.signal(number, self._request) for number in numbers}
        if not started_by_msrun():
            self._watch(numbers)
        return self

    def __exit__(self, *_) -> None:
        if self._awake is not None:
            signal.set_wakeup_fd(self._wakeup_before)
            self._awake.close()  # which ends the thread
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _watch(self, numbers: Set[int]) -> None:
        """Read the numbers of the signals in a thread: Python calls no handler while its main thread is in C++."""
        reader, self._awake = socket.socketpair()
        self._awake.setblocking(False)
        self._wakeup_before = signal.set_wakeup_fd(self._awake.fileno(), warn_on_full_buffer=False)
        threading.Thread(target=_end_at_the_second, args=(reader, numbers), daemon=True).start()

    def _request(self, number, frame) -> None:
        again = b"" if started_by_msrun() else b"; a second signal ends the program at once"
        self.requested = True
        name = signal.Signals(number).name.encode()
        os.write(2, b"\n" + name + b": stopping after this step" + again + b"\n")  # print is not safe here


def _end_at_the_second(reader: socket.socket, numbers: Set[int]) -> None:
    first = None
    with reader:
        while received := reader.recv(1):
            if received[0] not in numbers:
                continue
            first = first or time.monotonic()
            if time.monotonic() - first >= APART:
                os.write(2, b"\ninterrupted; what was finished is kept\n")
                os._exit(128 + signal.SIGINT)
