"""Muon for the large 3x3 filters, Adam for all other parameters, with factors on the learning rate."""
from __future__ import annotations

from typing import Any, Dict, List, Tuple

import torch
from torch import Tensor, nn

from recipe.network import Dehaze, has_bfloat16

# Offsets learn slowly (Dai et al. 2017). The gradient of the shared block is the sum over six passes.
FACTORS = {"dcn_block.dcn.conv_offset_mask.": 0.1, "block.": 0.5}


def factor_of(name: str) -> float:
    """The factor on the learning rate of a parameter."""
    return next((factor for start, factor in FACTORS.items() if name.startswith(start)), 1.0)


def is_filter(name: str, parameter: Tensor) -> bool:
    """Whether Muon may update a parameter: 3x3 filters of encoder, trunk and decoder, except those of the whitening
    layer and of the offsets."""
    return parameter.ndim == 4 and parameter.shape[-1] == 3 and not name.startswith(("deconv", "dcn_block.dcn.conv_"))


class Muon(torch.optim.Muon):
    """PyTorch's Muon, with the size of Adam's updates. On a CPU without bfloat16, the iteration that makes an update
    orthogonal is in float32. In PyTorch's it is in bfloat16, which took half of a step there."""

    def __init__(self, groups: List[Dict[str, Any]]):
        super().__init__(groups, weight_decay=0.0, adjust_lr_fn="match_rms_adamw")

    @torch.no_grad()
    def step(self, closure=None) -> None:
        if all(has_bfloat16(matrix) for group in self.param_groups for matrix in group["params"]):
            super().step(closure)
            return
        for group in self.param_groups:
            for matrix in group["params"]:
                mean = self.state[matrix].setdefault("momentum_buffer", torch.zeros_like(matrix))
                mean.lerp_(matrix.grad, 1 - group["momentum"])
                update = orthogonal(matrix.grad.lerp(mean, group["momentum"]), *group["ns_coefficients"],
                                    group["ns_steps"])
                matrix.add_(update, alpha=-group["lr"] * 0.2 * max(matrix.shape) ** 0.5)


def orthogonal(matrix: Tensor, a: float, b: float, c: float, steps: int) -> Tensor:
    """The matrix [rows, columns] with singular values near 1, by Newton and Schulz's iteration (Jordan et al. 2024)."""
    x = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    x = x / x.norm().clamp(min=1e-7)
    for _ in range(steps):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x if x.shape == matrix.shape else x.T


class Optimizer:
    """The optimizers of the network's parameters.

    Args:
        muon: factor on the learning rate of the parameters that Muon updates; 0: Adam updates them. Muon's updates
            have the size of Adam's (Liu et al. 2025), so a factor of 1 or 2 is suitable.
    """

    def __init__(self, net: Dehaze, muon: float):
        own: Dict[float, List[Tensor]] = {}
        filters: Dict[float, List[Tensor]] = {}
        self._views: List[Tuple[nn.Parameter, nn.Parameter]] = []
        for name, parameter in net.named_parameters():
            if muon and is_filter(name, parameter):
                view = nn.Parameter(_as_matrix(parameter.detach()))
                self._views.append((view, parameter))
                filters.setdefault(muon * factor_of(name), []).append(view)
            else:
                own.setdefault(factor_of(name), []).append(parameter)
        self.optimizers: List[torch.optim.Optimizer] = [torch.optim.Adam(_groups(own))]
        if filters:
            self.optimizers.append(Muon(_groups(filters)))

    def step(self, learning_rate: float) -> None:
        for view, parameter in self._views:
            view.grad = _as_matrix(parameter.grad)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate * group["factor"]
            optimizer.step()

    def state_dict(self) -> List[Dict[str, Any]]:
        return [optimizer.state_dict() for optimizer in self.optimizers]

    def load_state_dict(self, states: List[Dict[str, Any]]) -> None:
        for optimizer, state in zip(self.optimizers, states, strict=True):
            optimizer.load_state_dict(state)


def _groups(by_factor: Dict[float, List[Tensor]]) -> List[Dict[str, Any]]:
    return [{"params": parameters, "factor": factor} for factor, parameters in by_factor.items()]


def _as_matrix(x: Tensor) -> Tensor:
    """x[a, b, 3, 3] -> [a, 9 * b]. Makes no copy of a tensor in channels-last order, as the parameters are."""
    return x.permute(0, 2, 3, 1).reshape(x.shape[0], -1)
