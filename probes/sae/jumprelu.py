"""JumpReLU: a learned threshold per feature and an L0 penalty (Rajamanoharan et al., arXiv 2407.14435)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from probes.errors import InputError
from probes.sae.base import SparseAutoencoder, StepLoss, register
from probes.sae.config import SAEConfig

START_THRESHOLD = 0.1


class _Jump(torch.autograd.Function):
    """pre * (pre > theta), and through a rectangular kernel of width `bandwidth` a gradient to theta (Eq. 10 there)."""

    @staticmethod
    def forward(ctx: Any, pre: Tensor, theta: Tensor, bandwidth: float) -> Tensor:
        ctx.save_for_backward(pre, theta)
        ctx.bandwidth = bandwidth
        return pre * (pre > theta)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, Tensor, None]:  # type: ignore[override]
        pre, theta = ctx.saved_tensors
        near = (pre - theta).abs() < ctx.bandwidth / 2
        slope = -(theta / ctx.bandwidth) * near * upstream
        return upstream * (pre > theta), slope.sum(0), None


class _Step(torch.autograd.Function):
    """(pre > theta) as numbers, with the kernel's gradient to theta (Eq. 11 there)."""

    @staticmethod
    def forward(ctx: Any, pre: Tensor, theta: Tensor, bandwidth: float) -> Tensor:
        ctx.save_for_backward(pre, theta)
        ctx.bandwidth = bandwidth
        return (pre > theta).to(pre.dtype)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, Tensor, None]:  # type: ignore[override]
        pre, theta = ctx.saved_tensors
        near = (pre - theta).abs() < ctx.bandwidth / 2
        return torch.zeros_like(pre), (-(1 / ctx.bandwidth) * near * upstream).sum(0), None


@dataclass(frozen=True)
class JumpReLUConfig(SAEConfig):
    """JumpReLU (Rajamanoharan et al., arXiv 2407.14435)."""

    architecture: ClassVar[str] = "jumprelu"

    lam: float = 0.05
    """Weight of the L0 penalty, with L0 as a share of the features."""
    bandwidth: float = 0.1
    """Width of the kernel that passes a gradient to the thresholds."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_weight("lambda", self.lam)
        if not 0 < self.bandwidth < math.inf:
            raise InputError(f"bandwidth must be a positive number, not {self.bandwidth}")

    @property
    def penalty_weight(self) -> float:
        return self.lam


@register(JumpReLUConfig)
class JumpReLUSAE(SparseAutoencoder):
    """h_j = pre_j where pre_j > theta_j > 0, else 0; theta = exp(log_threshold)."""

    config: JumpReLUConfig

    def __init__(self, config: JumpReLUConfig) -> None:
        super().__init__(config)
        self.log_threshold = nn.Parameter(torch.full((config.hidden,), START_THRESHOLD).log())

    @property
    def sparsity(self) -> str:
        if self.config.source is not None:  # nobody's file says how it was trained
            return "a threshold for each feature"
        return f"L0 penalty with weight {self.config.lam:g}"

    def activate(self, pre: Tensor) -> Tensor:
        return pre * (pre > self.log_threshold.exp())

    def activate_block(self, pre: Tensor, part: slice) -> Tensor:
        return pre * (pre > self.log_threshold[part].exp())

    def loss(self, x: Tensor, dead: Tensor | None = None, lam: float | None = None) -> StepLoss:
        """Squared error plus lam * C * (active share of the features), mean over the frames.

        C puts the penalty on the scale of the summed error, which is about C for a standardised latent that is
        not explained at all; with reduction mean neither carries it.
        """
        lam = self.config.lam if lam is None else lam
        z = self.standardise(x)
        pre = nn.functional.linear(z, self.encoder_weight, self.encoder_bias)
        theta = self.log_threshold.exp()
        f = _Jump.apply(pre, theta, self.config.bandwidth)
        active = _Step.apply(pre, theta, self.config.bandwidth)
        residual = f @ self.dictionary + self.decoder_bias - z
        error = residual.square().sum(-1).mean()
        penalty = lam * active.sum(-1).mean() / self.config.hidden * self.config.channels
        if self.config.reduction == "mean":
            error, penalty = error / self.config.channels, penalty / self.config.channels
        return StepLoss(error + penalty, error, penalty, (f > 0).any(0).detach())
