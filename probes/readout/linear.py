"""Linear softmax probes: p = softmax(W f + b), one per attribute (arXiv 2510.23802, Eq. 3), kept as one matrix."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn


class LinearProbes(nn.Module):
    """One probe per attribute on the same inputs, their rows stacked so that they are one matmul.

    Args:
        classes: Number of classes K_a of each attribute, in order.
        inputs: Number of input features.
    """

    def __init__(self, classes: Mapping[str, int], inputs: int) -> None:
        super().__init__()
        self.classes = dict(classes)
        self.weight = nn.Parameter(torch.zeros(sum(self.classes.values()), inputs))
        self.bias = nn.Parameter(torch.zeros(self.weight.shape[0]))

    @classmethod
    def of_weights(cls, classes: Mapping[str, int], weight: Tensor, bias: Tensor) -> LinearProbes:
        """Probes with these weights [sum of K_a, inputs] and biases [sum of K_a]."""
        probes = cls(classes, weight.shape[1])
        probes.weight.data, probes.bias.data = weight, bias
        return probes

    @property
    def attributes(self) -> tuple[str, ...]:
        return tuple(self.classes)

    def rows(self, attribute: str) -> slice:
        """Rows of `weight` that belong to an attribute."""
        start = 0
        for name, count in self.classes.items():
            if name == attribute:
                return slice(start, start + count)
            start += count
        raise KeyError(attribute)

    def split(self, stacked: Tensor) -> dict[str, Tensor]:
        """[..., sum of K_a] -> {attribute: [..., K_a]}."""
        return dict(zip(self.classes, stacked.split(list(self.classes.values()), dim=-1)))

    def forward(self, inputs: Tensor) -> Tensor:
        """Inputs [..., inputs] -> stacked logits [..., sum of K_a]."""
        return nn.functional.linear(inputs, self.weight, self.bias)

    def probabilities(self, logits: Tensor) -> Tensor:
        """Stacked logits [..., sum of K_a] -> class probabilities, softmaxed within each attribute."""
        return torch.cat([part.softmax(-1) for part in self.split(logits).values()], dim=-1)
