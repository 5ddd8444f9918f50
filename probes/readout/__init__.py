"""The readout: a sparse autoencoder and linear probes as one module, with its files and its card."""

from typing import TYPE_CHECKING

from probes.support.lazy import late_names

if TYPE_CHECKING:
    from probes.readout.gathering import Reading
    from probes.readout.linear import LinearProbes
    from probes.readout.module import Readout

__all__ = ["LinearProbes", "Reading", "Readout"]

__getattr__, __dir__ = late_names(
    __name__,
    {
        "LinearProbes": "probes.readout.linear",
        "Reading": "probes.readout.gathering",
        "Readout": "probes.readout.module",
    },
)
