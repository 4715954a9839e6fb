"""The state of a run in one checkpoint. A resumed run continues exactly where the run stopped.

`progress` says how far the run is, and `saved` how far the run in FILENAME_last.ckpt is. Nothing else counts steps.
"""
from __future__ import annotations

import contextlib
import glob
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Dict, Mapping, NamedTuple

import numpy as np
from mindspore import Parameter, Tensor
from tqdm import tqdm

from ..distributed.ranks import Ranks
from ..errors import InputError, one_line
from ..network.aecrnet import Dehaze
from ..network.checkpoint import describe, load_checkpoint, save_checkpoint
from ..network.weights import TRAINING_OPTIONS, network_weights
from . import amp
from .cell import TrainOneStepCell
from .options import compare, of_run

# Options that each checkpoint names in its description. FILENAME_last.ckpt holds all options.
TOLD = ("arch", "dcn_sampling", "seed", "batch_size", "accumulate", "patch_size", "data_train",
        "offset_lr_factor", "block_lr_factor", "block_freeze_steps", "amp_dtype")


class NotFinite(InputError):
    """The losses, gradients or weights are inf or nan. The state is then not saved."""


class Progress(NamedTuple):
    """The last finished step, and whether the validation after it is still to be made."""

    step: int = 0
    validation_due: bool = False


class Best(NamedTuple):
    """The best scores of the validations and their steps. A PSNR of -1: there was no validation yet."""

    psnr: float = -1.0
    step: int = 0
    ssim: float = -1.0
    ssim_step: int = 0


class TrainState:
    """The state of a run: its parameters by name, its progress, its best scores, and the options of its start.

    The data order, crops and haze of a step depend on (seed, step) alone, so no random state is kept.

    Args:
        images_per_epoch: number of training images, which decides the order of the data.
        ranks: the ranks of the run. Only rank 0 writes.
        images: what tells the training images from others, a checksum of their names.

    Attributes:
        skipped: number of steps that were skipped because of inf or nan.
    """

    def __init__(self, cell: TrainOneStepCell, net: Dehaze, options: SimpleNamespace, images_per_epoch: int,
                 ranks: Ranks = Ranks(), images: str = ""):
        self.net, self.cell, self.writes = net, cell, ranks.rank == 0
        self._folder, self._name = Path(options.ckpt_save_path), options.filename
        self.last, self.best_file = (self._folder / f"{self._name}_{kind}.ckpt" for kind in ("last", "best"))
        self._facts = {"ranks": ranks.size, "images_per_epoch": images_per_epoch, "images": images,
                       "amp_level": amp.level(options)}
        self._options = of_run(options)
        self.progress, self.saved, self.best, self.skipped = Progress(), Progress(), Best(), 0
        self._begin()

    @property
    def step(self) -> int:
        """The last finished step."""
        return self.progress.step

    @property
    def is_saved(self) -> bool:
        """Whether FILENAME_last.ckpt holds this progress. A new run needs no file."""
        return self.progress == self.saved or self.step == 0

    def parameters(self) -> Dict[str, Parameter]:
        """Weights, running statistics, EMA, loss scale, and moments and step of the optimizer, by name."""
        optimizer = self.cell.optimizer
        kept = list(self.net.get_parameters()) + list(optimizer.moment1) + list(optimizer.moment2)
        kept += [optimizer.step] + list(self.cell.ema) + list(self.cell.scale)
        return {parameter.name: parameter for parameter in kept}

    def evaluation_weights(self) -> Dict[str, Any]:
        """The network's parameters. Weights with a running average are replaced by it."""
        return network_weights(self.parameters())

    # Progress

    def _begin(self) -> None:
        """Note from where this process goes on."""
        self._first, self._updates = self.step, self._updates_done()
        self.cell.keep_statistics()

    def _updates_done(self) -> int:
        return int(self.cell.optimizer.step.asnumpy())

    def finish_step(self) -> None:
        """Count a step that has ended."""
        self.progress = Progress(self.step + 1)

    def lose_steps(self, count: int) -> None:
        """Take back steps that changed nothing."""
        self.progress = Progress(self.step - count)

    def expect_validation(self) -> None:
        """Note that the last step is to be validated."""
        self.progress = Progress(self.step, validation_due=True)

    def finish_validation(self, psnr: float, ssim: float) -> None:
        """Take the scores. If the PSNR is the best so far, write the weights (the EMA if there is one) as best.

        The scores of step 0 are those of the start, which training has to exceed; they write no file.
        """
        best = self.best
        if ssim > best.ssim:
            best = best._replace(ssim=ssim, ssim_step=self.step)
        if psnr > best.psnr and (self.step == 0 or self._write(
                self.best_file, self.evaluation_weights(), self._description(best, val_psnr=psnr, val_ssim=ssim))):
            best = best._replace(psnr=psnr, step=self.step)
        self.best, self.progress = best, Progress(self.step)

    def _is_whole(self) -> bool:
        """Whether the parameters on the device are those after the last finished step."""
        report = self.cell.read_report()
        return (report.steps - report.lost == self.step - self._first
                and self._updates_done() == self._updates + report.steps - report.lost - report.skipped)

    # The last checkpoint

    def save_last(self) -> None:
        """Write the whole state, unless it is already written. On an error, print a warning and keep the old file.

        Raises: NotFinite if the state holds inf or nan. The old file then stays.
        """
        if self.is_saved:
            return
        broken = [name for name, value in self.parameters().items() if not np.isfinite(value.asnumpy()).all()]
        if broken:
            raise NotFinite(f"inf or nan in {len(broken)} parameters ({broken[0]} ...) after step {self.step}; "
                            f"stopped, {self.last_good()}")
        facts = {TRAINING_OPTIONS: json.dumps(self._options), "validation_due": self.progress.validation_due}
        if self._write(self.last, self.parameters(), self._description(self.best, **facts)):
            self.saved = self.progress

    def save_after_failure(self) -> None:
        """Save the last finished step after a later failure.

        If the failed step has already changed weights, nothing is saved, and the checkpoint before it stays.
        """
        with contextlib.suppress(Exception):  # the failure itself is more important
            if self._is_whole():
                self.cell.take_back_statistics()
                self.save_last()

    def last_good(self) -> str:
        """A text that names the checkpoint from which a broken run can continue."""
        if not self.saved.step:
            return "no checkpoint has been saved yet"
        return f"the last good checkpoint is {self.last} of step {self.saved.step}"

    def resume(self) -> None:
        """Load the last checkpoint, and print which options differ from those in the checkpoint.

        Raises: InputError if it is missing or unreadable or holds another network; UsageError if an
            option on which the updates depend has another value than when it was written.
        """
        saved, facts = load_checkpoint(self.last)
        told = {**facts, **json.loads(facts.get(TRAINING_OPTIONS, "{}"))}
        told.update((name, facts[name]) for name in self._facts if name in facts)
        taken = compare(told, {**self._options, **self._facts}, self.last)
        own = self.parameters()
        faults = sorted(set(own) ^ set(saved))
        faults += [name for name in own if name in saved and own[name].shape != saved[name].shape]
        if faults or "step" not in facts:
            raise InputError(f"{self.last}: not the state of a run with these options; it differs in "
                             f"{len(faults)} parameters, {', '.join(faults[:3])} ...")
        for name, parameter in own.items():
            parameter.set_data(Tensor(saved[name].asnumpy(), parameter.dtype))
        self.progress = self.saved = Progress(facts["step"], facts.get("validation_due", False))
        self.best = Best(*(facts.get(f"best_{name}", usual) for name, usual in Best()._asdict().items()))
        self.skipped = facts.get("skipped", 0)
        self._begin()
        if taken:
            print(taken)

    def take_from_first(self, ranks: Ranks) -> None:
        """Copy the state from rank 0 to all ranks. Only rank 0 reads a checkpoint."""
        self.progress, self.best, self.skipped = ranks.gather_objects((self.progress, self.best, self.skipped))[0]
        self.saved = self.progress
        parameters = list(self.parameters().values())
        values = [parameter.asnumpy() for parameter in parameters]
        received = ranks.of_first(np.concatenate([*map(np.ravel, values)]).astype(np.float32))  # exact up to 2**24
        parts = np.split(received, np.cumsum([value.size for value in values])[:-1])
        for parameter, value, part in zip(parameters, values, parts):
            parameter.set_data(Tensor(part.reshape(value.shape).astype(value.dtype)))
        self._begin()

    def _description(self, best: Best, **facts) -> Dict[str, Any]:
        told = {name: self._options[name] for name in TOLD}
        told.update((f"best_{name}", value) for name, value in best._asdict().items())
        return describe(self.net, **{**told, **self._facts, "step": self.step, "skipped": self.skipped, **facts})

    # Files

    def _write(self, path: Path, parameters: Mapping[str, Any], description: Mapping[str, Any]) -> bool:
        """Write a checkpoint. Returns: whether it is written. Other ranks write nothing and share its progress."""
        if not self.writes:
            return True
        self._remove_leftovers()
        try:
            save_checkpoint(path, parameters, description)
        except (OSError, RuntimeError) as error:
            self._remove_leftovers()
            tqdm.write(f"warning: {path}: could not be saved ({one_line(error)[:120]}); "
                       f"the file before it is kept, training goes on")
            return False
        return True

    def _remove_leftovers(self) -> None:
        """Delete the temporary files of killed or failed saves. Each is as large as a checkpoint."""
        for path in self._folder.glob(f".{glob.escape(self._name)}_*.tmp.*"):
            with contextlib.suppress(OSError):
                path.unlink()
