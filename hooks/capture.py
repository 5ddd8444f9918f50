"""Hand each state of a generation to a sink, as it appears."""

from contextlib import AbstractContextManager
from typing import Any

from .attach import attach
from .events import Sink


def capture(model: Any, sink: Sink) -> AbstractContextManager[None]:
    """Call `sink(event)` at every state while the block runs: `with capture(model, sink): model.sample(...)`.

    The generation is not changed by a bit, and nothing is kept: an event's tensors [B, F, C] belong to the sampler.
    A second generation in the same block starts again at index 0. An exception in the sink ends the generation.

    Args:
        model: a sampler that `hooks.attach` knows.
        sink: called with an `Event`; the last one has velocity None and the finished latent as its endpoint.
    """
    return attach(model, observe=sink)
