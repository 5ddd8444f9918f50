"""What is known to be played in a composition, as the attributes take it."""

import numpy as np

from probes.attributes.score import Harmony, Note, Score
from probes.rendering.composing import SCALES, Piece, compose, draw_facts

MINOR_THIRD = 3


def score_of(piece: Piece) -> Score:
    """The score of a piece.

    The chord of a bar counts where a part plays chords: a single voice, or one with a bass, does not say which chord is
    meant. Modes go by their third: dorian is minor, mixolydian and pentatonic are major.
    """
    facts = piece.facts
    played = any(part.role == "chords" for part in facts.parts)
    return Score(
        notes=tuple(Note(note.start, note.end, note.pitch) for note in piece.notes if note.part >= 0),
        hits=tuple(note.start for note in piece.notes if note.part < 0),
        harmonies=tuple(Harmony(bar.start, bar.end, bar.chord) for bar in piece.bars) if played else (),
        key=(facts.tonic, MINOR_THIRD in SCALES[facts.scale]),
        tempo=facts.tempo,
        family=facts.parts[0].instrument.family,
        voice=any(part.instrument.family == "voice" for part in facts.parts),
        beats=tuple(np.arange(0, piece.bars[-1].end + 1e-9, 60 / facts.tempo)) if piece.bars else None,
    )


def score_example(seed: int, seconds: float) -> Score:
    """The score of what `render_example` renders from the same seed, without rendering it."""
    rng = np.random.default_rng(seed)
    return score_of(compose(draw_facts(rng), seconds, rng))
