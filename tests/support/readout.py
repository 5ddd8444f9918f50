"""Readouts with random weights, for tests of what is built on readouts."""

from collections.abc import Sequence

import numpy as np
import torch
from support.sae import config_of

from probes.attributes import Bins, get_attribute
from probes.readout import Readout
from probes.readout.linear import LinearProbes
from probes.sae import make_sae

RANGES = {"pitch": (30, 96), "loudness": (0.0, 0.5), "timbre": (200.0, 6000.0)}


def tiny_bins() -> dict[str, Bins]:
    """The paper's classes, 66, 20 and 20, over plausible ranges."""
    return {name: get_attribute(name).fit_bins(np.linspace(low, high, 500)) for name, (low, high) in RANGES.items()}


def tiny_readout(
    channels: int = 64,
    hidden: int = 128,
    spaces: Sequence[str] = ("mini",),
    seed: int = 0,
    architecture: str = "relu",
    log_rms: bool = False,
    covariance: torch.Tensor | None = None,
    named: Sequence[str] = (),
) -> Readout:
    """A readout of pitch (66), loudness (20) and timbre (20) with random weights; the same for the same seed.

    `named` adds attributes whose classes have names, such as chord.
    """
    generator = torch.Generator().manual_seed(seed)
    config = config_of(architecture, channels=channels, hidden=hidden, space=spaces[0], k=min(8, hidden))
    sae = make_sae(config, seed)
    sae.set_statistics(torch.randn(channels, generator=generator), torch.rand(channels, generator=generator) + 0.5)
    with torch.no_grad():
        sae.encoder_bias.copy_(torch.randn(hidden, generator=generator) * 0.2)
    bins = tiny_bins() | {name: get_attribute(name).fit_bins(np.empty(0)) for name in named}
    classes = {name: len(edges) for name, edges in bins.items()}
    clips = [name for name, edges in bins.items() if edges.grid == "clip"]
    both = [LinearProbes(classes, hidden + log_rms, clips) for _ in range(2)]
    for probes in both:
        probes.weight.data = torch.randn(probes.weight.shape, generator=generator) * 0.3
        probes.bias.data = torch.randn(probes.bias.shape, generator=generator)
        for rises in probes.on_rises().values():
            rises.data.normal_(0, 0.3, generator=generator)
    return Readout(sae, *both, bins, spaces, (-1.0, 0.5) if log_rms else None, covariance=covariance)
