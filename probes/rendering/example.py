"""One rendered example: sound, notes, caption and facts from a single seed."""

from dataclasses import dataclass

import numpy as np

from probes.rendering.captions import write_caption
from probes.rendering.composing import Facts, Note, compose, draw_facts
from probes.rendering.synth import render


@dataclass(frozen=True)
class Example:
    """Rendered music with everything that is known about it.

    Attributes:
        audio: mono float32 [n] in [-1, 1].
        sample_rate: in hertz.
        notes: what was played, in order; pitch in MIDI note numbers.
        caption: English text written from the facts.
        facts: key, tempo, register, dynamics, instruments and so on.
    """

    audio: np.ndarray
    sample_rate: int
    notes: tuple[Note, ...]
    caption: str
    facts: Facts


def render_example(seed: int, seconds: float = 12.0, sample_rate: int = 22050) -> Example:
    """Compose, caption and render a piece. Equal arguments give equal results.

    Args:
        seed: any integer >= 0; every seed is another piece.
        seconds: length of the sound.
        sample_rate: of the sound, in hertz.

    Raises:
        InputError: midirenderer or pretty_midi is not installed.
    """
    rng = np.random.default_rng(seed)
    facts = draw_facts(rng)
    piece = compose(facts, seconds, rng)
    caption = write_caption(facts, rng)
    audio = render(piece, seconds, sample_rate, rng)
    return Example(audio, sample_rate, piece.notes, caption, facts)
