"""Sparse autoencoders: the paper's (ReLU, RMSNorm, L1) and TopK, BatchTopK and JumpReLU under one interface."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from probes.sae.base import SparseAutoencoder
    from probes.sae.build import make_sae
    from probes.sae.config import SAEConfig

__all__ = ["SAEConfig", "SparseAutoencoder", "make_sae"]

_HOMES = {"SAEConfig": "config", "SparseAutoencoder": "base", "make_sae": "build"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
