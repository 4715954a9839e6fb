"""A signal from outside, such as that of `timeout`, ends the tests. A training in a test would take it as its own.

It would stop after its step, and the test would fail for a reason that is not its own.
"""
import os
import signal

import pytest

from src.distributed.signals import StopSignals


@pytest.fixture(autouse=True)
def end_the_tests_at_a_signal_from_outside(request, monkeypatch):
    sent, received = [], []
    kill, handle = os.kill, StopSignals._request

    def noted_kill(pid, number):
        sent.append(number)
        kill(pid, number)

    def noted_request(stop, number, frame):
        received.append(number)
        handle(stop, number, frame)

    monkeypatch.setattr(os, "kill", noted_kill)
    monkeypatch.setattr(StopSignals, "_request", noted_request)
    yield
    if received and not sent:
        name = signal.Signals(received[0]).name
        pytest.exit(f"{name} came from outside during {request.node.name}", 128 + received[0])
