"""The run folder: what is written is read, and what goes wrong is told and costs nothing that was finished."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import textwrap
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from support import planted
from support.planted import open_run, same_trace

from probes.errors import InputError
from tracer.curves import Curve
from tracer.prompts import Prompt
from tracer.record.store import RunReader, RunStore
from tracer.results import compute_progress

HELPERS = Path(__file__).parents[2]


def test_what_is_written_is_read(tmp_path):
    reader = RunReader(planted.write(tmp_path / "run", 7, batch=3))
    assert reader.indices.tolist() == list(range(7))
    assert reader.prompts() == planted.prompts(7)
    for prompt, trace in enumerate(reader.traces()):
        same_trace(trace, planted.trace(prompt))


def test_readable_without_us(tmp_path):
    folder = planted.write(tmp_path / "run", 2)
    table = pd.read_parquet(folder / "shards")
    expected = planted.trace(1)
    row = table[
        (table["prompt"] == 1)
        & (table["view"] == "endpoint")
        & (table["probe"] == "shuffled")
        & (table["attribute"] == "pitch")
        & (table["index"] == 5)
    ]
    assert len(row) == 1
    np.testing.assert_array_equal(row.iloc[0]["p"], expected.pooled[Curve("endpoint", "shuffled", "pitch")][5])
    assert row.iloc[0]["t"] == expected.t[5]
    assert len(table) == 2 * 2 * 2 * 3 * planted.STATES
    frames = pd.read_parquet(folder / "frames")
    assert len(frames) == len(table)
    assert {len(classes) for classes in frames["classes"]} == {planted.FRAMES}
    assert frames["classes"].iloc[0].dtype == np.uint8
    np.testing.assert_array_equal(frames["readings"].iloc[5], frames["classes"].iloc[5].astype(float))
    assert frames["valid"].notna().sum() == len(frames) / planted.STATES


def test_datasets_and_duckdb_read_it(tmp_path):
    import datasets

    folder = planted.write(tmp_path / "run", 2)
    for kind in ("shards", "frames"):
        table = datasets.load_dataset(
            "parquet", data_files=str(folder / kind / "*.parquet"), split="train", cache_dir=str(tmp_path / "cache")
        )
        assert len(table) == 2 * 2 * 2 * 3 * planted.STATES
    duckdb = pytest.importorskip("duckdb", reason="duckdb is not installed")
    ((count,),) = duckdb.sql(f"select count(*) from '{folder}/shards/*.parquet' where index = 0").fetchall()
    assert count == 2 * 2 * 2 * 3
    query = f"select list_avg(classes), list_avg(readings) from '{folder}/frames/*.parquet' limit 1"
    ((classes, readings),) = duckdb.sql(query).fetchall()
    assert classes == readings


def test_one_row_group_per_prompt_found_by_statistics(tmp_path):

    folder = planted.write(tmp_path / "run", 5, batch=5)
    (path,) = (folder / "shards").glob("*.parquet")
    metadata = pq.read_metadata(path)
    groups = [metadata.row_group(i).column(0).statistics for i in range(metadata.num_row_groups)]
    assert [(group.min, group.max) for group in groups] == [(i, i) for i in range(5)]


def test_batches_are_dealt_out_the_same_whatever_is_finished(tmp_path):
    store = open_run(tmp_path / "run", 11)
    whole = store.pending_batches(3)
    assert whole == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10]]
    shares = [store.pending_batches(3, process, 2) for process in range(2)]
    assert shares == [[[0, 1, 2], [6, 7, 8]], [[3, 4, 5], [9, 10]]]
    store.append([planted.trace(i) for i in (3, 4, 5)])
    assert store.pending_batches(3) == [[0, 1, 2], [6, 7, 8], [9, 10]]
    again = open_run(tmp_path / "run", 11)
    assert again.done == 3
    assert [again.pending_batches(3, process, 2) for process in range(2)] == [shares[0], [[9, 10]]]
    assert open_run(tmp_path / "run", 11).pending_batches(2) == [[0, 1], [2], [6, 7], [8, 9], [10]]


def test_interrupted_order_gives_the_same_bytes(tmp_path):
    one = planted.write(tmp_path / "one", 9, batch=3)
    store = open_run(tmp_path / "two", 9)
    for batch in ([6, 7, 8], [0, 1, 2]):
        store.append([planted.trace(i) for i in batch])
    compute_progress(tmp_path / "two")
    store = open_run(tmp_path / "two", 9)
    for batch in store.pending_batches(1):
        store.append([planted.trace(i) for i in batch])
    for folder in (one, tmp_path / "two"):
        compute_progress(folder)
    assert (one / "progress.csv").read_bytes() == (tmp_path / "two" / "progress.csv").read_bytes()


def run_python(code, *arguments, **rest):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(HELPERS), str(HELPERS.parent)])}
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **rest,
    )


WRITER = """
    import sys
    from support import planted
    from tracer.record.store import RunStore
    store = RunStore.open(sys.argv[1], planted.OPTIONS, planted.prompts(60))
    for batch in store.pending_batches(2):
        store.append([planted.trace(i) for i in batch])
        print(batch[-1], flush=True)
"""


def test_killed_and_started_again(tmp_path):
    process = run_python(WRITER, tmp_path / "run")
    for line in process.stdout:
        if int(line) >= 9:
            process.send_signal(signal.SIGKILL)
            break
    assert process.wait() == -signal.SIGKILL
    process.communicate()
    kept = len(RunReader(tmp_path / "run").indices)
    assert 10 <= kept < 60
    again = run_python(WRITER, tmp_path / "run")
    out, errors = again.communicate()
    assert again.returncode == 0, errors
    assert len(out.split()) == 30 - kept // 2
    assert not list((tmp_path / "run").rglob("*.tmp"))
    planted.write(tmp_path / "whole", 60, batch=2)
    for name in ("run", "whole"):
        compute_progress(tmp_path / name)
    assert (tmp_path / "run" / "progress.csv").read_bytes() == (tmp_path / "whole" / "progress.csv").read_bytes()


def test_what_a_killed_process_leaves_is_removed(tmp_path):
    folder = planted.write(tmp_path / "run", 2, batch=2)
    gone = run_python("")
    gone.communicate()
    half = folder / "shards" / f".0000002-0000003.parquet.{gone.pid}.tmp"
    half.write_bytes(b"PAR1 half")
    live = half.with_name(f".0000004-0000005.parquet.{os.getpid()}.tmp")
    live.write_bytes(b"PAR1 half")
    widow = folder / "frames" / "0000002-0000003.parquet"
    widow.write_bytes((folder / "frames" / "0000000-0000001.parquet").read_bytes())
    assert RunReader(folder).indices.tolist() == [0, 1]
    open_run(folder, 2, clean=False)
    assert half.exists()
    open_run(folder, 2)
    assert not half.exists()
    assert not widow.exists()
    assert live.exists()


HOLDER = """
    import sys
    from support import planted
    from tracer.record.store import RunStore
    store = RunStore.open(sys.argv[1], planted.OPTIONS, planted.prompts(8), lock=True)
    store.append([planted.trace(0)])
    print("written", flush=True)
    sys.stdin.read()
"""


def test_a_second_command_is_refused_while_the_first_writes_and_not_after_it_was_killed(tmp_path):
    folder = tmp_path / "run"
    process = run_python(HOLDER, folder, stdin=subprocess.PIPE)
    try:
        assert process.stdout.readline() == "written\n"
        with pytest.raises(InputError, match=r"^another trace command is writing .*run: wait for it[^\n]*$"):
            open_run(folder, lock=True)
        assert RunReader(folder).indices.tolist() == [0]
        open_run(folder, clean=False).append([planted.trace(7)])  # another process of the same launch
    finally:
        process.kill()
        process.communicate()
    store = open_run(folder, lock=True)
    assert store.done == 2
    with pytest.raises(InputError, match="another trace command"):
        open_run(folder, lock=True)
    store.close()
    open_run(folder, lock=True).close()


def test_other_options_are_refused_by_name(tmp_path):
    folder = planted.write(tmp_path / "run", 2)
    with pytest.raises(InputError, match=r"seed \(0 there, 1 here\), steps \(12 there, 16 here\)"):
        RunStore.open(folder, {**planted.OPTIONS, "seed": 1, "steps": 16}, planted.prompts(2))
    with pytest.raises(InputError, match=r"cfg \(not set there, 4\.0 here\)"):
        RunStore.open(folder, {**planted.OPTIONS, "cfg": 4.0}, planted.prompts(2))
    with pytest.raises(InputError, match=r"the prompts \(2 there, 3 here\)"):
        open_run(folder, 3)
    with pytest.raises(InputError) as told:
        RunStore.open(folder, {**planted.OPTIONS, "listen": 11, "listen_state": False}, planted.prompts(2))
    assert "options: --listen (not set there, 11 here): choose" in told.value.on_command_line
    with pytest.raises(InputError, match="frames"):
        open_run(folder, 2, frames=False)
    open_run(folder, 2, about={"device": "another"})


FULL = {
    **planted.OPTIONS, "generator": "aa", "conditioning": "bb", "codec": "cc", "readout": "dd", "state_probes": "ee",
    "guidance": 3.0, "views": ["state", "endpoint"], "steer": [], "ground_truth": False, "save_audio": True,
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"save_audio": False, "codec": ""}, "--save-audio (True there, False here)"),
        ({"guidance": 0.0, "generator": "ff"}, "--guidance (3.0 there, 0.0 here)"),
        (
            {"model": "x", "generator": "f", "codec": "g", "readout": "h", "state_probes": "i"},
            "model (planted there, x here)",
        ),
        ({"readout": "ff", "state_probes": "gg"}, "--readout (dd there, ff here)"),
        ({"views": ["endpoint"], "state_probes": None}, "--views (['state', 'endpoint'] there, ['endpoint'] here)"),
        ({"steer": ["pitch=+"], "solver": 2, "song_time": {"a": 1}}, "--steer ([] there, ['pitch=+'] here)"),
        ({"listen": 3, "listen_state": False}, "--listen (not set there, 3 here)"),
        (
            {"listen": 3, "listen_state": True},
            "--listen (not set there, 3 here), --listen-state (not set there, True here)",
        ),
        (
            {"stop_when_settled": "all", "settled_states": 3, "settled_within": 0.005},
            "--stop-when-settled (not set there, all here)",
        ),
        (
            {"stop_when_settled": "all", "settled_states": 5, "settled_within": 0.005},
            "--settled-states (not set there, 5 here), --stop-when-settled (not set there, all here)",
        ),
        ({"codec": "ff"}, "codec (cc there, ff here)"),
        ({"save_latents": False}, "--save-latents (not set there, False here)"),
    ],
)
def test_of_other_options_those_that_were_given_are_named(tmp_path, changes, told):
    here = {name: value for name, value in {**FULL, **changes}.items() if value is not None}
    for first, second, said in ((FULL, here, told), (here, FULL, None)):
        folder = tmp_path / ("back" if said is None else "run")
        RunStore.open(folder, first, planted.prompts(2))
        with pytest.raises(InputError) as refused:
            RunStore.open(folder, second, planted.prompts(2))
        if said is not None:
            message = f"{folder} holds a run with other options: {said}: choose another --out or repeat them"
            assert refused.value.on_command_line == message
        assert refused.value.on_command_line.count(" there, ") == told.count(" there, ")
    with pytest.raises(InputError, match=r"options: the prompts \(2 there, 1 here\): choose"):
        RunStore.open(tmp_path / "run", {**FULL, "conditioning": "ff"}, planted.prompts(1))


def test_folders_that_cannot_be_used(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="cannot be written"):
        open_run(tmp_path / "file" / "run")
    with pytest.raises(InputError, match="holds other files"):
        open_run(tmp_path)
    with pytest.raises(InputError, match="not a run folder"):
        RunReader(tmp_path / "nothing")
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "run.json").write_text("{oops")
    for use in (RunReader, open_run):
        with pytest.raises(InputError, match=r"run\.json cannot be read"):
            use(broken)
    (broken / "run.json").write_text(
        json.dumps({"format": 99, "options": {"frames": True}, "prompts": {"n": 1, "hash": ""}, "about": {}})
    )
    with pytest.raises(InputError, match="format 99"):
        RunReader(broken)


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_unwritable_folder(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="cannot be written"):
        open_run(tmp_path / "run")


def test_no_room_keeps_what_is_finished(tmp_path):
    folder = tmp_path / "run"
    store = open_run(folder, 4)
    store.append([planted.trace(0)])
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))  # every file ends after 2 kB, as on a full disk
    try:
        with pytest.raises(InputError, match=r"no room left .* what is finished is kept") as error:
            store.append([planted.trace(1)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "\n" not in str(error.value)
    assert not list(folder.rglob("*.tmp"))
    assert RunReader(folder).indices.tolist() == [0]
    open_run(folder, 4).append([planted.trace(1)])
    assert RunReader(folder).indices.tolist() == [0, 1]


def test_two_processes_write_one_folder(tmp_path):
    writer = """
        import sys
        from support import planted
        from tracer.record.store import RunStore
        store = RunStore.open(sys.argv[1], planted.OPTIONS, planted.prompts(12), clean=False)
        for batch in store.pending_batches(2, int(sys.argv[2]), 2):
            store.append([planted.trace(i) for i in batch])
    """
    both = [run_python(writer, tmp_path / "run", rank) for rank in range(2)]
    for process in both:
        _, errors = process.communicate()
        assert process.returncode == 0, errors
    reader = RunReader(tmp_path / "run")
    assert reader.indices.tolist() == list(range(12))
    for prompt, trace in enumerate(reader.traces()):
        same_trace(trace, planted.trace(prompt))


def test_without_frames(tmp_path):
    store = open_run(tmp_path / "run", 2, frames=False)
    store.append([planted.trace(i) for i in range(2)])
    reader = RunReader(tmp_path / "run")
    assert not (tmp_path / "run" / "frames").exists()
    trace = next(reader.traces())
    assert not trace.classes
    assert trace.pooled
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert open_run(tmp_path / "run", 2, frames=False).pending_batches(4) == []


def test_clips_of_several_seeds_are_told_apart(tmp_path):
    options = {**planted.OPTIONS, "seeds": 2}
    store = RunStore.open(tmp_path / "run", options, planted.prompts(3))
    assert store.pending_batches(4) == [[0, 1, 2, 3], [4, 5]]
    made = [planted.trace(1), planted.trace(2)]
    made[0].seed, made[1].seed = 1, 0
    store.append(made)
    again = RunStore.open(tmp_path / "run", options, planted.prompts(3))
    assert again.pending_batches(4) == [[0, 1, 2], [5]]
    reader = RunReader(tmp_path / "run")
    assert (reader.indices.tolist(), reader.finished, reader.planned) == ([3, 4], 2, 6)
    assert [[(clip.prompt, clip.seed) for clip in clips] for clips in reader.by_prompt()] == [[(1, 1)], [(2, 0)]]
    with pytest.raises(InputError, match="prompt 2, seed 1 is not finished"):
        reader.trace(5)


def test_shards_of_another_run_are_not_taken_for_this_ones(tmp_path):
    planted.write(tmp_path / "one", 4)
    planted.write(tmp_path / "other", 4, seed=1)
    for kind in ("shards", "frames"):
        for shard in (tmp_path / "other" / kind).glob("*.parquet"):
            shutil.copy(shard, tmp_path / "one" / kind / shard.name)
    with pytest.warns(UserWarning, match="of another run"):
        assert len(RunReader(tmp_path / "one").indices) == 0
    with pytest.warns(UserWarning, match=r"put aside as \.damaged"):
        store = RunStore.open(tmp_path / "one", planted.OPTIONS, planted.prompts(4))
    assert store.done == 0
    assert len(list((tmp_path / "one").rglob("*.damaged"))) == 2  # nothing is deleted


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), OSError(24, "Too many open files")])
def test_trouble_of_the_system_is_no_damage(error, tmp_path, monkeypatch):
    planted.write(tmp_path / "run", 4)

    def fail(*_, **__):
        raise error

    monkeypatch.setattr("tracer.record.shards.pq.ParquetFile", fail)
    with pytest.raises(InputError, match=error.strerror):
        RunStore.open(tmp_path / "run", planted.OPTIONS, planted.prompts(4))
    monkeypatch.undo()
    assert RunStore.open(tmp_path / "run", planted.OPTIONS, planted.prompts(4)).done == 4


@pytest.mark.parametrize("spoil", ["infinite", "no distribution", "states out of order"])
def test_what_no_generation_leaves_is_put_aside(spoil, tmp_path):
    store = RunStore.open(tmp_path / "run", planted.OPTIONS, planted.prompts(1))
    trace = planted.trace(0)
    if spoil == "states out of order":
        trace.t = trace.t[::-1].copy()
    else:
        next(iter(trace.pooled.values()))[3, 0] = np.inf if spoil == "infinite" else 0.9
    store.append([trace])
    with pytest.warns(UserWarning, match="damaged"):
        assert RunStore.open(tmp_path / "run", planted.OPTIONS, planted.prompts(1)).done == 0


def test_captions_are_kept_to_the_letter(tmp_path):
    captions = ["a\rb", "\r", "c\r\nd", 'quoted "e", f', "g\nh", "plain"]
    prompts = [Prompt(i, f"id\r{i}", caption) for i, caption in enumerate(captions)]
    for _ in range(2):
        RunStore.open(tmp_path / "run", planted.OPTIONS, prompts)
        assert RunReader(tmp_path / "run").prompts() == prompts
    assert pd.read_csv(tmp_path / "run" / "prompts.csv")["caption"].tolist() == captions


def test_a_prompt_list_that_was_changed_is_not_served(tmp_path):
    folder = planted.write(tmp_path / "run", 3)
    path = folder / "prompts.csv"
    path.write_text(path.read_text().replace("caption 1", "caption 7"))
    with pytest.raises(InputError, match="was changed"):
        RunReader(folder).prompts()


@pytest.mark.parametrize(
    "content",
    ["[" * 100_000, "[]", '{"format": 2}', "null", '{"options": 3, "prompts": 4, "about": 5}', "\ud800"],
)
def test_a_run_file_that_is_none_is_one_line(content, tmp_path):
    planted.write(tmp_path / "run", 1)
    (tmp_path / "run" / "run.json").write_text(content, encoding="utf-8", errors="surrogatepass")
    with pytest.raises(InputError) as refused:
        RunReader(tmp_path / "run")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("n", [-1, 0, 10**30, 2.5, "3", None])
def test_counts_that_no_run_has_are_refused(n, tmp_path):
    planted.write(tmp_path / "run", 1)
    path = tmp_path / "run" / "run.json"
    header = json.loads(path.read_text())
    header["prompts"]["n"] = n
    path.write_text(json.dumps(header))
    with pytest.raises(InputError, match="cannot be read"):
        RunReader(tmp_path / "run")


def test_a_changed_prompt_list_is_written_again_when_a_run_goes_on(tmp_path):
    folder = planted.write(tmp_path / "run", 3)
    whole = (folder / "prompts.csv").read_bytes()
    (folder / "prompts.csv").write_bytes(whole.replace(b"caption 1", b"caption 7"))
    planted.write(folder, 3)
    assert (folder / "prompts.csv").read_bytes() == whole


@pytest.mark.parametrize(
    ("gone", "told"), [("frames", "has no frames beside it"), ("shards", "has no shard beside it")]
)
def test_half_of_a_pair_is_told(tmp_path, gone, told):
    folder = planted.write(tmp_path / "run", 4, batch=2)
    next(iter(sorted((folder / gone).glob("*.parquet")))).unlink()
    with pytest.warns(UserWarning, match=f"{told}: its clips are left out"):
        assert RunReader(folder).indices.tolist() == [2, 3]


def test_half_of_a_pair_is_no_news_while_it_is_written(tmp_path):
    store = open_run(tmp_path, 4, lock=True)
    store.append([planted.trace(0)])
    (tmp_path / "frames" / "0000001-0000001.parquet").write_bytes(b"")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert RunReader(tmp_path).indices.tolist() == [0]
    store.close()
    with pytest.warns(UserWarning, match="has no shard beside it"):
        RunReader(tmp_path)
