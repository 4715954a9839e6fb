"""The program of a rank in tests/test_distributed.py: several trainings in one process, with a record of each.

    python -m src.cli.launch --workers 2 --log_dir LOGS tests/distributed.py PLAN.json
"""
from __future__ import annotations

import atexit
import json
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import psutil
from mindspore import Tensor, nn

from golden.seeded import seeded
from src.cli import train
from src.cli.entry import run_as_program
from src.distributed.ranks import Ranks
from src.distributed.signals import STOP_RANK, said_done
from src.train import setup
from src.train.log import TrainingLog
from training import use_small_net

DEHAZE = setup.Dehaze


class SmallVgg(nn.Cell):
    """Gives the contrastive loss five maps like VGG19, but compiles in a moment."""

    def __init__(self, seed=0):
        super().__init__()
        self.slices = nn.CellList([nn.Conv2d(channels, 4, 3) for channels in (3, 4, 4, 4, 4)])
        for parameter in self.get_parameters():
            parameter.set_data(Tensor(seeded(parameter.name, parameter.shape, 0.5)))

    def slice(self, index, x):
        return nn.ReLU()(self.slices[index](x))


def use_small_nets(setattr=setattr):
    """Make train.py train a SmallNet with a SmallVgg in the contrastive loss."""
    use_small_net(setattr)
    setattr(setup, "random_vgg19", SmallVgg)


def run(plan):
    """Run one training of a plan.

    Keys of a plan: `flags` of train.py; `small`: use the small networks instead of AECR-Net; `record`: the files to
    write; `kill` or `interrupt`, [rank, step]: send SIGKILL to this rank, or SIGINT to the launcher, after this step;
    `crash`: the rank that crashes when its work is done, while the interpreter ends.
    """
    setup.Dehaze = DEHAZE
    if plan.get("small"):
        use_small_nets()
    record = Record(plan)
    if plan.get("crash") == int(os.environ["RANK_ID"]):
        atexit.register(crash_after_the_others)
    code = train.main(plan["flags"])
    if plan.get("record"):
        record.write(plan["record"])
    return code


class Record:
    """Records the parameters of a training and the images that this rank loads."""

    def __init__(self, plan, setattr=setattr):
        self.plan, self.loaded, self.first_step, self._setattr = plan, [], {}, setattr
        self._wrap("train_dataset", self._dataset)
        self._wrap("train_state", self._state)

    def _wrap(self, name, then):
        original = getattr(setup, name)
        original = getattr(original, "original", original)

        def wrapped(*arguments):
            return then(original(*arguments), *arguments)

        wrapped.original = original
        self._setattr(setup, name, wrapped)

    def _dataset(self, data, options, ranks):
        self.options, self.ranks, load = options, ranks, data.source.load

        def noted(index):
            self.loaded.append(data.source.names[index])
            return load(index)

        data.source.load = noted
        return data

    def _state(self, state, *_):
        self.state = state
        after_step(1, self._keep_first_step, self._setattr)
        for kind, act in (("kill", kill_this_rank), ("interrupt", interrupt_the_launcher)):
            rank, step = self.plan.get(kind, (-1, 0))
            if rank == self.ranks.rank:
                after_step(step, act)
        return state

    def _keep_first_step(self):
        self.first_step = self.first_step or self._parameters()

    def _parameters(self):
        # copies, because asnumpy shares the memory that later steps change
        return {name: value.asnumpy().copy() for name, value in self.state.parameters().items()}

    def write(self, path):
        np.savez(f"{path}_{self.ranks.rank}.npz", **self._parameters())
        np.savez(f"{path}_first_step_{self.ranks.rank}.npz", **self.first_step)
        facts = {"loaded": self.loaded, "step": self.state.step}
        if self.options.data_test:
            weights = self.state.evaluation_weights()
            for name, ranks in (("shared", self.ranks), ("alone", Ranks())):
                psnr, ssim, health = setup.validation(self.options, ranks).score(weights)
                facts[name] = [psnr, ssim, *health]
        Path(f"{path}_{self.ranks.rank}.json").write_text(json.dumps(facts))


def crash_after_the_others():
    """Crash when the logs of all ranks say that their work is done."""
    own = Path(os.readlink("/proc/self/fd/1"))
    while any(said_done(path.read_text()) is None for path in own.parent.glob("worker_*.log")):
        time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGSEGV)


def kill_this_rank():
    os.kill(os.getpid(), signal.SIGKILL)


def interrupt_the_launcher():
    """Send Ctrl-C to the launcher, and wait until it has asked this rank to stop."""
    os.kill(psutil.Process().parents()[1].pid, signal.SIGINT)
    stop = signal.getsignal(STOP_RANK).__self__
    while not stop.requested:
        time.sleep(0.01)


def after_step(step, act, setattr=setattr):
    """Call `act` after step `step` of this rank."""
    original = TrainingLog.add_step

    def add_step(log, done, **values):
        original(log, done, **values)
        if done == step:
            act()

    setattr(TrainingLog, "add_step", add_step)


if __name__ == "__main__":
    plans = json.loads(Path(sys.argv[1]).read_text())
    run_as_program(lambda: max(map(run, plans)))
