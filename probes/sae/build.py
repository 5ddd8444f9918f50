"""From a config to a sparse autoencoder."""

from __future__ import annotations

from pathlib import Path

from probes.errors import InputError
from probes.sae.base import SparseAutoencoder
from probes.sae.config import SAEConfig


def make_sae(config: SAEConfig, seed: int | None = 0) -> SparseAutoencoder:
    """A new autoencoder of `config.architecture`; random from `seed`, or all zeros for None."""
    from probes.sae.batchtopk import BatchTopKSAE
    from probes.sae.jumprelu import JumpReLUSAE
    from probes.sae.relu import ReluSAE
    from probes.sae.topk import TopKSAE

    classes = {"relu": ReluSAE, "topk": TopKSAE, "batchtopk": BatchTopKSAE, "jumprelu": JumpReLUSAE}
    sae = classes[config.architecture](config)
    if seed is not None:
        sae.initialise(seed)
    return sae


def load_tensors(config: SAEConfig, path: Path) -> SparseAutoencoder:
    """The autoencoder of `config` with the weights in the safetensors file at `path`."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    sae = make_sae(config, seed=None)
    try:
        sae.load_state_dict(load_file(path))
    except (SafetensorError, RuntimeError) as error:
        raise InputError(f"{path} does not hold the weights its config.json describes: {error}") from error
    return sae
