"""A signal from outside, such as that of `timeout`, ends the tests. A training in a test would take it as its own.

It would stop after its step, and the test would fail for a reason that is not its own.
"""
import os

import pytest

from src.distributed.signals import StopSignals


@pytest.fixture(autouse=True)
def end_the_tests_at_a_signal_from_outside(request, monkeypatch):
    sent, stopped = [], []
    kill, leave = os.kill, StopSignals.__exit__

    def noted_kill(pid, number):
        sent.append(number)
        kill(pid, number)

    def noted_exit(stop, *error):
        stopped.append(stop.requested)
        leave(stop, *error)

    monkeypatch.setattr(os, "kill", noted_kill)
    monkeypatch.setattr(StopSignals, "__exit__", noted_exit)
    yield
    if any(stopped) and not sent:
        pytest.exit(f"a signal came from outside during {request.node.name}", 143)
