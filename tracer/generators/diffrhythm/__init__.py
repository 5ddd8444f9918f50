"""DiffRhythm (ASLP-lab, arXiv 2503.01183): network, rectified-flow sampler and conditioning, natively in torch."""

from .config import DiTConfig
from .model import DiffRhythm

__all__ = ["DiTConfig", "DiffRhythm"]
