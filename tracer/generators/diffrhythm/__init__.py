"""DiffRhythm (ASLP-lab, arXiv 2503.01183): network, rectified-flow sampler and conditioning, natively in torch."""

from tracer.generators.diffrhythm.config import DiTConfig
from tracer.generators.diffrhythm.model import DiffRhythm

__all__ = ["DiTConfig", "DiffRhythm"]
