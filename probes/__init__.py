"""Read a latent: spaces, attributes, sparse autoencoders, probes, and the readout that joins them."""

from typing import TYPE_CHECKING

from probes.support.packages import late_names

if TYPE_CHECKING:
    from probes.readout import Reading, Readout

__all__ = ["Reading", "Readout"]

__getattr__, __dir__ = late_names(__name__, dict.fromkeys(__all__, "probes.readout.module"))
