"""Linear softmax probes: p = softmax(W f + b), one per attribute (arXiv 2510.23802, Eq. 3), kept as one matrix.

Probes of attributes with one value for a clip have a second matrix, for the second part of what they see.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn


class LinearProbes(nn.Module):
    """One probe per attribute on the same inputs, their rows stacked so that they are one matmul.

    Args:
        classes: Number of classes K_a of each attribute, in order.
        inputs: Number of input features.
        clips: Attributes whose probes see the two parts of a clip's peaks (`probes.readout.pooling`), each by weights
            of its own.
    """

    rises: nn.Parameter | None

    def __init__(self, classes: Mapping[str, int], inputs: int, clips: Sequence[str] = ()) -> None:
        super().__init__()
        self.classes, self.clips = dict(classes), tuple(clips)
        self.weight = nn.Parameter(torch.zeros(sum(self.classes.values()), inputs))
        self.bias = nn.Parameter(torch.zeros(self.weight.shape[0]))
        own = sum(self.classes[name] for name in self.clips)
        self.register_parameter("rises", nn.Parameter(torch.zeros(own, inputs)) if clips else None)

    @classmethod
    def of_weights(
        cls,
        classes: Mapping[str, int],
        weight: Tensor,
        bias: Tensor,
        rises: Mapping[str, Tensor] | None = None,
    ) -> LinearProbes:
        """Probes with these weights [sum of K_a, inputs] and biases [sum of K_a].

        `rises` are the weights [K_a, inputs] on the second part of a clip's peaks, for attributes that see them.
        """
        probes = cls(classes, weight.shape[1], list(rises or ()))
        probes.weight.data, probes.bias.data = weight, bias
        if probes.rises is not None and rises:
            probes.rises.data = torch.cat(list(rises.values()))
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

    def of_peaks(self, peaks: Tensor) -> Tensor:
        """Peaks of clips [..., 2, inputs] -> stacked logits [..., sum of K_a], of meaning for attributes of clips."""
        logits: Tensor = self(peaks[..., 0, :])
        for name, weight in self.on_rises().items():
            logits[..., self.rows(name)] += peaks[..., 1, :] @ weight.t()
        return logits

    def on_rises(self) -> dict[str, Tensor]:
        """Weights [K_a, inputs] on the second part of peaks, by attribute of clips."""
        if self.rises is None:
            return {}
        return dict(zip(self.clips, self.rises.split([self.classes[name] for name in self.clips])))

    def probabilities(self, logits: Tensor) -> Tensor:
        """Stacked logits [..., sum of K_a] -> class probabilities, softmaxed within each attribute."""
        return torch.cat([part.softmax(-1) for part in self.split(logits).values()], dim=-1)
