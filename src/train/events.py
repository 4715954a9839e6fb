"""Scalars, pictures and options for TensorBoard."""
from __future__ import annotations

import contextlib
import socket
import time
from pathlib import Path
from typing import Any, Mapping

import numpy as np

from ..errors import UsageError
from ..files import PathLike
from .samples import jpeg


class EventFile:
    """An events file in `folder`. The caller's thread writes it.

    tensorboardX's SummaryWriter writes in a thread of its own. On a full disk that thread dies, and its full queue then
    blocks the training for ever.

    Args:
        first_step: TensorBoard ignores this step and later ones in earlier files of the folder. They belong to a killed
            run, and are trained again.

    Raises: UsageError if tensorboardX is not installed.
    """

    def __init__(self, folder: PathLike, first_step: int = 0):
        try:
            # after mindspore, because protobuf breaks mindspore's import after tensorboardX
            import mindspore  # noqa: F401
            import tensorboardX  # noqa: F401
        except ImportError:
            raise UsageError(
                "--tracker tensorboard: needs the package tensorboardX (pip install tensorboardX)") from None
        self._folder, self._first_step, self._file = Path(folder), first_step, None

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Write scalars by name. Raises: OSError. The next call then starts a new file."""
        from tensorboardX.proto.summary_pb2 import Summary

        self._write(step, Summary(value=[
            Summary.Value(tag=name, simple_value=value) for name, value in values.items()]))

    def add_picture(self, step: int, image: np.ndarray) -> None:
        """Write the restorations of a validation, uint8 RGB[h, w, 3]. Raises: as `add`."""
        from tensorboardX.proto.summary_pb2 import Summary

        height, width = image.shape[:2]
        picture = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=jpeg(image))
        self._write(step, Summary(value=[Summary.Value(tag="hazy | restored | clear", image=picture)]))

    def add_options(self, options: Mapping[str, Any]) -> None:
        """Write the options of the run for the HParams tab, with the validation scores to compare. Raises: as `add`."""
        from tensorboardX.summary import hparams

        plain = {name: value if isinstance(value, (bool, int, float)) else str(value)
                 for name, value in options.items()}
        for summary in hparams(plain, {"val_psnr": 0.0, "val_ssim": 0.0}):
            self._write(0, summary)

    def _write(self, step: int, summary) -> None:
        from tensorboardX.proto.event_pb2 import Event

        try:
            self._file = self._file or self._open()
            self._file.write(Event(wall_time=time.time(), step=step, summary=summary).SerializeToString())
            self._file.flush()
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        """Close the file. It keeps the records that are written."""
        if self._file:
            with contextlib.suppress(OSError):
                self._file.close()
        self._file = None

    def _open(self):
        from tensorboardX import RecordWriter
        from tensorboardX.proto.event_pb2 import Event, SessionLog

        self._folder.mkdir(parents=True, exist_ok=True)
        now = time.time()
        file = RecordWriter(str(self._folder / f"events.out.tfevents.{time.time_ns()}.{socket.gethostname()}"))
        file.write(Event(wall_time=now, file_version="brain.Event:2").SerializeToString())
        if self._first_step:
            start = SessionLog(status=SessionLog.START)
            file.write(Event(wall_time=now, step=self._first_step, session_log=start).SerializeToString())
        return file
