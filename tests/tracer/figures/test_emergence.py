"""The emergence figure: written, repeatable, and complete; how it looks was judged by eye."""

import re
from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image
from support import planted

from probes.errors import InputError
from tracer.comparing import plot_runs
from tracer.figures.emergence import draw_emergence
from tracer.run import Run, finish_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return Run(planted.write(tmp_path_factory.mktemp("plots") / "first", 6))


@pytest.fixture(scope="module")
def wild(tmp_path_factory):
    """A run whose distributions wander, so that Eq. 4 is far above 1."""
    return Run(planted.write(tmp_path_factory.mktemp("plots") / "wild", 6, shape={"wander": 8}))


def text_of(svg):
    """The texts of a figure, which matplotlib leaves as comments beside their outlines."""
    return re.findall(r"<!-- (.*?) -->", svg.read_text())


def written(figure, path):
    """The texts of a figure once it is written."""
    (svg,) = figure.write(path.with_suffix(".svg"))
    return text_of(svg)


def test_both_files_and_all_parts(run, tmp_path):
    run.plot(tmp_path / "emergence")
    png, svg = (tmp_path / f"emergence.{kind}" for kind in ("png", "svg"))
    with Image.open(png) as image:
        assert image.width > 1000
        assert np.asarray(image.convert("L")).std() > 10
    text = text_of(svg)
    for word in ("pitch", "timbre", "loudness", "shuffled labels", "state index", "flow time"):
        assert word in text
    assert {"agreement", "closeness", "endpoint:", "state:"} <= set(text)
    assert NO_GENERIC in text


def test_same_run_same_bytes_and_no_global_state(run, tmp_path):
    before = dict(mpl.rcParams)
    one, two = (run.plot().write(tmp_path / name) for name in ("one", "two"))
    for mine, other in zip(one, two, strict=True):
        assert mine.read_bytes() == other.read_bytes()
    assert dict(mpl.rcParams) == before


def test_several_runs_are_laid_over_each_other(run, wild, tmp_path):
    text = written(plot_runs([run, wild.path]), tmp_path / "both")
    assert {"planted (first)", "planted (wild)"} <= set(text)


def test_runs_of_different_lengths_meet_on_flow_time(run, tmp_path):
    short = Run(planted.write(tmp_path / "short", 3, shape={"states": 6}))
    text = written(plot_runs([run, short]), tmp_path / "both")
    assert "state index" not in text
    assert "flow time" in text


def of_schedule(folder, power):
    """A planted run whose states lie at other flow times than those of the runs beside it."""
    store = planted.RunStore.open(folder, planted.OPTIONS, planted.prompts(3))
    traces = [planted.trace(i) for i in range(3)]
    for made in traces:
        made.t = made.t**power
        with np.errstate(divide="ignore"):
            made.logsnr = 2 * np.log(made.t / (1 - made.t))
    store.append(traces)
    return Run(folder)


def test_runs_of_other_schedules_meet_on_flow_time(run, tmp_path):
    other = of_schedule(tmp_path / "other", 3)
    assert {panel.get_xlabel() for panel in plot_runs([run, other]).axes[-3:]} == {"flow time"}
    by_state = plot_runs([run, other], axis="index")
    assert {panel.get_xlabel() for panel in by_state.axes[-3:]} == {"state index"}
    assert not any(panel.child_axes for panel in by_state.axes)


def test_flow_time_stands_on_top_where_all_runs_have_the_same(run, tmp_path):
    same = plot_runs([run, of_schedule(tmp_path / "same", 1 + 1e-9)])
    assert {panel.get_xlabel() for panel in same.axes[-3:]} == {"state index"}
    assert all(panel.child_axes for panel in same.axes[:3])


def test_log_snr_axis(run, tmp_path):
    assert "log-SNR of the state" in written(run.plot(axis="logsnr"), tmp_path / "snr")
    with pytest.raises(InputError, match="index, t, logsnr"):
        run.plot(axis="step")


def test_measures_are_rows(run, tmp_path):
    text = written(run.plot(measures=["js"]), tmp_path / "js")
    assert "distance to the end (JS)" in text
    assert not any("Eq. 4" in line for line in text)
    with pytest.raises(InputError, match="no measure 'entropy'"):
        run.plot(measures=["entropy"])


def test_exploding_progress_is_noted_not_cut(wild, tmp_path):
    assert wild.progress(view="state", measure="paper")["mean"].max() > 3
    text = written(wild.plot_progress(), tmp_path / "wild")
    assert "progress s, Eq. 4 (log above 1)" in text
    assert any(line.startswith("bands reach from") for line in text)


def test_quiet_progress_has_no_note(run, tmp_path):
    assert not any("reach" in line or "outside" in line for line in written(run.plot_progress(), tmp_path / "quiet"))


def test_the_published_progress_says_how_to_read_it(run, tmp_path):
    text = written(run.plot_progress(axis="t"), tmp_path / "progress")
    assert any("a rising curve alone says little" in line for line in text)
    assert "flow time" in text
    with pytest.raises(InputError, match="index, t, logsnr"):
        run.plot_progress(axis="step")


def test_nulls_are_drawn_where_a_run_has_them(tmp_path):
    text = written(Run(planted.write(tmp_path / "run", 6, nulls=True)).plot(), tmp_path / "nulls")
    assert {"linear flow", "generic directions, range", "shuffled labels"} <= set(text)


NO_GENERIC = "(no generic directions in this readout)"


@pytest.mark.parametrize(
    ("nulls", "measures", "said"),
    [
        (False, ["closeness"], True),
        (False, ["paper", "agreement_matched"], True),
        (False, ["paper", "l1", "js"], False),
        (True, ["paper", "l1", "js"], False),
        (True, ["agreement"], False),
    ],
)
def test_missing_generic_directions_are_told_where_they_could_be_drawn(tmp_path, nulls, measures, said):
    figure = Run(planted.write(tmp_path / "run", 3, nulls=nulls)).plot(measures=measures)
    assert (NO_GENERIC in labels(figure)) == said


def labels(figure):
    """The words of a figure's legend."""
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def notes(figure):
    """The notes in the panels of a figure."""
    return [text.get_text() for panel in figure.axes for text in panel.texts]


def with_band(run, low, high):
    """Results of a run whose band of pitch, endpoint, closeness reaches from low to high at the third state."""
    table = run.results.progress.copy()
    here = (table["attribute"] == "pitch") & (table["view"] == "endpoint") & (table["measure"] == "closeness")
    table.loc[here & (table["probe"] == "trained") & (table["index"] == 2), ["low", "high"]] = low, high
    return replace(run.results, progress=table)


def test_bands_that_leave_a_panel_are_noted(run):
    assert not any("band" in note for note in notes(run.plot()))
    figure = draw_emergence([("run", with_band(run, -7.0, 42.0))])
    assert [note for note in notes(figure) if "band" in note] == ["outside: band up to 42, band down to -7"]


def test_a_panel_shows_its_bands(run):
    figure = draw_emergence([("run", with_band(run, -0.4, 1.3))])
    assert not notes(figure)
    bottom, top = figure.axes[3].get_ylim()  # the second row, endpoint: closeness
    assert (bottom, top) == pytest.approx((-0.4, 1.3))


def test_one_prompt_is_labelled_as_uncorrected(tmp_path):
    folder = planted.write(tmp_path / "run", 1)
    with pytest.warns(UserWarning, match="one prompt"):
        finish_run(folder)
    assert "(one prompt: not corrected)" in text_of(folder / "emergence.svg")


def test_run_without_frames_shows_the_ratio_of_sums(tmp_path):
    store = planted.RunStore.open(tmp_path / "run", planted.OPTIONS, planted.prompts(3), frames=False)
    store.append([planted.trace(i) for i in range(3)])
    run = Run(tmp_path / "run")
    with pytest.warns(UserWarning, match="ratio of sums"):
        figure = run.plot()
    assert NO_GENERIC not in labels(figure)
    assert "progress, ratio of sums" in written(figure, tmp_path / "emergence")
    assert "l1:" in repr(run)
    with pytest.raises(InputError, match="no classes per frame"):
        run.plot_commitment()


def test_nothing_to_draw():
    with pytest.raises(InputError, match="at least one"):
        draw_emergence([])
    with pytest.raises(InputError, match="at least one"):
        plot_runs([])
