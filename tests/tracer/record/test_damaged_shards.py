"""Damaged shards and tables: found, named in one line, redone."""

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
