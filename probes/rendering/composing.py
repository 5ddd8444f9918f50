"""Music by rules: from a seed to the facts of a short piece and its notes."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from probes.rendering.instruments import BASSES, CHORDAL, INSTRUMENTS, Instrument

T = TypeVar("T")

SCALES = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "minor": (0, 2, 3, 5, 7, 8, 10),
    "dorian": (0, 2, 3, 5, 7, 9, 10),
    "mixolydian": (0, 2, 4, 5, 7, 9, 10),
    "pentatonic": (0, 2, 4, 7, 9),
}
PROGRESSIONS = ((0, 3, 4, 0), (0, 4, 5, 3), (0, 5, 3, 4), (5, 3, 0, 4), (0, 3), (0, 6, 5, 6), (1, 4, 0, 0), (0,))
# Beats of one bar of a melody, by how busy it is; negative is a rest.
RHYTHMS: dict[int, dict[str, tuple[tuple[float, ...], ...]]] = {
    4: {
        "slow": ((4,), (2, 2), (3, 1), (2, -1, 1), (3, -1)),
        "even": ((1, 1, 1, 1), (1, 1, 2), (1.5, 0.5, 1, 1), (2, 1, 1), (1, -1, 1, 1), (1, 1, 1, -1)),
        "busy": ((0.5,) * 8, (1, 0.5, 0.5, 1, 0.5, 0.5), (0.5, 0.5, 1, 0.5, 0.5, -1), (0.75, 0.75, 0.5, 1, 1)),
    },
    3: {
        "slow": ((3,), (2, 1), (2, -1)),
        "even": ((1, 1, 1), (2, 1), (1.5, 0.5, 1), (1, -1, 1)),
        "busy": ((0.5,) * 6, (1, 0.5, 0.5, 0.5, 0.5), (0.5, 0.5, 1, -1)),
    },
}
REGISTER_CENTRES = {"low": (36.0, 48.0), "middle": (54.0, 68.0), "high": (76.0, 88.0)}
# Of a voice before it is timed: start and length in beats, MIDI note number, relative strength.
Line = tuple[float, float, int, float]
HIT_KICK, HIT_SNARE, HIT_HAT, HIT_RIDE = 36, 38, 42, 51


@dataclass(frozen=True)
class Note:
    """One note: `start` and `end` in seconds, `pitch` in MIDI note numbers (fractional when the piece is tuned off
    440 Hz), `velocity` 1 to 127, and the part it belongs to (an index into `Facts.parts`, -1 for drums)."""

    start: float
    end: float
    pitch: float
    velocity: int
    part: int


@dataclass(frozen=True)
class Part:
    """What one voice does: `role` is melody, chords or bass."""

    role: str
    instrument: Instrument


@dataclass(frozen=True)
class Facts:
    """What is true of a piece, in the categories captions speak of.

    `level` is the RMS in dB relative to full scale that the rendering is brought to; `tuning` is in cents;
    `contour` says how the loudness moves; `tone` is the equalisation: dark, neutral or bright.
    """

    tonic: int
    scale: str
    tempo: float
    meter: int
    register: str
    dynamics: str
    contour: str
    tone: str
    articulation: str
    activity: str
    reverb: float
    tuning: float
    level: float
    parts: tuple[Part, ...]
    drums: bool

    @property
    def texture(self) -> str:
        """solo, duo, trio or band, by the number of voices that sound together."""
        return ("solo", "duo", "trio", "band")[min(len(self.parts) + self.drums, 4) - 1]


@dataclass(frozen=True)
class Bar:
    """One bar: `start` and `end` in seconds, and the pitch classes of the chord in force, C = 0."""

    start: float
    end: float
    chord: frozenset[int]


@dataclass(frozen=True)
class Piece:
    """A composition: its facts, its notes in order of their start, and its bars."""

    facts: Facts
    notes: tuple[Note, ...] = field(repr=False)
    bars: tuple[Bar, ...] = field(default=(), repr=False)


def _pick(rng: np.random.Generator, options: Sequence[T], weights: list[float] | None = None) -> T:
    p = None if weights is None else np.asarray(weights) / np.sum(weights)
    return options[int(rng.choice(len(options), p=p))]


def _instrument(rng: np.random.Generator, candidates: tuple[Instrument, ...], register: str, tone: str) -> Instrument:
    """An instrument that can play in the register, more likely one whose own sound agrees with the tone."""
    low, high = REGISTER_CENTRES[register]
    wanted = {"dark": -1, "neutral": 0, "bright": 1}[tone]
    weights = []
    for one in candidates:
        room = min(one.high - 3, high) - max(one.low + 3, low)
        fits = 1.0 if room >= 4 else 0.0
        agrees = 1.0 if wanted == 0 else (1.0, 0.5, 0.1)[abs(wanted - one.brightness)]
        weights.append(fits * agrees + 1e-9)
    return _pick(rng, candidates, weights)


def draw_facts(rng: np.random.Generator) -> Facts:
    """Draw what a piece is to be: most of them are solos, so that one pitch is heard at a time."""
    register = _pick(rng, ("low", "middle", "high"), [0.3, 0.4, 0.3])
    tone = _pick(rng, ("dark", "neutral", "bright"), [0.25, 0.5, 0.25])
    dynamics = _pick(rng, ("quiet", "medium", "loud"), [0.3, 0.4, 0.3])
    voices = _pick(rng, (1, 2, 3, 4), [0.7, 0.14, 0.09, 0.07])
    lead = _instrument(rng, INSTRUMENTS, register, tone)
    parts = [Part("melody", lead)]
    chords_register = {"low": "low", "middle": "middle", "high": "high" if rng.random() < 0.7 else "middle"}[register]
    # A bass under a high melody would make the piece as a whole neither high nor low: rare on purpose.
    bass_first = register == "low" or (register == "middle" and rng.random() < 0.5) or rng.random() < 0.15
    if voices >= 2:
        if voices == 2 and bass_first and lead.family != "bass":
            parts.append(Part("bass", _pick(rng, BASSES)))
        else:
            parts.append(Part("chords", _instrument(rng, CHORDAL, chords_register, tone)))
    if voices >= 3 and bass_first:
        parts.append(Part("bass", _pick(rng, BASSES)))
    drums = voices > len(parts) and rng.random() < 0.7
    level = {"quiet": (-37.0, -30.0), "medium": (-27.0, -20.0), "loud": (-17.0, -11.0)}[dynamics]
    return Facts(
        tonic=int(rng.integers(12)),
        scale=_pick(rng, tuple(SCALES)),
        tempo=float(np.exp(rng.uniform(np.log(55), np.log(180)))),
        meter=_pick(rng, (4, 3), [0.8, 0.2]),
        register=register,
        dynamics=dynamics,
        contour=_pick(rng, ("steady", "rising", "falling", "swelling"), [0.7, 0.1, 0.1, 0.1]),
        tone=tone,
        articulation=_pick(rng, ("legato", "normal", "staccato"), [0.35, 0.4, 0.25]),
        activity=_pick(rng, ("slow", "even", "busy"), [0.3, 0.4, 0.3]),
        reverb=float(rng.uniform(0.15, 0.6)) if rng.random() < 0.3 else 0.0,
        tuning=float(np.clip(rng.normal(0, 20), -50, 50)) if rng.random() < 0.5 else 0.0,
        level=float(rng.uniform(*level)),
        parts=tuple(parts),
        drums=drums,
    )


class _Harmony:
    """Scale and chord tones of a piece, bar by bar."""

    def __init__(self, facts: Facts, rng: np.random.Generator) -> None:
        self.tonic = facts.tonic
        self.scale = SCALES[facts.scale]
        self.progression = _pick(rng, PROGRESSIONS)

    def pitch(self, degree: int, octave: int = 0) -> int:
        steps = len(self.scale)
        return self.tonic + 12 * (degree // steps + octave) + self.scale[degree % steps]

    def chord(self, bar: int) -> tuple[int, int, int]:
        """Scale degrees of the chord in force in a bar."""
        root = self.progression[bar % len(self.progression)]
        return root, root + 2, root + 4


def _melody(facts: Facts, harmony: _Harmony, bars: int, part: int, rng: np.random.Generator) -> list[Line]:
    one = facts.parts[part].instrument
    low, high = REGISTER_CENTRES[facts.register]
    low, high = max(low, one.low + 3), min(high, one.high - 3)
    centre = rng.uniform(low, high) if high > low else (one.low + one.high) / 2
    floor, ceiling = max(one.low, centre - 8), min(one.high, centre + 8)
    degrees = [degree for degree in range(80) if floor <= harmony.pitch(degree) <= ceiling]
    place = int(np.argmin([abs(harmony.pitch(degree) - centre) for degree in degrees]))
    steps = (-3, -2, -1, 0, 1, 2, 3)
    weights = [0.06, 0.12, 0.28, 0.08, 0.28, 0.12, 0.06]
    motif = [_pick(rng, RHYTHMS[facts.meter][facts.activity]) for _ in range(2)]
    notes: list[Line] = []
    for bar in range(bars):
        beat = 0.0
        for length in motif[bar % 2] if rng.random() < 0.7 else _pick(rng, RHYTHMS[facts.meter][facts.activity]):
            if length > 0:
                place = int(np.clip(place + _pick(rng, steps, weights), 0, len(degrees) - 1))
                if beat == 0.0:  # strong beats fall on chord tones
                    tones = {tone % len(harmony.scale) for tone in harmony.chord(bar)}
                    near = [i for i, degree in enumerate(degrees) if degree % len(harmony.scale) in tones]
                    place = min(near, key=lambda i: abs(i - place)) if near else place
                notes.append((bar * facts.meter + beat, float(length), harmony.pitch(degrees[place]), 1.0))
            beat += abs(length)
    return notes


def _chords(facts: Facts, harmony: _Harmony, bars: int, part: int, rng: np.random.Generator) -> list[Line]:
    one = facts.parts[part].instrument
    base = {"low": 41, "middle": 53, "high": 66}[facts.register]
    base = int(np.clip(base, one.low, max(one.low, one.high - 14)))
    style = "held" if one.sustained and rng.random() < 0.7 else _pick(rng, ("held", "pulse", "arpeggio"))
    notes: list[Line] = []
    for bar in range(bars):
        pitches = sorted(base + (harmony.pitch(degree) - base) % 12 for degree in harmony.chord(bar))
        start = bar * facts.meter
        if style == "held":
            notes += [(start, facts.meter, pitch, 0.75) for pitch in pitches]
        elif style == "pulse":
            notes += [(start + beat, 1.0, pitch, 0.7) for beat in range(facts.meter) for pitch in pitches]
        else:
            order = [*pitches, pitches[1]]
            notes += [(start + i / 2, 0.5, order[i % 4], 0.75) for i in range(2 * facts.meter)]
    return notes


def _bass(facts: Facts, harmony: _Harmony, bars: int, part: int, rng: np.random.Generator) -> list[Line]:
    walking = rng.random() < 0.5
    notes: list[Line] = []
    for bar in range(bars):
        chord = harmony.chord(bar)
        for beat in range(facts.meter) if walking else (0,):
            degree = chord[0] if beat == 0 else _pick(rng, chord)
            pitch = 31 + (harmony.pitch(degree) - 31) % 12
            notes.append((bar * facts.meter + beat, 1.0 if walking else float(facts.meter), pitch, 0.9))
    return notes


def _drums(facts: Facts, bars: int, rng: np.random.Generator) -> list[Line]:
    cymbal = _pick(rng, (HIT_HAT, HIT_RIDE))
    notes: list[Line] = []
    for bar in range(bars):
        for half in range(2 * facts.meter):
            at = bar * facts.meter + half / 2
            notes.append((at, 0.25, cymbal, 0.5))
            if half % (4 if facts.meter == 4 else 6) == 0:
                notes.append((at, 0.25, HIT_KICK, 0.9))
            elif half % 2 == 0 and (facts.meter == 3 or half % 4 == 2):
                notes.append((at, 0.25, HIT_SNARE, 0.8))
    return notes


def _loudness_at(contour: str, where: float) -> float:
    """Velocity factor at a relative position 0 to 1 in the piece."""
    if contour == "rising":
        return 0.45 + 0.55 * where
    if contour == "falling":
        return 1.0 - 0.55 * where
    if contour == "swelling":
        return 0.55 + 0.45 * float(np.sin(np.pi * (3 * where % 1)))
    return 1.0


def compose(facts: Facts, seconds: float, rng: np.random.Generator) -> Piece:
    """Write `seconds` of music that the facts describe."""
    harmony = _Harmony(facts, rng)
    beat = 60.0 / facts.tempo
    bars = int(np.ceil(seconds / (beat * facts.meter)))
    hold = {"legato": 1.0, "normal": 0.85, "staccato": 0.4}[facts.articulation]
    strength = {"quiet": 52, "medium": 82, "loud": 112}[facts.dynamics]
    write = {"melody": _melody, "chords": _chords, "bass": _bass}
    voices = [(i, write[part.role](facts, harmony, bars, i, rng)) for i, part in enumerate(facts.parts)]
    if facts.drums:
        voices.append((-1, _drums(facts, bars, rng)))
    notes = []
    for part, lines in voices:
        backing = part != 0 and len(voices) > 1
        for start, length, pitch, weight in lines:
            begin = start * beat + float(rng.normal(0, 0.004))
            if not 0 <= max(begin, 0.0) < seconds:
                continue
            factor = weight * (0.8 if backing else 1.0) * _loudness_at(facts.contour, start * beat / seconds)
            velocity = int(np.clip(strength * factor + rng.normal(0, 5), 12, 127))
            end = min(max(begin, 0.0) + max(length * beat * hold, 0.06), seconds)
            sounding = pitch if part < 0 else pitch + facts.tuning / 100
            notes.append(Note(max(begin, 0.0), end, float(sounding), velocity, part))
    length = facts.meter * beat
    chords = [frozenset(harmony.pitch(degree) % 12 for degree in harmony.chord(bar)) for bar in range(bars)]
    spans = tuple(Bar(bar * length, min((bar + 1) * length, seconds), chord) for bar, chord in enumerate(chords))
    return Piece(facts, tuple(sorted(notes, key=lambda note: (note.start, note.part, note.pitch))), spans)
