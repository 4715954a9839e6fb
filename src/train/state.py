"""The state of a run in one checkpoint. A resumed run continues exactly where the run stopped."""
from __future__ import annotations

import contextlib
import glob
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Dict, Mapping

import numpy as np
from mindspore import Parameter, Tensor
from tqdm import tqdm

from ..distributed.ranks import Ranks
from ..errors import InputError, one_line
from ..network.aecrnet import Dehaze
from ..network.checkpoint import TRAINING_OPTIONS, describe, load_checkpoint, network_weights, save_checkpoint
from . import amp
from .cell import TrainOneStepCell
from .options import compare, of_run

# Options that each checkpoint names in its description. FILENAME_last.ckpt holds all options.
TOLD = ("arch", "dcn_sampling", "seed", "batch_size", "accumulate", "patch_size", "data_train",
        "offset_lr_factor", "block_lr_factor", "block_freeze_steps", "amp_dtype")


class NotFinite(InputError):
    """The loss, a gradient or a weight is inf or nan. The state is then not saved."""


class TrainState:
    """The state of a run: its parameters by name, step, best score, and the options of its start.

    The data order, crops and haze of a step depend on (seed, step) alone, so no random state is kept.

    Args:
        images_per_epoch: number of training images, which decides the order of the data.
        ranks: the ranks of the run. Only rank 0 writes.
        images: what tells the training images from others, a checksum of their names.
    """

    def __init__(self, cell: TrainOneStepCell, net: Dehaze, options: SimpleNamespace, images_per_epoch: int,
                 ranks: Ranks = Ranks(), images: str = ""):
        self.net, self.cell, self.writes = net, cell, ranks.rank == 0
        self._folder, self._name = Path(options.ckpt_save_path), options.filename
        self.last, self.best = (self._folder / f"{self._name}_{kind}.ckpt" for kind in ("last", "best"))
        self._facts = {"ranks": ranks.size, "images_per_epoch": images_per_epoch, "images": images,
                       "amp_level": amp.level(options)}
        self._options = of_run(options)
        self.step, self.best_psnr = 0, -1.0
        self.saved_step = 0  # step of the last checkpoint
        self.validation_due = self._saved_due = False  # whether the last step is still to be validated
        self._note_finished()

    def parameters(self) -> Dict[str, Parameter]:
        """Weights, running statistics, EMA, loss scale, and moments and step of the optimizer, by name."""
        optimizer = self.cell.optimizer
        kept = list(self.net.get_parameters()) + list(optimizer.moment1) + list(optimizer.moment2)
        kept += [optimizer.step] + list(self.cell.ema) + list(self.cell.scale)
        return {parameter.name: parameter for parameter in kept}

    def finish_step(self) -> None:
        """Count the step that has ended."""
        self.step += 1
        self._note_finished()

    def _note_finished(self) -> None:
        """Copy what a step may change before the update: running statistics and loss scale. Both are small."""
        self._updates = int(self.cell.optimizer.step.asnumpy())
        fixed = [parameter for parameter in self.net.get_parameters() if not parameter.requires_grad]
        self._statistics = [(parameter, parameter.asnumpy().copy()) for parameter in (*fixed, *self.cell.scale)]

    def save_finished(self) -> None:
        """Save the last finished step after a later failure.

        If the failed step has already changed weights, nothing is saved, and the checkpoint before it stays.
        """
        with contextlib.suppress(Exception):  # the failure itself is more important
            if int(self.cell.optimizer.step.asnumpy()) == self._updates:
                for parameter, value in self._statistics:
                    parameter.set_data(Tensor(value))
                self.save_last()

    def save_last(self) -> None:
        """Write the whole state, unless it is already written. On an error, print a warning and keep the old file.

        Raises: NotFinite if the state holds inf or nan. The old file then stays.
        """
        if (self.step, self.validation_due) == (self.saved_step, self._saved_due):
            return
        broken = [name for name, value in self.parameters().items() if not np.isfinite(value.asnumpy()).all()]
        if broken:
            raise NotFinite(f"inf or nan in {len(broken)} parameters ({broken[0]} ...) after step {self.step}; "
                             f"stopped, {self.last_good()}")
        facts = {TRAINING_OPTIONS: json.dumps(self._options), "validation_due": self.validation_due}
        if self._write(self.last, self.parameters(), self._description(**facts)):
            self.saved_step, self._saved_due = self.step, self.validation_due

    def save_best(self, psnr: float) -> None:
        """If the score is the best so far, write the weights (the EMA if there is one) without the training state."""
        if psnr > self.best_psnr and self._write(
                self.best, self.evaluation_weights(), self._description(val_psnr=psnr)):
            self.best_psnr = psnr

    def evaluation_weights(self) -> Dict[str, Any]:
        """The network's parameters. Weights with a running average are replaced by it."""
        return network_weights(self.parameters())

    def last_good(self) -> str:
        """A text that names the checkpoint from which a broken run can continue."""
        if not self.saved_step:
            return "no checkpoint has been saved yet"
        return f"the last good checkpoint is {self.last} of step {self.saved_step}"

    def resume(self) -> None:
        """Load the last checkpoint, and print which options differ from those in the checkpoint.

        Raises: InputError if it is missing or unreadable or holds another network; UsageError if an
            option on which the updates depend has another value than when it was written.
        """
        saved, description = load_checkpoint(self.last)
        told = {**description, **json.loads(description.get(TRAINING_OPTIONS, "{}"))}
        told.update((name, description[name]) for name in self._facts if name in description)
        taken = compare(told, {**self._options, **self._facts}, self.last)
        own = self.parameters()
        faults = sorted(set(own) ^ set(saved))
        faults += [name for name in own if name in saved and own[name].shape != saved[name].shape]
        if faults or "step" not in description:
            raise InputError(f"{self.last}: not the state of a run with these options; it differs in "
                             f"{len(faults)} parameters, {', '.join(faults[:3])} ...")
        for name, parameter in own.items():
            parameter.set_data(Tensor(saved[name].asnumpy(), parameter.dtype))
        self.step = self.saved_step = description["step"]
        self.best_psnr = description["best_psnr"]
        self.validation_due = self._saved_due = description.get("validation_due", False)
        self._note_finished()
        if taken:
            print(taken)

    def take_from_first(self, ranks: Ranks) -> None:
        """Copy the state from rank 0 to all ranks. Only rank 0 reads a checkpoint."""
        parameters = list(self.parameters().values())
        values = [parameter.asnumpy() for parameter in parameters]
        # float32 is exact up to 2**24
        facts = np.array([*divmod(self.step, 1 << 20), self.best_psnr, self.validation_due])
        received = ranks.of_first(np.concatenate([facts, *map(np.ravel, values)]).astype(np.float32))
        *parts, _ = np.split(received, np.cumsum([len(facts), *(value.size for value in values)]))
        for parameter, value, part in zip(parameters, values, parts[1:]):
            parameter.set_data(Tensor(part.reshape(value.shape).astype(value.dtype)))
        if not self.writes:
            self.step = self.saved_step = int(parts[0][0]) * (1 << 20) + int(parts[0][1])
            self.best_psnr, self.validation_due = float(parts[0][2]), bool(parts[0][3])
        self._note_finished()

    def _write(self, path: Path, parameters: Mapping[str, Any], description: Mapping[str, Any]) -> bool:
        """Write a checkpoint. Returns: whether it is written."""
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

    def _description(self, **facts) -> Dict[str, Any]:
        told = {name: self._options[name] for name in TOLD}
        return describe(self.net, **{**told, **self._facts, "step": self.step, "best_psnr": self.best_psnr, **facts})
