"""Generic directions: readings of the latent that stand for no attribute, as a control for those that do.

A direction is drawn with the covariance of the training latents, and its projection is cut into classes at the
quantiles that give the trained probe's own class shares. So it has an attribute's number of classes and the frequency
of each, and says nothing but what any quantity of the latent says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

DIRECTIONS = 4
"""Directions of each attribute."""


class GenericDirections(nn.Module):
    """Directions of every attribute with the edges of their classes.

    Args:
        attributes: Names of the attributes, A of them.
        directions: [A, n, C] on raw latents.
        edges: [A, n, E] ascending edges between classes, infinite behind an attribute's last one.
        mean: [A, n] mean projection over the training latents.
        std: [A, n] its standard deviation.
    """

    def __init__(self, attributes: Sequence[str], directions: Tensor, edges: Tensor, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        if not directions.shape[:2] == edges.shape[:2] == mean.shape == std.shape or len(attributes) != len(mean):
            raise ValueError("give the same number of directions, edges, means and deviations for each attribute")
        self.attributes = tuple(attributes)
        for name, values in (("directions", directions), ("edges", edges), ("mean", mean), ("std", std)):
            self.register_buffer(name, values.detach().float().clone(), persistent=False)
        self.directions: Tensor
        self.edges: Tensor
        self.mean: Tensor
        self.std: Tensor

    def __len__(self) -> int:
        return self.directions.shape[1]

    def tensors(self) -> dict[str, Tensor]:
        """What a file keeps."""
        return {name: getattr(self, name) for name in ("directions", "edges", "mean", "std")}

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Read raw latents.

        Args:
            x: [N, C].

        Returns:
            Classes uint8 [A, n, N], and readings [A, n, N]: projections in standard deviations from their mean.
        """
        sides, n, channels = self.directions.shape
        projections = (self.directions.float().reshape(-1, channels) @ x.float().t()).contiguous()
        edges = self.edges.float().reshape(sides * n, -1).contiguous()
        classes = torch.searchsorted(edges, projections, right=True)
        readings = (projections - self.mean.reshape(-1, 1)) / self.std.reshape(-1, 1)
        shape = (sides, n, len(x))
        return classes.to(torch.uint8).view(shape), readings.view(shape)

    def cut(self, attribute: str, n: int, readings: Tensor) -> Tensor:
        """Classes uint8 of readings of one direction, of any shape."""
        row = self.attributes.index(attribute)
        projections = (readings * self.std[row, n] + self.mean[row, n]).contiguous()
        return torch.searchsorted(self.edges[row, n].contiguous(), projections, right=True).to(torch.uint8)


def draw_directions(covariance: np.ndarray, attributes: Sequence[str], count: int, seed: int) -> np.ndarray:
    """Directions [attributes, count, C] from a normal distribution with the covariance [C, C] of the latents.

    Those of an attribute are seeded by its name too: in readouts that are joined each attribute has its own.
    """
    values, axes = np.linalg.eigh(np.asarray(covariance, dtype=np.float64))
    shape = count, len(values)
    drawn = np.stack([np.random.default_rng([seed, *name.encode()]).standard_normal(shape) for name in attributes])
    return (drawn * np.sqrt(np.maximum(values, 0))) @ axes.T


def cut_directions(
    directions: np.ndarray, projections: Mapping[str, np.ndarray], classes: Mapping[str, np.ndarray], count: int
) -> GenericDirections:
    """Cut each direction's projection where it has the class shares of the trained probe.

    Args:
        directions: [A, n, C], as `draw_directions` gives them.
        projections: For each attribute, [N, n] over the training frames that have a label of it.
        classes: For each attribute, the class that the trained probe reads in the same frames, [N].
        count: Largest number of classes of an attribute.
    """
    edges = np.full((*directions.shape[:2], count - 1), np.inf)
    mean, std = np.zeros(directions.shape[:2]), np.ones(directions.shape[:2])
    for row, (name, values) in enumerate(projections.items()):
        read = np.asarray(classes[name])
        shares = np.bincount(read, minlength=int(read.max()) + 1) / len(read)
        below = np.cumsum(shares)[:-1]
        edges[row, :, : len(below)] = np.quantile(values, below, axis=0).T
        mean[row], std[row] = values.mean(0), np.maximum(values.std(0), 1e-12)
    parts = (torch.from_numpy(part) for part in (directions, edges, mean, std))
    return GenericDirections(list(projections), *parts)
