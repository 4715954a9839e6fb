"""Helpers for the tests of train.py: training pairs, a small network instead of AECR-Net, child processes."""
from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from mindspore import Tensor, nn, ops

from golden.seeded import image, seeded
from src.data.images import write_image
from src.network.checkpoint import load_checkpoint
from src.network.weights import TRAINING_OPTIONS
from src.train import setup
from src.train.options import FREE

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "PYTHONUNBUFFERED": "1"}


def write_pairs(root, count=6):
    """Write pairs 0 .. count - 1 of 40x56 px in the layout `Pairs`. Returns: root."""
    for kind in ("hazy", "clear"):
        (root / kind).mkdir(parents=True)
    for index in range(count):
        clear = np.round(image(index, (1, 3, 40, 56), 255)[0].transpose(1, 2, 0)).astype(np.uint8)
        write_image(root / "clear" / f"{index}.png", clear)
        write_image(root / "hazy" / f"{index}.png", clear // 2 + 100)
    return root


def flags(data, folder, *more):
    """The flags of a run of six steps in two epochs. Every step is logged."""
    return [f"--dir_data={data}", "--data_train=Pairs", f"--ckpt_save_path={folder}", "--filename=run",
            "--patch_size=16", "--batch_size=2", "--contra_lambda=0", "--epochs=2", "--lr=0.001", "--log_every=1",
            *more]


class SmallNet(nn.Cell):
    """Two convolutions with the attributes that train.py needs. Compiles in a moment."""

    def __init__(self, arch="gitee", dcn_sampling="exact", dcn_backend="auto"):
        super().__init__()
        self.arch, self.dcn_sampling = arch, dcn_sampling
        self.first = nn.Conv2d(3, 4, 3, has_bias=True)
        self.second = nn.Conv2d(4, 3, 3)
        for parameter in self.get_parameters():
            parameter.set_data(Tensor(seeded(parameter.name, parameter.shape, 0.5)))

    def construct(self, x):
        return self.second(nn.ReLU()(self.first(x)))

    def probe(self, x):
        """As `Dehaze.probe`, with the values of a healthy network."""
        activation = nn.ReLU()(self.first(x))
        one = activation.mean() * 0.0 + 1.0
        return one, one, one * 0.0, ops.amax(activation, (0, 2, 3)) + 1.0


def use_small_net(setattr=setattr):
    """Make train.py train a SmallNet of the given arch."""
    setattr(setup, "Dehaze", SmallNet)


def run_child(code, *arguments, timeout=300):
    """Run Python code in a new process, with the folder of the tests on its path."""
    return subprocess.run([sys.executable, "-c", code, *map(str, arguments)], env=ENVIRONMENT, cwd=ROOT,
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout)


def checkpoint(path):
    """The parameters as arrays, and the description."""
    parameters, description = load_checkpoint(path)
    return {name: value.asnumpy() for name, value in parameters.items()}, description


def assert_same_checkpoint(path, other):
    """Assert that all parameters are equal bit for bit, and that the descriptions are equal."""
    (found, found_facts), (expected, expected_facts) = checkpoint(path), checkpoint(other)
    assert found.keys() == expected.keys()
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)
    assert _without_free(found_facts) == _without_free(expected_facts)


def _without_free(facts):
    """A description without the options that a resumed run may set anew."""
    kept = json.loads(facts.get(TRAINING_OPTIONS, "{}"))
    return {**facts, TRAINING_OPTIONS: {name: value for name, value in kept.items() if name not in FREE}}


def metrics(folder):
    """The rows of metrics.csv without the speed, which differs between runs."""
    lines = (Path(folder) / "metrics.csv").read_text().splitlines()
    speed = lines[0].split(",").index("images_per_s")
    return [[value for column, value in enumerate(line.split(",")) if column != speed] for line in lines]


def logged_steps(folder):
    """The last step in metrics.csv; 0 if there is none."""
    path = Path(folder) / "metrics.csv"
    last = path.read_text().splitlines()[-1].split(",")[0] if path.is_file() else ""
    return int(last) if last.isdecimal() else 0
