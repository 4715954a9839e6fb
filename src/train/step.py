"""One optimizer step of all ranks. A step that cannot be done ends the run."""
from __future__ import annotations

from types import SimpleNamespace
from typing import Dict

import numpy as np
from mindspore import Tensor, float32
from tqdm import tqdm

from ..data.dataset import Arrays, TrainDataset
from ..distributed.ranks import Ranks
from ..errors import InputError
from .cell import TrainOneStepCell
from .log import TimedBatches
from .state import NotFinite, TrainState


def optimizer_step(options: SimpleNamespace, cell: TrainOneStepCell, batches: TimedBatches, rate: float,
                   data: TrainDataset, state: TrainState, ranks: Ranks) -> Dict[str, float]:
    """One step from `--accumulate` batches. Returns: the means of loss, L1 and CR over the batches and ranks.

    Raises: NotFinite if the loss or, without a loss scale above 1 to explain it, a gradient is inf or nan, InputError
        if a rank has no batch.
    """
    means = np.zeros(3)
    scale = float(cell.scale[0].asnumpy()) if cell.scale else 1.0
    for part in range(options.accumulate):
        hazy, clear = next_batch(batches, state, ranks)
        is_last = part == options.accumulate - 1
        results = cell(Tensor(hazy), Tensor(clear), Tensor(rate, float32), is_last)
        of_ranks = ranks.gather([float(result) for result in results])  # loss, L1, CR, finite
        means += of_ranks[:, :3].mean(0) / options.accumulate
        finite = of_ranks[:, 3].all()
        skipped = not finite and scale > 1
        if not np.isfinite(of_ranks).all() or not (finite or skipped):
            raise _not_finite(of_ranks, data, state, state.step * options.accumulate + part)
        if skipped and is_last and state.writes:
            tqdm.write(f"step {state.step + 1}: gradients overflow at loss scale {scale:g}, step skipped")
    return dict(zip(("loss", "l1", "cr"), means.tolist()))


def next_batch(batches: TimedBatches, state: TrainState, ranks: Ranks) -> Arrays:
    """The next batch. What was learnt so far is saved before an unreadable image ends the run, on whichever rank.

    Raises: the exception of this rank, or InputError for an exception of another rank.
    """
    batch, failure = None, None
    try:
        batch = next(batches)
    except Exception as error:
        failure = error
    if ranks.any(failure is not None):
        state.save_finished()
        ranks.any(True)  # wait until rank 0 has saved, because the first rank that fails ends all others
        raise failure or InputError("another rank could not read its images")
    return batch


def _not_finite(of_ranks: np.ndarray, data: TrainDataset, state: TrainState, batch: int) -> NotFinite:
    """An error with the images of the ranks whose loss is inf or nan. For bad gradients alone, it names all images."""
    losses, finite = of_ranks[:, 0], of_ranks[:, 3].all()
    culprits = np.flatnonzero(~np.isfinite(of_ranks).all(axis=1))
    culprits = culprits if len(culprits) else np.arange(len(of_ranks))
    names = ", ".join(name for rank in culprits for name in data.batch_names(batch, int(rank)))
    return NotFinite(f"loss {losses[culprits[0]]} with {'finite' if finite else 'inf or nan'} gradients in step "
                      f"{state.step + 1}, images {names}; stopped, {state.last_good()}")
