"""One file per kind of sampler: how its states, velocities and clean estimates are reached."""

from collections.abc import Callable
from typing import Any

from ..attach import Adapter
from . import ace_step_v1, cfm, pipelines, tapped

ADAPTERS: list[tuple[Callable[[Any], bool], Adapter]] = [
    (tapped.fits, tapped.attached),
    (cfm.fits, cfm.attached),
    (pipelines.fits, pipelines.attached),
    (ace_step_v1.fits, ace_step_v1.attached),
]
"""(does this adapter know the object?, the adapter), asked in order."""
