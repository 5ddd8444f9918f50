"""Sparse autoencoders: the paper's (ReLU, RMSNorm, L1) and TopK, BatchTopK and JumpReLU under one interface."""

from typing import TYPE_CHECKING

from probes.support.lazy import late_names

if TYPE_CHECKING:
    from probes.sae.base import SparseAutoencoder
    from probes.sae.build import make_sae
    from probes.sae.config import SAEConfig

__all__ = ["SAEConfig", "SparseAutoencoder", "make_sae"]

__getattr__, __dir__ = late_names(
    __name__,
    {
        "SAEConfig": "probes.sae.config",
        "SparseAutoencoder": "probes.sae.base",
        "make_sae": "probes.sae.build",
    },
)
