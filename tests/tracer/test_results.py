"""From a run folder to its tables: planted emergence is found again."""

import os
import time
from contextlib import closing
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from support import planted

from probes.errors import InputError
from tracer.curves import VIEWS, Curve
from tracer.measures import agreement, closeness
from tracer.measures.progress import Bootstrap, l1, paper, settled, settled_interval
from tracer.record.contrasts import read_contrasts
from tracer.record.store import RunStore
from tracer.results import compute_progress
from tracer.run import Run, finish_run

PROMPTS = 16
FILES = ("progress.csv", "settled.csv", "verdicts.csv", "commitment.npz")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return planted.write(tmp_path_factory.mktemp("planted") / "run", PROMPTS)


@pytest.fixture(scope="module")
def run(folder):
    return Run(folder)


@pytest.mark.parametrize("view", ["state", "endpoint"])
@pytest.mark.parametrize("measure", ["agreement", "agreement_matched", "closeness", "l1", "paper", "js"])
def test_planted_order_is_found(run, view, measure):
    table = run.settled(view=view, measure=measure).set_index("attribute")
    assert list(table["index"].sort_values().index) == ["pitch", "timbre", "loudness"]
    assert (table["low"] <= table["index"]).all()
    assert (table["index"] <= table["high"]).all()
    control = run.settled(view=view, measure=measure, probe="shuffled").set_index("attribute")
    assert (control["index"] >= table["index"]).all()


def test_endpoint_knows_before_the_state(run):
    endpoint, state = (run.settled(view=view).set_index("attribute")["t"] for view in ("endpoint", "state"))
    assert (endpoint < state).all()


def test_middles_are_where_they_were_planted(run):
    table = run.progress(view="state", measure="agreement")
    for attribute, middle in planted.MIDDLES.items():
        curve = table[table["attribute"] == attribute]
        crossing = np.interp(0.5, curve["mean"], curve["t"])
        assert crossing == pytest.approx(middle, abs=0.06)


def test_control_is_flat_until_its_own_middle(run):
    table = run.progress(view="state", measure="agreement", probe="shuffled")
    assert table[table["t"] < 0.7]["mean"].abs().max() < 0.06


def test_table_is_labelled(run):
    table = run.progress()
    assert list(table.columns) == ["attribute", "index", "t", "logsnr", "mean", "std", "low", "high", "n"]
    assert set(table["attribute"]) == set(planted.CLASSES)
    assert (table["n"] == PROMPTS).all()
    assert (table.groupby("attribute")["mean"].last() == 1).all()
    pd.testing.assert_frame_equal(table, run.progress(view="endpoint", measure="agreement"))
    assert run.attributes == ["pitch", "timbre", "loudness"]
    assert run.views == ["state", "endpoint"]
    assert run.prompts == planted.prompts(PROMPTS)
    assert run.n == PROMPTS


def test_means_are_those_of_the_measures(run):
    traces = [planted.trace(i) for i in range(PROMPTS)]
    curve = Curve("state", "trained", "timbre")
    expected = {
        "paper": [paper(trace.pooled[curve]).values for trace in traces],
        "l1": [l1(trace.pooled[curve]) for trace in traces],
    }
    for measure, values in expected.items():
        table = run.progress(view="state", measure=measure)
        table = table[table["attribute"] == "timbre"]
        np.testing.assert_allclose(table["mean"], np.mean(values, axis=0), rtol=1e-7, atol=1e-9)
        np.testing.assert_allclose(table["std"], np.std(values, axis=0), rtol=1e-5, atol=1e-8)
        at = run.settled(view="state", measure=measure).set_index("attribute").loc["timbre"]
        bootstrap = Bootstrap(PROMPTS)
        for value in values:
            bootstrap.add(value[None])
        assert at["index"] == settled(np.mean(values, axis=0))
        assert (at["low"], at["high"]) == settled_interval(bootstrap.means()[:, 0], PROMPTS)
    classes, values = ([getattr(trace, kept)[curve] for trace in traces] for kept in ("classes", "values"))
    contrasts = {
        "agreement": agreement(classes),
        "closeness": closeness(values),
        "closeness_song": closeness(values, scale="song"),
        "closeness_frame": closeness(values, scale="frame"),
    }
    for measure, curve_of in contrasts.items():
        table = run.progress(view="state", measure=measure)
        table = table[table["attribute"] == "timbre"]
        np.testing.assert_allclose(table["mean"], curve_of, rtol=1e-6, atol=1e-9)
        inside = (table["low"] <= table["mean"] + 1e-9) & (table["mean"] <= table["high"] + 1e-9)
        assert inside.mean() > 0.9


def test_settled_points_at_three_thresholds(run):
    points = [run.settled(view="state", threshold=threshold)["index"].to_numpy() for threshold in (0.05, 0.1, 0.2)]
    assert (points[0] >= points[1]).all()
    assert (points[1] >= points[2]).all()
    assert (points[0] > points[2]).any()
    with pytest.raises(InputError, match=r"0\.05, 0\.1, 0\.2"):
        run.settled(threshold=0.3)


def test_autoencoder_is_reported(run):
    table = run.progress(view="state", measure="fvu")
    np.testing.assert_allclose(table["mean"], np.linspace(1.2, 0.1, planted.STATES), rtol=1e-6)
    assert run.progress(view="endpoint", measure="l0")["mean"].iloc[-1] == pytest.approx(40)


def test_files_are_complete_and_stable(folder, run):
    compute_progress(folder)
    first = (folder / "progress.csv").read_bytes()
    table = pd.read_csv(folder / "progress.csv")
    for name in ("attribute", "view", "probe", "measure", "index", "t", "logsnr", "mean", "std", "low", "high", "n"):
        assert name in table.columns
    assert not table["mean"].isna().any()
    compute_progress(folder)
    assert (folder / "progress.csv").read_bytes() == first
    pd.testing.assert_frame_equal(Run(folder).settled(), run.settled())
    pd.testing.assert_frame_equal(Run(folder).progress(), run.progress())


def test_what_is_computed_is_what_is_read_again(tmp_path):
    computed = compute_progress(planted.write(tmp_path / "run", 3))
    read = Run(tmp_path / "run").results
    pd.testing.assert_frame_equal(computed.progress, read.progress, check_exact=True)
    pd.testing.assert_frame_equal(computed.settled, read.settled, check_exact=True)
    assert computed.commitment.keys() == read.commitment.keys()
    for curve, share in computed.commitment.items():
        np.testing.assert_array_equal(share, read.commitment[curve])
    assert (read.states, read.prompts, read.main_measure) == (planted.STATES, 3, "closeness")


def test_what_is_new_is_computed_and_what_is_not_is_read(tmp_path):
    folder = tmp_path / "run"
    store = planted.RunStore.open(folder, planted.OPTIONS, planted.prompts(4))
    store.append([planted.trace(i) for i in range(2)])
    assert (Run(folder).progress()["n"] == 2).all()
    times = [(folder / name).stat().st_mtime_ns for name in FILES]
    assert (Run(folder).progress()["n"] == 2).all()
    assert [(folder / name).stat().st_mtime_ns for name in FILES] == times
    store.append([planted.trace(i) for i in range(2, 4)])
    assert (Run(folder).progress()["n"] == 4).all()


@pytest.mark.parametrize("name", FILES)
def test_damaged_tables_are_computed_again(folder, run, name):
    expected = run.progress()
    whole = (folder / name).read_bytes()
    # Cut short, or with other figures than were computed.
    for damage in (b"", whole[: len(whole) // 2], whole.replace(b"1", b"2")):
        (folder / name).write_bytes(damage)
        pd.testing.assert_frame_equal(Run(folder).progress(), expected)
        assert (folder / name).read_bytes() == whole


def test_prompts_that_cannot_be_read(tmp_path):
    folder = planted.write(tmp_path / "run", 2)
    (folder / "prompts.csv").unlink()
    with pytest.raises(InputError, match="run the same trace command again"):
        _ = Run(folder).prompts
    planted.write(folder, 2)
    assert Run(folder).prompts == planted.prompts(2)


def test_commitment_map(run):
    share = run.commitment("pitch", view="state")
    assert share.shape == (planted.STATES, planted.FRAMES)
    assert (np.diff(share, axis=0) >= 0).all()
    assert (share[-1] == 1).all()
    assert run.commitment("loudness", view="state").mean() < share.mean()
    with pytest.raises(InputError, match="it holds loudness, pitch, timbre"):
        run.commitment("melody")


def test_one_prompt_says_that_it_is_uncorrected(tmp_path):
    folder = planted.write(tmp_path / "run", 1)
    with pytest.warns(UserWarning, match="one prompt: its agreement is not corrected"):
        results = compute_progress(folder)
    table = results.progress.set_index(["attribute", "view", "probe", "measure"])
    agreement_, own = (table.xs(measure, level="measure")["mean"] for measure in ("agreement", "own"))
    pd.testing.assert_series_equal(agreement_, own)


def test_one_prompt_has_no_intervals(tmp_path):
    folder = planted.write(tmp_path / "run", 1)
    with pytest.warns(UserWarning, match="one prompt"):
        computed = compute_progress(folder)
    read = Run(folder)
    pd.testing.assert_frame_equal(computed.settled, read.results.settled, check_exact=True)
    assert computed.settled[["index", "t"]].notna().all(axis=None)
    assert computed.settled[["low", "high", "t_low", "t_high"]].isna().all(axis=None)
    at = read.settled(measure="l1").set_index(["attribute", "view"]).loc[("pitch", "state"), "index"]
    assert f"{at} (-)" in repr(read)


def test_one_prompt_settles_without_an_interval(tmp_path):
    run = Run(planted.write(tmp_path / "run", 1))
    with pytest.warns(UserWarning, match="not corrected for chance"):
        table = run.settled(view="state", measure="agreement")
    assert set(table["attribute"]) == set(planted.MIDDLES)
    assert table[["low", "high"]].isna().all(axis=None)


def test_songs_of_different_lengths(tmp_path):
    store = planted.RunStore.open(tmp_path / "run", planted.OPTIONS, planted.prompts(3))
    for i, frames in enumerate((20, 40, 30)):
        store.append([planted.trace(i, frames=frames)])
    table = Run(tmp_path / "run").progress(view="state")
    assert (table["n"] == 3).all()
    assert Run(tmp_path / "run").commitment("pitch").shape[1] == 40


def test_prompt_without_a_frame_that_counts_is_left_out(tmp_path):
    store = planted.RunStore.open(tmp_path / "run", planted.OPTIONS, planted.prompts(3))
    for i in range(3):
        trace = planted.trace(i)
        if i == 1:  # nowhere voiced
            for curve in trace.valid:
                if curve.attribute == "pitch":
                    trace.valid[curve][:] = False
        store.append([trace])
    table = Run(tmp_path / "run").progress(view="state").set_index("attribute")
    assert (table.loc["pitch"]["n"] == 2).all()
    assert (table.loc["timbre"]["n"] == 3).all()
    assert table["mean"].notna().all()


def test_measured_classes_have_curves(tmp_path):
    run = Run(planted.write(tmp_path / "run", 3, measured=True))
    trained, measured = (run.progress(probe=probe) for probe in ("trained", "measured"))
    first = measured["index"] == 0
    np.testing.assert_allclose(measured[~first]["mean"], trained[~first]["mean"])
    assert (measured[first]["mean"] <= 0).all()
    ratio = run.progress(measure="l1", probe="measured")
    assert (ratio["n"] == 0).all()  # without a distribution at the start there is no way to measure


def test_no_row_is_without_a_value_for_want_of_merged_classes(tmp_path):
    store = planted.RunStore.open(tmp_path / "run", planted.OPTIONS, planted.prompts(3))
    for i in range(3):
        trace = planted.trace(i)
        for kept in (trace.classes, trace.values, trace.valid, trace.pooled):
            kept |= {curve._replace(probe="raw"): own for curve, own in kept.items() if curve.probe == "trained"}
        store.append([trace])
    table = Run(tmp_path / "run").results.progress
    raw = table[table["probe"] == "raw"]
    assert raw["mean"].notna().all()
    assert set(raw["measure"]) == {"paper", "l1", "js", "own", "agreement", "closeness"}


def test_nulls_that_are_later_are_told(tmp_path):
    run = Run(planted.write(tmp_path / "run", 16, nulls=True))
    table = run.verdicts()
    table = table[(table["view"] == "endpoint") & (table["measure"] == "closeness")].set_index(["attribute", "null"])
    assert set(table.index.get_level_values("null")) == {"generic", "linear_flow", "shuffled"}
    for attribute in planted.CLASSES:
        for null in ("generic", "linear_flow"):
            row = table.loc[attribute, null]
            assert row["verdict"] == "earlier"
            assert row["low"] < row["difference"] < row["high"] < 0
            assert row["settled"] - row["null_settled"] == pytest.approx(row["difference"], abs=1e-6)
    generic = run.progress(probe="generic", measure="closeness")
    assert (generic["low"] <= generic["mean"] + 1e-9).all()  # the range of the directions
    own = run.progress(view="endpoint", probe="generic", measure="own")
    for attribute, rows in own.groupby("attribute"):
        directions = [
            np.mean([pair[0] for pair in clips[VIEWS[1], attribute].values()], 0)
            for clips in (read_contrasts(run.path, f"generic-{number}", "agreement") for number in (1, 2, 3, 4))
        ]
        np.testing.assert_allclose(rows["low"], np.min(directions, 0), atol=1e-6)
        np.testing.assert_allclose(rows["high"], np.max(directions, 0), atol=1e-6)
    assert run.results.missing == []
    assert Run(planted.write(tmp_path / "without", 3)).results.missing == ["generic", "linear_flow"]


def test_a_linear_flow_of_some_prompts_is_compared_over_these(tmp_path):
    store = planted.RunStore.open(tmp_path / "run", planted.OPTIONS, planted.prompts(8))
    traces = [planted.trace(i) for i in range(8)]
    for made in traces[:4]:
        planted.add_nulls(made, directions=0)
    store.append(traces)
    run = Run(tmp_path / "run")
    table = run.verdicts()
    assert set(table[table["null"] == "linear_flow"]["n"]) == {4}
    assert (run.progress(probe="linear_flow")["n"] == 4).all()
    assert (run.progress()["n"] == 8).all()
    # What the four prompts alone would give is what they are compared with.
    alone = agreement([trace.classes[Curve("endpoint", "linear_flow", "pitch")] for trace in traces[:4]])
    assert alone[-1] == 1


def test_a_run_of_one_seed_cannot_be_taken_apart(run):
    with pytest.raises(InputError, match="seeds=2"):
        run.parts()


def test_what_a_run_has_no_curves_of_is_told(run):
    for ask, says in (
        (lambda: run.progress(view=None), "no view None: it has state, endpoint"),
        (lambda: run.progress(measure="closeness_song", probe="shuffled"), "by 'closeness_song': there it has paper,"),
        (lambda: run.progress(measure="l0", probe="shuffled"), "no curves of probe 'shuffled' by 'l0'"),
        (lambda: run.settled(measure="own"), "no settled points of probe 'trained' by 'own': there it has paper,"),
    ):
        with pytest.raises(InputError, match=says):
            ask()
    pd.testing.assert_frame_equal(run.settled(threshold=np.float32(0.1)), run.settled(threshold=0.1))


def test_wrong_names_and_empty_runs(run, tmp_path):
    for wrong in ({"view": "middle"}, {"measure": "entropy"}, {"probe": "unknown"}):
        with pytest.raises(InputError, match=r"has no .* it has "):
            run.progress(**wrong)
    planted.RunStore.open(tmp_path / "run", planted.OPTIONS, planted.prompts(3))
    with pytest.raises(InputError, match="no prompt is finished"):
        Run(tmp_path / "run").progress()


def test_a_state_without_a_value_takes_no_other_state_s_interval(tmp_path):
    """Nothing is measured in the noise of the first state; the others have four prompts."""
    run = finish_run(planted.write(tmp_path / "run", 4, measured=True))
    rows = run.progress(probe="measured", measure="js")
    rows = rows[rows["attribute"] == "pitch"].set_index("index")
    assert rows.loc[0, "n"] == 0
    assert np.isnan(rows.loc[0, ["low", "high"]].astype(float)).all()
    assert np.isfinite(rows.loc[1:, ["low", "high"]].astype(float)).all().all()


def test_curves_of_fewer_clips_than_there_are_are_computed_again(tmp_path):
    """A batch that is finished while curves are computed is older than they are, and not in them."""
    store = planted.open_run(tmp_path, 8)
    store.append([planted.trace(i) for i in range(4)])
    assert Run(tmp_path).results.prompts == 4
    store.append([planted.trace(i) for i in range(4, 8)])
    later = time.time() + 100
    os.utime(tmp_path / "checksums.json", (later, later))
    assert Run(tmp_path).results.prompts == 8


def test_curves_of_clips_that_were_all_are_not_written_over_those_of_more(tmp_path):
    """A notebook opened the run halfway, and asks when it is finished."""
    store = planted.open_run(tmp_path, 4)
    store.append([planted.trace(i) for i in range(2)])
    halfway = Run(tmp_path)
    store.append([planted.trace(i) for i in range(2, 4)])
    finish_run(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    assert (halfway.progress()["n"] == 2).all()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before
    assert (Run(tmp_path).progress()["n"] == 4).all()


def test_a_run_that_is_being_written_gets_its_tables_from_who_writes_it(tmp_path):
    with closing(planted.open_run(tmp_path, 4, lock=True)) as store:
        store.append([planted.trace(i) for i in range(2)])
        assert (Run(tmp_path).progress()["n"] == 2).all()
        assert not (tmp_path / "progress.csv").exists()
    assert (Run(tmp_path).progress()["n"] == 2).all()
    assert (tmp_path / "progress.csv").exists()


def test_the_mean_of_directions_lies_in_their_range_whatever_clips_are_missing(tmp_path):
    """Of some prompts one seed is finished, of others two: a prompt weighs as much as any other."""
    store = RunStore.open(tmp_path, planted.OPTIONS | {"seeds": 2}, planted.prompts(4))
    clips = []
    for prompt in range(4):
        for seed in range(2 if prompt % 2 else 1):
            made = planted.add_nulls(planted.trace(10 * seed + prompt))
            clips.append(replace(made, prompt=prompt, seed=seed))
    store.append(clips)
    rows = Run(tmp_path).results.progress
    rows = rows[(rows["probe"] == "generic") & rows["measure"].isin(["agreement", "closeness"]) & rows["mean"].notna()]
    assert len(rows)
    assert ((rows["low"] <= rows["mean"] + 1e-9) & (rows["mean"] <= rows["high"] + 1e-9)).all()
