"""The cases of benchmarks/benchmark.py. Each has our code and a floor that does not depend on our code."""
from __future__ import annotations

import contextlib
import functools
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Callable, List, NamedTuple, Optional

import mindspore
import numpy as np
from mindspore import Tensor, jit, nn, ops

import _clone  # noqa: F401
from src.cli import config
from src.data.images import read_image, write_image
from src.distributed.ranks import Ranks
from src.network.aecrnet import Dehaze
from src.network.dcn import modulated_deform_conv2d
from src.network.layers import WideConv, conv2d, upsample
from src.spec import VALUE_RANGE
from src.train import setup
from src.train.loss import ContrastLoss
from src.train.vgg import random_vgg19

ROOT = Path(__file__).resolve().parent.parent
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


def run(name: str, what: str, repeats: str) -> None:
    """Print the figures of one case as JSON. `what` is "times", "memory" or "floor_memory"."""
    mindspore.set_seed(1)
    Tensor(np.zeros(1, np.float32)).asnumpy()
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()), \
            contextlib.redirect_stderr(io.StringIO()):
        before = _status("VmRSS")
        case = globals()[f"_{name}"](Path(folder))
        if what == "times":
            ours, floor = _medians(case, int(repeats))
            figures = {"ours_s": ours, "floor_s": floor, "floor": case.text, "goal": case.goal,
                       "has_memory": case.has_memory, "notes": case.notes()}
        elif what == "memory":
            figures = {"peak_mb": _peak(case.ours) - before, "peak_goal_mb": case.peak_goal_mb}
        else:
            figures = {"floor_peak_mb": _peak(case.floor) - before}
    print(json.dumps(figures))


def _medians(case, repeats):
    """Median seconds of ours and of the floor. They run in turns, after one call each to warm up."""
    calls = [call for call in (case.ours, case.floor) if call]
    times = [[_seconds(call) for call in calls] for _ in range(repeats + 1)][1:]
    medians = [statistics.median(column) for column in zip(*times)]
    return medians[0], medians[1] if case.floor else None


def _peak(call):
    """The peak memory of this process in MB, after two calls."""
    for _ in range(2):
        call()
    return _status("VmHWM")


def _seconds(call):
    start = time.perf_counter()
    result = call()
    return result if isinstance(result, float) else time.perf_counter() - start


def _status(key):
    """The value of a line of /proc/self/status, in MB."""
    return next(int(text.split()[1]) for text in open("/proc/self/status") if text.startswith(key)) / 1024


def _random(*shape, scale=1.0):
    return Tensor((np.random.default_rng(0).standard_normal(shape) * scale).astype(np.float32))


def _graph(function, *arguments):
    compiled = jit(function)
    return lambda: [result.asnumpy() for result in _flat(compiled(*arguments))]


def _fetch(function, x):
    return function(x).asnumpy()


def _flat(results):
    return [results] if isinstance(results, Tensor) else [one for part in results for one in _flat(part)]


def _dcn_arguments():
    return (_random(1, 256, 60, 60), _random(1, 18, 60, 60, scale=2.0), ops.sigmoid(_random(1, 9, 60, 60)),
            _random(256, 256, 3, 3, scale=0.02))


def _ours_dcn(x, offset, mask, weight):
    return modulated_deform_conv2d(x, offset, mask, weight, padding=1)


def _mindspore_dcn(x, offset, mask, weight):
    return ops.deformable_conv2d(x, weight, ops.concat((offset, mask), 1), (3, 3), (1, 1, 1, 1), (1, 1, 1, 1))


def _dcn(folder):
    arguments = _dcn_arguments()
    return Case(_graph(_ours_dcn, *arguments), _graph(_mindspore_dcn, *arguments),
                "ops.deformable_conv2d, 256 channels, 60x60, forward", 0.8)


def _dcn_gradient(folder):
    arguments = _dcn_arguments()
    ours, floor = (mindspore.grad(function, (0, 1, 2, 3)) for function in (_ours_dcn, _mindspore_dcn))
    return Case(_graph(ours, *arguments), _graph(floor, *arguments), "the same with all gradients", 0.35)


def _wide_conv(folder):
    x = _random(1, 64, 486, 646)
    return Case(_graph(WideConv(64, 3, 7, padding=0), x), _graph(conv2d(64, 3, 7), x),
                "nn.Conv2d, 7x7, 64 to 3 channels, 480x640", 0.4)


class BareConvolutions(nn.Cell):
    """The convolutions of the network in sequence, with nothing between them. Deformable ones are plain ones here."""

    def __init__(self):
        super().__init__()
        self.first = nn.SequentialCell(conv2d(3, 3, 3, padding=1), conv2d(3, 64, 7, padding=3),
                                       conv2d(64, 128, 3, 2, 1), conv2d(128, 256, 3, 2, 1))
        self.trunk = nn.CellList([conv2d(256, 256, 3, padding=1) for _ in range(12)])
        self.attention = nn.CellList([nn.SequentialCell(conv2d(256, 32, 1), conv2d(32, 1, 1)) for _ in range(6)])
        self.offsets = nn.CellList([conv2d(256, 27, 3, padding=1) for _ in range(2)])
        self.deform = nn.CellList([conv2d(256, 256, 3, padding=1) for _ in range(2)])
        self.last = nn.SequentialCell(upsample(256, 128, 0), upsample(128, 64, 0), conv2d(64, 3, 7, padding=3))

    def construct(self, x):
        x = self.first(x)
        beside = ()
        for i in range(6):
            x = self.trunk[2 * i + 1](self.trunk[2 * i](x))
            beside += (self.attention[i](x),)
        for i in range(2):
            beside += (self.offsets[i](x),)
            x = self.deform[i](x)
        return self.last(x), beside


def _network(folder, arch="paper", size=(480, 640), peak_goal_mb=1500.0):
    net = Dehaze(arch).set_train(False)
    x = ops.sigmoid(_random(1, 3, *size)) * VALUE_RANGE[arch]
    return Case(_graph(net, x), _graph(BareConvolutions(), x),
                f"the bare convolutions, {size[0]}x{size[1]}", 1.35, peak_goal_mb)


def _network_gitee(folder):
    return _network(folder, "gitee")


def _network_1600x1200(folder):
    return _network(folder, size=(1200, 1600), peak_goal_mb=None)


def _loss(folder):
    vgg = random_vgg19()
    clear, pred, hazy = (ops.sigmoid(_random(8, 3, 64, 64) + shift) * 255.0 for shift in (0.0, 0.1, 0.5))
    gradient = mindspore.value_and_grad(ContrastLoss(vgg, "gitee"), 1)
    return Case(_graph(gradient, clear, pred, hazy), lambda run=_graph(vgg, clear): [run() for _ in range(4)],
                "4 forwards of VGG19, batch 8, 64 px")


def _step_options(*more):
    return config.parse(["--arch=gitee", "--vgg_random", "--batch_size=8", "--patch_size=64", "--neg_num=8", *more],
                        ("model", "device", "data", "train", "contrast", "checkpoint"), "")


def _train_step(options):
    net = setup.network(options)
    cell = setup.train_cell(options, net, Ranks())
    hazy, clear = (ops.sigmoid(_random(8, 3, 64, 64) + shift) * VALUE_RANGE[net.arch] for shift in (0.5, 0.0))
    rate = Tensor(1e-5, mindspore.float32)
    return lambda: [result.asnumpy() for result in _flat(cell(hazy, clear, rate)[:3])]


def _step(folder):
    mindspore.set_context(mode=mindspore.GRAPH_MODE)
    net, x = Dehaze("gitee").set_train(False), ops.sigmoid(_random(8, 3, 64, 64)) * 255.0
    forward, features = _graph(net, x), _graph(random_vgg19(), x)

    def floor():
        for _ in range(3):
            forward()
        for _ in range(4):
            features()

    return Case(_train_step(_step_options()), floor, "3 forwards of the network + 4 of VGG19, batch 8, 64 px",
                1.3, 3000.0)


def _write_photos(folder, count, size):
    for kind in ("hazy", "clear"):
        (folder / kind).mkdir()
    for i in range(count):
        photo = np.random.default_rng(i).integers(0, 256, (size[0] // 8, size[1] // 8, 3), np.uint8)
        photo = photo.repeat(8, 0).repeat(8, 1)
        write_image(folder / "clear" / f"{i}.png", photo)
        write_image(folder / "hazy" / f"{i}.png", photo // 2 + 100)


def _eval(folder):
    from src.cli.dehazer_options import open_dehazer
    from src.cli.eval import SECTIONS
    from src.data.pairs import find_pairs
    from src.evaluate.evaluation import Evaluation

    _write_photos(folder, 4, (480, 640))
    options = config.parse([f"--dir_data={folder}", "--data_test=Pairs"], SECTIONS, "")
    pairs, _ = find_pairs(options.dir_data, options.data_test)
    dehazer = open_dehazer(options)
    x = np.random.default_rng(0).random((1, 3, 480, 640), np.float32)
    evaluation = Evaluation(options, folder, dehazer, pairs, Ranks())

    def evaluate():
        evaluation.start()
        evaluation.run()

    return Case(evaluate,
                lambda: [dehazer.network(x) for _ in pairs], "the network alone, 4 images of 480x640", None, 1500.0)


def _tiled(folder):
    from src.dehaze.dehazer import Dehazer
    from src.dehaze.work_size import FULL

    dehazer = Dehazer(work_size=FULL)
    image = np.random.default_rng(0).integers(0, 256, (1200, 1600, 3), np.uint8)
    seen = []
    network = dehazer.network
    dehazer.network = SimpleNamespace(value_range=network.value_range, expect=network.expect)
    dehazer._run = lambda images: seen.append(images.shape) or images.astype(np.float32)
    dehazer.dehaze(image)
    dehazer.network = network
    del dehazer._run
    dehazer.expect([image.shape[:2]] * 2)
    n, h, w, _ = seen[0]
    x = np.random.default_rng(0).random((n, 3, h, w), np.float32)
    return Case(lambda: dehazer.dehaze(image), lambda: [network(x) for _ in seen],
                f"the network alone, {len(seen)} tiles of {w}x{h} from 1600x1200", None, 4000.0)


def _loader(folder):
    mindspore.set_context(mode=mindspore.GRAPH_MODE)
    _write_photos(folder, 16, (480, 640))
    options = _step_options("--contra_lambda=0", f"--dir_data={folder}", "--data_train=Pairs", "--repeat=1000")
    batches, step = setup.train_dataset(options, Ranks()).batches(0, 10**6), _train_step(options)

    def speeds():
        step()
        loader, training = _seconds(lambda: [next(batches) for _ in range(100)]) / 100, _seconds(step)
        return [f"loader alone {8 / loader:.0f} images/s, training without CR {8 / training:.1f} images/s"]

    return Case(lambda: [next(batches) for _ in range(100)], None, "100 batches of 8 crops of 64 px", notes=speeds,
                has_memory=False)


def _modes(folder):
    """First and later calls in PyNative mode and as a graph, by which src/runtime/mindspore_runner.py decides."""
    rows = []
    for size in ((64, 64), (240, 320), (480, 640)):
        net, x = Dehaze("gitee").set_train(False), ops.sigmoid(_random(1, 3, *size)) * 255.0
        graph = jit(Dehaze("gitee").set_train(False))
        for mode, run_net in (("PyNative", net), ("graph", graph)):
            call = functools.partial(_fetch, run_net, x)
            first, later = _seconds(call), statistics.median(_seconds(call) for _ in range(3))
            rows.append(f"{size[0]}x{size[1]} {mode}: first call {first:.2f} s, later {later:.2f} s")
    return Case(lambda: None, None, "", notes=lambda: rows, has_memory=False)


def _cpp(folder):
    """The C++ program on three photos. Each call starts a process, whose clock starts when the model is loaded."""
    from src.dehaze.dehazer import Dehazer

    _write_photos(folder, 3, (480, 640))
    _output([sys.executable, str(ROOT / "export.py"), "--dynamic", "--lite2", "--file_name", str(folder / "aecrnet")])
    program = _output(["bash", str(ROOT / "ascend310_infer/build.sh")]).strip()
    command = [program, "--model_path", str(folder / "aecrnet_lite20.mindir"), "--input", str(folder / "hazy"),
               "--output", str(folder / "out"), "--threads", str(len(os.sched_getaffinity(0)))]
    peaks = []

    def ours():
        shown = _output(command)
        peaks.append(float(shown.split("peak memory MiB: ")[1].split()[0]))
        return float(shown.split(" median ")[1].split()[0]) / 1000

    dehazer, photo = Dehazer(), read_image(folder / "hazy/0.png")
    return Case(ours, lambda: dehazer.dehaze(photo), "infer.py's code, per image of 480x640", 1 / 1.3,
                notes=lambda: [f"peak memory of the C++ program: {max(peaks):.0f} MB (goal 1500)"], has_memory=False)


def _runtimes(folder):
    from benchmark_runtimes import BFLOAT16, MINDSPORE, measure

    figures, size = measure(folder), (480, 640)
    return Case(lambda: figures[BFLOAT16, size][0], lambda: figures[MINDSPORE, size][0],
                "MindSpore; ours OpenVINO in bfloat16, 480x640", 0.35, notes=figures.lines, has_memory=False)


def _output(command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _start_up(folder):
    command = [sys.executable, str(ROOT / "infer.py"), "--help"]
    return Case(lambda: subprocess.run(command, stdout=subprocess.DEVNULL, check=True, env=os.environ), None,
                "infer.py --help, in seconds", 1.0, has_memory=False)


if __name__ == "__main__":
    run(*sys.argv[1:])
