"""benchmarks/benchmark.py measures in new processes and writes the figures."""
import json
import subprocess
import sys
from pathlib import Path

import benchmark as benchmark_command
import pytest

import benchmark_cases

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent


def benchmark(*arguments):
    command = [sys.executable, str(ROOT / "benchmarks/benchmark.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def test_figures_are_printed_and_written(tmp_path):
    path = tmp_path / "figures.json"
    run = benchmark("--cases", "wide_conv", "start_up", "--repeats", "1", "--threads", "1", "--json", str(path))
    assert run.returncode == 0, run.stderr
    figures = json.loads(path.read_text())
    assert figures["machine"]["threads"] == 1
    case = figures["cases"]["wide_conv"]
    assert case["ours_s"] > 0 and case["floor_s"] > 0 and 0 < case["peak_mb"] < 2000
    assert 0 < case["floor_peak_mb"] < 2000
    assert figures["cases"]["start_up"]["ours_s"] > 0 and "ratio" not in figures["cases"]["start_up"]
    assert [line.split()[0] for line in run.stdout.splitlines()[-2:]] == ["wide_conv", "start_up"]


def test_every_case_of_the_command_is_defined():
    assert tuple(benchmark_cases.CASES) == benchmark_command.CASES


def test_bad_flags_end_in_one_line():
    for arguments, word in ((("--cases", "nothing"), "nothing"), (("--threads", "1000"), "--threads 1000"),
                            (("--repeats", "0"), "--repeats 0")):
        run = benchmark(*arguments)
        assert run.returncode == 2 and word in run.stderr and run.stderr.count("\n") == 1
