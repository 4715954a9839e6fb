"""The ranks of a run: how they find each other, and what they tell each other."""
from __future__ import annotations

import os
import pickle
from typing import Any, List, NamedTuple, Sequence

import mindspore
import numpy as np
from mindspore import Tensor, ops

from ..errors import InputError, one_line
from .signals import STOP_RANK, end_with_parent, is_distributed, started_by_msrun

CPU_PATIENCE = 1800  # seconds that a rank waits for the others on CPU, which may compile or validate meanwhile


class Ranks(NamedTuple):
    """The number of this process, and the number of processes. All ranks must call a method together."""

    rank: int = 0
    size: int = 1

    def gather(self, values: Sequence[float]) -> np.ndarray:
        """The values of all ranks, [size, len(values)]; float32 if there is more than one rank."""
        if self.size == 1:
            return np.array([values], np.float64)
        return ops.AllGather()(Tensor(np.array([values], np.float32))).asnumpy()

    def any(self, flag: bool) -> bool:
        """Whether the flag is set on at least one rank."""
        return bool(self.gather([flag]).any())

    def gather_objects(self, value: Any) -> List[Any]:
        """The values of all ranks. A value is any object that pickle can store."""
        if self.size == 1:
            return [value]
        data = np.frombuffer(pickle.dumps(value), np.uint8)
        # Two numbers for each length: float32 holds 24 bits exactly, and a length may need more.
        lengths = (self.gather(divmod(len(data), 1 << 20)) @ [1 << 20, 1]).astype(int)
        padded = np.zeros(lengths.max(), np.float32)  # no collective operation on CPU takes integers
        padded[:len(data)] = data
        rows = self.gather(padded).astype(np.uint8)
        return [pickle.loads(row[:length].tobytes()) for row, length in zip(rows, lengths)]

    def of_first(self, values: np.ndarray) -> np.ndarray:
        """The float32 values of rank 0."""
        if self.size == 1:
            return values
        return ops.AllReduce()(Tensor(values if self.rank == 0 else np.zeros_like(values))).asnumpy()


def join_ranks() -> Ranks:
    """Connect to the other ranks, if there are any, after `select_device`. In msrun's scheduler it never returns.

    Raises: InputError if the ranks cannot find each other.
    """
    if not is_distributed():
        return Ranks()
    if started_by_msrun():
        end_with_parent(STOP_RANK)
    if os.getenv("MS_ROLE") == "MS_WORKER":
        # In a rank, MindSpore limits a collective operation on CPU to MS_NODE_TIMEOUT seconds. The scheduler keeps the
        # value that src.cli.launch set: there it limits how long a rank may be silent.
        os.environ["MS_NODE_TIMEOUT"] = str(CPU_PATIENCE)
    try:
        mindspore.communication.init()
        return Ranks(mindspore.communication.get_rank(), mindspore.communication.get_group_size())
    except (RuntimeError, ValueError) as error:
        reason = one_line(error).split(" -----")[0][:200]  # what follows is MindSpore's call stack
        raise InputError(f"the ranks do not find, or have lost, each other ({reason})") from None
