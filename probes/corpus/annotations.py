"""Pitch labels from the notes that come with a recording, in the place of a tracker's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

from probes.errors import InputError


class Note(NamedTuple):
    """One note of an annotation."""

    start: float
    """Seconds."""
    stop: float
    pitch: float
    """MIDI number, with fractions where the annotation has them."""


def read_notes(path: Path) -> list[Note]:
    """Notes of a JAMS file (namespace note_midi, of all strings or voices) or of a MIDI file.

    Raises:
        InputError: The file cannot be read, or holds no notes; one line.
    """
    notes = jams_notes(path) if path.suffix == ".jams" else midi_notes(path)
    if not notes:
        raise InputError(f"{path} holds no notes")
    return notes


def jams_notes(path: Path) -> list[Note]:
    """Notes of every note_midi annotation of a JAMS file."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        found = [
            Note(float(note["time"]), float(note["time"]) + float(note["duration"]), float(note["value"]))
            for annotation in content["annotations"]
            if annotation["namespace"] == "note_midi"
            for note in annotation["data"]
        ]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{path} cannot be read as JAMS: {type(error).__name__} {str(error)[:80]}") from error
    return found


def midi_notes(path: Path) -> list[Note]:
    """Notes of all instruments of a MIDI file but drums."""
    try:
        import pretty_midi
    except ImportError as error:
        raise InputError("MIDI annotations need pretty_midi: pip install 'generation-tracer[rendering]'") from error
    try:
        music = pretty_midi.PrettyMIDI(str(path))
    except Exception as error:  # the parser has many of its own
        raise InputError(f"{path} cannot be read as MIDI: {type(error).__name__} {str(error)[:80]}") from error
    return [
        Note(note.start, note.end, float(note.pitch))
        for instrument in music.instruments
        if not instrument.is_drum
        for note in instrument.notes
    ]


def pitch_labels(notes: list[Note], frames: int, frame_rate: float) -> np.ndarray:
    """Pitch of every latent frame, at its middle.

    Args:
        notes: What is played.
        frames: Number of frames.
        frame_rate: Frames per second.

    Returns:
        float32 [frames, 2]: MIDI number, and 1 where exactly one note sounds, otherwise 0 (silence, or a chord).
    """
    middles = (np.arange(frames) + 0.5) / frame_rate
    sounding, pitch = np.zeros(frames, dtype=int), np.zeros(frames)
    for note in notes:
        first, last = np.searchsorted(middles, [note.start, note.stop])
        sounding[first:last] += 1
        pitch[first:last] = note.pitch
    return np.stack([pitch, sounding == 1], axis=1).astype(np.float32)
