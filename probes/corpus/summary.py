"""What is in a corpus: counts, label histograms, what was left out."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from probes.corpus import Corpus
from probes.corpus.split import SPLITS


def summarise(corpus: Corpus, skipped: Sequence[str] = (), bins: int = 20) -> dict[str, Any]:
    """Everything that `trace fit encode` reports, ready for JSON.

    Args:
        corpus: A corpus with at least one file.
        skipped: One line per file that was left out.
        bins: Number of classes in each histogram.
    """
    return {
        "corpus": str(corpus.path),
        "space": corpus.space_info,
        "splits": {
            split: {
                "files": len(corpus.files(split)),
                "frames": corpus.frames(split),
                "seconds": round(corpus.frames(split) / corpus.frame_rate, 1),
            }
            for split in SPLITS
        },
        "attributes": {name: histogram(corpus, name, bins) for name in corpus.attributes},
        "skipped": list(skipped),
    }


def histogram(corpus: Corpus, attribute: str, bins: int) -> dict[str, Any]:
    """Counts of an attribute's valid values over all splits, one file in memory at a time."""
    low, high, frames, valid_frames = np.inf, -np.inf, 0, 0
    for file in corpus.files():
        values, valid = corpus.labels(file, attribute)
        frames, valid_frames = frames + len(valid), valid_frames + int(valid.sum())
        if valid.any():
            low, high = min(low, float(values[valid].min())), max(high, float(values[valid].max()))
    result: dict[str, Any] = {
        "unit": corpus.config["attributes"][attribute]["unit"],
        "valid": round(valid_frames / frames, 4),
    }
    if valid_frames:
        edges = np.linspace(low, high if high > low else low + 1, bins + 1)
        counts = np.zeros(bins, dtype=np.int64)
        for file in corpus.files():
            values, valid = corpus.labels(file, attribute)
            counts += np.histogram(values[valid], edges)[0]
        result |= {"min": low, "max": high, "edges": edges.tolist(), "counts": counts.tolist()}
    return result
