"""Measures the trunk between validations."""
from __future__ import annotations

from types import SimpleNamespace
from typing import Dict

from ..data.dataset import TrainDataset
from ..network.aecrnet import Dehaze
from ..network.health import ProbeCell, judge
from .log import TrainingLog

WORTH_IT = 100  # forward passes of one crop; a look costs about one pass, a step three passes for each crop


class TrunkWatch:
    """Judges the trunk of the network in training by one crop, which is always the same."""

    def __init__(self, options: SimpleNamespace, net: Dehaze, data: TrainDataset):
        self._probe = ProbeCell(net)
        passes = 3 * options.batch_size * options.accumulate * options.log_every
        self._crop = data.sample(0)[0][None] if passes >= WORTH_IT else None

    def look(self, log: TrainingLog, step: int) -> Dict[str, float]:
        """Gain and offset; the log warns if they are not healthy. Empty if a look would cost 1 % of the training time
        or more."""
        if self._crop is None:
            return {}
        health = judge([self._probe.of(self._crop)])._replace(silent=0.0)  # one crop cannot excite every channel
        log.warn(step, health)
        return health.trunk()
