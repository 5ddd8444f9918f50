"""The bundled model: a small rectified flow that works offline on two cores, for demonstration and tests."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tracer.generators.mini.generator import MiniGenerator


def load(weights: str | None = None, device: str = "cpu", dtype: str = "auto") -> "MiniGenerator":
    """Load it; see `generator.load`."""
    from tracer.generators.mini.generator import load

    return load(weights, device, dtype)


__all__ = ["load"]
