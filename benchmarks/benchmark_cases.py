"""One case of benchmarks/benchmark.py, in a process of its own."""
from __future__ import annotations

import contextlib
import io
import json
import sys
import tempfile
from pathlib import Path

import mindspore
import numpy as np
from mindspore import Tensor

import network_cases
import program_cases
from measuring import medians, memory_mb, peak

# name -> function that gets a folder and returns the Case
CASES = {
    "dcn": network_cases.dcn,
    "dcn_gradient": network_cases.dcn_gradient,
    "wide_conv": network_cases.wide_conv,
    "network": network_cases.network,
    "network_gitee": network_cases.network_gitee,
    "network_1600x1200": network_cases.network_1600x1200,
    "loss": network_cases.loss,
    "step": network_cases.step,
    "eval": program_cases.evaluation,
    "tiled": program_cases.tiled,
    "cpp": program_cases.cpp,
    "runtimes": program_cases.runtimes,
    "loader": program_cases.loader,
    "modes": program_cases.modes,
    "start_up": program_cases.start_up,
}


def run(name: str, what: str, repeats: str) -> None:
    """Print the figures of one case as JSON. `what` is "times", "memory" or "floor_memory"."""
    mindspore.set_seed(1)
    Tensor(np.zeros(1, np.float32)).asnumpy()
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()), \
            contextlib.redirect_stderr(io.StringIO()):
        before = memory_mb("VmRSS")
        case = CASES[name](Path(folder))
        if what == "times":
            ours, floor = medians(case, int(repeats))
            figures = {"ours_s": ours, "floor_s": floor, "floor": case.text, "goal": case.goal,
                       "has_memory": case.has_memory, "notes": case.notes()}
        elif what == "memory":
            figures = {"peak_mb": peak(case.ours) - before, "peak_goal_mb": case.peak_goal_mb}
        else:
            figures = {"floor_peak_mb": peak(case.floor) - before}
    print(json.dumps(figures))


if __name__ == "__main__":
    run(*sys.argv[1:])
