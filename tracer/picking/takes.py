"""Read takes at the deciding state, and go no further."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from hooks import Event
from probes.attributes.songs import UNITS, song_value
from probes.errors import InputError
from tracer.curves import TRAINED
from tracer.prompts import Prompt

if TYPE_CHECKING:
    from probes.readout import Readout
    from tracer.session import Session


@dataclass(frozen=True)
class At:
    """The deciding state: an index, or the first state at or after a flow time."""

    index: int | None = None
    t: float | None = None

    def reached(self, event: Event) -> bool:
        """Whether this is the state."""
        if event.index == event.last:
            return True
        if self.index is not None:
            return event.index == self.index
        assert self.t is not None
        return event.t >= self.t - 1e-6


class Decided(Exception):
    """Ends a sampling at the deciding state."""


class TakeReader:
    """A sink: reads the clean estimate at the deciding state, and ends the sampling there."""

    def __init__(self, session: "Session", clips: Sequence[Prompt], at: At) -> None:
        self.session, self.clips, self.at = session, clips, at
        self.gap = np.zeros(len(clips))
        """Accumulated difference of the guidance branches, root mean square over the latent; the score of
        CFG-Rejection. NaN where the branches are not seen."""
        self.index = 0
        self.last = 0
        self.t = 0.0
        self.readings: dict[str, np.ndarray] = {}
        """Of each attribute, the song's number that each take's estimate reads as, [B]."""
        self.states: Tensor

    def __call__(self, event: Event) -> None:
        if event.difference is not None:
            self.gap += event.difference.float().square().mean((1, 2)).sqrt().cpu().double().numpy()
        elif event.velocity is not None:
            self.gap[:] = np.nan
        if not self.at.reached(event):
            return
        assert event.endpoint is not None
        self.session.require_finite(event.endpoint, self.clips, f"the endpoint {event.index} of {event.last}")
        self.readings = song_readings(self.session.readout, event.endpoint, event.mask)
        self.index, self.last, self.t, self.states = event.index, event.last, event.t, event.state.clone()
        raise Decided


def read_takes(session: "Session", clips: Sequence[Prompt], at: At) -> TakeReader:
    """Generate clips up to the deciding state, and read them there.

    Raises:
        InputError: The sampler showed no state.
    """
    reader = TakeReader(session, clips, at)
    try:
        session.generate(clips, (), reader)
    except Decided:
        return reader
    raise InputError(f"{session.generator.name} showed no state to its hooks, so that no take can be read")


def song_readings(readout: "Readout", latents: Tensor, mask: Tensor | None = None) -> dict[str, np.ndarray]:
    """What latents [B, F, C] read as, as songs: of each attribute with a scale, [B] as `song_value` gives it.

    Every frame has the value of its expected class, between the middles of the classes.
    """
    found = readout.read(latents, mask, only_trained=True).values[TRAINED]
    valid = np.ones(latents.shape[:2], dtype=bool) if mask is None else mask.expand(latents.shape[:2]).cpu().numpy()
    numbers = {}
    for name, bins in readout.bins.items():
        if bins.unit in UNITS:
            values = bins.values_at(found[name].cpu().numpy())
            numbers[name] = np.array([song_value(bins.unit, *take) for take in zip(values, valid)])
    return numbers
