"""What fitting found, as tables for people or JSON for machines."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from probes.readout.card import ROWS, show

if TYPE_CHECKING:
    from probes.fit.explain import Contribution

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


@contextmanager
def progress_bar(show_it: bool) -> Iterator[Callable[[str, int, int], None] | None]:
    """A callback that draws a bar on standard error for each kind of work; None when nothing is to be shown."""
    if not show_it:
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bars:
        tasks: dict[str, Any] = {}

        def report(what: str, done: int, of: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=of)
            bars.update(tasks[what], completed=done)

        yield report


def print_sae(figures: Mapping[str, Any], as_json: bool) -> None:
    """Figures of one autoencoder, as `probes.fit.fit_sae` saved them."""
    if as_json:
        print(json.dumps(figures))
        return
    rows = [(title, figures[key]) for key, title in SAE_ROWS if key in figures]
    rows += [(f"features silent for {int(n):,} training frames", share) for n, share in figures["dead"].items()]
    if "audio" in figures:
        rows += list(figures["audio"].items())
    _print(["autoencoder", "held-out files"], [[title, show(value)] for title, value in rows])


def print_probes(report: Mapping[str, Mapping[str, Any]], as_json: bool) -> None:
    """Figures of probes by attribute, as in a readout's report."""
    if as_json:
        print(json.dumps(report))
        return
    rows = [
        [title, *(show(found[key]) if key in found else "" for found in report.values())]
        for key, title in ROWS
        if any(key in found for found in report.values())
    ]
    _print(["held-out files", *report], rows)


def print_contributions(found: Sequence[Contribution], as_json: bool) -> None:
    if as_json:
        print(json.dumps([one._asdict() for one in found]))
        return
    rows = [
        [str(one.feature), f"{one.attribute} {one.label}", f"{one.contribution:+.3f}", f"{one.firing:.0%}"]
        for one in found
    ]
    _print(["feature", "class", "contribution", "active in"], rows)


def print_table(rows: Sequence[Mapping[str, Any]], as_json: bool) -> None:
    """Rows of a sweep: the columns that fit a terminal; all are in table.csv."""
    if as_json:
        print(json.dumps(rows))
        return
    wanted = ["hidden", "lambda", "sparsity", "l0", "fvu", "silent_in_training"]
    wanted += [name for row in rows[:1] for name in row if name.endswith("_accuracy")]
    _print(wanted, [[show(row.get(name, "")) for name in wanted] for row in rows])


def _print(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(*columns)
    for row in rows:
        table.add_row(*row)
    Console().print(table)
