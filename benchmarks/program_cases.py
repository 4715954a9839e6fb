"""The cases of the benchmark that run whole programs: evaluation, tiles, loader, modes, C++, runtimes, start-up."""
from __future__ import annotations

import functools
import os
import statistics
import subprocess
import sys
from pathlib import Path

import mindspore
import numpy as np
from mindspore import jit, ops

import _clone  # noqa: F401
import cpp_program
from benchmark_runtimes import BFLOAT16, MINDSPORE, measure
from measuring import Case, random, seconds
from network_cases import step_options, train_step
from src.cli import config
from src.cli.dehazer_options import open_dehazer
from src.cli.eval import SECTIONS
from src.data.images import read_image, write_image
from src.data.pairs import find_pairs
from src.dehaze.dehazer import Dehazer
from src.dehaze.work_size import FULL
from src.distributed.ranks import Ranks
from src.evaluate.evaluation import Evaluation
from src.network.aecrnet import Dehaze
from src.train import setup

ROOT = Path(__file__).resolve().parent.parent


def _write_photos(folder, count, size):
    for kind in ("hazy", "clear"):
        (folder / kind).mkdir()
    for i in range(count):
        photo = np.random.default_rng(i).integers(0, 256, (size[0] // 8, size[1] // 8, 3), np.uint8)
        photo = photo.repeat(8, 0).repeat(8, 1)
        write_image(folder / "clear" / f"{i}.png", photo)
        write_image(folder / "hazy" / f"{i}.png", photo // 2 + 100)


def evaluation(folder):
    _write_photos(folder, 4, (480, 640))
    options = config.parse([f"--dir_data={folder}", "--data_test=Pairs"], SECTIONS, "")
    pairs, _ = find_pairs(options.dir_data, options.data_test)
    dehazer = open_dehazer(options)
    x = np.random.default_rng(0).random((1, 3, 480, 640), np.float32)
    whole = Evaluation(options, folder, dehazer, pairs, Ranks())

    def evaluate():
        whole.start()
        whole.run()

    return Case(evaluate,
                lambda: [dehazer.network(x) for _ in pairs], "the network alone, 4 images of 480x640", None, 1500.0)


class Recorder:
    """A runner that notes the shapes of its inputs and returns the inputs."""

    path, description, value_range, size = Path("none"), {}, 1.0, None

    def __init__(self):
        self.shapes = []

    def expect(self, shape, calls):
        pass

    def __call__(self, x):
        self.shapes.append(x.shape)
        return x


def tiled(folder):
    image = np.random.default_rng(0).integers(0, 256, (1200, 1600, 3), np.uint8)
    recorder = Recorder()
    Dehazer(network=recorder, work_size=FULL).dehaze(image)
    dehazer = Dehazer(work_size=FULL)
    dehazer.expect([image.shape[:2]] * 2)
    x = np.random.default_rng(0).random(recorder.shapes[0], np.float32)
    return Case(lambda: dehazer.dehaze(image), lambda: [dehazer.network(x) for _ in recorder.shapes],
                f"the network alone, {len(recorder.shapes)} tiles of {x.shape[3]}x{x.shape[2]} from 1600x1200", None,
                4000.0)


def loader(folder):
    mindspore.set_context(mode=mindspore.GRAPH_MODE)
    _write_photos(folder, 16, (480, 640))
    options = step_options("--contra_lambda=0", f"--dir_data={folder}", "--data_train=Pairs", "--repeat=1000")
    batches, step = setup.train_dataset(options, Ranks()).batches(0, 10**6), train_step(options)

    def speeds():
        step()
        loader, training = seconds(lambda: [next(batches) for _ in range(100)]) / 100, seconds(step)
        return [f"loader alone {8 / loader:.0f} images/s, training without CR {8 / training:.1f} images/s"]

    return Case(lambda: [next(batches) for _ in range(100)], None, "100 batches of 8 crops of 64 px", notes=speeds,
                has_memory=False)


def _fetch(function, x):
    return function(x).asnumpy()


def modes(folder):
    """First and later calls in PyNative mode and as a graph, by which src/runtime/mindspore_runner.py decides."""
    rows = []
    for size in ((64, 64), (240, 320), (480, 640)):
        net, x = Dehaze("gitee").set_train(False), ops.sigmoid(random(1, 3, *size)) * 255.0
        graph = jit(Dehaze("gitee").set_train(False))
        for mode, run_net in (("PyNative", net), ("graph", graph)):
            call = functools.partial(_fetch, run_net, x)
            first, later = seconds(call), statistics.median(seconds(call) for _ in range(3))
            rows.append(f"{size[0]}x{size[1]} {mode}: first call {first:.2f} s, later {later:.2f} s")
    return Case(lambda: None, None, "", notes=lambda: rows, has_memory=False)


def cpp(folder):
    """The C++ program on three photos. Each call starts a process, whose clock starts when the model is loaded."""
    _write_photos(folder, 3, (480, 640))
    _output([sys.executable, str(ROOT / "export.py"), "--dynamic", "--lite2", "--file_name", str(folder / "aecrnet")])
    program = _output(["bash", str(ROOT / "ascend310_infer/build.sh")]).strip()
    peaks = []

    def ours():
        figures = cpp_program.run(program, folder / "aecrnet_lite20.mindir", folder / "hazy",
                                  "--output", folder / "out")
        peaks.append(figures.memory_mb)
        return figures.median

    dehazer, photo = Dehazer(), read_image(folder / "hazy/0.png")
    return Case(ours, lambda: dehazer.dehaze(photo), "infer.py's code, per image of 480x640", 1 / 1.3,
                notes=lambda: [f"peak memory of the C++ program: {max(peaks):.0f} MB (goal 1500)"], has_memory=False)


def runtimes(folder):
    figures, size = measure(folder), (480, 640)
    return Case(lambda: figures[BFLOAT16, size][0], lambda: figures[MINDSPORE, size][0],
                "MindSpore; ours OpenVINO in bfloat16, 480x640", 0.35, notes=figures.lines, has_memory=False)


def _output(command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def start_up(folder):
    command = [sys.executable, str(ROOT / "infer.py"), "--help"]
    return Case(lambda: subprocess.run(command, stdout=subprocess.DEVNULL, check=True, env=os.environ), None,
                "infer.py --help, in seconds", 1.0, has_memory=False)
