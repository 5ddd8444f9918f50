"""What probes see of latents: features of an autoencoder, with or without their level, or the latents themselves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from probes.sae import SparseAutoencoder


@dataclass(frozen=True)
class Inputs:
    """What probes see of raw latents [N, C]: `features(x)` [N, D], the last `levels` columns being log rms(h)."""

    features: Callable[[Tensor], Tensor]
    width: int
    levels: int = 0


def raw_inputs(sae: SparseAutoencoder) -> Inputs:
    """The latents themselves, standardised as for the autoencoder; a copy, which the trainer scales in place."""
    return Inputs(sae.standardise if sae.config.standardise else torch.clone, sae.config.channels)


def sae_inputs(sae: SparseAutoencoder, log_rms: tuple[float, float] | None) -> Inputs:
    """Features f, with (log rms(h) - mean) / std behind them when the two are given."""
    if log_rms is None or not sae.normed:
        return Inputs(sae.encode, sae.config.hidden)
    mean, std = log_rms

    def features(x: Tensor) -> Tensor:
        h = sae.hidden(x)
        rms = sae.rms(h)
        return torch.cat([h.mul_(sae.feature_gain).div_(rms), (rms.log() - mean) / std], dim=-1)

    return Inputs(features, sae.config.hidden + 1, 1)
