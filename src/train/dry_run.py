"""`train.py --dry_run`: tests on CPU whether a run would start, and describes the run. It writes no file."""
from __future__ import annotations

import resource
import time
from types import SimpleNamespace

import numpy as np
from mindspore import Tensor, float32

from ..distributed.ranks import Ranks
from . import amp, setup, words
from .cell import TrainOneStepCell
from .schedule import Schedule

SIDE, IMAGES = 32, 2  # size of the compiled step; its operators and types do not depend on the size


def dry_run(options: SimpleNamespace) -> int:
    """Open data, weights and VGG19; compile and run one step on CPU, at the level and with the operators of the card.

    bfloat16 is compiled as float16, because MindSpore's convolutions on CPU have no bfloat16.

    Raises: UserError, as the run itself would raise it. Returns: the exit code 0.
    """
    target, dtype, options.amp_level = options.device_target, options.amp_dtype, amp.level(options)
    if target != "CPU" and options.dcn_backend == "auto" and options.dcn_sampling == "exact":
        options.dcn_backend = "native"
    options.device_target, options.amp_dtype = "CPU", "float16"
    setup.init_device(options)
    data, pairs = setup.train_dataset(options, Ranks()), setup.validation_pairs(options)
    schedule = Schedule(options, data.steps_per_epoch)
    net = setup.network(options)
    cell = setup.train_cell(options, net, Ranks())
    real = SimpleNamespace(**{**vars(options), "device_target": target, "amp_dtype": dtype})
    print(words.about_data(real, data, schedule, 1, len(pairs)))
    print(words.about_network(real, net))
    start = time.monotonic()
    loss, finite = _step(cell, *data.sample(0))
    gigabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"one step on CPU with {IMAGES} crops of {SIDE} px{', as float16' if dtype != 'float16' else ''}: "
          f"loss {loss:.4g}, gradients {'finite' if finite else 'inf or nan'}; {time.monotonic() - start:.0f} s with "
          f"compiling; peak memory {gigabytes:.1f} GB")
    return 0


def _step(cell: TrainOneStepCell, hazy: np.ndarray, clear: np.ndarray):
    """The loss of a step, and whether its gradients are finite. Images: float32[3, h, w]."""
    crops = [Tensor(np.stack([image[:, :SIDE, :SIDE]] * IMAGES)) for image in (hazy, clear)]
    loss, _, _, finite = cell(*crops, Tensor(0.0, float32), True)
    return float(loss), bool(finite)
