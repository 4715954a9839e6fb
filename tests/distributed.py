"""What a rank of tests/test_distributed.py does: several trainings in one process, and what came of them on this rank.

    python -m src.launch --workers 2 --log_dir LOGS tests/distributed.py PLAN.json
"""
from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import numpy as np

import train
from src import build, training_log
from src.validation import validate
from training import SmallNet

DEHAZE = build.Dehaze


def run(plan):
    """One training: `flags`, `small` network or not, `record` of this rank, `die`: [rank, step] of a kill -9."""
    build.Dehaze = SmallNet if plan.get("small") else DEHAZE
    record = Record(plan)
    code = train.main(plan["flags"])
    record.write()
    return code


class Record:
    """Keeps what build.py makes for train.py, and the images that this rank loads."""

    def __init__(self, plan):
        self.path, self.die, self.loaded = plan.get("record"), plan.get("die"), []
        self._wrap("train_dataset", self._dataset)
        self._wrap("train_state", self._state)

    def _wrap(self, name, then):
        original = getattr(build, name)
        original = getattr(original, "original", original)

        def wrapped(*arguments):
            return then(original(*arguments), *arguments)

        wrapped.original = original
        setattr(build, name, wrapped)

    def _dataset(self, data, options, ranks):
        self.options, self.ranks, load = options, ranks, data.source.load

        def noted(index):
            self.loaded.append(data.source.names[index])
            return load(index)

        data.source.load = noted
        return data

    def _state(self, state, *_):
        self.state = state
        if self.die and self.die[0] == self.ranks.rank:
            kill_after(self.die[1])
        return state

    def write(self):
        if not self.path:
            return
        weights = {name: value.asnumpy() for name, value in self.state.parameters().items()}
        np.savez(f"{self.path}_{self.ranks.rank}.npz", **weights)
        facts = {"loaded": self.loaded, "step": self.state.step}
        if self.options.data_test:
            net, average = self.state.net, self.state.evaluation_weights()
            pairs = build.validation_pairs(self.options)
            facts["together"] = validate(net, average, pairs, self.ranks)
            facts["alone"] = validate(net, average, pairs)
        Path(f"{self.path}_{self.ranks.rank}.json").write_text(json.dumps(facts))


def kill_after(step):
    """kill -9 for this process when it has done so many steps."""
    original = training_log.TrainingLog.add_step

    def add_step(log, number, **values):
        original(log, number, **values)
        if number == step:
            os.kill(os.getpid(), signal.SIGKILL)

    training_log.TrainingLog.add_step = add_step


if __name__ == "__main__":
    from src import errors

    plans = json.loads(Path(sys.argv[1]).read_text())
    errors.run(lambda: max(map(run, plans)))
