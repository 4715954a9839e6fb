"""Everything a run needs to go on exactly where it stopped, in one checkpoint."""
from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, Dict

import numpy as np
from mindspore import Parameter, Tensor

from src.aecrnet import Dehaze
from src.checkpoint import describe, load_checkpoint, save_checkpoint
from src.errors import InputError, UsageError
from src.train_cell import TrainOneStepCell

# Options that decide the sequence of updates: another value would not continue the same run.
FIXED = ("arch", "dcn_sampling", "seed", "batch_size", "accumulate", "patch_size", "data_train", "ranks")


class TrainState:
    """The parameters of a run by name, and where it is: step, best score, the options it was started with.

    The data order, crops and haze of a step depend on (seed, step) alone, so no random state is kept.
    """

    def __init__(self, cell: TrainOneStepCell, net: Dehaze, options: SimpleNamespace, ranks: int = 1):
        self.net, self.cell = net, cell
        folder = Path(options.ckpt_save_path)
        self.last, self.best = (folder / f"{options.filename}_{kind}.ckpt" for kind in ("last", "best"))
        self.options = {name: getattr(options, name) for name in FIXED if name != "ranks"}
        self.options["ranks"] = ranks
        self.step, self.best_psnr = 0, -1.0

    def parameters(self) -> Dict[str, Parameter]:
        """Weights, running statistics, moments and step of the optimizer, EMA."""
        optimizer = self.cell.optimizer
        kept = list(self.net.get_parameters()) + list(optimizer.moment1) + list(optimizer.moment2)
        return {parameter.name: parameter for parameter in kept + [optimizer.step] + list(self.cell.ema)}

    def save_last(self) -> None:
        """Write the whole state. Raises: OSError or RuntimeError if that fails; the file before it stays."""
        save_checkpoint(self.last, self.parameters(), self._description())

    def save_best(self, psnr: float) -> None:
        """Write the weights to use, the EMA where there is one, without training state."""
        self.best_psnr = psnr
        save_checkpoint(self.best, self.evaluation_weights(), self._description(val_psnr=psnr))

    def evaluation_weights(self) -> Dict[str, Any]:
        """The network's parameters, their running averages in their place where the run keeps some."""
        weights = {parameter.name: parameter for parameter in self.net.get_parameters()}
        weights.update({average.name[len("ema."):]: average for average in self.cell.ema})
        return weights

    def healthy(self) -> bool:
        """Whether all weights are finite."""
        return all(np.isfinite(parameter.asnumpy()).all() for parameter in self.net.get_parameters())

    def resume(self) -> None:
        """Load the last checkpoint.

        Raises: InputError if it is missing or unreadable or holds another network; UsageError if an
            option that decides the sequence of updates has another value than when it was written.
        """
        saved, description = load_checkpoint(self.last)
        for name, value in self.options.items():
            if description.get(name, value) != value:
                raise UsageError(f"--resume: {self.last} was trained with {name} {description[name]}, not {value}")
        own = self.parameters()
        faults = sorted(set(own) ^ set(saved))
        faults += [name for name in own if name in saved and own[name].shape != saved[name].shape]
        if faults:
            raise InputError(f"{self.last}: not the state of such a run; differing parameters: {', '.join(faults)}")
        for name, parameter in own.items():
            parameter.set_data(Tensor(saved[name].asnumpy(), parameter.dtype))
        self.step, self.best_psnr = description["step"], description["best_psnr"]

    def _description(self, **facts) -> Dict[str, Any]:
        return describe(self.net, **{**self.options, "step": self.step, "best_psnr": self.best_psnr, **facts})
