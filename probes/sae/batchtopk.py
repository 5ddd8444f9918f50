"""BatchTopK: the k * N largest activations of a batch of N frames (Bussmann et al., arXiv 2412.06410)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from probes.sae.base import register
from probes.sae.topk import TopKConfig, TopKSAE

MOMENTUM = 0.99  # of the running threshold


@dataclass(frozen=True)
class BatchTopKConfig(TopKConfig):
    """BatchTopK (Bussmann et al., arXiv 2412.06410); k is the mean number of active features of a frame."""

    architecture: ClassVar[str] = "batchtopk"


@register(BatchTopKConfig)
class BatchTopKSAE(TopKSAE):
    """k active features a frame on average while training; afterwards a fixed threshold, so that a frame's features do
    not depend on the frames it came with. The threshold is the running mean of the smallest activation kept."""

    elementwise = True

    def __init__(self, config: BatchTopKConfig) -> None:
        super().__init__(config)
        self.register_buffer("threshold", torch.zeros(()))
        self.threshold: Tensor

    def activate(self, pre: Tensor) -> Tensor:
        return torch.where(pre > self.threshold, pre.relu(), torch.zeros_like(pre))

    def training_activations(self, pre: Tensor) -> Tensor:
        values = pre.relu()
        keep = min(self.config.k * pre.shape[0], values.numel())
        smallest = values.flatten().topk(keep, sorted=False).values.min()
        with torch.no_grad():
            found = smallest.detach().to(self.threshold.dtype)
            first = self.threshold == 0
            self.threshold.copy_(torch.where(first, found, MOMENTUM * self.threshold + (1 - MOMENTUM) * found))
        return torch.where((values >= smallest) & (values > 0), values, torch.zeros_like(values))
