"""The notes that come with a recording, for labels in the place of measured ones."""

from __future__ import annotations

import json
from pathlib import Path

from probes.attributes.score import Note
from probes.errors import InputError


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
