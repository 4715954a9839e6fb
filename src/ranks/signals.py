"""Stopping at a good moment."""
from __future__ import annotations

import os
import signal

STOP_RANK = signal.SIGUSR1


class StopSignals:
    """As a context, turns SIGINT and SIGTERM into a request to stop after the step in hand.

    In a rank of a distributed run, STOP_RANK alone, which src.ranks.processes sends: with SIGTERM, MindSpore ends a
    rank that waits in vain for others that are gone, and its data pipeline answers SIGINT with SIGTERM.
    """

    def __enter__(self) -> StopSignals:
        self.requested = False
        numbers = (STOP_RANK,) if "MS_ROLE" in os.environ else (signal.SIGINT, signal.SIGTERM)
        self._before = {number: signal.signal(number, self._request) for number in numbers}
        return self

    def __exit__(self, *_) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _request(self, number, frame) -> None:
        self.requested = True
        os.write(2, b"\nstopping after this step\n")  # print is not safe here
