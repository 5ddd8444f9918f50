"""Leave the network out of a sampling that has no more need of it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from hooks.samplers import network_call
from hooks.samplers.wrapping import replaced


@contextmanager
def resting(model: Any, rests: Callable[[], bool]) -> Iterator[None]:
    """Skip the sampler's network while `rests()` is true: its last output stands in for what it would have said.

    That output belongs to an earlier state. So an endpoint edit must say where every clip goes, as one does that holds
    the clean estimate where it was: then the sampler moves in a straight line to that estimate, by its own schedule,
    at no cost.

    Args:
        model: a sampler that `hooks.attach` knows.
        rests: asked at every call of the network. The first call of a block is never skipped.

    Raises:
        ValueError: no adapter knows this kind of object, or a sampler with taps does not hold its network as
            `transformer`.
    """
    outputs: list[Any] = []

    def call(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if not outputs or not rests():
            outputs[:] = [original(*args, **kwargs)]
        return outputs[0]

    network, method = network_call(model)
    with replaced(network, method, call):
        yield
