"""Measures of how far a generation has come: pure functions on arrays."""

from tracer.measures.contrast import agreement, closeness

__all__ = ["agreement", "closeness"]


def __dir__() -> list[str]:
    return __all__
