"""One adapter per kind of sampler: how its states, guided outputs and clean estimates are reached."""

from collections.abc import Callable
from typing import Any

from hooks.callbacks import Adapter
from hooks.samplers import ace_step_v1, cfm, pipelines, tapped

ADAPTERS: list[tuple[Callable[[Any], bool], Adapter]] = [
    (tapped.fits, tapped.install),
    (cfm.fits, cfm.install),
    (pipelines.fits, pipelines.install),
    (ace_step_v1.fits, ace_step_v1.install),
]
"""(does this adapter know the object?, the adapter), asked in order."""


def adapter_for(model: Any) -> Adapter:
    """Choose the adapter of a sampler by what the object offers: hooks know tensors and callables, not packages.

    Raises:
        ValueError: no adapter knows this kind of object.
    """
    for fits, adapter in ADAPTERS:
        if fits(model):
            return adapter
    raise ValueError(
        f"cannot attach to {type(model).__module__}.{type(model).__name__}: give this project's DiffRhythm, an "
        "upstream DiffRhythm CFM, a supported diffusers pipeline, or an ACE-Step 1.0 pipeline"
    )
