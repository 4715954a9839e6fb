"""Signals to the ranks of a distributed run, and the tests by which a process knows that it is a rank."""
from __future__ import annotations

import ctypes
import os
import signal
import sys

from ..errors import UsageError

STOP_RANK = getattr(signal, "SIGUSR1", signal.SIGTERM)  # Windows has no SIGUSR1 and no msrun


def started_by_msrun() -> bool:
    """Whether msrun started this process. `src.cli.launch` starts msrun and stops the ranks with STOP_RANK."""
    return "MS_ROLE" in os.environ


def stop_number() -> int:
    """The signal that asks this process to stop, besides SIGINT.

    For a rank of msrun it is STOP_RANK: MindSpore uses SIGTERM to end a rank that waits for lost ones, and its data
    pipeline answers SIGINT with SIGTERM.
    """
    return STOP_RANK if started_by_msrun() else signal.SIGTERM


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
    """A context manager that turns SIGINT and SIGTERM (in a rank: STOP_RANK) into a request to stop after this step."""

    def __enter__(self) -> StopSignals:
        self.requested = False
        numbers = {stop_number()} if started_by_msrun() else {signal.SIGINT, stop_number()}
        self._before = {number: signal.signal(number, self._request) for number in numbers}
        return self

    def __exit__(self, *_) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _request(self, number, frame) -> None:
        self.requested = True
        os.write(2, b"\nstopping after this step\n")  # print is not safe here
