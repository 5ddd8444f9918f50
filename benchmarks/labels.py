"""Pitch labels against recorded notes whose names say what they are.

    python benchmarks/labels.py NOTES/notes.csv [--pitch-tracker full]

`notes.csv` has the columns path (relative to it), instrument and midi. Every note is measured on the frame grid of the
44.1 kHz spaces (2,048 samples). Printed per instrument: the share of voiced frames within 50 cents of the name, the
share an octave away, and the median deviation.
"""

import argparse
import csv
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import numpy as np

from probes.attributes import get_attribute
from probes.support.audio_files import read_audio, resample, to_mono

RATE, HOP = 44100, 2048
PERCUSSION = ("marimba", "vibraphone", "xylophone", "glockenspiel", "kalimba", "steel", "bell", "celesta")


class Note(NamedTuple):
    """One recording: cents off its name on the voiced frames, and how many frames there are in all."""

    instrument: str
    midi: int
    cents: np.ndarray
    frames: int


def measure(manifest: Path, pitch_tracker: str, threshold: float | None) -> list[Note]:
    """Measure every note of a manifest."""
    pitch = get_attribute("pitch", model=pitch_tracker, threshold=threshold)
    notes = []
    with open(manifest, newline="") as file:
        for row in csv.DictReader(file):
            audio, sample_rate = read_audio(manifest.parent / row["path"])
            mono = resample(to_mono(audio), sample_rate, RATE)
            values, valid = pitch.measure(mono, RATE, -(-len(mono) // HOP), HOP)
            cents = 100 * (values[valid] - int(row["midi"]))
            notes.append(Note(row["instrument"], int(row["midi"]), cents, len(values)))
    return notes


def summary(name: str, notes: list[Note]) -> dict[str, str]:
    """One row of the table."""
    cents = np.concatenate([note.cents for note in notes])
    near = np.abs(cents) <= 50
    octaves = np.round(cents / 1200)
    octave = ~near & (octaves != 0) & (np.abs(cents - 1200 * octaves) <= 50)
    good = [note for note in notes if len(note.cents) and np.mean(np.abs(note.cents) <= 50) >= 0.9]
    return {
        "instrument": name,
        "notes": str(len(notes)),
        "notes right": str(len(good)),
        "voiced": f"{len(cents) / sum(note.frames for note in notes):.1%}",
        "within 50 cents": f"{near.mean():.1%}",
        "octave off": f"{octave.mean():.1%}",
        "median cents": f"{np.median(cents):+.0f}",
        "worst notes": ", ".join(
            f"{note.midi} ({np.mean(np.abs(note.cents) <= 50):.0%}, {np.median(note.cents):+.0f})"
            for note in sorted(notes, key=lambda note: np.mean(np.abs(note.cents) <= 50) if len(note.cents) else 1)[:3]
            if len(note.cents) and np.mean(np.abs(note.cents) <= 50) < 0.9
        ),
    }


def is_percussion(instrument: str) -> bool:
    """Whether an instrument is struck bars or bells."""
    return any(word in instrument for word in PERCUSSION)


def main() -> None:
    """Measure and print the table, as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--pitch-tracker", default="full", help="full, tiny or swift-f0")
    parser.add_argument("--threshold", type=float, help="the tracker's own if it is not given")
    options = parser.parse_args()
    by_instrument = defaultdict(list)
    for note in measure(options.manifest, options.pitch_tracker, options.threshold):
        by_instrument[note.instrument].append(note)
    pitched = [note for name, notes in by_instrument.items() if not is_percussion(name) for note in notes]
    struck = [note for name, notes in by_instrument.items() if is_percussion(name) for note in notes]
    rows = [summary(name, notes) for name, notes in sorted(by_instrument.items())]
    rows += [summary(name, notes) for name, notes in (("all but percussion", pitched), ("percussion", struck)) if notes]
    print("| " + " | ".join(rows[0]) + " |\n|" + "---|" * len(rows[0]))
    for row in rows:
        print("| " + " | ".join(row.values()) + " |")


if __name__ == "__main__":
    main()
