"""From what a run folder holds to its curves, its settled points and its commitment maps.

`compute_progress` reads the finished prompts twice, in index order, and writes

- `progress.csv`: attribute, view, probe, measure, index, t, mean, std, n (number of prompts), logsnr, and for Eq. 4 the
  mean share of excluded classes. Rows of attribute `sae` hold the autoencoder's own `fvu` and `l0`.
- `settled.csv`: attribute, view, probe, measure, threshold; index, low and high (state index and its 95 % bootstrap
  interval over prompts), and the same three as flow time.
- `commitment.npz`: for each view/probe/attribute the share of prompts, float32 [states, frames], whose frame keeps its
  final class from that state on.

The same finished prompts give the same bytes of `progress.csv`, whatever the order and the interruptions in which they
were traced.
"""

from __future__ import annotations

import contextlib
import io
import warnings
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from probes.errors import InputError
from probes.support.files import write_whole
from tracer.curves import MEASURED, TRAINED, VIEWS, Curve
from tracer.measures.frame_classes import CommitmentMap, Finals, prompt_agreement
from tracer.measures.progress import THRESHOLD, Accumulator, Bootstrap, interval, js, l1, paper, settled
from tracer.record.shards import PromptTrace
from tracer.record.store import RunReader

if TYPE_CHECKING:
    import pandas as pd

POOLED_MEASURES = ("paper", "l1", "js")
MEASURES = ("paper", "l1", "js", "agreement")
FILES = ("progress.csv", "settled.csv", "commitment.npz")
PROGRESS_COLUMNS = (
    "attribute", "view", "probe", "measure", "index", "t", "mean", "std", "n", "logsnr", "excluded",
)  # fmt: skip
SETTLED_COLUMNS = (
    "attribute", "view", "probe", "measure", "threshold", "index", "low", "high", "t", "t_low", "t_high", "n",
)  # fmt: skip

FLOATS = ("t", "mean", "std", "logsnr", "excluded", "threshold", "t_low", "t_high")
DIGITS = "%.9g"


@dataclass
class Results:
    """What is computed from the finished prompts of one run."""

    progress: pd.DataFrame
    """Columns of `PROGRESS_COLUMNS`: mean curves over prompts."""
    settled: pd.DataFrame
    """Columns of `SETTLED_COLUMNS`: first state from which a mean curve stays near its end."""
    commitment: dict[Curve, np.ndarray]
    """Share of prompts whose frame keeps its final class from a state on, float32 [states, frames]."""

    @cached_property
    def main_measure(self) -> str:
        """The measure to read: "agreement", or "l1" in a run without classes per frame."""
        return "agreement" if (self.settled["measure"] == "agreement").any() else "l1"

    @cached_property
    def attributes(self) -> list[str]:
        """The attributes that were read, in the order in which they settle by the main measure."""
        table = self.settled
        table = table[(table["probe"] == TRAINED) & (table["measure"] == self.main_measure)]
        known = table.groupby("attribute")["index"].mean().sort_values(kind="stable").index
        rest = sorted(set(self.progress["attribute"]) - set(known) - {"sae"})
        return [*known, *rest]

    @cached_property
    def views(self) -> list[str]:
        """The views that were read, "state" first."""
        return sorted(set(self.progress["view"]), key=VIEWS.index)

    @cached_property
    def states(self) -> int:
        """Number of states."""
        return int(self.progress["index"].max()) + 1

    @cached_property
    def prompts(self) -> int:
        """Number of finished prompts."""
        return int(self.progress["n"].max())


class _Gather:
    """Gathers every prompt's curves, [curves, states], into means, bootstrap and maps in the second pass."""

    def __init__(self, first: PromptTrace, prompts: int, finals: dict[Curve, Finals]) -> None:
        self.t, self.logsnr = first.t, first.logsnr
        self.finals = finals
        self.views = sorted(first.fvu)
        pooled = [(curve, measure) for curve in first.pooled for measure in POOLED_MEASURES]
        framed = [(curve, measure) for curve in finals for measure in ("agreement", "own")]
        self.rows: list[tuple[Curve, str]] = sorted(pooled + framed, key=_row_order)
        self.sae_rows = [(view, measure) for view in self.views for measure in ("fvu", "l0")]
        states = len(self.t)
        self.curves = Accumulator((len(self.rows), states))
        self.sae = Accumulator((len(self.sae_rows), states))
        self.excluded = {curve: Accumulator() for curve in first.pooled}
        self.bootstrap = Bootstrap(prompts)
        self.maps = {curve: CommitmentMap(states) for curve in finals if curve.probe != MEASURED}

    def add(self, trace: PromptTrace) -> None:
        if len(trace.t) != len(self.t):
            raise InputError(
                f"prompt {trace.prompt} has {len(trace.t)} states and others {len(self.t)}:"
                " trace again into another --out"
            )
        values: dict[tuple[Curve, str], np.ndarray] = {}
        for curve, p in trace.pooled.items():
            published = paper(p)
            self.excluded[curve].add(published.share)
            values[curve, "paper"], values[curve, "l1"], values[curve, "js"] = published.values, l1(p), js(p)
        for curve, finals in self.finals.items():
            found = prompt_agreement(trace.classes[curve], finals, trace.valid[curve])
            values[curve, "agreement"], values[curve, "own"] = found.values, found.own
        for curve, commitment_map in self.maps.items():
            commitment_map.add(trace.classes[curve], trace.valid[curve])
        stacked = np.stack([values[row] for row in self.rows])
        self.curves.add(stacked)
        self.bootstrap.add(stacked)
        self.sae.add(np.stack([getattr(trace, measure)[view] for view, measure in self.sae_rows]))


def _row_order(row: tuple[Curve, str]) -> tuple[str, str, str, int]:
    curve, measure = row
    return curve.attribute, curve.view, curve.probe, (*MEASURES, "own").index(measure)


def compute_progress(folder: str | Path | RunReader, write: bool = True) -> Results:
    """Compute a run's curves from its finished prompts and write them beside its shards.

    Memory does not grow with the number of prompts. A run of one prompt cannot be corrected for chance: its `agreement`
    is `own`, with a warning.

    Args:
        folder: Run folder, or one that is open.
        write: Write the files.

    Returns:
        The curves, with the digits that the files hold.

    Raises:
        InputError: No prompt is finished, a shard is damaged, or the files cannot be written.
    """
    reader = folder if isinstance(folder, RunReader) else RunReader(folder)
    prompts = len(reader.indices)
    if not prompts:
        raise InputError(f"no prompt is finished in {reader.path}: run the same trace command again")
    finals: dict[Curve, Finals] = {}
    if reader.frames:
        for trace in reader.traces(pooled=False):
            for curve, classes in trace.classes.items():
                finals.setdefault(curve, Finals()).add(classes[-1], trace.valid[curve])
        if prompts == 1:
            warnings.warn(f"{reader.path} has one prompt: its agreement is not corrected for chance", stacklevel=2)
    gather = None
    for trace in reader.traces():
        gather = gather or _Gather(trace, prompts, finals)
        gather.add(trace)
    assert gather is not None
    results = Results(
        _table(_progress_rows(gather), PROGRESS_COLUMNS),
        _table(_settled_rows(gather), SETTLED_COLUMNS),
        {curve: commitment_map.share().astype(np.float32) for curve, commitment_map in gather.maps.items()},
    )
    if write:
        _write(reader.path, results)
    return results


def _table(rows: Iterator[tuple[Any, ...]], columns: tuple[str, ...]) -> pd.DataFrame:
    """The rows as a table, rounded to the digits of the files: a run says the same when it is opened again."""
    import pandas as pd

    table = pd.DataFrame(list(rows), columns=list(columns))
    for name in table.columns.intersection(FLOATS):
        table[name] = [float(DIGITS % value) for value in table[name]]
    return table


def _progress_rows(gather: _Gather) -> Iterator[tuple[Any, ...]]:
    curves = [
        (curve.attribute, curve.view, curve.probe, measure, gather.excluded[curve] if measure == "paper" else None)
        for curve, measure in gather.rows
    ]
    sae = [("sae", view, TRAINED, measure, None) for view, measure in gather.sae_rows]
    for rows, gathered in ((curves, gather.curves), (sae, gather.sae)):
        mean, std, n = gathered.mean, gathered.std, gathered.n
        for row, (*key, left_out) in enumerate(rows):
            excluded = np.nan if left_out is None else float(left_out.mean)
            for i, t in enumerate(gather.t):
                counted = mean[row, i], std[row, i], int(n[row, i])
                yield *key, i, float(t), *counted, float(gather.logsnr[i]), excluded


def _settled_rows(gather: _Gather) -> Iterator[tuple[Any, ...]]:
    means = gather.bootstrap.means()
    for row, (curve, measure) in enumerate(gather.rows):
        mean = gather.curves.mean[row]
        if measure == "own" or np.isnan(mean).any() or np.isnan(means[:, row]).any(axis=1).all():
            continue
        at = int(settled(mean))
        low, high = interval(means[:, row])
        times = (float(gather.t[i]) for i in (at, low, high))
        n = int(gather.curves.n[row].min())
        yield curve.attribute, curve.view, curve.probe, measure, THRESHOLD, at, low, high, *times, n


def _write(folder: Path, results: Results) -> None:
    arrays = {"/".join(curve): share for curve, share in results.commitment.items()}
    packed = io.BytesIO()
    np.savez_compressed(packed, **arrays)  # type: ignore[arg-type]
    write_whole(folder / "commitment.npz", packed.getvalue())
    write_whole(folder / "settled.csv", _csv(results.settled))
    # Last, because its age says whether the others are up to date.
    write_whole(folder / "progress.csv", _csv(results.progress))


def _csv(table: pd.DataFrame) -> bytes:
    return table.to_csv(index=False, float_format=DIGITS, lineterminator="\n").encode()


def load_results(reader: RunReader) -> Results:
    """Read a run's curves; compute them, and write them if possible, where a shard is newer than they are."""
    if is_computed(reader):
        # Damaged files are computed again.
        with contextlib.suppress(ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile):
            return _read(reader.path)
    results = compute_progress(reader, write=False)
    with contextlib.suppress(InputError):  # in a folder that cannot be written, what was computed is as good
        _write(reader.path, results)
    return results


def _read(folder: Path) -> Results:
    import pandas as pd

    # Every digit counts, and whole numbers stay floats; how pandas itself reads floats depends on its version.
    floats = dict.fromkeys(FLOATS, lambda text: float(text or "nan"))
    progress, points = (pd.read_csv(folder / name, converters=floats) for name in FILES[:2])
    if tuple(progress.columns) != PROGRESS_COLUMNS or tuple(points.columns) != SETTLED_COLUMNS:
        raise ValueError("written by another version")
    with np.load(folder / "commitment.npz") as arrays:
        return Results(progress, points, {Curve(*name.split("/")): arrays[name] for name in arrays.files})


def is_computed(reader: RunReader) -> bool:
    """Whether the run's curves lie in its folder and are newer than every shard."""
    folder = reader.path
    if not all((folder / name).exists() for name in FILES):
        return False
    age = (folder / "progress.csv").stat().st_mtime_ns
    parts = [folder / "shards", *([folder / "frames"] if reader.frames else [])]
    # A folder's own time changes when a file in it comes or goes.
    return all(path.stat().st_mtime_ns <= age for part in parts for path in (part, *part.glob("*.parquet")))
