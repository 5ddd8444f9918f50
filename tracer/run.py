"""A run folder as the user meets it: tables of curves, settled points, prompts."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from probes.errors import InputError
from tracer.prompts import Prompt
from tracer.record.shards import TRAINED, Curve
from tracer.record.store import RunReader
from tracer.results import MEASURES, Results, compute_progress, load_results

if TYPE_CHECKING:
    import pandas as pd

_ALL_MEASURES = (*MEASURES, "own", "fvu", "l0")


class Run:
    """A finished or unfinished run; everything is computed from its finished prompts alone.

    Raises InputError when `path` is not a run folder.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.reader = RunReader(self.path)

    @property
    def options(self) -> dict[str, Any]:
        """The options the run was made with."""
        return self.reader.options

    @property
    def n(self) -> int:
        """Number of finished prompts."""
        return len(self.reader.indices)

    @cached_property
    def prompts(self) -> list[Prompt]:
        """The prompts of the run, finished or not."""
        return self.reader.prompts()

    @cached_property
    def results(self) -> Results:
        """All curves of the run, whatever view, probe and measure; computed on first use."""
        return load_results(self.reader)

    @cached_property
    def attributes(self) -> list[str]:
        """The attributes that were read, in the order in which agreement (or l1) settles at the endpoint or state."""
        table = self.results.settled
        measure = "agreement" if (table["measure"] == "agreement").any() else "l1"
        table = table[(table["probe"] == TRAINED) & (table["measure"] == measure)]
        known = table.groupby("attribute")["index"].mean().sort_values(kind="stable").index
        rest = sorted(set(self.results.progress["attribute"]) - set(known) - {"sae"})
        return [*known, *rest]

    @cached_property
    def views(self) -> list[str]:
        """The views that were read, `state` first."""
        return sorted(set(self.results.progress["view"]), key=["state", "endpoint"].index)

    def progress(self, view: str = "endpoint", measure: str = "agreement", probe: str = TRAINED) -> pd.DataFrame:
        """Mean curves over prompts: columns attribute, index, t, mean, std, n.

        Parameters
        ----------
        view : "state" (the latent as it is) or "endpoint" (the clean latent expected at that state).
        measure : "agreement", "paper" (Eq. 4), "l1", "js", "own" (agreement before correction), or, of the
            autoencoder itself, "fvu" and "l0".
        probe : "trained", "control" (shuffled labels), or "measured" (decoded audio), where the run has it.
        """
        self._check(view=view, measure=measure, probe=probe)
        table = self.results.progress
        table = table[(table["view"] == view) & (table["measure"] == measure) & (table["probe"] == probe)]
        return table[["attribute", "index", "t", "mean", "std", "n"]].reset_index(drop=True)

    def settled(self, view: str | None = None, measure: str = "agreement", probe: str = TRAINED) -> pd.DataFrame:
        """First state from which the mean stays within 0.1 of its end, per attribute and view (all views when None).

        Columns attribute, view, index, low, high (95 % bootstrap interval over prompts), t, t_low, t_high, n.
        """
        self._check(view=view, measure=measure, probe=probe)
        table = self.results.settled
        table = table[(table["measure"] == measure) & (table["probe"] == probe)]
        if view is not None:
            table = table[table["view"] == view]
        return table.drop(columns=["probe", "measure", "threshold"]).reset_index(drop=True)

    def commitment(self, attribute: str, view: str = "endpoint", probe: str = TRAINED) -> np.ndarray:
        """Share of prompts whose frame keeps its final class from a state on: float32 [states, frames]."""
        try:
            return self.results.commitment[Curve(view, probe, attribute)]
        except KeyError:
            raise InputError(
                f"{self.path} has no classes per frame of {attribute} in view {view}: it holds "
                f"{', '.join(sorted({c.attribute for c in self.results.commitment})) or 'none'}"
            ) from None

    def summary(self) -> list[dict[str, Any]]:
        """What `trace` prints at the end: for each attribute and view, where agreement and Eq. 4 settle.

        Each row has attribute, view, states (number of states), and for each measure and probe that the run has a
        column such as `agreement` or `agreement_control`: {"index", "low", "high", "t"}.
        """
        table = self.results.settled
        rows: list[dict[str, Any]] = []
        states = int(self.results.progress["index"].max()) + 1
        for view in self.views:
            for attribute in self.attributes:
                row: dict[str, Any] = {"attribute": attribute, "view": view, "states": states}
                mine = table[(table["view"] == view) & (table["attribute"] == attribute)]
                for found in mine.to_dict("records"):
                    name = found["measure"] + ("" if found["probe"] == TRAINED else f"_{found['probe']}")
                    row[name] = {key: found[key] for key in ("index", "low", "high", "t")}
                rows.append(row)
        return rows

    def _check(self, view: str | None, measure: str, probe: str) -> None:
        have = self.results.progress
        for name, value, known in (
            ("view", view, self.views),
            ("measure", measure, [m for m in _ALL_MEASURES if (have["measure"] == m).any()]),
            ("probe", probe, sorted(set(have["probe"]))),
        ):
            if value is not None and value not in known:
                raise InputError(f"{self.path} has no {name} {value!r}: it has {', '.join(known)}")


def finish_run(folder: str | os.PathLike[str]) -> Run:
    """Compute a run's curves anew and draw them: `progress.csv`, `settled.csv`, `commitment.npz`, `emergence.*`.

    Where the attributes were measured on decoded audio too, `ground-truth.*` says how well the probes follow.
    """
    from tracer.figures.emergence import plot_runs
    from tracer.measures.truth import write_truth

    compute_progress(RunReader(folder))
    run = Run(folder)
    plot_runs([run], run.path / "emergence")
    write_truth(run)
    return run
