"""From what a run folder holds to its curves, its settled-at table and its commitment maps.

`compute_progress` reads the finished prompts twice, in index order, and writes

- ``progress.csv``: attribute, view, probe, measure, index, t, mean, std, n (prompts counted), logsnr, and for Eq. 4 the
  mean share of excluded classes. Rows of attribute ``sae`` hold the autoencoder's own ``fvu`` and ``l0``.
- ``settled.csv``: attribute, view, probe, measure, threshold, and index, low, high (state index and its 95 %
  bootstrap interval over prompts) with the same as flow time.
- ``commitment.npz``: for each ``view/probe/attribute`` the share of prompts, float32 [states, frames], whose frame
  keeps its final class from that state on.

The same finished prompts give the same bytes of ``progress.csv``, whatever the order and the interruptions in which
they were traced.
"""

from __future__ import annotations

import contextlib
import io
import warnings
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from probes.errors import InputError
from tracer.measures.frame_classes import CommitmentMap, Finals, agreement
from tracer.measures.progress import THRESHOLD, Accumulator, Bootstrap, interval, js, l1, paper, settled
from tracer.record.shards import MEASURED, TRAINED, Curve, PromptTrace
from tracer.record.store import RunReader, plain_errors, write_bytes

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


@dataclass
class Results:
    """What is computed from one run folder."""

    progress: pd.DataFrame
    settled: pd.DataFrame
    commitment: dict[Curve, np.ndarray]


class _Gather:
    """The second pass: every prompt's curves, [curves, states], gathered into means, bootstrap and maps."""

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
            found = agreement(trace.classes[curve], finals, trace.valid[curve])
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

    Memory does not grow with the number of prompts. A run of one prompt cannot be corrected for chance: its
    ``agreement`` is ``own``, with a warning.

    Raises InputError when nothing is finished, a shard is damaged, or the files cannot be written.
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
        with plain_errors(reader.path):
            _write(reader.path, results)
    return results


def _table(rows: Iterator[tuple[Any, ...]], columns: tuple[str, ...]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(list(rows), columns=list(columns))


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
    write_bytes(folder / "commitment.npz", packed.getvalue())
    write_bytes(folder / "settled.csv", _csv(results.settled))
    # Last, because its age says whether the others are up to date.
    write_bytes(folder / "progress.csv", _csv(results.progress))


def _csv(table: pd.DataFrame) -> bytes:
    return table.to_csv(index=False, float_format="%.9g", lineterminator="\n").encode()


def load_results(reader: RunReader) -> Results:
    """A run's curves: read where they are newer than every shard, computed (and written if possible) where not."""
    if _fresh(reader):
        with contextlib.suppress(
            ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile
        ):  # damaged: computed again
            return _read(reader.path)
    results = compute_progress(reader, write=False)
    with contextlib.suppress(OSError):  # in a folder that cannot be written, what was computed is as good
        _write(reader.path, results)
    return results


def _read(folder: Path) -> Results:
    import pandas as pd

    progress, at = (pd.read_csv(folder / name) for name in FILES[:2])
    if tuple(progress.columns) != PROGRESS_COLUMNS or tuple(at.columns) != SETTLED_COLUMNS:
        raise ValueError("written by another version")
    with np.load(folder / "commitment.npz") as arrays:
        return Results(progress, at, {Curve(*name.split("/")): arrays[name] for name in arrays.files})


def _fresh(reader: RunReader) -> bool:
    folder = reader.path
    if not all((folder / name).exists() for name in FILES):
        return False
    age = (folder / "progress.csv").stat().st_mtime_ns
    parts = [folder / "shards", *([folder / "frames"] if reader.frames else [])]
    # A folder's own time changes when a file in it comes or goes.
    return all(path.stat().st_mtime_ns <= age for part in parts for path in (part, *part.glob("*.parquet")))
