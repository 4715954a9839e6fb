"""Where a run can be followed and compared with others, besides metrics.csv: TensorBoard or Weights & Biases."""
from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, Mapping, Optional, Union

import numpy as np

from ..errors import UsageError, one_line
from .events import EventFile
from .options import of_run


class WandbRun:
    """A run of Weights & Biases. The package is optional, sends what it gets to its server, and asks for a login.

    Args:
        name: of the run. A resumed run goes on with the run of its name.
        folder: for the package's own files.

    Raises: UsageError if the package wandb is missing or refuses the run.
    """

    def __init__(self, name: str, folder: str, options: Mapping[str, Any]):
        try:
            import wandb
        except ImportError:
            raise UsageError("--tracker wandb: needs the package wandb (pip install wandb)") from None
        Path(folder).mkdir(parents=True, exist_ok=True)
        try:
            self._run = wandb.init(project="aecrnet", name=name, id=name, resume="allow", dir=folder,
                                   config=dict(options))
        except Exception as error:  # its errors are of many kinds
            raise UsageError(f"--tracker wandb: cannot start ({one_line(error)[:200]})") from None
        self._image = wandb.Image

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Send scalars by name. Raises: OSError."""
        self._send(step, dict(values))

    def add_picture(self, step: int, image: np.ndarray) -> None:
        """Send the restorations of a validation, uint8 RGB[h, w, 3]. Raises: OSError."""
        self._send(step, {"hazy | restored | clear": self._image(image)})

    def close(self) -> None:
        self._run.finish()

    def _send(self, step: int, values: Mapping[str, Any]) -> None:
        try:
            self._run.log(values, step=step)
        except Exception as error:  # the training goes on without it
            raise OSError(one_line(error)) from None


def open_tracker(options: SimpleNamespace, step: int) -> Optional[Union[EventFile, WandbRun]]:
    """The tracker of `--tracker` for a run that goes on after `step`, with its options. None for `none`.

    Each run has a folder of its own, `--summary_dir`/`--run_name`, so that runs appear side by side under their names.

    Raises: UsageError if a package is missing.
    """
    if options.tracker == "none":
        return None
    name = options.run_name or Path(options.ckpt_save_path).resolve().name
    facts = of_run(options)
    if options.tracker == "wandb":
        return WandbRun(name, options.summary_dir, facts)
    events = EventFile(Path(options.summary_dir) / name, step + 1 if step else 0)
    if not step:
        events.add_options(facts)
    return events
