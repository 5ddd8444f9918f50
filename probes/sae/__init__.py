"""Sparse autoencoders: the paper's (ReLU, RMSNorm, L1) and TopK, BatchTopK and JumpReLU under one interface.

Each architecture is one file, which registers its class; the imports below bring them all in.
"""

from probes.sae import batchtopk, jumprelu, relu, topk
from probes.sae.base import SparseAutoencoder, architectures, make_sae
from probes.sae.config import SAEConfig

__all__ = ["SAEConfig", "SparseAutoencoder", "architectures", "batchtopk", "jumprelu", "make_sae", "relu", "topk"]
