"""The paper's sparse autoencoder: h = ReLU(W x + b), f = RMSNorm(h), x^ = D f + b_dec (arXiv 2510.23802, Eq. 1, 2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from probes.sae.base import SparseAutoencoder, StepLoss, register
from probes.sae.config import SAEConfig
from probes.sae.fused import fused_backward


@dataclass(frozen=True)
class ReluConfig(SAEConfig):
    """The paper's autoencoder (arXiv 2510.23802, Eq. 1 and 2)."""

    architecture: ClassVar[str] = "relu"

    lam: float = 0.05
    """lambda of Eq. 1."""
    penalty: str = "pre_norm"
    """pre_norm: L1 of h, as in Eq. 1 (the decoder is blind to the scale of h, so training also lowers it by shrinking
    the encoder). post_norm: L1 of f, in effect the ratio L1/L2 of h."""
    eps: float = 1e-8
    """Added to the mean square of h in RMSNorm. Small, since the pre_norm penalty drives rms(h) below 0.01."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require("penalty", ("pre_norm", "post_norm"))
        self.require_weight("lambda", self.lam)
        self.require_weight("eps", self.eps)

    @property
    def penalty_weight(self) -> float:
        return self.lam


@register(ReluConfig)
class ReluSAE(SparseAutoencoder):
    """f_j = gain_j * h_j / rms(h), with rms(h) = sqrt(mean_j h_j^2 + eps) over the features of a frame."""

    normed = True
    config: ReluConfig

    def __init__(self, config: ReluConfig) -> None:
        super().__init__(config)
        self.eps = config.eps
        self.gain = nn.Parameter(torch.ones(config.hidden))

    @property
    def sparsity(self) -> str:
        where = "h, before RMSNorm" if self.config.penalty == "pre_norm" else "f, after RMSNorm"
        form = "sums" if self.config.reduction == "sum" else "means"
        return f"L1 on {where} with lambda {self.config.lam:g}, loss in {form} over elements"

    @property
    def feature_gain(self) -> Tensor:
        return self.gain

    @torch.no_grad()
    def initialise(self, seed: int) -> None:
        """As the base class; the gain starts where ||f|| = sqrt(C), the norm of a standardised latent."""
        super().initialise(seed)
        self.gain.fill_((self.config.channels / self.config.hidden) ** 0.5)

    def activate(self, pre: Tensor) -> Tensor:
        return torch.relu(pre)

    def activate_block(self, pre: Tensor, part: slice) -> Tensor:
        return pre.relu_()

    def rms(self, h: Tensor) -> Tensor:
        """rms over the features, [..., H] -> [..., 1]."""
        return (h.square().mean(-1, keepdim=True) + self.config.eps).sqrt()

    def normalise(self, h: Tensor) -> Tensor:
        return self.gain * h / self.rms(h)

    def loss(self, x: Tensor, dead: Tensor | None = None, lam: float | None = None) -> StepLoss:
        """Eq. 1: ||z - z^||^2 + lambda ||h||_1 (or ||f||_1 with penalty post_norm), mean over the frames."""
        lam = self.config.lam if lam is None else lam
        z = self.standardise(x)
        h = self.activate(nn.functional.linear(z, self.encoder_weight, self.encoder_bias))
        f = self.normalise(h)
        residual = f @ self.dictionary + self.decoder_bias - z
        penalised = h if self.config.penalty == "pre_norm" else f.abs()
        mean = self.config.reduction == "mean"
        error = residual.square().sum(-1).mean() / (self.config.channels if mean else 1)
        penalty = lam * penalised.sum(-1).mean() / (self.config.hidden if mean else 1)
        return StepLoss(error + penalty, error, penalty, (h > 0).any(0).detach())

    def backward(
        self, x: Tensor, dead: Tensor | None = None, lam: float | None = None, precision: str = "fp32"
    ) -> StepLoss:
        """The same loss and gradients as autograd's, taken in blocks of features that stay in cache."""
        return fused_backward(self, x, lam, precision)
