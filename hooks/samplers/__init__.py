"""One adapter per kind of sampler: how its states, guided outputs and clean estimates are reached."""

from collections.abc import Callable
from typing import Any

from hooks.callbacks import Adapter
from hooks.samplers import ace_step_v1, cfm, pipelines, tapped

NetworkCall = Callable[[Any], tuple[Any, str]]
"""Finds the network of a sampler and the method by which the sampler calls it."""
ADAPTERS: list[tuple[Callable[[Any], bool], Adapter, NetworkCall]] = [
    (tapped.fits, tapped.install, lambda model: (tapped.network(model), "forward")),
    (cfm.fits, cfm.install, lambda model: (model.transformer, "forward")),
    (pipelines.fits, pipelines.install, lambda model: (pipelines.network(model), "forward")),
    (ace_step_v1.fits, ace_step_v1.install, lambda model: (model.ace_step_transformer, "decode")),
]
"""(does this adapter know the object?, the adapter, the network's call), asked in order."""


def adapter_for(model: Any) -> Adapter:
    """Choose the adapter of a sampler by what the object offers: hooks know tensors and callables, not packages.

    Raises:
        ValueError: no adapter knows this kind of object.
    """
    return entry_for(model)[0]


def network_call(model: Any) -> tuple[Any, str]:
    """The network of a sampler, and the name of the method by which the sampler calls it.

    Raises:
        ValueError: no adapter knows this kind of object, or a sampler with taps names its network otherwise.
    """
    return entry_for(model)[1](model)


def entry_for(model: Any) -> tuple[Adapter, NetworkCall]:
    """Adapter and network's call of the first row of `ADAPTERS` that knows the object."""
    for fits, adapter, network in ADAPTERS:
        if fits(model):
            return adapter, network
    name = f"{type(model).__module__}.{type(model).__name__}"
    if any(fits(getattr(model, "sampler", None)) for fits, _, _ in ADAPTERS):
        raise ValueError(f"cannot attach to {name}: attach to its `.sampler`")
    raise ValueError(
        f"cannot attach to {name}: give a sampler with taps (this project's DiffRhythm), an upstream DiffRhythm CFM, a "
        "supported diffusers pipeline, or an ACE-Step 1.0 pipeline"
    )
