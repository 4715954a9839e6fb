"""The contrastive regularisation (CR) of AECR-Net: near the clear images, far from hazy ones."""
from __future__ import annotations

from typing import Tuple

import mindspore as ms
from mindspore import Tensor, nn, ops

FORMS = ("gitee", "paper")
WEIGHTS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)  # of relu1_1 .. relu5_1
EPSILON = 1e-7


class ContrastLoss(nn.Cell):
    """Sum over five VGG19 maps of w_i * d(clear, pred) / (d(negatives, pred) + 1e-7), d an L1 distance.

    Wu et al. 2021, section 3.3. The two published forms differ in what the negatives are:

    - "gitee" (model-zoo reference): a few hazy images of the batch, each compared with every
      prediction; their distances are summed, or averaged if `average` is set.
    - "paper" (the authors' code): each prediction's own hazy image; the distance is the mean.

    VGG19 takes the images in the graph's own range, 0..255 ("gitee") or 0..1 ("paper"): neither
    original subtracts ImageNet's mean or divides by its deviation. Only `pred` gets a gradient.

    Args:
        vgg: a `src.vgg.Vgg19`.
        form: "gitee" or "paper".
        average: gitee form only: average over the negatives instead of summing.

    Inputs: clear, pred Tensor[b, 3, h, w]; negatives Tensor[k, 3, h, w] ("gitee") or Tensor[b, 3, h, w] ("paper").
    Outputs: scalar float32 Tensor.
    Raises: ValueError if the form is unknown or the images' shapes do not fit.
    """

    def __init__(self, vgg: nn.Cell, form: str = "gitee", average: bool = False) -> None:
        super().__init__()
        if form not in FORMS:
            raise ValueError(f"form must be one of {', '.join(FORMS)}, found {form!r}")
        self.vgg = vgg
        self.form = form
        self.ratio = DistanceRatio(negatives_shared=form == "gitee", average=average)

    def construct(self, clear: Tensor, pred: Tensor, negatives: Tensor) -> Tensor:
        self._check_shapes(clear.shape, pred.shape, negatives.shape)
        clear = ops.stop_gradient(clear).astype(ms.float32)
        negatives = ops.stop_gradient(negatives).astype(ms.float32)
        pred = pred.astype(ms.float32)
        loss = 0.0
        for index, weight in enumerate(WEIGHTS):
            # one map of one image set at a time: the graph would otherwise compute, and hold, all at once
            clear = ops.stop_gradient(self.vgg.slice(index, clear))
            negatives = ops.stop_gradient(self.vgg.slice(index, ops.depend(negatives, clear)))
            pred = self.vgg.slice(index, ops.depend(pred, negatives))
            pred, ratio, gradient = self.ratio(pred, clear, negatives)
            clear = ops.depend(clear, ops.stop_gradient(gradient))
            loss = loss + weight * ratio
        return loss

    def _check_shapes(self, clear, pred, negatives):
        if clear != pred:
            raise ValueError(f"clear and pred must have one shape, found {clear} and {pred}")
        if self.form == "paper" and negatives != pred:
            raise ValueError(f"negatives must be the batch's hazy images {pred}, found {negatives}")
        if negatives[1:] != pred[1:]:
            raise ValueError(f"negatives must be of pred's size {pred[1:]}, found {negatives[1:]}")


class DistanceRatio(nn.Cell):
    """d(positive, pred) / (d(negatives, pred) + 1e-7) of one feature map, with its gradient by `pred`.

    The gradient is written by hand: automatic differentiation would keep pred - negative for every
    negative, k times the map, where the sum of their signs says it all. It is computed on the way
    forward, so that neither the positive nor the negatives have to wait for the way back.

    Args:
        negatives_shared: True: every prediction is compared with each of the k negatives;
            False: prediction b is compared with negative b.
        average: divide the summed distances by the number of negatives.

    Inputs: pred, positive Tensor[b, c, h, w]; negatives Tensor[k or b, c, h, w].
    Outputs: pred, to go on with; the ratio, a scalar; the gradient Tensor[b, c, h, w], a constant to
        whoever differentiates. As pred passes through, its gradient is put together only when the
        gradient of the deeper maps has arrived.
    """

    def __init__(self, negatives_shared: bool, average: bool = False) -> None:
        super().__init__()
        self.negatives_shared = negatives_shared
        self.average = average

    def construct(self, pred: Tensor, positive: Tensor, negatives: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
        difference = pred - positive
        near = _mean(ops.abs(difference))
        toward = ops.sign(ops.depend(difference, near))
        count = negatives.shape[0] if self.negatives_shared else 1
        to_batch = ops.zeros(pred.shape[0], ms.int32)
        far, away = 0.0, 0.0
        for index in range(count):
            hazy = ops.depend(negatives, away if index else toward)  # one after the other
            if self.negatives_shared:
                # repeated by gather: a subtraction that broadcasts keeps a workspace of four maps on CPU
                hazy = ops.gather(hazy[index:index + 1], to_batch, 0)
            difference = pred - hazy
            far = far + _mean(ops.abs(difference))
            away = away + ops.sign(ops.depend(difference, far))
        share = 1 / count if self.average else 1.0
        scale = 1 / (far * share + EPSILON)
        ratio = near * scale
        return pred, ratio, toward * (scale / pred.size) - away * (ratio * share * scale / pred.size)

    def bprop(self, pred, positive, negatives, out, dout):
        return dout[0] + ops.depend(out[2], dout[0]) * dout[1], ops.zeros_like(positive), ops.zeros_like(negatives)


def _mean(x: Tensor) -> Tensor:
    """The mean of x[b, c, h, w] in two steps: five times as fast on CPU as one over all axes."""
    return x.reshape(x.shape[0] * x.shape[1], -1).mean(axis=1).mean()
