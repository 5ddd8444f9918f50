"""Rendered pieces with exact labels for what is measured of rhythm, harmony and instruments, and their latents.

    python -m benchmarks.rhythm.pieces --work FOLDER [--pieces 1200] [--training 900] [--workers 2]

Pieces are drawn so that solos, duos, trios and bands are equally many: of pieces as they come seven in ten are solos,
which have neither chords nor drums. The seeds of a quarter of them, for validation and test, were never used in
training the bundled model. A folder of fewer training pieces grows: those that are there are kept.
"""

import argparse
import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from probes.corpus.encoding import Recipe, encode_into
from probes.corpus.sources import RenderedSource
from probes.rendering.composing import draw_facts

ATTRIBUTES = ("pitch", "onset", "chord", "key", "tempo", "family", "drums", "voice", "beat")
TEXTURES = ("solo", "duo", "trio", "band")
RATE, SECONDS = 22050, 12.0
FIRST_SEEDS = {"train": 40_000_000, "val": 540_000_000, "test": 550_000_000}
SHARES = {"train": 0.75, "val": 0.1, "test": 0.15}


def balanced_seeds(first: int, count: int) -> Iterator[int]:
    """Seeds from `first` on whose pieces have the four textures in turn."""
    waiting = {texture: iter(seeds_of(texture, first)) for texture in TEXTURES}
    return itertools.islice((next(waiting[texture]) for texture in itertools.cycle(TEXTURES)), count)


def seeds_of(texture: str, first: int) -> Iterator[int]:
    """Seeds from `first` on whose pieces have a texture."""
    return (seed for seed in itertools.count(first) if texture_of(seed) == texture)


def texture_of(seed: int) -> str:
    """Whether the piece of a seed is a solo, duo, trio or band."""
    return draw_facts(np.random.default_rng(seed)).texture


def sources(pieces: int, training: int | None = None) -> list[RenderedSource]:
    """Pieces of all splits, mixed, so that a corpus that is not finished has all of them.

    Args:
        pieces: How many, of which the splits have their shares.
        training: How many the train split has in place of its share.
    """
    counts = {split: round(pieces * share) for split, share in SHARES.items()}
    if training is not None:
        counts["train"] = training
    found = [
        (place / count, RenderedSource(f"{split}-{seed}", split, None, seed, SECONDS, RATE))
        for split, count in counts.items()
        for place, seed in enumerate(balanced_seeds(FIRST_SEEDS[split], count))
    ]
    return [source for _, source in sorted(found, key=lambda pair: pair[0])]


def encode(work: Path, wanted: list[RenderedSource], workers: int) -> None:
    """Render pieces into a corpus of mini latents; one that was interrupted goes on."""
    recipe = Recipe("mini", attributes={name: {} for name in ATTRIBUTES}, annotated=True, threads=1)
    encode_into(work / "corpus", wanted, recipe, workers)


def main() -> None:
    """Render and encode."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for the corpus; the same one resumes")
    parser.add_argument("--pieces", type=int, default=1200, help="of all splits, 0.75 to 0.1 to 0.15")
    parser.add_argument("--training", type=int, help="pieces of the train split, in place of its share")
    parser.add_argument("--workers", type=int, default=1, help="processes")
    options = parser.parse_args()
    encode(options.work, sources(options.pieces, options.training), options.workers)


if __name__ == "__main__":
    main()
