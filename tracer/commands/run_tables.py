"""What `trace` and `trace compare` print of runs: when each attribute is settled, for people or for machines."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from probes.support.files import finite
from tracer.commands.tables import Column, print_columns
from tracer.commands.truth_tables import print_validity
from tracer.curves import GENERIC, LINEAR_FLOW, MEASURE_NAMES, SHUFFLED, TRAINED, mixed_measures
from tracer.measures.progress import THRESHOLD
from tracer.measures.truth import against_audio
from tracer.record.settling import stop_summary
from tracer.results import with_interval
from tracer.truth_files import load_validity

if TYPE_CHECKING:
    from tracer.comparing import Comparison
    from tracer.run import Run

FEW = 8
"""Prompts below which a bootstrap over them says little."""
_NOTE = f"settled: within {THRESHOLD:g} of its end from there on"
_NULLS = {
    GENERIC: ("generic directions", "any quantity of the latent with the same spread and classes"),
    LINEAR_FLOW: ("linear flow", "a generator that knows mean and covariance alone"),
    SHUFFLED: ("shuffled labels", "a check that the probe is selective"),
}


def print_run(run: Run, as_json: bool) -> None:
    """Print what a run came to: where it lies and when each attribute is settled, beside the audio if measured."""
    if as_json:
        print(json.dumps(run_json(run)))
        return
    prompts = f"{run.n} prompt" + ("s" if run.n != 1 else "")
    last = run.results.states - 1
    print_columns(
        f"{prompts}, states 0 to {last}: settled from (95 % interval)",
        settled_columns(run),
    )
    print(_NOTE)
    print()
    print_verdicts(run)
    measured = truth_columns(run)
    if measured:
        print()
        print_columns("probes beside the decoded audio, mean agreement curves", measured)
        print_validity(run)
    stops = stop_summary(run.path)
    if stops is not None:
        print()
        print_stops(stops)
    if run.autoencoder:
        print("read by an autoencoder imported from {library}, {origin}".format(**run.autoencoder))
    print(f"curves, clips and readings: {run.path}")


def run_json(run: Run) -> dict[str, Any]:
    """What a run came to, for machines: folder, finished prompts, threshold and the rows of `Run.summary`.

    A run with ground truth has the rows of `against_audio` and of `validity.csv` too.
    """
    content: dict[str, Any] = {"run": str(run.path), "n": run.n, "threshold": THRESHOLD}
    content["settled"] = finite(run.summary())
    stops = stop_summary(run.path)
    content |= {} if stops is None else {"stopped": stops}
    rows = against_audio(run.results.progress)
    return content | ({"ground_truth": rows, "validity": finite(load_validity(run).to_dict("records"))} if rows else {})


def print_stops(stops: dict[str, Any]) -> None:
    """Print what stopping early saved and cost."""
    at = "" if stops["at"] is None else f", at state {stops['at']:.1f} on average"
    print(
        f"stopped when settled: {stops['stopped']} of {stops['clips']} clips{at}; {stops['saved']:.0%} of the "
        "network's evaluations saved (a batch goes on until its last clip has settled)"
    )
    cost = {name: "-" if value is None else f"{value:.2f}" for name, value in stops["cost"].items()}
    print(
        f"cost, mean over {stops['checked']} clips that were generated in full too: pitch {cost['pitch']} semitones, "
        f"level {cost['loudness']} dB, centroid {cost['timbre']} octaves, log-mel distance {cost['log_mel_db']} dB"
    )
    print("the curves end where the clips were stopped, not where they would have gone")


def settled_columns(run: Run) -> list[Column]:
    """Settled-at per attribute, views one below the other: state, interval, and flow time of the main measure."""
    rows = run.summary()
    shown = [key for key in MEASURE_NAMES if any(key in row for row in rows)]
    if len(shown) > 1:
        shown = [key for key in shown if key != "l1"]
    names, times = Column("attribute"), Column("flow time")
    columns = {key: Column(MEASURE_NAMES[key]) for key in shown}
    for view in run.views:
        for column in (names, times, *columns.values()):
            column.cells.append(view if column is names else "")
        for row in rows:
            if row["view"] != view:
                continue
            names.cells.append(f"  {row['attribute']}")
            for key, column in columns.items():
                found = row.get(key)
                point = None if found is None else with_interval(found["index"], found["low"], found["high"])
                column.cells.append(point or "-")
            # Eq. 4 says when for a run without frames alone.
            main = [key for key in shown if key in ("closeness", "agreement")] or shown
            found = next((row[key] for key in main if key in row), None)
            times.cells.append("-" if found is None else f"{found['t']:.2f}")
    first, *rest = columns.values()
    return [names, first, times, *rest]


def print_verdicts(run: Run) -> None:
    """Print in words whether each attribute settles earlier than, like, or later than its nulls."""
    table = run.results.own_verdicts
    if (table["measure"] == "closeness").any():
        print_columns("by closeness, settled earlier, like or later than (states, 95 % interval)", verdict_columns(run))
        unordered = [
            name for name in run.attributes if name in set(table[table["measure"] == "agreement"]["attribute"])
        ]
        if unordered:
            print(f"by agreement, since their classes have no order: {', '.join(unordered)}")
        if run.n < FEW:
            print(f"fewer than {FEW} prompts: these intervals are rough")
        for null in dict.fromkeys(table["null"]):
            print(f"{_NULLS[null][0]}: {_NULLS[null][1]}")
    if run.results.missing:
        lacking = " and ".join(_NULLS[null][0] for null in run.results.missing)
        print(f"this readout lacks {lacking}: fit it again")


def verdict_columns(run: Run) -> list[Column]:
    """A row per view and attribute, a column per null: "later +4.9 (-0.5 to +10.2)"."""
    table = run.results.own_verdicts
    nulls = [null for null in _NULLS if (table["null"] == null).any()]
    names = Column("attribute")
    columns = {null: Column(_NULLS[null][0], spare=2 if null == SHUFFLED else 0) for null in nulls}
    for view in run.views:
        for column in (names, *columns.values()):
            column.cells.append(view if column is names else "")
        for attribute in run.attributes:
            names.cells.append(f"  {attribute}")
            for null, column in columns.items():
                found = table[(table["view"] == view) & (table["attribute"] == attribute) & (table["null"] == null)]
                column.cells.append("-" if found.empty else _verdict(found.iloc[0]))
    return [names, *columns.values()]


def _verdict(row: Any) -> str:
    if math.isnan(row["low"]):
        return str(row["verdict"])
    return f"{row['verdict']} {row['difference']:+.1f} ({row['low']:+.1f} to {row['high']:+.1f})"


def truth_columns(run: Run) -> list[Column]:
    """How well the probes' agreement follows that of the audio; nothing in a run without ground truth."""
    rows = [row for row in against_audio(run.results.progress) if row["measure"] == "agreement"]
    names = Column("attribute")
    columns = {
        (figure, probe): Column(heading if probe == TRAINED else "its control")
        for figure, heading in (("correlation", "correlation"), ("difference", "mean |difference|"))
        for probe in (TRAINED, SHUFFLED)
    }
    for attribute in run.attributes:
        mine = {row["probe"]: row for row in rows if row["attribute"] == attribute}
        if not mine:
            continue
        names.cells.append(attribute)
        for (figure, probe), column in columns.items():
            value = mine[probe][figure] if probe in mine else None
            column.cells.append("-" if value is None else f"{value:.2f}")
    return [names, *columns.values()] if names.cells else []


def print_comparison(result: Comparison, as_json: bool, figure: Sequence[Path] = ()) -> None:
    """Print when each attribute is settled in each run and in which order, and the paths of the figure."""
    if as_json:
        content = {
            "threshold": THRESHOLD,
            "settled": finite(result.settled.to_dict("records")),
            "pairs": finite(result.pairs.to_dict("records")),
            "orders": result.orders.to_dict("records"),
            "left_out": list(result.left_out),
            "figure": [str(path) for path in figure],
        }
        print(json.dumps(content))
        return
    print_columns("settled from (95 % interval)", comparison_columns(result))
    print(_NOTE)
    if told := mixed_measures(result.settled):
        print(told)
    print_orders(result)
    if result.left_out:
        print(f"left out, since their classes have no order: {', '.join(result.left_out)}")
    print_run_pairs(result)
    for path in figure:
        print(path)


def print_orders(result: Comparison) -> None:
    """Print in which order each run settles its attributes, and which runs have too few prompts to tell much."""
    told = result.told_orders()
    print("order: '<' told apart, '~' not (paired bootstrap over prompts, Holm)")
    if told["order"].str.contains(" ? ", regex=False).any():
        print("  '?' not tested, which takes two prompts and the classes of their frames")
    for row in told.itertuples():
        print(f"  {row.view}, {row.run}: {row.order}")
    for name in result.few(FEW):
        print(f"fewer than {FEW} prompts, intervals are rough: {name}")


def print_run_pairs(result: Comparison) -> None:
    """Print the rows of `Comparison.pairs` that compare runs, a table for each pair of runs."""
    rows = result.pairs[result.pairs["kind"] == "runs"].to_dict("records")
    for first, second in dict.fromkeys((row["first"], row["second"]) for row in rows):
        mine = [row for row in rows if (row["first"], row["second"]) == (first, second)]
        together = {row["paired"] for row in mine} == {True}
        print()
        print(f"{first} than")
        print(f"{second},")
        pairing = "the same prompts and seeds, paired" if together else "unpaired: other prompts or seeds"
        columns = [
            Column("attribute"), Column("verdict"), Column("flow time"), Column("log-SNR", spare=1), Column("p"),
            Column("n"),
        ]  # fmt: skip
        for row in mine:
            interval = f"{row['difference']:+.2f} ({row['low']:+.2f} to {row['high']:+.2f})"
            cells = [
                f"{row['of']}, {row['view']}",
                row["verdict"],
                "-" if math.isnan(row["low"]) else interval,
                "-" if math.isnan(row["logsnr"]) else f"{row['logsnr']:+.1f}",
                "-" if math.isnan(row["p"]) else f"{row['p']:.3f}",
                str(row["n"]),
            ]
            for column, cell in zip(columns, cells):
                column.cells.append(cell)
        print_columns(f"{pairing} (difference, 95 % interval, p after Holm)", columns)
        if any(row["n"] < FEW for row in mine):
            print(f"fewer than {FEW} prompts: these intervals are rough")


def comparison_columns(result: Comparison) -> list[Column]:
    """The rows of the trained probes, view and attribute as headings above the runs, with the control beside."""
    names = Column("run")
    state, control = Column("state"), Column("its control", spare=1)
    time, logsnr = Column("flow time"), Column("log-SNR", spare=2)
    columns = (names, state, time, control, logsnr)
    controls = {
        (row["view"], row["attribute"], row["run"]): row
        for row in result.settled.to_dict("records")
        if row["probe"] == SHUFFLED
    }
    group = None
    for row in result.settled.to_dict("records"):
        if row["probe"] != TRAINED:
            continue
        if group != (row["view"], row["attribute"]):
            group = row["view"], row["attribute"]
            for column in columns:
                column.cells.append(f"{row['attribute']}, {row['view']}" if column is names else "")
        names.cells.append(f"  {row['run']}")
        state.cells.append(f"{with_interval(row['index'], row['low'], row['high'])} of {row['states']}")
        alone = math.isnan(row["low"])
        times = "-" if alone else f"{row['t_low']:.2f}-{row['t_high']:.2f}"
        time.cells.append(f"{row['t']:.2f} ({times})")
        ratios = "-" if alone else f"{shown_logsnr(row['logsnr_low'])} to {shown_logsnr(row['logsnr_high'])}"
        logsnr.cells.append(f"{shown_logsnr(row['logsnr'])} ({ratios})")
        own = controls.get((row["view"], row["attribute"], row["run"]))
        control.cells.append("-" if own is None else f"{own['t']:.2f}")
    return list(columns)


def shown_logsnr(logsnr: float) -> str:
    """A log-SNR with one decimal; "end" and "noise" at the two ends."""
    return f"{logsnr:+.1f}" if math.isfinite(logsnr) else ("end" if logsnr > 0 else "noise")
