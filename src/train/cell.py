"""The loss of a batch, and a training step: one forward and backward pass, then Adam."""
from __future__ import annotations

from typing import Optional, Tuple

from mindspore import Parameter, ParameterTuple, Tensor, amp, nn, ops, value_and_grad
from mindspore import dtype as mstype

from ..network.aecrnet import Dehaze
from .loss import ContrastLoss, fourier_l1
from .optimizer import Adam


class NetWithCRLossCell(nn.Cell):
    """The loss of a batch: L1 + contra_lambda * CR (eq. 4), as in the reference's train_wcl.py; with fft_weight, L1 of
    the Fourier transforms too.

    Args:
        net: the network in training.
        contrast_loss: CR; None: train with L1 alone.
        contra_lambda: weight of CR.
        neg_num: number of negatives of form "gitee". They are the first images of the reversed batch.
        fft_weight: weight of `src.train.loss.fourier_l1`; 0: without it.

    construct(hazy, clear): Tensor[n, 3, h, w] in the arch's range -> scalars loss, L1, CR.
    """

    def __init__(self, net: Dehaze, contrast_loss: Optional[ContrastLoss] = None, contra_lambda: float = 0.0,
                 neg_num: int = 0, fft_weight: float = 0.0):
        super().__init__(auto_prefix=False)
        self.net, self.contrast_loss = net, contrast_loss
        self.contra_lambda, self.neg_num, self.fft_weight = contra_lambda, neg_num, fft_weight

    def construct(self, hazy: Tensor, clear: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
        pred = self.net(hazy).astype(mstype.float32)
        error = pred - clear
        loss = l1 = ops.abs(error).mean()
        if self.fft_weight:
            loss = loss + self.fft_weight * fourier_l1(error)
        if self.contrast_loss is None:
            return loss, l1, ops.zeros_like(l1)
        negatives = hazy
        if self.contrast_loss.form == "gitee":
            negatives = ops.flip(hazy, (0,))[:self.neg_num]
        contrast = self.contrast_loss(clear, pred, negatives)
        return loss + self.contra_lambda * contrast, l1, contrast


class TrainOneStepCell(nn.Cell):
    """One optimizer step from one or more batches.

    Args:
        network: computes (loss, L1, CR) of a batch.
        optimizer: `Adam`.
        scaler: multiplies the loss in the backward pass by a factor, and divides the gradients by it. A step whose
            gradients overflow changes only the factor. None: no factor.
        clip_norm: largest global norm of the gradients, which are scaled down to it; 0: off.
        accumulate: number of batches of a step, which uses their mean gradient.
        ema_decay: decay of the running average `ema.*` of the trained weights; 0: no average.
        reducer: averages the gradients over the ranks of a distributed run.

    construct(hazy, clear, learning_rate, apply): `apply` False only adds up the gradients of the batch. Returns (loss,
        L1, CR, finite); finite tells whether the gradients are finite.
    """

    def __init__(self, network: NetWithCRLossCell, optimizer: Adam, scaler: Optional[amp.DynamicLossScaler] = None,
                 clip_norm: float = 0.0, accumulate: int = 1, ema_decay: float = 0.0,
                 reducer: Optional[nn.Cell] = None):
        super().__init__(auto_prefix=False)
        self.network, self.optimizer, self.reducer = network, optimizer, reducer
        self.sum_over_ranks = None if reducer is None else ops.AllReduce()
        self.weights = optimizer.parameters
        self.scaler, self.clip_norm, self.accumulate = scaler, clip_norm, accumulate
        self.scale = ParameterTuple((scaler.scale_value, scaler.counter) if scaler else ())  # to be saved
        self.sums = self.weights.clone("sum", init="zeros") if accumulate > 1 else ParameterTuple(())
        self.ema_decay = ema_decay
        self.ema = self._average_of_weights() if ema_decay else ParameterTuple(())
        self.backward = value_and_grad(self._scaled_loss, None, self.weights)

    def _average_of_weights(self) -> ParameterTuple:
        return ParameterTuple([
            Parameter(weight.value().copy(), name=f"ema.{weight.name}", requires_grad=False)
            for weight in self.weights
        ])

    def _scaled_loss(self, hazy, clear):
        loss, l1, contrast = self.network(hazy, clear)
        scaled = loss if self.scaler is None else self.scaler.scale(loss)
        return scaled, ops.stop_gradient(loss), ops.stop_gradient(l1), ops.stop_gradient(contrast)

    def construct(self, hazy: Tensor, clear: Tensor, learning_rate: Tensor, apply: bool = True):
        (_, loss, l1, contrast), gradients = self.backward(hazy, clear)
        finite = ops.isfinite(loss)
        if self.accumulate > 1:
            gradients = self._accumulated(gradients)
            finite = ops.depend(finite, gradients)  # otherwise the graph may leave out the sums
        if apply:
            gradients, finite = self._prepared(gradients)
            if self.scaler is None:
                finite = ops.depend(finite, self._step(gradients, learning_rate))
            else:
                self.scaler.adjust(finite)
                if finite:
                    finite = ops.depend(finite, self._step(gradients, learning_rate))
        return loss, l1, contrast, finite

    def _accumulated(self, gradients):
        total = ()
        for i in range(len(self.sums)):
            total += (ops.assign_add(self.sums[i], gradients[i]),)
        return total

    def _prepared(self, gradients):
        """Mean over batches and ranks, unscaled and clipped; and whether it is free of inf and nan."""
        prepared, squares = (), 0.0
        if self.reducer is not None:
            gradients = self.reducer(gradients)
        finite = True
        if self.scaler is not None:
            gradients = self.scaler.unscale(gradients)
            finite = amp.all_finite(gradients)  # on an Ascend 910, whose float16 saturates, it asks the card
            if self.reducer is not None:  # which knows of its own overflows alone
                finite = self.sum_over_ranks(1.0 - finite.astype(mstype.float32)) == 0.0
        for gradient in gradients:
            gradient = gradient.astype(mstype.float32) / self.accumulate
            squares = squares + (gradient * gradient).sum()
            prepared += (gradient,)
        if self.accumulate > 1:
            prepared = self._cleared(prepared)
        if self.clip_norm:
            shrink = ops.minimum(self.clip_norm / (ops.sqrt(squares) + 1e-12), ops.ones_like(squares))
            clipped = ()
            for gradient in prepared:
                clipped += (gradient * shrink,)
            prepared = clipped
        return prepared, ops.logical_and(finite, ops.isfinite(squares))

    def _cleared(self, gradients):
        """Set the sums back to zero. Returns: the gradients."""
        kept = ()
        for i in range(len(gradients)):
            zeros = ops.depend(ops.zeros_like(self.sums[i]), gradients[i])
            kept += (ops.depend(gradients[i], ops.assign(self.sums[i], zeros)),)
        return kept

    def _step(self, gradients, learning_rate):
        done = self.optimizer(gradients, learning_rate)
        if self.ema_decay:
            # the decay starts small, because the first average would otherwise keep the random start
            count = done + 0.0
            decay = ops.minimum((1.0 + count) / (10.0 + count), ops.full_like(count, self.ema_decay))
            for i in range(len(self.ema)):
                weight = ops.depend(self.weights[i] * 1.0, done)
                done = ops.depend(done, ops.assign(self.ema[i], self.ema[i] * decay + weight * (1.0 - decay)))
        return done
