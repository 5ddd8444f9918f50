"""The Parquet files of a run folder: what one prompt leaves, written atomically and read back.

Clips come in pairs of files of one name, ``shards/NAME.parquet`` and ``frames/NAME.parquet``, with one row group per
clip in the same order. Columns of a shard, one row per view, probe, attribute and state:

========== ============ =========================================================================================
prompt     int32        position of the prompt in ``prompts.csv``
seed       int32        number of the clip's noise among the run's seeds
view       string       ``state`` (the latent as it is) or ``endpoint`` (the clean latent the model expects)
probe      string       ``trained``; ``shuffled``: the probes that were trained on labels of other files;
                        ``raw``, ``untrained``: without autoencoder, on an untrained one, where asked for;
                        ``measured``: the attribute measured on decoded audio, where that was asked for
attribute  string       ``pitch``, ``loudness``, ...
index      int32        state index, 0 (noise) to T (the finished latent)
t          double       flow time, 0 = noise, 1 = data
logsnr     double       2 ln(alpha / sigma) of the state; infinite at the ends of a rectified flow
p          list<float>  class distribution, mean over valid frames; NaN where no frame is valid
fvu        float        fraction of variance that the sparse autoencoder leaves unexplained (view and state)
l0         float        mean number of active features per frame (view and state)
========== ============ =========================================================================================

Columns of a frames file: prompt, seed, view, probe, attribute, index as above, with the probes ``generic-1``,
``generic-2``, ... and ``linear_flow`` beside the others, and

========== ============ =========================================================================================
classes    list<uint8>  the most probable class of every frame; 255 where nothing was measured
readings   list<float>  the expected class of every frame, in steps of 1/64; of a generic direction the projection
                        in standard deviations; null for measured classes
valid      list<bool>   on the rows of the last state: whether the frame counts (inside the song and, for pitch,
                        voiced in the finished audio); null on the other rows
========== ============ =========================================================================================
"""

from __future__ import annotations

import itertools
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from probes.support.files import whole_file
from tracer.curves import Curve

_KEYS = [
    pa.field("prompt", pa.int32(), nullable=False),
    pa.field("seed", pa.int32(), nullable=False),
    pa.field("view", pa.string(), nullable=False),
    pa.field("probe", pa.string(), nullable=False),
    pa.field("attribute", pa.string(), nullable=False),
    pa.field("index", pa.int32(), nullable=False),
]
CURVE_KEYS = ("view", "probe", "attribute")
CHECKSUMS = "clips"
"""Name of the checksums, one for each row group, in a file's metadata."""
SHARD_SCHEMA = pa.schema(
    [
        *_KEYS,
        pa.field("t", pa.float64(), nullable=False),
        pa.field("logsnr", pa.float64(), nullable=False),
        pa.field("p", pa.list_(pa.float32()), nullable=False),
        pa.field("fvu", pa.float32(), nullable=False),
        pa.field("l0", pa.float32(), nullable=False),
    ]
)
FRAMES_SCHEMA = pa.schema(
    [
        *_KEYS,
        pa.field("classes", pa.list_(pa.uint8()), nullable=False),
        pa.field("readings", pa.list_(pa.float32())),
        pa.field("valid", pa.list_(pa.bool_())),
    ]
)


@dataclass
class PromptTrace:
    """Everything that is kept of one prompt's generation, states 0..T.

    Attributes:
        prompt: Index of the prompt.
        t: Flow time of every state, float64 [T+1].
        logsnr: Log signal-to-noise ratio of every state, float64 [T+1].
        pooled: For each curve, class distributions float32 [T+1, classes].
        classes: For each curve, most probable classes uint8 [T+1, frames]; empty where frames are not kept.
        values: For each curve but the measured ones, readings of every frame, float32 [T+1, frames].
        valid: For each curve, the frames that count, bool [frames]; empty where frames are not kept.
        fvu: For each view, float32 [T+1].
        l0: For each view, float32 [T+1].
        seed: Number of its noise among the run's seeds.
        files: Checksum of each further file of the clip (audio, latent), by its path in the run folder.
    """

    prompt: int
    t: np.ndarray
    logsnr: np.ndarray
    pooled: dict[Curve, np.ndarray] = field(default_factory=dict)
    classes: dict[Curve, np.ndarray] = field(default_factory=dict)
    values: dict[Curve, np.ndarray] = field(default_factory=dict)
    valid: dict[Curve, np.ndarray] = field(default_factory=dict)
    fvu: dict[str, np.ndarray] = field(default_factory=dict)
    l0: dict[str, np.ndarray] = field(default_factory=dict)
    seed: int = 0
    files: dict[str, str] = field(default_factory=dict)


def write_pair(folder: Path, name: str, traces: Sequence[PromptTrace], frames: bool, run: str) -> None:
    """Write the shard ``name`` (and its frames file) so that it is there whole or not at all.

    The frames file is put in place first: a prompt counts once its shard is there. Both carry the run's identity and a
    checksum of what each clip holds: those of Parquet's pages do not tell rows that another program left out.
    """
    about = {"run": run}
    if frames:
        schema = FRAMES_SCHEMA.with_metadata(about | {CHECKSUMS: json.dumps([_frames_checksum(t) for t in traces])})
        _write_tables(folder / "frames" / f"{name}.parquet", schema, (_frames_table(t) for t in traces))
    files = {name: checksum for trace in traces for name, checksum in trace.files.items()}
    checksums = json.dumps([_shard_checksum(trace) for trace in traces])
    schema = SHARD_SCHEMA.with_metadata(about | {"files": json.dumps(files), CHECKSUMS: checksums})
    _write_tables(folder / "shards" / f"{name}.parquet", schema, (_shard_table(t) for t in traces))


def _shard_checksum(trace: PromptTrace) -> str:
    views = sorted({curve.view for curve in trace.pooled})
    times = {"t": trace.t, "logsnr": trace.logsnr}
    shares = {f"{name} {view}": kept[view] for name, kept in (("fvu", trace.fvu), ("l0", trace.l0)) for view in views}
    return _checksum(trace, (np.float64, times), (np.float32, shares), (np.float32, trace.pooled))


def _frames_checksum(trace: PromptTrace) -> str:
    valid = {curve: trace.valid[curve] for curve in trace.classes}
    values = {curve: trace.values[curve] for curve in trace.classes if curve in trace.values}
    return _checksum(trace, (np.uint8, trace.classes), (np.float32, values), (np.bool_, valid))


def _checksum(trace: PromptTrace, *kept: tuple[type, Mapping[Any, np.ndarray]]) -> str:
    checksum = zlib.crc32(f"{trace.prompt} {trace.seed}".encode())  # four times as fast as a digest, at every reading
    for kind, arrays in kept:
        for name, values in sorted(arrays.items()):
            checksum = zlib.crc32(f"{json.dumps(name)} {values.shape}".encode(), checksum)
            checksum = zlib.crc32(np.ascontiguousarray(values, dtype=kind).data, checksum)
    return f"{checksum:08x}"


def _write_tables(path: Path, schema: pa.Schema, tables: Iterator[pa.Table]) -> None:
    with (
        whole_file(path) as temporary,
        pq.ParquetWriter(
            temporary,
            schema,
            compression="zstd",
            use_dictionary=[
                *("view", "probe", "attribute", "fvu", "l0", "t", "logsnr"),
                *("classes.list.element", "readings.list.element"),
            ],
            # Statistics of `prompt` and `seed` are the index by which a clip is found again.
            write_statistics=["prompt", "seed", "index"],  # type: ignore[arg-type]
            write_page_checksum=True,
        ) as writer,
    ):
        for table in tables:
            writer.write_table(table.replace_schema_metadata(schema.metadata), row_group_size=table.num_rows)


def _key_columns(trace: PromptTrace, curves: Sequence[Curve]) -> list[pa.Array]:
    states = len(trace.t)
    rows = len(curves) * states
    return [
        pa.array(np.full(rows, trace.prompt, dtype=np.int32)),
        pa.array(np.full(rows, trace.seed, dtype=np.int32)),
        *(pa.array([curve[part] for curve in curves for _ in range(states)], pa.string()) for part in range(3)),
        pa.array(np.tile(np.arange(states, dtype=np.int32), len(curves))),
    ]


def _shard_table(trace: PromptTrace) -> pa.Table:
    curves = sorted(trace.pooled)
    values = [np.ascontiguousarray(trace.pooled[curve], dtype=np.float32) for curve in curves]
    lengths = np.concatenate([np.full(len(trace.t), v.shape[1], dtype=np.int32) for v in values])
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    flat = np.concatenate([v.ravel() for v in values])
    columns = [
        *_key_columns(trace, curves),
        pa.array(np.tile(np.asarray(trace.t, dtype=np.float64), len(curves))),
        pa.array(np.tile(np.asarray(trace.logsnr, dtype=np.float64), len(curves))),
        pa.ListArray.from_arrays(pa.array(offsets), pa.array(flat)),
        pa.array(np.concatenate([trace.fvu[curve.view] for curve in curves]).astype(np.float32)),
        pa.array(np.concatenate([trace.l0[curve.view] for curve in curves]).astype(np.float32)),
    ]
    return pa.Table.from_arrays(columns, schema=SHARD_SCHEMA)


def _frames_table(trace: PromptTrace) -> pa.Table:
    curves = sorted(trace.classes)
    states = len(trace.t)
    last = np.tile(np.arange(states) == states - 1, len(curves))
    classes = [trace.classes[curve].astype(np.uint8, copy=False) for curve in curves]
    readings = [trace.values.get(curve) for curve in curves]
    columns = [
        *_key_columns(trace, curves),
        _lists(classes, pa.uint8()),
        _lists([np.zeros((states, 0), np.float32) if own is None else own for own in readings], pa.float32(),
               np.repeat([own is None for own in readings], states)),
        _lists([_on_last(trace.valid[curve], states) for curve in curves], pa.bool_(), ~last),
    ]  # fmt: skip
    return pa.Table.from_arrays(columns, schema=FRAMES_SCHEMA)


def _on_last(valid: np.ndarray, states: int) -> list[np.ndarray]:
    return [*(np.zeros(0, dtype=bool) for _ in range(states - 1)), valid]


def _lists(
    blocks: Sequence[np.ndarray | list[np.ndarray]], kind: pa.DataType, absent: np.ndarray | None = None
) -> pa.ListArray:
    """A list column whose rows are those of the blocks, one after the other; null in the rows that are absent."""
    rows = [row for block in blocks for row in block]
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int32)
    flat = pa.array(np.concatenate(rows), kind)
    return pa.ListArray.from_arrays(pa.array(offsets), flat, mask=None if absent is None else pa.array(absent))


class ShardPair:
    """One shard with its frames file, open for reading.

    Opening reads the footers alone and raises ``pa.ArrowException`` or ``OSError`` when they are damaged; page
    checksums, and those of the clips, are compared whenever a row group is read.

    Args:
        folder: The run folder.
        name: Name of the pair.
        frames: Whether there is a frames file.
        run: Identity of the run.
        checked: Whether clips without a checksum are refused; runs that were begun before clips had one have none.
    """

    def __init__(self, folder: Path, name: str, frames: bool, run: str, checked: bool) -> None:
        self.name = name
        self._shard = _open(folder / "shards" / f"{name}.parquet", SHARD_SCHEMA, run)
        self._frames = _open(folder / "frames" / f"{name}.parquet", FRAMES_SCHEMA, run) if frames else None
        self.clips = _row_group_clips(self._shard)
        """(prompt, seed) of each row group."""
        self._shard_checksums = _stored_checksums(self._shard, checked)
        self._frames_checksums = [] if self._frames is None else _stored_checksums(self._frames, checked)
        if self._frames is not None and _row_group_clips(self._frames) != self.clips:
            raise pa.ArrowInvalid(f"frames/{name}.parquet and shards/{name}.parquet hold different clips")

    def read(self, group: int, pooled: bool = True, classes: bool = True) -> PromptTrace:
        """The trace in row group ``group``.

        Without ``pooled`` only the frames file is read, and everything else (t, logsnr, fvu, l0) stays empty. Raises
        ``pa.ArrowException`` and errors of damaged files.
        """
        if pooled:
            trace = _from_shard(self._shard.read_row_group(group, use_threads=False))
            _require_checksum(self._shard_checksums, group, _shard_checksum(trace))
        else:
            prompt, seed = self.clips[group]
            trace = PromptTrace(prompt, np.zeros(0), np.zeros(0), seed=seed)
        if classes and self._frames is not None:
            _add_frames(trace, self._frames.read_row_group(group, use_threads=False))
            _require_checksum(self._frames_checksums, group, _frames_checksum(trace))
        kept = (trace.pooled, trace.classes, trace.values)
        if len({len(values) for held in kept for values in held.values()}) > 1:
            raise pa.ArrowInvalid("its curves have different numbers of states")
        return trace

    def verify(self) -> None:
        """Read everything once, which compares every page's checksum, and check that it can be what was written.

        Raises:
            ArrowInvalid: states out of order, curves of different lengths, or distributions that are none.
        """
        for group in range(len(self.clips)):
            check_trace(self.read(group))

    @property
    def files(self) -> dict[str, str]:
        """Checksums of the clips' further files, by their path in the run folder."""
        held = (self._shard.schema_arrow.metadata or {}).get(b"files")
        return dict(json.loads(held)) if held else {}

    def close(self) -> None:
        self._shard.close()
        if self._frames is not None:
            self._frames.close()


def check_trace(trace: PromptTrace) -> None:
    """Raise ArrowInvalid for a trace that no generation leaves."""
    states = len(trace.t)
    if not trace.pooled or states < 2 or not (np.diff(trace.t) >= 0).all():
        raise pa.ArrowInvalid("its states are not in order")
    for kept in (trace.pooled, trace.classes, trace.values):
        if any(len(values) != states for values in kept.values()):
            raise pa.ArrowInvalid("its curves have different numbers of states")
    for shares in trace.pooled.values():
        sums = shares.sum(axis=1)
        if not shares.shape[1] or np.isinf(shares).any() or (np.abs(sums[~np.isnan(sums)] - 1) > 0.01).any():
            raise pa.ArrowInvalid("it holds class distributions that are none")
    for curve, values in trace.values.items():
        if values.shape != trace.classes[curve].shape or not np.isfinite(values).all():
            raise pa.ArrowInvalid("its readings are not those of its frames")


def _open(path: Path, schema: pa.Schema, run: str) -> pq.ParquetFile:
    file = pq.ParquetFile(path, page_checksum_verification=True)
    made_by = (file.schema_arrow.metadata or {}).get(b"run")
    if made_by is not None and made_by.decode() != run:  # shards of version 0.1.0 do not say
        file.close()
        raise pa.ArrowInvalid(f"{path.name} is of another run")
    if file.schema_arrow.names != schema.names:
        file.close()
        raise pa.ArrowInvalid(f"{path.name} has other columns: {', '.join(file.schema_arrow.names)}")
    return file


def _row_group_clips(file: pq.ParquetFile) -> list[tuple[int, int]]:
    clips = []
    for group in range(file.metadata.num_row_groups):
        found = [file.metadata.row_group(group).column(column).statistics for column in range(2)]
        if any(statistics is None or statistics.min != statistics.max for statistics in found):
            raise pa.ArrowInvalid("a row group does not hold exactly one clip")
        clips.append((int(found[0].min), int(found[1].min)))
    return clips


def _stored_checksums(file: pq.ParquetFile, checked: bool) -> list[str]:
    """The checksums of a file's clips; [] where there are none and none are asked for."""
    held = (file.schema_arrow.metadata or {}).get(CHECKSUMS.encode())
    if held is None and not checked:
        return []
    checksums = json.loads(held or b"[]")
    if not isinstance(checksums, list) or len(checksums) != file.metadata.num_row_groups:
        raise pa.ArrowInvalid("it was written again by another program, without the checksums of its clips")
    return checksums


def _require_checksum(stored: Sequence[str], group: int, checksum: str) -> None:
    if stored and stored[group] != checksum:
        raise pa.ArrowInvalid("a clip in it is not what was written")


def _blocks(table: pa.Table) -> Iterator[tuple[Curve, slice]]:
    """The runs of rows that belong to one curve: each begins with state 0.

    Raises:
        ArrowInvalid: Rows of a curve that do not follow one another, or bear another name.
    """
    index = table["index"].to_numpy()
    names = np.stack([_one_chunk(table[name].dictionary_encode()).indices.to_numpy() for name in CURVE_KEYS])
    starts = [*np.flatnonzero(index == 0).tolist(), table.num_rows]
    for start, stop in itertools.pairwise(starts):
        follow = np.array_equal(index[start:stop], np.arange(stop - start))
        if not (follow and (names[:, start:stop] == names[:, start, None]).all()):
            raise pa.ArrowInvalid("a clip in it is not what was written")
        view, probe, attribute = (table[name][start].as_py() for name in CURVE_KEYS)
        yield Curve(view, probe, attribute), slice(start, stop)


def _from_shard(table: pa.Table) -> PromptTrace:
    blocks = list(_blocks(table))
    first = blocks[0][1]
    trace = PromptTrace(
        prompt=int(table["prompt"][0].as_py()),
        seed=int(table["seed"][0].as_py()),
        t=table["t"].to_numpy()[first].copy(),
        logsnr=table["logsnr"].to_numpy()[first].copy(),
    )
    lists = _one_chunk(table["p"])
    offsets, values = lists.offsets.to_numpy(), lists.values.to_numpy()
    t, logsnr, fvu, l0 = (table[name].to_numpy() for name in ("t", "logsnr", "fvu", "l0"))
    for curve, rows in blocks:
        states = rows.stop - rows.start
        trace.pooled[curve] = values[offsets[rows.start] : offsets[rows.stop]].reshape(states, -1).copy()
        one = trace.fvu.setdefault(curve.view, fvu[rows].copy()), trace.l0.setdefault(curve.view, l0[rows].copy())
        # What stands beside every curve is the same for all of a clip, or of a view.
        for own, wanted in ((t, trace.t), (logsnr, trace.logsnr), (fvu, one[0]), (l0, one[1])):
            if not np.array_equal(own[rows], wanted, equal_nan=True):
                raise pa.ArrowInvalid("a clip in it is not what was written")
    return trace


def _add_frames(trace: PromptTrace, table: pa.Table) -> None:
    classes, readings, valid = (_one_chunk(table[name]) for name in ("classes", "readings", "valid"))
    for curve, rows in _blocks(table):
        states, last = rows.stop - rows.start, rows.stop - 1
        trace.classes[curve] = _rows(classes, rows).reshape(states, -1).copy()
        if readings[rows.start].is_valid:
            trace.values[curve] = _rows(readings, rows).reshape(states, -1).copy()
        trace.valid[curve] = np.asarray(valid[last].values.to_numpy(zero_copy_only=False), dtype=bool)


def _rows(lists: pa.ListArray, rows: slice) -> np.ndarray:
    """The values of some rows of a list column, on end."""
    start, stop = (lists.offsets[row].as_py() for row in (rows.start, rows.stop))
    return lists.values.slice(start, stop - start).to_numpy()


def _one_chunk(column: pa.ChunkedArray) -> Any:
    joined = column.combine_chunks()
    # Older pyarrow returns a chunked array of one chunk.
    return joined.chunk(0) if isinstance(joined, pa.ChunkedArray) else joined
