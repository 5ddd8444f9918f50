"""Starting values: the decoder's bias from the data, and new starts for dead features."""

from __future__ import annotations

import torch
from torch import Tensor

from probes.sae.base import SparseAutoencoder


@torch.no_grad()
def geometric_median(points: Tensor, steps: int = 100, tolerance: float = 1e-6) -> Tensor:
    """The point with the least sum of distances to points [N, C], by Weiszfeld's iteration; [C]."""
    guess = points.mean(0)
    for _ in range(steps):
        weights = 1 / (points - guess).norm(dim=1).clamp_min(1e-8)
        new = (weights[:, None] * points).sum(0) / weights.sum()
        if (new - guess).norm() <= tolerance * guess.norm().clamp_min(1e-8):
            return new
        guess = new
    return guess


@torch.no_grad()
def resample(
    sae: SparseAutoencoder,
    optimiser: torch.optim.Optimizer,
    x: Tensor,
    dead: Tensor,
    generator: torch.Generator,
) -> Tensor:
    """Point dead features at what is explained worst (Bricken et al., "Towards Monosemanticity", 2023).

    Each dead feature gets the residual of one frame of x [N, C], drawn with probability proportional to its squared
    loss, as its atom, the same direction at a fifth of the living encoders' mean norm as its encoder row, bias 0, and
    an empty optimiser state. `dead` [H] bool; returned as it came.
    """
    count = int(dead.sum())
    if count == 0 or count == len(dead):
        return dead
    z = sae.standardise(x)
    residual = z - (sae.encode(x) @ sae.dictionary + sae.decoder_bias)
    weights = residual.square().sum(1).square().cpu().double()
    frames = torch.multinomial(weights + 1e-12, count, replacement=True, generator=generator).to(x.device)
    atoms = residual[frames] / residual[frames].norm(dim=1, keepdim=True).clamp_min(1e-12)
    scale = sae.dictionary[~dead].norm(dim=1).mean()
    sae.dictionary[dead] = atoms * scale
    sae.encoder_weight[dead] = atoms * sae.encoder_weight[~dead].norm(dim=1).mean() * 0.2
    sae.encoder_bias[dead] = 0
    for parameter in sae.parameters():
        state = optimiser.state.get(parameter, {})
        for name in ("exp_avg", "exp_avg_sq"):
            if name in state and state[name].shape[:1] == dead.shape:
                state[name][dead] = 0
    return dead
