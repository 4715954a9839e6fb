"""When a run learns how fast, validates and saves: its steps and epochs."""
from __future__ import annotations

import math
from types import SimpleNamespace

from ..errors import UsageError

READ_AT_LEAST = 100  # steps


class Schedule:
    """The steps of a run, and their learning rates.

    `--accumulate` batches make one step. A step may begin in one epoch and end in the next, so every epoch shows every
    batch once, whatever the number is.

    Args:
        options: epochs, accumulate, max_steps, test_every, save_every, log_every, and the options of the learning rate.
            `src.train.options.check` has checked them.
        batches_per_epoch: of each rank.

    Attributes:
        total: steps of the whole run.
        end: step at which this process ends.

    Raises: UsageError if one step needs more batches than the run has.
    """

    def __init__(self, options: SimpleNamespace, batches_per_epoch: int):
        self._options, self._batches = options, batches_per_epoch
        self.total = options.epochs * batches_per_epoch // options.accumulate
        if not self.total:
            raise UsageError(f"--accumulate must be at most the {options.epochs * batches_per_epoch} batches of all "
                             f"epochs, not {options.accumulate}")
        self.end = min(self.total, options.max_steps or self.total)

    def epoch(self, step: int) -> int:
        """The epoch in which step 1, 2, ... begins, counted from 1."""
        return self.epochs_finished(step - 1) + 1

    def epochs_finished(self, step: int) -> int:
        """The number of epochs that end with this step or before it."""
        return step * self._options.accumulate // self._batches

    def validates(self, step: int) -> bool:
        """Whether the network is validated after this step."""
        return step == self.total or self._ends_epoch(step, self._options.test_every)

    def saves(self, step: int) -> bool:
        """Whether the state is saved after this step."""
        every = self._options.save_every
        return step == self.end or self._ends_epoch(step, 1) or every > 0 and step % every == 0

    def reads(self, step: int) -> bool:
        """Whether the host waits for this step and reads its report."""
        return step == 1 or step % (self._options.log_every or READ_AT_LEAST) == 0 or self.saves(step)

    def _ends_epoch(self, step: int, every: int) -> bool:
        """Whether an epoch whose number is a multiple of `every` (0: none) ends with this step."""
        return every > 0 and self.epochs_finished(step) // every > self.epochs_finished(step - 1) // every

    def rate(self, step: int) -> float:
        """The learning rate with which step `step` + 1 is taken.

        The cosine is that of the reference's train_wcl.py, but the rate changes with each step instead of each epoch.
        """
        options = self._options
        if step < options.warmup_steps:
            return options.lr * (step + 1) / options.warmup_steps
        if options.lr_schedule == "constant":
            return options.lr
        if options.lr_schedule == "step":
            return options.lr * 0.5 ** (self.epochs_finished(step) // options.lr_step)
        done = (step - options.warmup_steps) / max(1, self.total - options.warmup_steps)
        return options.lr_min + 0.5 * (options.lr - options.lr_min) * (1 + math.cos(math.pi * min(1.0, done)))
