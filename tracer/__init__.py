"""Trace a generation: prompts in, emergence curves out."""

from typing import TYPE_CHECKING

from probes.support.packages import late_names

if TYPE_CHECKING:
    from tracer.generators import load_generator
    from tracer.run import Run
    from tracer.tracing import trace

__all__ = ["Run", "load_generator", "trace"]

__getattr__, __dir__ = late_names(
    __name__, {"Run": "tracer.run", "load_generator": "tracer.generators", "trace": "tracer.tracing"}
)
