"""What inference needs: few packages, any Python from 3.9 on, no MindSpore, nothing that only POSIX has."""
import ast
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from said import line_with

from src import packages, protobuf
from src.cli import entry
from src.data.images import read_image, write_image
from src.dehaze.dehazer import BENCHMARK_CHECKPOINT, SHIPPED_CHECKPOINT
from src.errors import InputError, UsageError
from src.network.weights import load_weights
from src.runtime import opening
from src.runtime.opening import NetworkChoice

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = {path.stem: path.read_text() for path in (ROOT / "requirements").glob("*.txt")}
INFERENCE = {"PIL", "cv2", "numpy", "onnxruntime", "tifffile", "tqdm", "yaml"}
POSIX = ("fcntl", "resource", "pwd", "grp", "termios", "pty", "tty")
# a site-packages of inference alone on a system that is not POSIX
ELSEWHERE = f"""
import sys, signal, os
for name in {sorted(set(packages.PIP) - INFERENCE) + list(POSIX)}:
    sys.modules[name] = None
for module, names in ((signal, ("SIGUSR1", "SIGKILL", "SIGALRM", "SIGHUP", "alarm", "pthread_sigmask")),
                      (os, ("fork", "getuid", "geteuid", "killpg", "setsid", "statvfs", "sched_getaffinity"))):
    for name in names:
        delattr(module, name)
sys.path.insert(0, {str(ROOT)!r})
"""


def run(code, folder, *arguments):
    command = [sys.executable, "-c", ELSEWHERE + code, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


@pytest.mark.slow
def test_photos_are_dehazed_with_the_packages_of_inference_alone_and_nothing_of_posix(tmp_path):
    hazy = np.random.default_rng(0).integers(0, 256, (40, 52, 3), np.uint8)
    write_image(tmp_path / "photo.png", hazy)
    done = run("from src.cli.entry import run_command; run_command('infer')", tmp_path, "photo.png", "-o", "clear.png")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("computed by onnxruntime ")
    clear = read_image(tmp_path / "clear.png")
    assert clear.shape == hazy.shape and (clear != hazy).any()


@pytest.mark.slow
@pytest.mark.parametrize("command, arguments, text", [
    ("infer", ["photo.png", "-o", "clear.png", "--report"], "needs jinja2, which is not installed; pip install jinja2"),
    ("infer", ["clip.mp4", "-o", "clear.mp4"], "needs av, which is not installed; pip install av"),
    ("infer", ["photo.png", "--runtime", "openvino"], "--runtime openvino: needs openvino, .*; pip install openvino"),
    ("eval", [], "--runtime mindspore: needs MindSpore, which "), ("train", [], "needs .*, which "),
    ("export", [], "needs .*, which ")])
def test_a_missing_package_is_one_line_with_the_command_and_nothing_is_written(tmp_path, command, arguments, text):
    write_image(tmp_path / "photo.png", np.zeros((20, 20, 3), np.uint8))
    (tmp_path / "clip.mp4").write_bytes(b"")
    done = run(f"from src.cli.entry import run_command; run_command({command!r})", tmp_path, *arguments)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert re.match(f"error: {text}", done.stderr), done.stderr
    assert not list(tmp_path.glob("clear.*"))


def test_every_foreign_module_of_the_code_is_known_with_its_package():
    """A module is foreign if neither Python nor this repository has it. Those named here have messages of their own."""
    found = set()
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else \
                [node.module] if isinstance(node, ast.ImportFrom) and not node.level else []
            found |= {name.partition(".")[0] for name in names}
    assert found - set(sys.stdlib_module_names) - {
        "src", "moxing", "torch", "safetensors", "pillow_heif", "rawpy", "pyiqa", "wandb"} \
        <= set(packages.PIP)


def test_packages_that_a_message_names_are_in_the_requirements():
    listed = {re.match(r"[\w-]+", line).group().lower() for text in REQUIREMENTS.values() for line in text.splitlines()
              if line and not line.startswith("#")}
    for command in packages.PIP.values():
        assert {re.match(r"[\w-]+", word.strip('"')).group().lower() for word in command.split()} <= listed
    assert "mindspore==2.8.0;" in REQUIREMENTS["mindspore"] and "opencv-python-headless<5" in REQUIREMENTS["infer"]


def test_an_unknown_module_is_a_fault_of_the_program(monkeypatch):
    def fail():
        raise ModuleNotFoundError("No module named 'no_such'", name="no_such")

    with pytest.raises(ModuleNotFoundError):
        entry.run_as_program(fail)


def test_a_python_without_mindspore_is_told_so(monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 14, 0))
    line_with(packages.missing("psutil"), "MindSpore", "3.9", "3.12", "3.14")
    line_with(packages.missing("jinja2"), "pip install jinja2")


# the runtime

@pytest.fixture
def installed(monkeypatch):
    """A function that makes only these runtimes importable. `broken` are installed, but do not start."""
    def only(*names, broken=()):
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: name in names or None)

        def start(name):
            if name in broken:
                raise ImportError("libgomp.so.1: cannot open shared object file")

        monkeypatch.setattr(opening.importlib, "import_module", start)
    return only


ALL = ("mindspore", "onnxruntime", "openvino")


@pytest.mark.parametrize("names, flags, expected", [
    (ALL, {}, "openvino"), (("mindspore", "onnxruntime"), {}, "onnxruntime"), (("mindspore",), {}, "mindspore"),
    (ALL, {"device_target": "Ascend"}, "mindspore"), (ALL, {"dcn_backend": "native"}, "mindspore"),
    (ALL, {"precision": "bfloat16"}, "openvino")])
def test_the_fastest_runtime_that_does_what_the_flags_ask_is_taken(installed, names, flags, expected):
    installed(*names)
    assert NetworkChoice(SHIPPED_CHECKPOINT, **flags).check().runtime == expected


def test_a_runtime_that_does_not_start_is_named_and_the_next_one_computes(installed, capsys):
    installed(*ALL, broken=("openvino",))
    assert NetworkChoice(SHIPPED_CHECKPOINT).check().runtime == "onnxruntime"
    assert capsys.readouterr().err == ("warning: openvino is installed but cannot start (libgomp.so.1: cannot open "
                                       "shared object file); install it anew\n")


def test_no_runtime_at_all_is_one_line(installed):
    installed()
    with pytest.raises(InputError, match="--runtime auto: needs onnxruntime, which is not installed; pip install onnx"):
        NetworkChoice(SHIPPED_CHECKPOINT).check()
    with pytest.raises(InputError, match="--runtime openvino: needs openvino"):
        NetworkChoice(SHIPPED_CHECKPOINT, precision="bfloat16").check()


def test_mindspore_is_no_choice_for_an_onnx_file(installed):
    installed("mindspore")
    with pytest.raises(InputError, match="--runtime auto: needs onnxruntime"):
        NetworkChoice(Path("m.onnx")).check()
    with pytest.raises(UsageError, match="MindSpore reads no ONNX"):
        NetworkChoice(Path("m.onnx"), runtime="mindspore").check()


# the files

@pytest.mark.parametrize("path", [SHIPPED_CHECKPOINT, BENCHMARK_CHECKPOINT])
def test_the_shipped_weights_are_read_as_mindspore_reads_them(path):
    mindspore = pytest.importorskip("mindspore")
    weights, description = load_weights(path)
    entries = mindspore.load_checkpoint(str(path))
    assert description["arch"] == str(entries["arch"]) and len(weights) == 34
    for name, value in weights.items():
        np.testing.assert_array_equal(value, entries[name].asnumpy(), err_msg=name)


@pytest.mark.parametrize("value", [0, 1, 127, 128, 300, 2**31, 2**63 - 1])
def test_numbers_come_back_from_the_wire_format(value):
    assert list(protobuf.fields(memoryview(protobuf.field(3, value)))) == [(3, value)]


def test_texts_come_back_and_a_cut_message_is_an_error():
    message = protobuf.field(1, "größer") + protobuf.field(200, b"\0\1") + protobuf.field(2, 1.5)
    found = [(number, bytes(value)) for number, value in protobuf.fields(memoryview(message))]
    assert found == [(1, "größer".encode()), (200, b"\0\1"), (2, np.float32(1.5).tobytes())]
    whole = {len(protobuf.field(1, "größer")), len(message) - 5, 0, len(message)}
    for cut in set(range(len(message))) - whole:
        with pytest.raises(ValueError):
            list(protobuf.fields(memoryview(message[:cut])))
    assert protobuf.field(1, -1) == b"\x08" + b"\xff" * 9 + b"\1"  # as the format's page says


def test_a_written_file_is_open_for_writing_when_it_is_flushed(tmp_path, monkeypatch):
    """Windows flushes no other file to the disk."""
    fcntl = pytest.importorskip("fcntl")
    flags = []
    monkeypatch.setattr(os, "fsync", lambda number: flags.append(fcntl.fcntl(number, fcntl.F_GETFL) & os.O_ACCMODE))
    write_image(tmp_path / "a.png", np.zeros((16, 16, 3), np.uint8))
    assert flags == [os.O_RDWR]
