"""One trace, end to end: prompts in, emergence curves out."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .run import trace
    from .run_view import Run

__all__ = ["Run", "trace"]

_HOMES = {"trace": "tracer.run", "Run": "tracer.run_view"}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that the command line starts at once."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
