"""Rendered music on disk while training runs: sound as 16-bit samples, and what is known of every frame.

python -m benchmarks.mini_training.data --out CACHE --count 5000 --first-seed 1000000
"""

import argparse
import json
from pathlib import Path

import numpy as np

from probes.rendering.composing import Facts, Note
from probes.rendering.example import render_example

SAMPLE_RATE = 22050
HOP = 1024
FIRST_PITCH, PITCHES = 28, 69  # MIDI numbers 28 to 96, every note an instrument plays
HELD_OUT = 500_000_000  # seeds from here on are for evaluation and are never trained on


def frame_pitches(notes: tuple[Note, ...], facts: Facts, frames: int) -> np.ndarray:
    """uint8 [frames]: 1 + pitch - 28 of the note that sounds at the middle of a frame, 0 for none or several parts."""
    classes = np.zeros(frames, np.uint8)
    if facts.texture != "solo":
        return classes
    middles = (np.arange(frames) + 0.5) * HOP / SAMPLE_RATE
    for note in notes:
        classes[(middles >= note.start) & (middles < note.end)] = round(note.pitch) - FIRST_PITCH + 1
    return classes


def facts_record(facts: Facts) -> dict[str, object]:
    """The facts that evaluation asks for, ready for JSON."""
    return {
        "register": facts.register,
        "dynamics": facts.dynamics,
        "tone": facts.tone,
        "parts": [part.instrument.name for part in facts.parts],
        "drums": facts.drums,
    }


def write_cache(out: Path, count: int, first_seed: int, seconds: float) -> None:
    """Render `count` examples of at least `seconds` into `out`: audio.npy, pitches.npy and captions.jsonl."""
    out.mkdir(parents=True, exist_ok=True)
    frames = -(-round(seconds * SAMPLE_RATE) // HOP)
    samples = frames * HOP
    audio = np.lib.format.open_memmap(out / "audio.npy", mode="w+", dtype=np.int16, shape=(count, samples))
    pitches = np.zeros((count, frames), np.uint8)
    with (out / "captions.jsonl").open("w") as lines:
        for i in range(count):
            example = render_example(first_seed + i, samples / SAMPLE_RATE)
            audio[i] = np.round(example.audio * 32767)
            pitches[i] = frame_pitches(example.notes, example.facts, frames)
            lines.write(json.dumps({"caption": example.caption, **facts_record(example.facts)}) + "\n")
    audio.flush()
    np.save(out / "pitches.npy", pitches)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--first-seed", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=12.0)
    options = parser.parse_args()
    write_cache(options.out, options.count, options.first_seed, options.seconds)


if __name__ == "__main__":
    main()
