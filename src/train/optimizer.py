"""Adam as its paper defines it."""
from __future__ import annotations

from typing import List, Optional, Sequence, Tuple

from mindspore import Parameter, ParameterTuple, Tensor, nn, ops
from mindspore import dtype as mstype

SHARED_BLOCK = "block."  # start of the names of its parameters in `Dehaze`


class Adam(nn.Cell):
    """Adam (Kingma and Ba 2015, algorithm 1). As in PyTorch, epsilon is added to the bias-corrected root.

    `nn.Adam` adds epsilon before the correction, which makes it thirty times larger in the first steps. Weights with
    gradients below 1e-6, half of this network's weights, then move differently than in the originals.

    Args:
        parameters: the weights to train.
        betas, epsilon: as in the paper.
        weight_decay: weight of the L2 penalty, which is added to the gradient.
        factors: factor on the learning rate of each parameter, see `learning_rate_factors`; None: all 1.
        frozen: for each parameter, the number of first steps in which it keeps its value and only its moments are
            updated; None: all 0.

    construct(gradients, learning_rate): one step. The gradients have the order of `parameters`.
    """

    def __init__(self, parameters: Sequence[Parameter], betas: Tuple[float, float] = (0.9, 0.999),
                 epsilon: float = 1e-8, weight_decay: float = 0.0, factors: Optional[Sequence[float]] = None,
                 frozen: Optional[Sequence[int]] = None):
        super().__init__(auto_prefix=False)
        self.parameters = ParameterTuple(parameters)
        self.moment1 = self.parameters.clone("optimizer.moment1", init="zeros")
        self.moment2 = self.parameters.clone("optimizer.moment2", init="zeros")
        self.step = Parameter(Tensor(0, mstype.int32), name="optimizer.step", requires_grad=False)
        self.beta1, self.beta2 = betas
        self.epsilon, self.weight_decay = epsilon, weight_decay
        self.factors = tuple(factors) if factors else (1.0,) * len(self.parameters)
        self.frozen = tuple(frozen) if frozen else (0,) * len(self.parameters)
        self.adam = ops.Adam()

    def construct(self, gradients: Tuple[Tensor, ...], learning_rate: Tensor) -> Tensor:
        step = ops.assign_add(self.step, 1).astype(mstype.float32)
        power1, power2 = self.beta1**step, self.beta2**step
        epsilon = self.epsilon * ops.sqrt(1.0 - power2)
        done = step
        for i in range(len(self.parameters)):
            gradient = gradients[i].astype(mstype.float32)
            if self.weight_decay:
                gradient = gradient + self.weight_decay * self.parameters[i]
            rate = learning_rate if self.factors[i] == 1.0 else learning_rate * self.factors[i]
            if self.frozen[i]:
                rate = rate * (step > self.frozen[i]).astype(mstype.float32)
            update = self.adam(self.parameters[i], self.moment1[i], self.moment2[i], power1, power2,
                               rate, self.beta1, self.beta2, epsilon, gradient)
            done = ops.depend(done, update)
        return done


def learning_rate_factors(parameters: Sequence[Parameter], offset: float, block: float) -> List[float]:
    """The factor on the learning rate of each parameter, by its name in `Dehaze`.

    Args:
        offset: factor for the convolutions that give offsets and masks (0.1 in Dai et al. 2017).
        block: factor for the shared block, whose gradient is the sum over six passes.
    """
    starts = {"dcn_block.p_conv.": offset, "dcn_block.m_conv.": offset, "dcn_block.dcn.conv_offset_mask.": offset,
              SHARED_BLOCK: block}
    return [next((factor for start, factor in starts.items() if parameter.name.startswith(start)), 1.0)
            for parameter in parameters]


def steps_frozen(parameters: Sequence[Parameter], block: int) -> List[int]:
    """The first steps in which each parameter keeps its value: `block` for the shared block, 0 for the others.

    From random weights, the gradients of the first steps all ask for a brighter image. Six passes through a block that
    follows them multiply its features. Meanwhile the decoder learns the brightness without it.
    """
    return [block if parameter.name.startswith(SHARED_BLOCK) else 0 for parameter in parameters]
