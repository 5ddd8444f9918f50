"""Sparse autoencoders: the paper's (ReLU, RMSNorm, L1) and TopK, BatchTopK and JumpReLU under one interface.

Each architecture is one file with its config and its class, which it registers; the imports below bring them all in.
"""

from probes.sae import batchtopk, jumprelu, relu, topk
from probes.sae.base import SparseAutoencoder, architectures, load_config, make_config, make_sae
from probes.sae.config import SAEConfig
from probes.sae.relu import ReluConfig

__all__ = [
    "ReluConfig", "SAEConfig", "SparseAutoencoder", "architectures", "batchtopk", "jumprelu", "load_config",
    "make_config", "make_sae", "relu", "topk",
]  # fmt: skip
