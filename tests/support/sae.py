"""Configs of any architecture from one list of options, and autoencoders with random weights."""

from dataclasses import fields
from typing import Any

import torch

from probes.sae import SAEConfig, SparseAutoencoder, make_config, make_sae
from probes.sae.base import config_class


def config_of(architecture: str, **options: Any) -> SAEConfig:
    """A config with those of the options that the architecture has."""
    known = {field.name for field in fields(config_class(architecture))}
    return make_config(architecture, **{name: value for name, value in options.items() if name in known})


def random_sae(architecture: str = "relu", channels: int = 12, hidden: int = 150, **options: Any) -> SparseAutoencoder:
    """Every tensor away from its starting value, so that no term of a formula is zero or one."""
    sae = make_sae(config_of(architecture, channels=channels, hidden=hidden, k=9, **options), seed=3)
    sae.set_statistics(torch.randn(channels), torch.rand(channels) + 0.5)
    with torch.no_grad():
        sae.encoder_bias.normal_(std=0.3)
        sae.decoder_bias.normal_()
        if architecture == "relu":
            sae.gain.mul_(torch.randn(hidden) + 1)
        if architecture == "batchtopk":
            sae.threshold.fill_(0.9)
        if architecture == "jumprelu":
            sae.log_threshold.add_(torch.rand(hidden) * 2)
    return sae
