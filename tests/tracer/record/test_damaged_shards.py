"""Damaged shards and tables: found, named in one line, redone."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support import planted
from support.planted import open_run, same_trace

from probes.errors import InputError
from tracer.record.store import RunReader
from tracer.results import compute_progress


def damage_truncate(path):
    path.write_bytes(path.read_bytes()[:-200])


def damage_flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 0xFF
    path.write_bytes(bytes(data))


def damage_empty(path):
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [damage_truncate, damage_flip, damage_empty])
@pytest.mark.parametrize("kind", ["shards", "frames"])
def test_damaged_shard_is_found_named_and_redone(tmp_path, kind, damage):
    folder = planted.write(tmp_path / "run", 6, batch=2)
    damage(folder / kind / "0000002-0000003.parquet")
    with pytest.warns(UserWarning, match="0000002-0000003 .* damaged"):
        store = open_run(folder, 6)
    assert store.pending_batches(2) == [[2, 3]]
    store.append([planted.trace(i) for i in (2, 3)])
    for prompt, trace in enumerate(RunReader(folder).traces()):
        same_trace(trace, planted.trace(prompt))


def test_damage_met_while_reading_is_told_in_one_line(tmp_path):
    folder = planted.write(tmp_path / "run", 4, batch=2)
    damage_flip(folder / "frames" / "0000002-0000003.parquet")
    with pytest.raises(InputError, match=r"0000002-0000003 .* damaged .* again") as error:
        compute_progress(folder)
    assert "\n" not in str(error.value)
    damage_truncate(folder / "shards" / "0000002-0000003.parquet")
    with pytest.warns(UserWarning, match="left out"):
        reader = RunReader(folder)
    assert reader.indices.tolist() == [0, 1]


@pytest.mark.parametrize("kind", ["shards", "frames"])
@pytest.mark.parametrize("change", ["cut", "reversed"])
def test_a_table_of_other_rows_is_one_line(tmp_path, kind, change):
    folder = planted.write(tmp_path / "run", 3, batch=1)
    path = folder / kind / "0000001-0000001.parquet"
    table = pq.read_table(path)
    table = table.slice(0, len(table) - 5) if change == "cut" else table.take(list(range(len(table)))[::-1])
    pq.write_table(table, path, row_group_size=len(table), write_page_checksum=True)
    with pytest.raises(InputError, match="run the same trace command again"):
        compute_progress(folder)


@pytest.mark.parametrize("kind", ["shards", "frames"])
@pytest.mark.parametrize("metadata", ["kept", "lost"])
@pytest.mark.parametrize("change", ["whole curves cut off", "a number changed", "a number beside a curve changed"])
def test_a_shard_that_another_program_wrote_again_with_other_content_is_redone(tmp_path, kind, metadata, change):
    folder = planted.write(tmp_path / "run", 3, batch=1)
    path = folder / kind / "0000001-0000001.parquet"
    table = pq.read_table(path)
    if change == "whole curves cut off":
        table = table.slice(0, table["index"].to_pylist().index(0, 1))
    elif change == "a number beside a curve changed":
        name = "t" if kind == "shards" else "index"
        rows = table[name].to_pylist()
        rows[-2] = rows[-3]
        field = table.schema.field(name)
        table = table.set_column(table.column_names.index(name), field, pa.array(rows, field.type))
    else:
        name = "p" if kind == "shards" else "classes"
        rows = table[name].to_pylist()
        rows[-1] = rows[-1][::-1]
        field = table.schema.field(name)
        table = table.set_column(table.column_names.index(name), field, pa.array(rows, field.type))
        assert not table.equals(pq.read_table(path))
    if metadata == "lost":
        table = table.replace_schema_metadata({})
    pq.write_table(table, path, row_group_size=len(table), write_page_checksum=True)
    with pytest.warns(UserWarning, match="0000001-0000001 .* damaged"):
        store = open_run(folder, 3)
    assert store.pending_batches(1) == [[1]]


def test_a_run_from_before_clips_had_checksums_is_read_and_goes_on(tmp_path):
    folder = planted.write(tmp_path / "run", 3, batch=1)
    header = json.loads((folder / "run.json").read_text())
    del header["checksums"]
    (folder / "run.json").write_text(json.dumps(header))
    for path in folder.glob("*/*.parquet"):
        table = pq.read_table(path)
        metadata = {name: value for name, value in table.schema.metadata.items() if name != b"clips"}
        table = table.replace_schema_metadata(metadata)
        pq.write_table(table, path, row_group_size=len(table), write_page_checksum=True)
    (folder / "shards" / "0000002-0000002.parquet").unlink()
    store = open_run(folder, 3)
    assert store.pending_batches(1) == [[2]]
    store.append([planted.trace(2)])
    for prompt, trace in enumerate(RunReader(folder).traces()):
        same_trace(trace, planted.trace(prompt))
