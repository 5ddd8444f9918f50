"""What is known to be played in a piece of music: where exact labels come from."""

from dataclasses import dataclass
from typing import NamedTuple


class Note(NamedTuple):
    """One note of an annotation."""

    start: float
    """Seconds."""
    stop: float
    pitch: float
    """MIDI number, with fractions where the annotation has them."""


class Harmony(NamedTuple):
    """The chord in force over a stretch of time."""

    start: float
    """Seconds."""
    stop: float
    tones: frozenset[int] | None
    """Pitch classes, C = 0; empty where no chord is meant, None where it is not known which."""


@dataclass(frozen=True)
class Score:
    """Notes, and what else is known of a piece; None where it is not.

    Attributes:
        notes: Of all voices but drums.
        hits: When drums are struck, in seconds; empty for a piece without drums.
        harmonies: Chords in force, where chords are played; empty for a piece in which none are.
        key: Pitch class of the tonic, and whether its third is minor.
        tempo: Quarter notes per minute.
        family: Family of the instrument that leads.
        voice: Whether anybody sings.
        beats: When the beats fall, in seconds.
    """

    notes: tuple[Note, ...]
    hits: tuple[float, ...] | None = None
    harmonies: tuple[Harmony, ...] | None = None
    key: tuple[int, bool] | None = None
    tempo: float | None = None
    family: str | None = None
    voice: bool | None = None
    beats: tuple[float, ...] | None = None
