"""The device and the ranks of a run."""
from __future__ import annotations

import os
from types import SimpleNamespace
from typing import NamedTuple, Optional

import mindspore

from src.errors import InputError, one_line


class Ranks(NamedTuple):
    """Which of how many processes this is."""

    rank: int = 0
    size: int = 1


def init_device(options: SimpleNamespace) -> Ranks:
    """Select the device, graph mode and, when started by msrun or an Ascend rank table, data parallelism.

    Gradients are averaged over the ranks; rank i trains on the i-th part of every step's images.

    Raises: InputError if this MindSpore has no such device or the ranks cannot find each other.
    """
    select_device(options.device_target, None if _distributed() else options.device_id)
    mindspore.set_context(mode=mindspore.GRAPH_MODE)
    mindspore.set_seed(options.seed)
    if not _distributed():
        return Ranks()
    try:
        mindspore.communication.init()
        ranks = Ranks(mindspore.communication.get_rank(), mindspore.communication.get_group_size())
    except (RuntimeError, ValueError) as error:
        raise InputError(f"the ranks cannot find each other ({one_line(error)[:200]})") from None
    mindspore.set_auto_parallel_context(parallel_mode=mindspore.ParallelMode.DATA_PARALLEL, gradients_mean=True,
                                        device_num=ranks.size, global_rank=ranks.rank)
    return ranks


def select_device(device_target: str, device_id: Optional[int] = None) -> None:
    """Compute on this device from now on.

    Raises: InputError if this MindSpore has no such device, or the process has computed on another one already.
    """
    try:
        mindspore.set_device(device_target, device_id)
    except (RuntimeError, ValueError) as error:
        # a process that has computed already cannot choose, but may have the right device
        if mindspore.get_context("device_target") != device_target:
            raise InputError(
                f"--device_target {device_target}: cannot be used ({one_line(error)[:200]})") from None


def _distributed() -> bool:
    """Whether msrun (MS_WORKER_NUM) or a rank table's launcher (RANK_SIZE) started more than one process."""
    return int(os.getenv("MS_WORKER_NUM", os.getenv("RANK_SIZE", "1"))) > 1
