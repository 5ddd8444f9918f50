"""The readout: a sparse autoencoder and linear probes as one module, with its files and its card."""

from typing import TYPE_CHECKING

from probes.support.packages import late_names

if TYPE_CHECKING:
    from probes.readout.linear import LinearProbes
    from probes.readout.module import Reading, Readout

__all__ = ["LinearProbes", "Reading", "Readout"]

__getattr__, __dir__ = late_names(
    __name__,
    {
        "LinearProbes": "probes.readout.linear",
        "Reading": "probes.readout.module",
        "Readout": "probes.readout.module",
    },
)
