"""A training step: one forward and backward pass, the mean over the ranks, then Adam."""
from __future__ import annotations

from typing import NamedTuple, Optional, Sequence, Tuple

from mindspore import Parameter, ParameterTuple, Tensor, amp, nn, ops, value_and_grad
from mindspore import dtype as mstype

from .loss import NetWithCRLossCell
from .optimizer import Adam


class Report(NamedTuple):
    """What the host needs to know of the steps since the cell was made. It is the same on all ranks.

    loss, l1, cr: of the last step, means over its batches and ranks.
    steps: steps so far, with those that were skipped.
    skipped: steps that were skipped because of inf or nan; the last `in_a_row` steps among them.
    last_skipped: number of the last skipped step, from 1 on; 0: none.
    lost: steps since a rank failed, which changed nothing.
    stop: whether a rank was asked to stop.
    broken: for each rank whether its losses or gradients were inf or nan in the last skipped step.
    """

    loss: float
    l1: float
    cr: float
    steps: float
    skipped: float
    in_a_row: float
    last_skipped: float
    lost: float
    stop: float
    broken: Tuple[bool, ...]


class MeanOverRanks(nn.Cell):
    """The means of some tensors over the ranks, by one collective operation. The results are float32."""

    def __init__(self, size: int):
        super().__init__(auto_prefix=False)
        self.size, self.sum = size, ops.AllReduce()

    def construct(self, tensors: Tuple[Tensor, ...]) -> Tuple[Tensor, ...]:
        flat = ()
        for tensor in tensors:
            flat += (tensor.astype(mstype.float32).reshape(-1),)
        total = self.sum(ops.concat(flat)) / self.size
        means, start = (), 0
        for tensor in tensors:
            means += (total[start:start + tensor.size].reshape(tensor.shape),)
            start += tensor.size
        return means


class TrainOneStepCell(nn.Cell):
    """One optimizer step from one or more batches.

    A step whose gradients or losses are inf or nan changes nothing but the loss scale and `report`: weights, moments,
    average and running statistics keep their values, on all ranks.

    Args:
        network: computes (loss, L1, CR) of a batch.
        optimizer: `Adam`.
        scaler: multiplies the loss in the backward pass by a factor, and divides the gradients by it. None: no factor.
        clip_norm: largest global norm of the gradients, which are scaled down to it; 0: off.
        accumulate: number of batches of a step, which uses their mean gradient.
        ema_decay: decay of the running average `ema.*` of the trained weights; 0: no average.
        statistics: parameters that a forward pass changes.
        ranks: number of this process, and of the processes. All of them take a step together.

    construct(hazy, clear, learning_rate, apply, raised): `apply` False only adds up the gradients of the batch.
        `raised` is Tensor[2]: whether this rank has failed, and whether it was asked to stop. The step of a failed rank
        changes nothing. Returns (loss, L1, CR, finite) of the batch or, if `apply` is set, of the step, as means over
        batches and ranks. finite tells whether the step was taken.

    Attributes:
        report: what the host needs to know of the steps so far, see `Report`. It is read when the host wants, so that
            the device need not wait after each step.
    """

    def __init__(self, network: NetWithCRLossCell, optimizer: Adam, scaler: Optional[amp.DynamicLossScaler] = None,
                 clip_norm: float = 0.0, accumulate: int = 1, ema_decay: float = 0.0,
                 statistics: Sequence[Parameter] = (), ranks: Tuple[int, int] = (0, 1)):
        super().__init__(auto_prefix=False)
        self.network, self.optimizer = network, optimizer
        self.weights = optimizer.parameters
        self.scaler, self.clip_norm, self.accumulate = scaler, clip_norm, accumulate
        self.map = ops.HyperMap()  # its graph compiles faster than that of a loop
        self.scale = ParameterTuple((scaler.scale_value, scaler.counter) if scaler else ())  # to be saved
        self.sums = self.weights.clone("sum", init="zeros") if accumulate > 1 else ParameterTuple(())
        self.losses = Parameter(Tensor([0.0] * 3, mstype.float32), name="sum.losses", requires_grad=False)
        self.ema_decay = ema_decay
        self.ema = self._average_of_weights() if ema_decay else ParameterTuple(())
        self.statistics = ParameterTuple(statistics)
        self.kept = self.statistics.clone("kept") if statistics else ParameterTuple(())
        rank, size = ranks
        self.mean_over_ranks = MeanOverRanks(size) if size > 1 else None
        self.own_place = Tensor([float(place == rank) for place in range(size)], mstype.float32)
        self.nothing_raised = Tensor([0.0, 0.0], mstype.float32)
        self.report = Parameter(Tensor([0.0] * (len(Report._fields) - 1 + size), mstype.float32), name="report",
                                requires_grad=False)
        self.backward = value_and_grad(self._scaled_loss, None, self.weights)

    def _average_of_weights(self) -> ParameterTuple:
        return ParameterTuple([
            Parameter(weight.value().copy(), name=f"ema.{weight.name}", requires_grad=False)
            for weight in self.weights
        ])

    def keep_statistics(self) -> None:
        """Keep the present running statistics as those of the last finished step."""
        for kept, parameter in zip(self.kept, self.statistics):
            kept.set_data(parameter.value().copy())

    def take_back_statistics(self) -> None:
        """Set the running statistics back to those of the last finished step."""
        for kept, parameter in zip(self.kept, self.statistics):
            parameter.set_data(kept.value().copy())

    def read_report(self) -> Report:
        """Wait for the device. Returns: the report of the steps so far."""
        values = self.report.asnumpy()
        rest = len(Report._fields) - 1
        return Report(*map(float, values[:rest]), tuple(bool(value) for value in values[rest:]))

    def _scaled_loss(self, hazy, clear):
        loss, l1, contrast = self.network(hazy, clear)
        scaled = loss if self.scaler is None else self.scaler.scale(loss)
        return scaled, ops.stop_gradient(loss), ops.stop_gradient(l1), ops.stop_gradient(contrast)

    def construct(self, hazy: Tensor, clear: Tensor, learning_rate: Tensor, apply: bool = True, raised=None):
        (_, loss, l1, contrast), gradients = self.backward(hazy, clear)
        losses = ops.stack((loss, l1, contrast))
        if self.accumulate > 1:
            gradients = self.map(ops.assign_add, self.sums, gradients)
            losses = ops.assign_add(self.losses, losses)
        if not apply:  # without `depend` the graph may leave out the sums
            return loss, l1, contrast, ops.depend(ops.isfinite(loss), (gradients, losses))
        if self.accumulate > 1:
            losses = losses / self.accumulate
            zeros = ops.depend(ops.zeros_like(self.losses), losses)
            losses = ops.depend(losses, ops.assign(self.losses, zeros))
        gradients, losses, raised, broken = self._over_ranks(gradients, losses, raised)
        gradients, norm_is_finite = self._prepared(gradients)
        failed = raised[0] > 0
        finite = ops.logical_and(norm_is_finite, broken.sum() == 0)
        if self.scaler is not None:
            if ops.logical_not(failed):
                finite = ops.depend(finite, self.scaler.adjust(finite))
        taken = ops.logical_and(finite, ops.logical_not(failed))
        if taken:
            taken = ops.depend(taken, self._step(gradients, learning_rate))
        taken = ops.depend(taken, self._settle_statistics(taken))
        taken = ops.depend(taken, self._write_report(losses, finite, failed, raised, broken))
        return losses[0], losses[1], losses[2], taken

    def _over_ranks(self, gradients, losses, raised):
        """Means over the ranks by one collective operation. Gradients become float32 and are unscaled.

        Returns: gradients, losses[3], raised[2], and for each rank whether its losses or gradients are inf or nan.
        """
        finite = ops.isfinite(losses.sum())
        if self.scaler is not None:
            gradients = self.scaler.unscale(gradients)
            # on an Ascend 910, whose float16 saturates, it asks the card, which knows of its own overflows alone
            finite = ops.logical_and(finite, amp.all_finite(gradients))
        elif self.mean_over_ranks is not None:
            finite = ops.logical_and(finite, ops.isfinite(_sum_of_squares(gradients)))
        broken = self.own_place * (1.0 - finite.astype(mstype.float32))
        raised = self.nothing_raised if raised is None else raised
        if self.mean_over_ranks is None:
            return gradients, losses, raised, broken
        means = self.mean_over_ranks(gradients + (losses, raised, broken))
        return means[:-3], means[-3], means[-2], means[-1]

    def _prepared(self, gradients):
        """Mean over batches, clipped; and whether the norm is finite."""
        prepared = self.map(ops.partial(_mean, self.accumulate), gradients)
        squares = _sum_of_squares(prepared)
        if self.accumulate > 1:
            prepared = self.map(_cleared, self.sums, prepared)
        if self.clip_norm:
            shrink = ops.minimum(self.clip_norm / (ops.sqrt(squares) + 1e-12), ops.ones_like(squares))
            prepared = self.map(ops.partial(ops.mul, shrink), prepared)
        return prepared, ops.isfinite(squares)

    def _step(self, gradients, learning_rate):
        done = self.optimizer(gradients, learning_rate)
        if self.ema_decay:
            # the decay starts small, because the first average would otherwise keep the random start
            count = done + 0.0
            decay = ops.minimum((1.0 + count) / (10.0 + count), ops.full_like(count, self.ema_decay))
            done = ops.depend(done, self.map(ops.partial(_average, decay, done), self.ema, self.weights))
        return done

    def _settle_statistics(self, taken):
        """Keep the running statistics after a step that was taken, and take them back after one that was not."""
        done = taken
        for i in range(len(self.kept)):
            settled = ops.select(taken, self.statistics[i].value(), self.kept[i].value())
            done = ops.depend(done, ops.assign(self.statistics[i], settled))
            done = ops.depend(done, ops.assign(self.kept[i], settled))
        return done

    def _write_report(self, losses, finite, failed, raised, broken):
        last = self.report * 1.0
        lost, skipped = failed.astype(mstype.float32), 1.0 - finite.astype(mstype.float32)
        skipped = skipped * (1.0 - lost)
        steps = last[3] + 1.0
        numbers = ops.stack((
            steps, last[4] + skipped, (last[5] + 1.0) * skipped, ops.select(skipped > 0, steps, last[6]),
            last[7] + lost, raised[1]))
        ranks = ops.select(skipped > 0, (broken > 0).astype(mstype.float32), last[9:])
        return ops.assign(self.report, ops.concat((losses, numbers, ranks)))


def _mean(count, total):
    return total.astype(mstype.float32) / count


def _cleared(total, gradient):
    """Set the sum back to zero after the gradient was computed. Returns: the gradient."""
    zeros = ops.depend(ops.zeros_like(total), gradient)
    return ops.depend(gradient, ops.assign(total, zeros))


def _average(decay, done, average, weight):
    weight = ops.depend(weight * 1.0, done)
    return ops.assign(average, average * decay + weight * (1.0 - decay))


def _square(tensor):
    return (tensor * tensor).sum()


def _sum_of_squares(tensors):
    return ops.addn(ops.HyperMap()(_square, tensors))
