"""The optimizer steps of all ranks. A step that cannot be done ends the run."""
from __future__ import annotations

from types import SimpleNamespace
from typing import Dict, Optional

import numpy as np
from mindspore import Tensor, float32
from tqdm import tqdm

from ..data.dataset import Arrays, TrainDataset
from ..distributed.ranks import Ranks
from ..distributed.signals import StopSignals
from ..errors import InputError
from .cell import Report, TrainOneStepCell
from .log import TimedBatches
from .state import NotFinite, TrainState

MOST_IN_A_ROW = 3  # skipped steps; so many different batches are not at fault


class OptimizerSteps:
    """Takes steps of `--accumulate` batches each, and reads what became of them.

    The ranks tell each other in the step itself, by its one collective operation, whether a batch could not be read and
    whether a signal asks to stop. `read` learns it, on all ranks after the same step. Meanwhile a rank without a batch
    goes on with blank ones, and no rank learns anything.

    Args:
        state: whose steps are counted.
        stop: a signal's request to stop.
    """

    def __init__(self, options: SimpleNamespace, cell: TrainOneStepCell, batches: TimedBatches, data: TrainDataset,
                 state: TrainState, ranks: Ranks, stop: StopSignals):
        self._accumulate, self._cell, self._batches, self._data = options.accumulate, cell, batches, data
        self._state, self._ranks, self._stop = state, ranks, stop
        shape = (options.batch_size, 3, options.patch_size, options.patch_size)
        self._blank = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        self._failure: Optional[Exception] = None
        self._start, self._skipped_before = state.step, state.skipped
        self._report: Optional[Report] = None
        self._scale, self._is_read = 1.0, True

    def take(self, rate: float) -> None:
        """Take one step. The device may still be at work on it when this returns. Raises: whatever ends the run."""
        for part in range(self._accumulate):
            hazy, clear = self._next_batch()
            is_last = part == self._accumulate - 1
            raised = Tensor([float(self._failure is not None), float(self._stop.requested)], float32)
            self._cell(Tensor(hazy), Tensor(clear), Tensor(rate, float32), is_last, raised)
        self._state.finish_step()
        self._is_read = False

    def _next_batch(self) -> Arrays:
        if self._failure is None:
            try:
                return next(self._batches)
            except Exception as error:
                if self._ranks.size == 1:
                    raise
                self._failure = error
        return self._blank

    def read(self) -> Dict[str, float]:
        """Wait for the last step. Returns: its losses by name, means over its batches and the ranks.

        Raises: if a rank had no batch, its exception there and InputError on other ranks, after the last finished step
            is saved. NotFinite if several steps in a row were skipped and no loss scale explains it.
        """
        report = self._report = self._cell.read_report()
        self._scale = float(self._cell.scale[0].asnumpy()) if self._cell.scale else 1.0
        self._is_read = True
        self._say_skipped()
        self._state.skipped = self._skipped_before + int(report.skipped)
        if report.lost:
            self._state.lose_steps(int(report.lost))
            self._state.save_after_failure()
            self._ranks.any(True)  # wait until rank 0 has saved, because the first rank that fails ends all others
            raise self._failure or InputError("another rank could not read its images")
        if report.in_a_row >= MOST_IN_A_ROW:
            self._require_finite()
        return {"loss": report.loss, "l1": report.l1, "cr": report.cr}

    def finish(self) -> None:
        """Read the last step, unless it is read. Raises: as `read`, and NotFinite if the last step was skipped."""
        if not self._is_read:
            self.read()
        self._require_finite()

    @property
    def are_doubtful(self) -> bool:
        """Whether the last step that was read was skipped, and the weights may be the reason. They are not saved."""
        return bool(self._report and self._report.in_a_row and self._scale <= 1)

    def _require_finite(self) -> None:
        if self.are_doubtful:
            raise NotFinite(
                f"inf or nan in the losses or gradients of the last {self._report.in_a_row:.0f} steps up to step "
                f"{self._last_skipped}, images {self._culprits()}; stopped, {self._state.last_good()}")

    @property
    def stopped(self) -> bool:
        """Whether a signal asks this process to stop or, as far as it is read, one of several ranks."""
        if self._ranks.size == 1:
            return self._stop.requested
        return bool(self._report and self._report.stop)

    @property
    def _last_skipped(self) -> int:
        return self._start + int(self._report.last_skipped)

    def _say_skipped(self) -> None:
        count = int(self._report.skipped) + self._skipped_before - self._state.skipped
        if count and self._state.writes:
            why = (f"gradients overflow, the loss scale is now {self._scale:g}" if self._scale > 1 else
                   f"inf or nan in losses or gradients, images {self._culprits()}")
            tqdm.write(f"step {self._last_skipped} skipped{f' and {count - 1} before it' if count > 1 else ''}: {why}")

    def _culprits(self) -> str:
        """The images of the last skipped step, on the ranks that had inf or nan."""
        first = (self._last_skipped - 1) * self._accumulate
        broken = [rank for rank, is_broken in enumerate(self._report.broken) if is_broken]
        return ", ".join(name for batch in range(first, first + self._accumulate)
                         for rank in broken or range(self._ranks.size) for name in self._data.batch_names(batch, rank))
