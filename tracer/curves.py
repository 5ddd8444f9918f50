"""The names of what a run holds: views, kinds of probe, and curves."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from probes.readout.kinds import GENERIC, RAW, SHUFFLED, TRAINED, UNTRAINED

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "GENERIC", "LINEAR_FLOW", "MEASURED", "MEASURE_NAMES", "NOT_THE_SAME", "NO_CLASS", "RAW", "SHUFFLED", "TRAINED",
    "UNTRAINED", "VIEWS", "Curve", "kind", "measures_used", "mixed_measures",
]  # fmt: skip

VIEWS = ("state", "endpoint")
"""What is read at a state: the latent as it is, or the clean latent that the model expects."""
LINEAR_FLOW, MEASURED = "linear_flow", "measured"
"""Kinds of probe beside `TRAINED`, `SHUFFLED` and `GENERIC`: the trained ones on the states of a linear flow that ends
in the same latent; no probe, but the audio itself."""
NO_CLASS = 255
"""Class of a frame without a value, such as an unvoiced one; only measured classes have it."""


class Curve(NamedTuple):
    """What one curve shows: a view, a kind of probe and an attribute."""

    view: str
    probe: str
    attribute: str


def kind(probe: str) -> str:
    """Kind of a probe: the directions "generic-1", "generic-2", ... are all `GENERIC`."""
    return GENERIC if probe.startswith(f"{GENERIC}-") else probe


MEASURE_NAMES = {"closeness": "closeness", "agreement": "agreement", "paper": "Eq. 4", "l1": "ratio of sums"}
"""Measures by which something is settled, as tables and figures name them."""


def measures_used(settled: pd.DataFrame) -> dict[str, str]:
    """The name of the measure by which each run of `Comparison.settled` is settled."""
    rows = settled.drop_duplicates("run")
    return {run: MEASURE_NAMES[measure] for run, measure in zip(rows["run"], rows["measure"])}


NOT_THE_SAME = "not the same measure, so not to be compared"
"""Stands beside runs that are settled by different measures."""


def mixed_measures(settled: pd.DataFrame) -> str | None:
    """Says which run of `Comparison.settled` is settled by which measure; None where all are by the same."""
    used = measures_used(settled)
    if len(set(used.values())) < 2:
        return None
    return f"{NOT_THE_SAME}: " + "; ".join(f"{run} by {measure}" for run, measure in used.items())
