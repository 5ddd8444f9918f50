"""What reads a latent: spaces, attributes, sparse autoencoders, probes, and the readout that joins them."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from probes.readout import Reading, Readout

__all__ = ["Reading", "Readout"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from probes import readout

    return getattr(readout, name)
