"""Ctrl-C and SIGTERM end every command with one line and exit code 130 or 143, and what is done is kept."""
import importlib
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from halving import HalvingNetwork
from src.cli import infer
from src.cli.entry import LESS_MEMORY, run_as_program
from src.data.images import write_image
from src.dehaze.dehazer import Dehazer
from src.distributed.signals import APART
from training import ENVIRONMENT, ROOT

SAID = "interrupted; what was finished is kept"


@pytest.fixture
def photos(tmp_path):
    """Forty photos in hazy/ and the same in GT/. They take seconds, so that a late signal still finds work."""
    for kind in ("hazy", "GT"):
        (tmp_path / "set" / kind).mkdir(parents=True)
        for index in range(40):
            image = np.random.default_rng(index).integers(0, 256, (240, 320, 3)).astype(np.uint8)
            write_image(tmp_path / f"set/{kind}/{index:02}.png", image)
    return tmp_path / "set"


def interrupted(number, is_begun, *command):
    """Start a command, send it the signal once it has begun its work. Returns: exit code, lines on stderr."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a shell's background
    try:
        process = subprocess.Popen([sys.executable, *map(str, command)], cwd=ROOT, env=ENVIRONMENT, text=True,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    finally:
        signal.signal(signal.SIGINT, before)
    try:
        end = time.monotonic() + 300
        while not is_begun():
            assert process.poll() is None and time.monotonic() < end, process.stderr.read()
            time.sleep(0.02)
        process.send_signal(number)
        _, said = process.communicate(timeout=800)
    finally:
        process.kill()
    return process.returncode, said.replace("\r", "\n").splitlines()


def interrupted_import():
    """What a module in C++ raises when a signal arrives while it is imported."""
    error = ImportError("initialization failed")
    error.__cause__ = KeyboardInterrupt(signal.SIGTERM)
    return error


def assert_one_line(lines):
    """Nothing but progress bars before the line."""
    assert lines[-1] == SAID
    assert all("image" in line or not line.strip() for line in lines[:-1]), lines


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_infer(photos, random_checkpoint, tmp_path, number):
    out = tmp_path / "out"
    code, lines = interrupted(number, lambda: (out / "00.png").exists(), "infer.py", photos / "hazy", "-o", out,
                              "--report", "--ckpt_path", random_checkpoint)
    assert code in (128 + number, 143)  # while MindSpore compiles a graph, it answers SIGINT with SIGTERM
    assert_one_line(lines)
    done = len(list(out.glob("*.png")))
    assert 0 < done < 40 and (out / "report.html").read_text().count("data:image/webp") == 2 * done
    assert not list(out.glob(".*"))


@pytest.mark.slow
def test_eval(photos, random_checkpoint, tmp_path):
    table = tmp_path / "out/metrics.csv"
    code, lines = interrupted(signal.SIGTERM, table.exists, "eval.py", "--dir_data", photos, "--data_test", "Pairs",
                              "--ckpt_path", random_checkpoint, "--output_dir", tmp_path / "out")
    assert code == 143
    assert_one_line([line for line in lines if not line.startswith("warning: ")])
    assert 1 < len(table.read_text().splitlines()) < 41
    assert '"complete": false' in (tmp_path / "out/summary.json").read_text()


@pytest.mark.slow
def test_export(random_checkpoint, tmp_path):
    code, lines = interrupted(signal.SIGTERM, (tmp_path / "out").exists, "export.py", "--file_name",
                              tmp_path / "out/model", "--ckpt_path", random_checkpoint)
    assert (code, lines) == (143, [SAID])
    assert list((tmp_path / "out").iterdir()) == []


def test_an_interrupted_infer_writes_the_report_on_what_it_has_done(photos, tmp_path, monkeypatch):
    class Interrupted(HalvingNetwork):
        def __call__(self, x):
            if len(self.seen) == 3:
                raise KeyboardInterrupt
            return super().__call__(x)

    network = Interrupted(tmp_path / "halving.ckpt")
    monkeypatch.setattr(infer, "open_dehazer", lambda options: Dehazer(network=network))
    with pytest.raises(KeyboardInterrupt):
        infer.main([str(photos / "hazy"), "-o", str(tmp_path / "out"), "--report", "--ckpt_path", str(network.path)])
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["00.png", "01.png", "02.png", "report.html"]
    assert (tmp_path / "out/report.html").read_text().count("data:image/webp") == 6


@pytest.mark.parametrize("error, code, said", [
    (KeyboardInterrupt(), 130, SAID), (KeyboardInterrupt(signal.SIGTERM), 143, SAID),
    (interrupted_import(), 143, SAID),
    (MemoryError("of 8 GB"), 1, "error: not enough memory (of 8 GB); --tile 256 needs less")])
def test_exit_codes(capsys, error, code, said):
    def main():
        raise error

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as ended:
        run_as_program(main, LESS_MEMORY["infer"])
    signal.signal(signal.SIGTERM, before)
    assert ended.value.code == code and capsys.readouterr().err.splitlines()[-1] == said


def test_the_advice_for_less_memory_names_flags_that_the_command_has(capsys):
    for name, advice in LESS_MEMORY.items():
        module = importlib.import_module(f"src.cli.{name}")
        with pytest.raises(SystemExit):
            module.main(["--help"])
        shown = capsys.readouterr().out
        assert all(flag in shown for flag in re.findall(r"--\w+", advice)), name


@pytest.mark.slow
def test_a_closed_pipe_ends_quietly():
    """The reader stops before the first line is written."""
    code = ("import sys, time; from src.cli.entry import run_as_program; sys.stdin.readline(); "
            "run_as_program(lambda: print('x' * 100_000))")
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True, cwd=ROOT)
    child.stdout.close()
    child.stdin.write("go\n")
    child.stdin.flush()
    assert child.wait(60) == 141 and child.stderr.read() == ""


@pytest.mark.slow
def test_a_second_signal_is_heeded_while_the_program_is_in_c():
    """The main thread computes in C for minutes, as in a long compilation. One signal waits, a second does not."""
    code = ("import hashlib; from src.distributed.signals import StopSignals\n"
            "with StopSignals() as stop:\n"
            "    print('in C', flush=True)\n"
            "    hashlib.pbkdf2_hmac('sha256', b'', b'', 2_000_000_000)\n")
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                             cwd=ROOT)
    assert child.stdout.readline() == "in C\n"
    for number in (signal.SIGINT, signal.SIGTERM):  # MindSpore's pipeline answers one Ctrl-C with both, at once
        child.send_signal(number)
    time.sleep(APART + 0.2)
    assert child.poll() is None
    child.send_signal(signal.SIGINT)
    assert child.wait(60) == 130 and "interrupted" in child.stderr.read()


@pytest.mark.slow
def test_one_signal_lets_the_step_end_and_later_ones_go_elsewhere():
    code = ("import os, signal, threading, time; from src.distributed.signals import StopSignals\n"
            "with StopSignals() as stop:\n"
            "    os.kill(os.getpid(), signal.SIGINT)\n"
            f"    time.sleep({APART + 0.2})\n"
            "assert stop.requested\n"
            "signal.signal(signal.SIGTERM, lambda *_: print('mine', flush=True))\n"
            "os.kill(os.getpid(), signal.SIGTERM)\n"
            # a thread that still listened would end the process
            "[thread.join(10) for thread in threading.enumerate()[1:]]\n")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert (done.returncode, done.stdout) == (0, "mine\n"), done.stderr


@pytest.mark.slow
def test_a_time_limit_that_strikes_during_a_training_ends_the_tests_and_says_so(tmp_path):
    """The signal comes from another process; the second test is not begun."""
    (tmp_path / "test_one.py").write_text(
        "import os, subprocess, time\n"
        "from outside_signals import end_the_tests_at_a_signal_from_outside\n"
        "from src.distributed.signals import StopSignals\n"
        "def test_a():\n"
        "    with StopSignals() as stop:\n"
        "        subprocess.run(['kill', '-TERM', str(os.getpid())])\n"
        "        while not stop.requested: time.sleep(0.01)\n"
        "    assert False, 'as of a run that ended early'\n"
        "def test_b():\n"
        "    pass\n")
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--rootdir={tmp_path}",
                           tmp_path / "test_one.py"], env=ENVIRONMENT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 143
    assert "a signal came from outside during test_a" in done.stdout and "2 passed" not in done.stdout
