"""Trace a generation: prompts in, emergence curves out."""

from typing import TYPE_CHECKING

from tracer.siblings import import_siblings

import_siblings()  # before anything of ours imports them

from probes.support.lazy import late_names  # noqa: E402

if TYPE_CHECKING:
    from tracer.generators import load_generator
    from tracer.run import Run
    from tracer.tracing import trace

__all__ = ["Run", "load_generator", "trace"]

__getattr__, __dir__ = late_names(
    __name__, {"Run": "tracer.run", "load_generator": "tracer.generators", "trace": "tracer.tracing"}
)
