"""Measure time and peak memory of every part, and a floor for each part in the same run.

    python benchmarks/benchmark.py
    python benchmarks/benchmark.py --cases network step --repeats 7 --json benchmark.json

Each case runs in three processes. The first runs our code and the floor in turns, and gives the medians. The others run
our code or the floor alone, and give its peak memory, minus that of a process that has imported MindSpore. No other
program should run at the same time. benchmark_cases.py lists the cases and their floors.
"""
from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List, Optional

import _clone  # noqa: F401
from src.cli.config import Parser
from src.cli.entry import run_as_program
from src.errors import InputError, UsageError
from src.files import atomic_write

ROOT = Path(__file__).resolve().parent.parent
CASES = ("dcn", "dcn_gradient", "wide_conv", "network", "network_gitee", "network_1600x1200", "loss", "step", "eval",
         "tiled", "cpp", "runtimes", "loader", "modes", "start_up")


def main(argv: Optional[List[str]] = None) -> None:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=CASES, metavar="CASE", help=" ".join(CASES))
    parser.add_argument("--repeats", type=int, default=5, help="timed turns of each (default: 5)")
    parser.add_argument("--threads", type=int, default=2, help="cores and OpenMP threads to use (default: 2)")
    parser.add_argument("--json", help="file for all figures")
    options = parser.parse_args(argv)
    cores = len(os.sched_getaffinity(0))
    if not 1 <= options.threads <= cores:
        raise UsageError(f"--threads {options.threads}: must be from 1 to the {cores} cores of this machine")
    if options.repeats < 1:
        raise UsageError(f"--repeats {options.repeats}: must be at least 1")

    figures = {"machine": machine(options.threads), "cases": {}}
    print("\n".join(f"{key}: {value}" for key, value in figures["machine"].items()))
    print(f"\n{'case':18}{'ours':>11}{'floor':>11}{'ratio':>8}{'goal':>7}{'peak':>9}{'goal':>7}{'floor':>9}  floor")
    for case in options.cases:
        figures["cases"][case] = row = measure(case, options)
        print(line(case, row), flush=True)
        print("".join(f"  {note}\n" for note in row.get("notes", ())), end="")
        if options.json:
            with atomic_write(options.json) as path:
                Path(path).write_text(json.dumps(figures, indent=1))


def machine(threads: int) -> Dict[str, Any]:
    """The properties of the machine that decide the figures."""
    from importlib.metadata import version

    model = [text.split(":")[1].strip() for text in Path("/proc/cpuinfo").read_text().splitlines()
             if text.startswith("model name")]
    return {"processor": model[0] if model else platform.machine(), "threads": threads,
            "python": platform.python_version(), "mindspore": version("mindspore"), "numpy": version("numpy")}


def measure(case: str, options: argparse.Namespace) -> Dict[str, Any]:
    """The medians in seconds and the peak memory in megabytes of one case."""
    row = run_child(case, "times", options)
    if row.pop("has_memory"):
        row.update(run_child(case, "memory", options))
        if row.get("floor_s"):
            row.update(run_child(case, "floor_memory", options))
    if row.get("floor_s"):
        row["ratio"] = row["ours_s"] / row["floor_s"]
    return row


def run_child(case: str, what: str, options: argparse.Namespace) -> Dict[str, Any]:
    """Run benchmark_cases.py as a process. Returns: the figures that it prints. Raises: InputError if it fails."""
    cores = sorted(os.sched_getaffinity(0))[:options.threads]
    child = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks/benchmark_cases.py"), case, what, str(options.repeats)],
        env={**os.environ, "OMP_NUM_THREADS": str(options.threads)}, capture_output=True, text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, cores))
    if child.returncode:
        raise InputError(f"case {case} failed: {(child.stderr.strip() or child.stdout.strip())[-1500:]}")
    return json.loads(child.stdout.splitlines()[-1])


def line(case: str, row: Dict[str, Any]) -> str:
    """One line of the table."""
    def seconds(key):
        value = row.get(key)
        return "" if value is None else f"{value:.2f} s" if value >= 1 else f"{value * 1000:.1f} ms"

    def number(key, form, unit=""):
        return format(row[key], form) + unit if row.get(key) is not None else ""

    return (f"{case:18}{seconds('ours_s'):>11}{seconds('floor_s'):>11}{number('ratio', '.2f'):>8}"
            f"{number('goal', '.2f'):>7}{number('peak_mb', '.0f', ' MB'):>9}{number('peak_goal_mb', '.0f'):>7}"
            f"{number('floor_peak_mb', '.0f', ' MB'):>9}  {row['floor']}")


if __name__ == "__main__":
    run_as_program(main)
