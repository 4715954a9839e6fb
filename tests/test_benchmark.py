"""benchmarks/benchmark.py measures in new processes and writes the figures."""
import json
import subprocess
import sys
from pathlib import Path

import benchmark as benchmark_command
import large_photos
import pytest
import videos

import benchmark_cases
from src.errors import UsageError

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent


def benchmark(*arguments):
    command = [sys.executable, str(ROOT / "benchmarks/benchmark.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=800)


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


def test_large_photos_prints_seconds_and_memory_of_each_size(capsys):
    large_photos.main(["--sizes", "320x240", "64x48", "--runtimes", "onnxruntime", "--calls", "1"])
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in capsys.readouterr().out.splitlines()[2:]]
    assert [row[:2] for row in rows] == [["320x240", "onnxruntime"], ["64x48", "onnxruntime"]]
    assert all(float(row[2]) > 0 and 50 < float(row[6].split()[0]) < 2000 for row in rows)


def test_large_photos_in_turn_prints_the_first_round_and_the_next(capsys):
    large_photos.main(["--sizes", "320x240", "240x320", "--runtimes", "onnxruntime", "--calls", "1", "--in_turn"])
    name, first, later, memory = capsys.readouterr().out.splitlines()[2].split("|")[1:-1]
    assert name.strip() == "onnxruntime" and float(first) > 0 < float(later) and 50 < float(memory.split()[0]) < 2000


def test_videos_prints_the_speed_of_each_size_and_interval(capsys):
    videos.main(["--sizes", "64x48", "--network_every", "2", "3", "--runtime", "onnxruntime", "--precision", "float32"])
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in capsys.readouterr().out.splitlines()[2:]]
    assert [row[:2] for row in rows] == [["64x48", "2"], ["64x48", "3"]]
    assert all(float(row[2]) > 0 for row in rows)


def test_a_size_that_is_none_is_one_line(capsys):
    for command in (large_photos, videos):
        with pytest.raises(UsageError, match="--sizes 12: must be WIDTHxHEIGHT"):
            command.main(["--sizes", "12"])
