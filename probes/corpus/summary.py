"""What is in a corpus: counts, label histograms, what was left out."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from probes.corpus import Corpus
from probes.corpus.split import SPLITS

BARS = " ▁▂▃▄▅▆▇█"


def summarise(corpus: Corpus, skipped: Sequence[str] = (), bins: int = 20) -> dict[str, Any]:
    """Everything that `trace fit encode` reports, ready for JSON.

    Args:
        corpus: A corpus with at least one file.
        skipped: One line per file that was left out.
        bins: Of the histograms.
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


def print_summary(summary: dict[str, Any], as_json: bool = False) -> None:
    """Print a summary as JSON, or as tables for people."""
    if as_json:
        print(json.dumps(summary))
        return
    from rich.console import Console
    from rich.table import Table

    console = Console()
    space, splits = summary["space"], summary["splits"]
    table = Table(
        "split", "files", "frames", "time", title=f"{summary['corpus']}: {space['name']}, {space['channels']} channels"
    )
    for split, row in splits.items():
        table.add_row(split, str(row["files"]), str(row["frames"]), f"{row['seconds'] / 60:.1f} min")
    console.print(table)
    if summary["attributes"]:
        table = Table("attribute", "used", "from", "to", "histogram")
        for name, row in summary["attributes"].items():
            if "counts" in row:
                ends = [f"{row[end]:.4g} {row['unit']}" for end in ("min", "max")]
                table.add_row(name, f"{row['valid']:.0%}", *ends, sparkline(row["counts"]))
            else:
                table.add_row(name, "0%", "", "", "")
        console.print(table)
    empty = [split for split, row in splits.items() if not row["files"]]
    if empty:
        console.print(f"No file is in {' or '.join(empty)}: add files, or give the splits in a manifest.")
    if summary["skipped"]:
        console.print(f"{len(summary['skipped'])} left out:")
        for line in summary["skipped"][:20]:
            console.print(f"  {line}", highlight=False, markup=False)
        if len(summary["skipped"]) > 20:
            console.print(f"  and {len(summary['skipped']) - 20} more, in summary.json")


def sparkline(counts: Sequence[int]) -> str:
    """Counts as a row of bars; anything above zero is visible."""
    top = max(max(counts), 1)
    return "".join(BARS[-(-count * (len(BARS) - 1) // top)] for count in counts)
