"""Small corpora with known structure, for tests of fitting."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from probes.corpus import Corpus
from probes.corpus.writer import CorpusWriter

UNITS = {"pitch": "MIDI", "loudness": "RMS", "timbre": "Hz"}
RANGES = {"pitch": (47.6, 59.4), "loudness": (0.0, 0.5), "timbre": (200.0, 6000.0)}
SPLITS = ("train", "train", "train", "train", "val", "test", "test")


def tiny_corpus(
    path: Path,
    frames: int = 300,
    channels: int = 12,
    splits: Sequence[str] = SPLITS,
    attributes: Sequence[str] = ("pitch", "loudness"),
    space: str = "mini",
    noise: float = 0.02,
    seed: int = 0,
    spoil: Mapping[str, float] | None = None,
    unvoiced: Sequence[str] = (),
) -> Corpus:
    """One file per split named. Attribute i moves the latent along a circle in channels 2i and 2i + 1, the other
    channels are noise; every tenth frame has no pitch. `spoil`: file name -> value put into one of its frames.
    `unvoiced`: splits without any pitch."""
    random = np.random.default_rng(seed)
    info = {"name": space, "spaces": [space], "channels": channels, "frame_rate": 20.0, "fingerprint": "f00d"}
    labels = {name: {"unit": UNITS[name], "threshold": 0.5} for name in attributes}
    with CorpusWriter(path, {"space": info, "attributes": labels, "dtype": "float32"}) as writer:
        for number, split in enumerate(splits):
            latents = random.normal(size=(frames, channels)) * noise
            measured = {}
            for place, name in enumerate(attributes):
                low, high = RANGES[name]
                share = random.uniform(0, 1, frames)
                latents[:, 2 * place] += np.cos(3 * share)
                latents[:, 2 * place + 1] += np.sin(3 * share)
                sure = np.ones(frames)
                if name == "pitch":
                    sure[:: 1 if split in unvoiced else 10] = 0
                measured[name] = np.float32(np.stack([low + (high - low) * share, sure], 1))
            name = f"song{number}.wav"
            if name in (spoil or {}):
                latents[17, 3] = (spoil or {})[name]
            content = hashlib.sha256(latents.tobytes()).hexdigest()
            writer.add(name, content, np.float32(latents * 3 + 1), measured, split)
    return Corpus.open(path)


def forget_checksums(path: Path) -> Corpus:
    """A corpus as earlier versions wrote it, without checksums."""
    index = path / "files.jsonl"
    rows = [json.loads(line) for line in index.read_text().splitlines()]
    index.write_text("".join(json.dumps({k: v for k, v in row.items() if k != "checksums"}) + "\n" for row in rows))
    return Corpus.open(path)
