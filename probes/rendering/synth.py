"""Notes to sound: a General MIDI soundfont, then tone, room and level."""

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from probes.errors import InputError
from probes.rendering.compose import Facts, Note, Piece

DRUM_CHANNEL = 9
PEAK = 0.98  # full scale less a hair, so that writing 16-bit files never clips


@cache
def _soundfont() -> tuple[Any, str]:
    """The tinysoundfont module and the path of the soundfont inside pretty_midi."""
    try:
        from importlib.util import find_spec

        import tinysoundfont

        spec = find_spec("pretty_midi")
        if spec is None or spec.origin is None:
            raise ImportError("pretty_midi")
    except ImportError as error:
        raise InputError(
            "rendering music needs two packages: `pip install pretty_midi` and `pip install --no-deps "
            "tinysoundfont` (its dependency pyaudio is for playback only)"
        ) from error
    return tinysoundfont, str(Path(spec.origin).parent / "TimGM6mb.sf2")


@cache
def _synth(sample_rate: int) -> Any:
    """A synthesiser with the soundfont in it; one per sample rate, because loading takes longer than rendering."""
    module, path = _soundfont()
    synth = module.Synth(gain=-6, samplerate=sample_rate)
    synth.sfload(path, max_voices=192)
    return synth


def play(notes: Iterable[Note], facts: Facts, seconds: float, sample_rate: int) -> np.ndarray:
    """Sound of the notes as the soundfont has it, mono float32 [n], before any processing."""
    synth = _synth(sample_rate)
    synth.sounds_off()
    synth.generate(4096)  # voices that were cut off fade out here, so a piece never hears the one before
    for channel, part in enumerate(facts.parts):
        synth.program_select(channel, 0, 0, part.instrument.program)
        synth.set_tuning(channel, facts.tuning / 100)
    synth.program_select(DRUM_CHANNEL, 0, 128, 0, True)
    events: list[tuple[int, int, int, int, int]] = []
    for note in notes:
        channel = DRUM_CHANNEL if note.part < 0 else note.part
        key = round(note.pitch) if note.part < 0 else round(note.pitch - facts.tuning / 100)
        events.append((int(note.start * sample_rate), 1, channel, key, note.velocity))
        events.append((int(note.end * sample_rate), 0, channel, key, 0))
    total = round(seconds * sample_rate)
    blocks, now = [], 0
    for at, starts, channel, key, velocity in sorted(events):
        if at >= total:
            break
        if at > now:
            blocks.append(np.frombuffer(synth.generate(at - now), dtype=np.float32))
            now = at
        if starts:
            synth.noteon(channel, key, velocity)
        else:
            synth.noteoff(channel, key)
    blocks.append(np.frombuffer(synth.generate(total - now), dtype=np.float32))
    return np.concatenate(blocks).reshape(-1, 2).mean(axis=1)


def equalise(audio: np.ndarray, tone: str, amount: float, sample_rate: int) -> np.ndarray:
    """Darken or brighten: a second-order low-pass at 500 to 1,600 Hz, or a lift of the treble, by `amount` 0 to 1."""
    from scipy.signal import butter, sosfilt

    if tone == "dark":
        cutoff = 1600.0 * (500.0 / 1600.0) ** amount
        return sosfilt(butter(2, cutoff, fs=sample_rate, output="sos"), audio).astype(np.float32)
    if tone == "bright":
        treble = sosfilt(butter(1, 2500.0, "highpass", fs=sample_rate, output="sos"), audio)
        return (audio + (1.0 + 3.0 * amount) * treble).astype(np.float32)
    return audio


def reverberate(audio: np.ndarray, amount: float, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    """Add a room: exponentially decaying noise as impulse response, `amount` 0 to 1 of the dry level."""
    if amount == 0.0:
        return audio
    from scipy.signal import fftconvolve

    seconds = 0.4 + 1.6 * amount
    n = int(seconds * sample_rate)
    response = rng.normal(size=n) * np.exp(-6.9 * np.arange(n) / n)
    response /= np.sqrt(np.sum(response**2))
    wet = fftconvolve(audio, response)[: len(audio)]
    return (audio + amount * wet).astype(np.float32)


def to_level(audio: np.ndarray, level: float) -> np.ndarray:
    """Scale to an RMS of `level` dB relative to full scale, or to the highest level at which no sample clips."""
    rms = float(np.sqrt(np.mean(audio**2)))
    peak = float(np.max(np.abs(audio), initial=0.0))
    if rms == 0.0:
        return audio
    return (audio * min(10 ** (level / 20) / rms, PEAK / peak)).astype(np.float32)


def render(piece: Piece, seconds: float, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    """The finished sound of a piece: mono float32 [round(seconds * sample_rate)] in [-1, 1]."""
    facts = piece.facts
    audio = play(piece.notes, facts, seconds, sample_rate)
    audio = equalise(audio, facts.tone, float(rng.uniform()), sample_rate)
    audio = reverberate(audio, facts.reverb, sample_rate, rng)
    return to_level(audio, facts.level)
