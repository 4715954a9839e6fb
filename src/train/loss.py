"""The loss of a batch: L1, contrastive regularisation (CR) and L1 of Fourier transforms.

CR pulls results towards the clear images and pushes them away from the hazy ones.
"""
from __future__ import annotations

import math
from typing import Optional, Tuple

import mindspore as ms
from mindspore import Tensor, nn, ops

from ..network.aecrnet import Dehaze
from ..spec import ARCHS

WEIGHTS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)  # of relu1_1 .. relu5_1
EPSILON = 1e-7


class ContrastLoss(nn.Cell):
    """Sum over five VGG19 maps of w_i * d(clear, pred) / (d(negatives, pred) + 1e-7), d an L1 distance.

    Source: Wu et al. 2021, section 3.3. The two published forms have different negatives:

    - "gitee" (the model-zoo reference): some hazy images of the batch. Each is compared with every prediction. The
      distances are summed, or averaged if `average` is set.
    - "paper" (the authors' code): each prediction is compared with its own hazy image. The distance is the mean.

    VGG19 takes the images in the value range of the graph, 0..255 ("gitee") or 0..1 ("paper"). Neither original
    subtracts ImageNet's mean or divides by its deviation. Only `pred` gets a gradient.

    Args:
        vgg: a `src.train.vgg.Vgg19`.
        form: "gitee" or "paper".
        average: for form "gitee": average the distances to the negatives instead of summing them.

    Inputs: clear, pred Tensor[b, 3, h, w]; negatives Tensor[k, 3, h, w] ("gitee") or Tensor[b, 3, h, w] ("paper").
    Outputs: scalar float32 Tensor.
    Raises: ValueError if the form is unknown or the images' shapes do not fit.
    """

    def __init__(self, vgg: nn.Cell, form: str = "gitee", average: bool = False) -> None:
        super().__init__()
        if form not in ARCHS:
            raise ValueError(f"form must be one of {', '.join(ARCHS)}, found {form!r}")
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
            # One map of one set of images at a time. Without `depend` the graph would compute and hold all at once.
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

    The gradient is written by hand. Automatic differentiation would keep pred - negative for every negative, which is
    k times the map, but the sum of the signs is all that the gradient needs. The forward pass computes the gradient, so
    that it need not keep the positive and the negatives for the backward pass.

    Args:
        negatives_shared: True: compare every prediction with each of the k negatives. False: compare prediction b
            with negative b.
        average: divide the sum of the distances by the number of negatives.

    Inputs: pred, positive Tensor[b, c, h, w]; negatives Tensor[k or b, c, h, w].
    Outputs: pred, for the next map; the ratio, a scalar; the gradient Tensor[b, c, h, w], a constant in
        differentiation. Because pred passes through this cell, its gradient is summed only when the gradient of the
        deeper maps has arrived.
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
            hazy = ops.depend(negatives, away if index else toward)  # one negative after another
            if self.negatives_shared:
                # gather repeats the negative, because a broadcasting subtraction keeps a workspace of four maps on CPU
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


def fourier_l1(error: Tensor) -> Tensor:
    """L1 of the Fourier transform of error[n, c, h, w]: half the mean of |real part| + |imaginary part|.

    Source: Cho et al., MIMO-UNet, ICCV 2021, eq. 6. The transform is two products with matrices of cosines and sines,
    because MindSpore 2.8 has no `fft2` on GPU.
    """
    cos_rows, sin_rows = _waves(error.shape[2])
    cos_columns, sin_columns = _waves(error.shape[3])
    even, odd = ops.matmul(error, cos_columns), ops.matmul(error, sin_columns)
    real = ops.matmul(cos_rows, even) - ops.matmul(sin_rows, odd)
    imaginary = ops.matmul(sin_rows, even) + ops.matmul(cos_rows, odd)
    return (_mean(ops.abs(real)) + _mean(ops.abs(imaginary))) / 2


def _waves(size: int) -> Tuple[Tensor, Tensor]:
    """Cosine and sine of 2 pi i k / size, each [size, size]."""
    index = ops.arange(size)
    angle = (index.reshape(size, 1) * index % size).astype(ms.float32) * (2 * math.pi / size)
    return ops.cos(angle), ops.sin(angle)


def _mean(x: Tensor) -> Tensor:
    """The mean of x[b, c, h, w] in two steps. On CPU this is five times as fast as one mean over all axes."""
    return x.reshape(x.shape[0] * x.shape[1], -1).mean(axis=1).mean()


class NetWithCRLossCell(nn.Cell):
    """The loss of a batch: L1 + contra_lambda * CR (eq. 4), as in the reference's train_wcl.py.

    With `fft_weight`, L1 of the Fourier transforms is added.

    Args:
        net: the network in training.
        contrast_loss: CR; None: train with L1 alone.
        contra_lambda: weight of CR.
        neg_num: number of negatives of form "gitee". They are the first images of the reversed batch.
        fft_weight: weight of `fourier_l1`; 0: without it.

    construct(hazy, clear): Tensor[n, 3, h, w] in the arch's range -> scalars loss, L1, CR.
    """

    def __init__(self, net: Dehaze, contrast_loss: Optional[ContrastLoss] = None, contra_lambda: float = 0.0,
                 neg_num: int = 0, fft_weight: float = 0.0):
        super().__init__(auto_prefix=False)
        self.net, self.contrast_loss = net, contrast_loss
        self.contra_lambda, self.neg_num, self.fft_weight = contra_lambda, neg_num, fft_weight

    def construct(self, hazy: Tensor, clear: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
        pred = self.net(hazy).astype(ms.float32)
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
