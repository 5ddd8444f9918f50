"""Notes to sound: a General MIDI soundfont, then tone, room and level."""

import io
from collections.abc import Iterable

import numpy as np

from probes.errors import InputError
from probes.rendering.composing import Facts, Note, Piece
from probes.rendering.soundfont import load_soundfont

PEAK = 0.98  # full scale less a hair, so that writing 16-bit files never clips


def play(notes: Iterable[Note], facts: Facts, seconds: float, sample_rate: int) -> np.ndarray:
    """Sound of the notes before any processing, mono float32 [round(seconds * sample_rate)], at no particular level.

    Raises:
        InputError: midirenderer or pretty_midi is not installed.
    """
    import librosa
    import soundfile

    try:
        from midirenderer import render_wave_from

        from probes.rendering.midi import to_midi

        font = load_soundfont()
    except ImportError as error:
        raise InputError("rendering music needs two packages: `pip install midirenderer pretty_midi`") from error

    notes = tuple(notes)
    volume = 127
    while True:
        stereo, rate = soundfile.read(io.BytesIO(render_wave_from(font, to_midi(notes, facts, seconds, volume))))
        if stereo.min(initial=0.0) > -1.0 and stereo.max(initial=0.0) < 1.0 - 1 / 32768:
            break
        volume //= 2  # it clipped; a file that fills 16 bits as well as it can has the least noise
    audio = librosa.resample(stereo.mean(axis=1), orig_sr=rate, target_sr=sample_rate)
    return librosa.util.fix_length(audio, size=round(seconds * sample_rate)).astype(np.float32)


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
