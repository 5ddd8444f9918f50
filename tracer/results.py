"""From what a run folder holds to its curves, its settled points and its verdicts.

`compute_progress` reads the finished clips twice, in order, and writes

- `progress.csv`: attribute, view, probe, measure, index, t, logsnr, mean, std, low, high, n (number of prompts), and
  for Eq. 4 the mean share of excluded classes. low and high are the 95 % bootstrap interval over prompts, and of the
  generic directions the lowest and the highest one. Rows of attribute `sae` hold the autoencoder's `fvu` and `l0`.
- `settled.csv`: attribute, view, probe, measure, threshold; index, low and high (state index and its 95 % bootstrap
  interval over prompts, which one prompt has not), and the same three as flow time.
- `verdicts.csv`: for each attribute, view and measure whether it settles earlier than, like, or later than its nulls,
  with the difference in states and its 95 % interval.
- `parts.csv`, in a run of several seeds: what of agreement and closeness the prompt alone says, what is constant over
  the song, and what is particular to the frame.
- `variance.csv`, in a run of several seeds: how the settled points of clips vary between prompts and between seeds.
- `commitment.npz`: for each view/probe/attribute the share of clips, float32 [states, frames], whose frame keeps its
  final class from that state on.
- `contrast.parquet`: every clip for itself, see `tracer.record.contrasts`.

The same finished clips give the same bytes of `progress.csv`, whatever the order and the interruptions in which they
were traced.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import tempfile
import warnings
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from probes.errors import InputError
from probes.support.files import write_json, write_whole
from probes.support.intervals import interval
from tracer.clip_pairs import ClipPairs
from tracer.curves import GENERIC, LINEAR_FLOW, SHUFFLED, TRAINED, VIEWS, Curve
from tracer.gathering import CLOSENESS, PAIRED, PARTS, Endings, Gathered, Row, ratio_curves
from tracer.measures.contrast import clip_curves, ratio
from tracer.measures.progress import THRESHOLDS, settled, settled_between, settled_interval
from tracer.measures.verdicts import (
    Difference,
    at_index,
    generic_difference,
    paired_difference,
    split_variance,
)
from tracer.record import contrasts
from tracer.record.store import RunReader

if TYPE_CHECKING:
    import pandas as pd

NULLS = (GENERIC, LINEAR_FLOW, SHUFFLED)
"""What an attribute is compared with. `SHUFFLED` is a check of selectivity, no null of emergence."""
COMPARED = ("closeness", "agreement")
"""Measures that are compared with their nulls."""
TABLES: dict[str, tuple[str, ...]] = {
    "progress": (
        "attribute", "view", "probe", "measure", "index", "t", "logsnr", "mean", "std", "low", "high", "n", "excluded",
    ),
    "settled": (
        "attribute", "view", "probe", "measure", "threshold", "index", "low", "high", "t", "t_low", "t_high", "n",
    ),
    "verdicts": (
        "attribute", "view", "measure", "null", "settled", "null_settled", "difference", "low", "high",
        "logsnr_difference", "verdict", "n",
    ),
    "parts": ("attribute", "view", "measure", "part", "index", "t", "logsnr", "mean", "low", "high", "n"),
    "variance": ("attribute", "view", "measure", "mean", "between_prompts", "between_seeds", "prompts", "seeds"),
}  # fmt: skip
"""Tables of a run and their columns; `parts` and `variance` are empty in a run of one seed."""
TEXT = ("attribute", "view", "probe", "measure", "null", "verdict", "part")
DIGITS = "%.9g"


def whole_numbers(columns: tuple[str, ...]) -> set[str]:
    """The columns of a table that hold whole numbers; low and high of settled points are states."""
    states = {"low", "high"} if "t_low" in columns else set()
    return {"index", "n", "prompts", "seeds", *states} & set(columns)


def with_interval(index: float, low: float, high: float) -> str:
    """A settled point and its interval, "6 (4-7)", or "6 (-)" over one prompt."""
    return f"{index:g} (-)" if np.isnan(low) else f"{index:g} ({low:g}-{high:g})"


CHECKSUMS = "checksums.json"
VERSION = 3
"""Of the computation: what an earlier one left in a folder is computed again."""


@dataclass
class Results:
    """What is computed from the finished clips of one run; columns of the tables in `TABLES`."""

    progress: pd.DataFrame
    """Mean curves over prompts."""
    settled: pd.DataFrame
    """First state from which a mean curve stays near its end."""
    verdicts: pd.DataFrame
    """Settled points of the trained probes beside those of their nulls."""
    parts: pd.DataFrame
    """What the prompt, the song and the frame say."""
    variance: pd.DataFrame
    """How settled points vary between prompts and between seeds."""
    commitment: dict[Curve, np.ndarray]
    """Share of clips whose frame keeps its final class from a state on, float32 [states, frames]."""

    @cached_property
    def main_measure(self) -> str:
        """The measure by which attributes are ordered: "closeness", or what the run has in its place."""
        held = set(self.settled["measure"])
        return next((measure for measure in ("closeness", "agreement") if measure in held), "l1")

    @cached_property
    def own_verdicts(self) -> pd.DataFrame:
        """`verdicts` by the measure that suits each attribute: closeness, or agreement where classes have no order."""
        table = self.verdicts
        close = table["measure"] == "closeness"
        ordered = set(table[close]["attribute"])
        return table[close | ((table["measure"] == "agreement") & ~table["attribute"].isin(ordered))]

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

    @cached_property
    def missing(self) -> list[str]:
        """The nulls that the run's readout could not give; none is missed where no frames were kept."""
        if self.main_measure == "l1":
            return []
        held = set(self.progress["probe"])
        return [null for null in (GENERIC, LINEAR_FLOW) if null not in held]


def compute_progress(folder: str | Path | RunReader, write: bool = True) -> Results:
    """Compute a run's curves from its finished clips and write them beside its shards.

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
    if not len(reader.indices):
        raise InputError(f"no prompt is finished in {reader.path}: run the same trace command again")
    if reader.frames and reader.finished == 1:
        warnings.warn(f"{reader.path} has one prompt: its agreement is not corrected for chance", stacklevel=2)
    endings = Endings.of(reader)
    gathered, pairs = None, None
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(tempfile.TemporaryFile())
        writer = stack.enter_context(contrasts.write_contrasts(reader.path)) if write else None
        for clips in reader.by_prompt():
            gathered = gathered or Gathered(reader, endings, clips[0])
            gathered.add(clips)
            for clip, found in zip(clips, gathered.seen):
                if writer is not None:
                    writer.add(clip.prompt, clip.seed, found)
            if reader.seeds > 1:
                pairs = pairs or ClipPairs(file, _compared_rows(gathered), reader.seeds, len(gathered.t))
                pairs.add(gathered.seen)
        assert gathered is not None
        tables = {name: _table(rows, TABLES[name]) for name, rows in _all_rows(gathered, pairs).items()}
    maps = {curve: commitment_map.share().astype(np.float32) for curve, commitment_map in gathered.maps.items()}
    results = Results(**tables, commitment=maps)
    if write:
        _write(reader, results)
    return results


class _Curves:
    """The curve and the bootstrap replicates of every row."""

    def __init__(self, gathered: Gathered) -> None:
        self.gathered = gathered
        means, ratios = len(gathered.means), len(gathered.ratios)
        drawn = gathered.bootstrap.means()
        part, whole, frames = np.split(drawn[:, means:], [ratios, 2 * ratios], axis=1)
        mean, std = ratio_curves(gathered)
        self.rows = [*gathered.means, *gathered.ratios]
        self.mean = dict(zip(self.rows, [*gathered.mean_sums.mean, *mean]))
        self.std = dict(zip(self.rows, [*gathered.mean_sums.std, *std]))
        self.n = dict(zip(self.rows, [*gathered.mean_sums.n, *gathered.parts.n]))
        self.replicates = {row: drawn[:, k] for k, row in enumerate(gathered.means)}
        # Chance is drawn twice, by the states of a prompt and by its end: `tracer.measures.contrast.drawn_parts`.
        usual, surplus = frames / gathered.frames.mean, gathered.surplus.mean
        for k, row in enumerate(gathered.ratios):
            many = usual[:, gathered.framed.index((row.attribute, row.view))]
            if row.measure == CLOSENESS["song"]:  # it compares means: one frame of each
                many = np.ones_like(many)
            self.replicates[row] = ratio(part[:, k] + many * surplus[0, k], whole[:, k] + many * surplus[1, k])

    def shown(self) -> list[Row]:
        """The rows of `progress.csv`, sorted."""
        rows = [row for row in self.rows if row.probe != PAIRED and ":" not in row.measure]
        return sorted(rows, key=lambda row: (row.attribute == "sae", *row.place))

    def bounds(self, row: Row) -> np.ndarray:
        """Low and high [2, states]: bootstrap over prompts, or the range of the generic directions."""
        directions = self.directions(row)
        if directions:
            return np.stack([np.min(directions, axis=0), np.max(directions, axis=0)])
        return interval(self.replicates[row], self.n[row])

    def directions(self, row: Row) -> list[np.ndarray]:
        """The curves of the generic directions behind a row."""
        if row.probe != GENERIC:
            return []
        return [
            ratio(*sums)
            for (curve, measure), sums in self.gathered.directions.items()
            if (curve.view, curve.attribute, measure) == (row.view, row.attribute, row.measure)
        ]


def _compared_rows(gathered: Gathered) -> list[Row]:
    return [row for row in gathered.ratios if row.probe == TRAINED and row.measure in COMPARED]


def _all_rows(gathered: Gathered, pairs: ClipPairs | None) -> dict[str, Iterator[tuple[Any, ...]]]:
    curves = _Curves(gathered)
    return {
        "progress": _progress_rows(curves),
        "settled": _settled_rows(curves),
        "verdicts": _verdict_rows(curves),
        "parts": _part_rows(curves),
        "variance": iter(()) if pairs is None else _variance_rows(pairs),
    }


def _table(rows: Iterator[tuple[Any, ...]], columns: tuple[str, ...]) -> pd.DataFrame:
    """The rows as a table, rounded to the digits of the files: a run says the same when it is opened again."""
    import pandas as pd

    table = pd.DataFrame(list(rows), columns=list(columns))
    for name in set(columns) - {*TEXT, *whole_numbers(columns)}:
        table[name] = np.array([float(DIGITS % value) for value in table[name]], dtype=np.float64)
    return table


def _progress_rows(curves: _Curves) -> Iterator[tuple[Any, ...]]:
    gathered = curves.gathered
    for row in curves.shown():
        low, high = curves.bounds(row)
        left_out = float(gathered.excluded[row].mean) if row in gathered.excluded else np.nan
        for i, t in enumerate(gathered.t):
            found = curves.mean[row][i], curves.std[row][i], low[i], high[i], int(curves.n[row][i])
            yield *row, i, float(t), float(gathered.logsnr[i]), *map(float, found[:4]), found[4], left_out


def _settled_rows(curves: _Curves) -> Iterator[tuple[Any, ...]]:
    t = curves.gathered.t
    for row in curves.shown():
        mean, drawn = curves.mean[row], curves.replicates[row]
        if row.measure in ("own", "fvu", "l0") or np.isnan(mean).any() or np.isnan(drawn).any(axis=1).all():
            continue
        for threshold in THRESHOLDS:
            at = int(settled(mean, threshold))
            n = int(curves.n[row].min())
            ends = settled_interval(drawn, n, threshold) if n > 1 else (np.nan, np.nan)
            yield *row, threshold, at, *ends, *(np.nan if np.isnan(i) else float(t[int(i)]) for i in (at, *ends)), n


def _verdict_rows(curves: _Curves) -> Iterator[tuple[Any, ...]]:
    trained = [row for row in curves.shown() if row.probe == TRAINED and row.measure in COMPARED]
    for row in sorted(trained, key=lambda row: (row.view, row.attribute, COMPARED.index(row.measure))):
        for null in NULLS:
            other = row._replace(probe=null)
            if other not in curves.mean:
                continue
            own = row._replace(probe=PAIRED) if null == LINEAR_FLOW else row
            points = [float(settled_between(curves.mean[each])) for each in (own, other)]
            if null == GENERIC:
                points[1] = float(np.mean([settled_between(curve) for curve in curves.directions(other)]))
            found = _difference(curves, own, other)
            moved = [at_index(curves.gathered.logsnr, point) for point in points]
            logsnr = moved[0] - moved[1] if np.isfinite(moved).all() else np.nan
            n = int(curves.n[own].min())
            yield row.attribute, row.view, row.measure, null, *points, *found, logsnr, found.word, n


def _difference(curves: _Curves, own: Row, other: Row) -> Difference:
    prompts = int(curves.n[other].min())
    replicates = curves.replicates[own], curves.replicates[other]
    if other.probe == GENERIC:
        return generic_difference(curves.mean[own], curves.directions(other), replicates, prompts)
    return paired_difference(curves.mean[own], curves.mean[other], replicates, prompts)


def _part_rows(curves: _Curves) -> Iterator[tuple[Any, ...]]:
    gathered = curves.gathered
    rows = [row for row in gathered.ratios if ":" in row.measure]
    for row in sorted(rows, key=lambda row: (*row.place, PARTS.index(row.measure.split(":")[1]))):
        measure, part = row.measure.split(":")
        low, high = interval(curves.replicates[row], curves.n[row])
        for i, t in enumerate(gathered.t):
            found = (float(curves.mean[row][i]), float(low[i]), float(high[i]), int(curves.n[row][i]))
            yield row.attribute, row.view, measure, part, i, float(t), float(gathered.logsnr[i]), *found


def _variance_rows(pairs: ClipPairs) -> Iterator[tuple[Any, ...]]:
    for row in sorted(pairs.rows, key=lambda row: row.place):
        clips = pairs.of(row)
        if not len(clips):
            continue
        points = settled_between(clip_curves(row.measure, *np.moveaxis(clips, 2, 0)))
        known = points[np.isfinite(points).all(axis=1)]
        yield row.attribute, row.view, row.measure, *split_variance(known), len(known), clips.shape[1]


def _write(reader: RunReader, results: Results) -> None:
    folder = reader.path
    arrays = {"/".join(curve): share for curve, share in results.commitment.items()}
    packed = io.BytesIO()
    np.savez_compressed(packed, **arrays)  # type: ignore[arg-type]
    files = {"commitment.npz": packed.getvalue()}
    for name in reversed(TABLES):
        table = getattr(results, name)
        if len(table) or name not in ("parts", "variance"):
            files[f"{name}.csv"] = _csv(table)
    for name, content in files.items():
        write_whole(folder / name, content)
    sums = {name: _checksum(content) for name, content in files.items()} | {"of": _computed_from(reader)}
    # Last, because its age says whether the others are up to date.
    write_json(folder / CHECKSUMS, sums)


def _computed_from(reader: RunReader) -> str:
    """Which clips curves are of, and by which version of their computation."""
    return f"{VERSION}-{_checksum(np.ascontiguousarray(reader.indices, dtype=np.int64).tobytes())}"


def _checksum(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _csv(table: pd.DataFrame) -> bytes:
    return table.to_csv(index=False, float_format=DIGITS, lineterminator="\n").encode()


def load_results(reader: RunReader) -> Results:
    """Read a run's curves; compute them where a shard is newer or a file was changed.

    What is computed is written if possible, but not into a run that is being written or has other clips by now.
    """
    if is_computed(reader):
        # Damaged files are computed again.
        with contextlib.suppress(ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile):
            return _read(reader.path)
    try:
        return compute_progress(reader, write=not reader.is_being_written and _is_current(reader))
    except InputError:  # in a folder that cannot be written, what is computed is as good
        return compute_progress(reader, write=False)


def _is_current(reader: RunReader) -> bool:
    """Whether the run folder still has the clips that it had when it was opened."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what is left out was told when it was opened
        return np.array_equal(RunReader(reader.path).indices, reader.indices)


def _read(folder: Path) -> Results:
    sums = json.loads((folder / CHECKSUMS).read_bytes())
    tables = {}
    for name, columns in TABLES.items():
        if f"{name}.csv" not in sums and name in ("parts", "variance"):
            tables[name] = _table(iter(()), columns)
            continue
        content = (folder / f"{name}.csv").read_bytes()
        if _checksum(content) != sums[f"{name}.csv"]:
            raise ValueError("changed since it was written")
        tables[name] = _parse(content, columns)
    packed = (folder / "commitment.npz").read_bytes()
    if _checksum(packed) != sums["commitment.npz"]:
        raise ValueError("changed since it was written")
    with np.load(io.BytesIO(packed)) as arrays:
        return Results(**tables, commitment={Curve(*name.split("/")): arrays[name] for name in arrays.files})


def _parse(content: bytes, columns: tuple[str, ...]) -> pd.DataFrame:
    import pandas as pd

    # Every digit counts, and whole numbers stay floats; how pandas itself reads floats depends on its version.
    floats = {
        name: (lambda text: float(text or "nan")) for name in columns if name not in {*TEXT, *whole_numbers(columns)}
    }
    table = pd.read_csv(io.BytesIO(content), converters=floats)
    if tuple(table.columns) != columns:
        raise ValueError("written by another version")
    return table


def is_computed(reader: RunReader) -> bool:
    """Whether curves of all the run's clips lie in its folder and are newer than every shard."""
    folder = reader.path
    try:
        of = json.loads((folder / CHECKSUMS).read_bytes())["of"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    if of != _computed_from(reader):
        return False
    age = (folder / CHECKSUMS).stat().st_mtime_ns
    parts = [folder / "shards", *([folder / "frames"] if reader.frames else [])]
    # A folder's own time changes when a file in it comes or goes.
    return all(path.stat().st_mtime_ns <= age for part in parts for path in (part, *part.glob("*.parquet")))
