"""What a take shall be: `timbre=dark`, `loudness=-20dB`, `pitch=C3,weight=2`; and how far a take is from it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from probes.attributes.songs import UNITS, song_value
from probes.errors import InputError
from probes.readout import Readout
from tracer.targets import named_value

EXAMPLE = "timbre=dark,weight=2"


@dataclass(frozen=True)
class Want:
    """One thing that is wanted, as it is written."""

    attribute: str
    target: str
    """A value with its unit (`-20dB`, `2000Hz`, `C3`), a word of `tracer.targets.NAMES`, or, but for pitch, a class
    index."""
    weight: float = 1.0

    def __str__(self) -> str:
        return f"{self.attribute}={self.target}" + (f",weight={self.weight:g}" if self.weight != 1 else "")


@dataclass(frozen=True)
class Goal:
    """What an attribute of a take shall be, as a number."""

    attribute: str
    value: float
    """As `song_value` gives it: dB, log2 Hz or MIDI number."""
    spread: float
    """Standard deviation of the attribute over songs, in which distances are counted."""
    weight: float
    unit: str
    """Of a frame's value."""

    def miss(self, reading: float) -> float:
        """How far a reading lies above the goal, in dB, octaves or semitones."""
        return reading - self.value

    def told(self, reading: float) -> str:
        """A reading beside the goal, in words."""
        miss = self.miss(reading)
        if math.isnan(miss):
            return f"{self.attribute} has no value"
        return f"{self.attribute} {abs(miss):.1f} {UNITS[self.unit]} {'above' if miss > 0 else 'below'} the goal"


def parse_want(text: str) -> Want:
    """A want from `attribute=target` and, after a comma, `weight=NUMBER`.

    Raises:
        InputError: anything else, or a weight that is not above 0.
    """
    first, *rest = (part.strip() for part in text.split(","))
    attribute, equals, target = (part.strip() for part in first.partition("="))
    if not (attribute and equals and target):
        raise InputError(f"cannot read the want {text!r}: write attribute=target, as in {EXAMPLE}")
    weight = 1.0
    for part in rest:
        key, _, value = (piece.strip() for piece in part.partition("="))
        if key != "weight" or len(rest) > 1:
            raise InputError(f"cannot read {part!r} in the want {text!r}: a want takes one weight, as in {EXAMPLE}")
        try:
            weight = float(value)
        except ValueError:
            weight = math.nan
        if not 0 < weight < math.inf:
            raise InputError(f"the weight of the want {text!r} must be a number above 0")
    return Want(attribute, target, weight)


def goals_of(wants: Sequence[Want], readout: Readout) -> list[Goal]:
    """The wants as numbers.

    Raises:
        InputError: an attribute that the readout does not read, or twice; one without a scale of songs; a target that
            is none of its values, or a bare number of pitch; or a word, and the readout does not know how songs are
            spread.
    """
    goals: list[Goal] = []
    for want in wants:
        if want.attribute in [goal.attribute for goal in goals]:
            raise InputError(f"{want.attribute} is wanted twice: give one --want for it")
        value = named_value(want.attribute, want.target, readout)
        goals.append(goal_at(want.attribute, value, readout, want.weight))
    return goals


def goal_at(attribute: str, value: float, readout: Readout, weight: float = 1.0) -> Goal:
    """The goal of an attribute at a song's number."""
    bins = readout.bins[attribute]
    songs = readout.report.get("songs", {}).get(attribute)
    if songs is not None:
        spread = float(songs["spread"])
    else:  # songs spread evenly over the classes
        ends = [song_value(bins.unit, bins.centers[[end]], np.array([True])) for end in (0, -1)]
        spread = (ends[1] - ends[0]) / math.sqrt(12)
    return Goal(attribute, value, spread, weight, bins.unit)


def distance(reading: Mapping[str, float], goals: Sequence[Goal]) -> float:
    """How far a take is from all goals: the weighted mean of its misses, each in spreads over songs.

    Infinite where a wanted attribute has no value.
    """
    total = sum(goal.weight * abs(goal.miss(reading[goal.attribute])) / goal.spread for goal in goals)
    return math.inf if math.isnan(total) else total / sum(goal.weight for goal in goals)
