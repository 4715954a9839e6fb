"""What a case of the benchmark is, and how its time and memory are measured."""
from __future__ import annotations

import statistics
import time
from typing import Any, Callable, List, NamedTuple, Optional

import numpy as np
from mindspore import Tensor, jit

Call = Callable[[], Any]


class Case(NamedTuple):
    """`goal` is a bound of ours / floor, or of ours in seconds if there is no floor. A call may return its own time
    as a float."""

    ours: Call
    floor: Optional[Call]
    text: str
    goal: Optional[float] = None
    peak_goal_mb: Optional[float] = None
    notes: Callable[[], List[str]] = lambda: []
    has_memory: bool = True  # whether the memory of this process is that of our code


def medians(case, repeats):
    """Median seconds of ours and of the floor. They run in turns, after one call each to warm up."""
    calls = [call for call in (case.ours, case.floor) if call]
    times = [[seconds(call) for call in calls] for _ in range(repeats + 1)][1:]
    ours, *floor = (statistics.median(column) for column in zip(*times))
    return ours, floor[0] if floor else None


def peak(call):
    """The peak memory of this process in MB, after two calls."""
    for _ in range(2):
        call()
    return memory_mb("VmHWM")


def seconds(call):
    """The time of a call, or the time that it returns."""
    start = time.perf_counter()
    result = call()
    return result if isinstance(result, float) else time.perf_counter() - start


def memory_mb(key):
    """The line VmRSS (now) or VmHWM (peak) of /proc/self/status, in MB."""
    return next(int(text.split()[1]) for text in open("/proc/self/status") if text.startswith(key)) / 1024


def random(*shape, scale=1.0):
    """A float32 Tensor of seeded normal numbers."""
    return Tensor((np.random.default_rng(0).standard_normal(shape) * scale).astype(np.float32))


def graph(function, *arguments):
    """A call of the compiled function that waits for its results."""
    compiled = jit(function)
    return lambda: [result.asnumpy() for result in flat(compiled(*arguments))]


def flat(results):
    """The tensors of nested results, as a list."""
    return [results] if isinstance(results, Tensor) else [one for part in results for one in flat(part)]
