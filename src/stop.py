"""Stopping at a good moment."""
from __future__ import annotations

import os
import signal


class StopSignals:
    """As a context, turns SIGINT and SIGTERM into a request to stop after the step in hand."""

    def __enter__(self) -> StopSignals:
        self.requested = False
        self._before = {number: signal.signal(number, self._request) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _request(self, number, frame) -> None:
        self.requested = True
        os.write(2, b"\nstopping after this step\n")  # print is not safe here
