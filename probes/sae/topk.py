"""TopK: the k largest pre-activations of each frame (Gao et al., arXiv 2406.04093)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from probes.errors import InputError
from probes.sae.auxiliary import auxiliary_error
from probes.sae.base import SparseAutoencoder, StepLoss, register
from probes.sae.config import SAEConfig

AUXILIARY_WEIGHT = 1 / 32  # of the squared error, as in the paper


@dataclass(frozen=True)
class TopKConfig(SAEConfig):
    """TopK (Gao et al., arXiv 2406.04093)."""

    architecture: ClassVar[str] = "topk"

    k: int = 32
    """Active features of each frame."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.k <= self.hidden:
            raise InputError(f"k must lie between 1 and hidden = {self.hidden}, not {self.k}")


@register(TopKConfig)
class TopKSAE(SparseAutoencoder):
    """h_j = max(pre_j, 0) for the k largest pre-activations of a frame, 0 for the others."""

    elementwise = False
    config: TopKConfig

    @property
    def sparsity(self) -> str:
        return f"k = {self.config.k}"

    def activate(self, pre: Tensor) -> Tensor:
        top = pre.topk(self.config.k, dim=-1)
        return torch.zeros_like(pre).scatter(-1, top.indices, top.values.relu())

    def training_activations(self, pre: Tensor) -> Tensor:
        """Activations while training; those of `activate` here."""
        return self.activate(pre)

    def loss(self, x: Tensor, dead: Tensor | None = None, lam: float | None = None) -> StepLoss:
        """Squared error plus AuxK on the dead features; the penalty reported is AuxK's."""
        z = self.standardise(x)
        pre = nn.functional.linear(z, self.encoder_weight, self.encoder_bias)
        f = self.training_activations(pre)
        residual = z - (f @ self.dictionary + self.decoder_bias)
        error = residual.square().sum(-1).mean()
        if self.config.reduction == "mean":
            error = error / self.config.channels
        auxiliary = auxiliary_error(residual, pre, self.dictionary, dead)
        penalty = AUXILIARY_WEIGHT * error.detach() * auxiliary
        return StepLoss(error + penalty, error, penalty, (f > 0).any(0).detach())
