"""What fitting found, as tables for people or JSON for machines."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from probes.readout.card import NOISE_COLUMNS, ROWS, noise_rows, show
from tracer.commands.tables import number, print_rows

if TYPE_CHECKING:
    from probes.corpus.collections import Taken
    from probes.fit.explain import Contribution

BARS = " ▁▂▃▄▅▆▇█"
SAE_ROWS = (
    ("sparsity", "share of zero activations"),
    ("l0", "active features of a frame"),
    ("fvu", "fraction of variance unexplained"),
    ("fvu_in_training", "the same on the training files"),
    ("cosine", "cosine of reconstruction and latent"),
    ("shrinkage", "shrinkage (1: none)"),
    ("silent_in_training", "features that no training frame activates"),
    ("rms_h", "mean rms(h)"),
    ("frames", "held-out frames"),
)


def print_sae(figures: Mapping[str, Any], as_json: bool) -> None:
    """Figures of one autoencoder, as `probes.fit.pipeline.fit_sae` saved them."""
    if as_json:
        print(json.dumps(figures))
        return
    rows = [(title, figures[key]) for key, title in SAE_ROWS if key in figures]
    rows += [(f"features silent for {int(n):,} training frames", share) for n, share in figures["dead"].items()]
    if "audio" in figures:
        rows += list(figures["audio"].items())
    print_rows("", ["autoencoder", "held-out files"], [[title, show(value)] for title, value in rows])


def print_probes(
    report: Mapping[str, Mapping[str, Any]], as_json: bool, noise: Mapping[str, Any] | None = None
) -> None:
    """Figures of probes by attribute, and of those that know the noise, as in a readout's report."""
    if as_json:
        print(json.dumps({**report, "noise": noise} if noise else report))
        return
    rows = [
        [title, *(show(found[key]) if key in found else "" for found in report.values())]
        for key, title in ROWS
        if any(key in found for found in report.values())
    ]
    print_rows("", ["held-out files", *report], rows)
    if noise:
        for name in noise["attributes"]:
            print()
            print_rows(
                f"{name} through noise", ["log-SNR", *(title for _, title in NOISE_COLUMNS)], noise_rows(noise, name)
            )


def print_contributions(found: Sequence[Contribution], as_json: bool) -> None:
    """Print which features speak for a class, or which classes a feature speaks for."""
    if as_json:
        print(json.dumps([one._asdict() for one in found]))
        return
    rows = [
        [str(one.feature), f"{one.attribute} {one.label}", f"{one.contribution:+.3f}", f"{one.firing:.0%}"]
        for one in found
    ]
    print_rows("", ["feature", "class", "contribution", "active in"], rows)


def print_sweep(rows: Sequence[Mapping[str, Any]], as_json: bool) -> None:
    """Print the main columns of a sweep; all are in table.csv."""
    if as_json:
        print(json.dumps(rows))
        return
    wanted = ["hidden", "lambda", "sparsity", "l0", "fvu", "silent_in_training"]
    wanted += [name for row in rows[:1] for name in row if name.endswith("_accuracy")]
    print_rows("", wanted, [[show(row.get(name, "")) for name in wanted] for row in rows])


def print_taken(table: Sequence[Taken]) -> None:
    """Print what is taken of each data set, and its licence."""
    rows = [
        [
            row.name, row.licence, "all" if row.wanted is None else f"{row.wanted:g}", f"{row.there:,}",
            f"{row.taken:,}" if row.there else "missing", f"{row.hours:.2f}",
        ]
        for row in table
    ]  # fmt: skip
    print_rows("", ["data set", "licence", "hours wanted", "there", "taken", "hours"], rows)
    for row in table:
        if row.versions:
            print(f"versions of {row.name}: {row.versions}")
        if row.source:
            print(f"{row.name} comes from {row.source}")


def print_summary(summary: Mapping[str, Any], as_json: bool = False) -> None:
    """Print what is in a corpus, as `probes.corpus.summary.summarise` gives it."""
    if as_json:
        print(json.dumps(summary))
        return
    space = summary["space"]
    splits = [
        [split, f"{row['files']:,}", f"{row['frames']:,}", f"{row['seconds'] / 60:.1f} min"]
        for split, row in summary["splits"].items()
    ]
    title = f"{summary['corpus']}: {space['name']}, {space['channels']} channels"
    print_rows(title, ["split", "files", "frames", "time"], splits)
    if summary["attributes"]:
        print()
        print_rows(
            "", ["attribute", "used", "from", "to", "histogram"], [*map(histogram_row, summary["attributes"].items())]
        )
    empty = [split for split, row in summary["splits"].items() if not row["files"]]
    if empty:
        print(f"No file is in {' or '.join(empty)}: add files, or give the splits in a manifest.")
    if summary["skipped"]:
        print(f"{len(summary['skipped'])} left out:")
        for line in summary["skipped"][:20]:
            print(f"  {line}")
        if len(summary["skipped"]) > 20:
            print(f"  and {len(summary['skipped']) - 20} more, in summary.json")


def histogram_row(entry: tuple[str, Mapping[str, Any]]) -> list[str]:
    """Cells of one attribute: name, share of frames with a value, smallest, largest, histogram."""
    name, row = entry
    if "counts" not in row:
        return [name, "0%", "", "", ""]
    ends = [f"{number(float(row[end]))} {row['unit']}".rstrip() for end in ("min", "max")]
    return [name, f"{row['valid']:.0%}", *ends, sparkline(row["counts"])]


def sparkline(counts: Sequence[int]) -> str:
    """Counts as a row of bars; anything above zero is visible."""
    top = max(max(counts), 1)
    return "".join(BARS[-(-count * (len(BARS) - 1) // top)] for count in counts)
