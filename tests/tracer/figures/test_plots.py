"""Figures: written, repeatable, and complete; how they look was judged by eye."""

import re

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image
from support import planted

from probes.errors import InputError
from tracer.figures.emergence import plot_runs
from tracer.figures.maps import plot_autoencoder, plot_commitment
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


def test_both_files_and_all_parts(run, tmp_path):
    png, svg = plot_runs([run], tmp_path / "emergence")
    assert (png.name, svg.name) == ("emergence.png", "emergence.svg")
    with Image.open(png) as image:
        assert image.width > 1000
        assert np.asarray(image.convert("L")).std() > 10
    text = text_of(svg)
    for word in ("pitch", "timbre", "loudness", "shuffled labels (control)", "state index", "flow time"):
        assert word in text
    assert any("Eq. 4" in line for line in text)
    assert "agreement with own song" in text


def test_same_run_same_bytes_and_no_global_state(run, tmp_path):
    before = dict(mpl.rcParams)
    one, two = (plot_runs([run], tmp_path / name) for name in ("one", "two"))
    for mine, other in zip(one, two, strict=True):
        assert mine.read_bytes() == other.read_bytes()
    assert dict(mpl.rcParams) == before
    assert "matplotlib.pyplot" not in repr(plot_runs.__globals__)


def test_several_runs_are_laid_over_each_other(run, wild, tmp_path):
    _, svg = plot_runs([run, wild], tmp_path / "both")
    assert {"first", "wild"} <= set(text_of(svg))


def test_runs_of_different_lengths_meet_on_flow_time(run, tmp_path):
    short = Run(planted.write(tmp_path / "short", 3, shape={"states": 6}))
    _, svg = plot_runs([run, short], tmp_path / "both")
    assert "state index" not in text_of(svg)
    assert "flow time" in text_of(svg)


def test_log_snr_axis(run, tmp_path):
    _, svg = plot_runs([run], tmp_path / "snr", axis="logsnr")
    assert "log-SNR of the state" in text_of(svg)
    with pytest.raises(InputError, match="index, t, logsnr"):
        plot_runs([run], tmp_path / "none", axis="step")


def test_exploding_progress_is_noted_not_cut(wild, tmp_path):
    assert wild.progress(view="state", measure="paper")["mean"].max() > 3
    text = text_of(plot_runs([wild], tmp_path / "wild")[1])
    assert "progress, Eq. 4 (log above 1)" in text
    assert any(line.startswith("bands reach from") for line in text)


def test_quiet_progress_has_no_note(run, tmp_path):
    text = text_of(plot_runs([run], tmp_path / "quiet")[1])
    assert not any("reach" in line or "outside" in line for line in text)


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
        _, svg = plot_runs([run], tmp_path / "emergence")
    assert "progress, ratio of sums" in text_of(svg)
    with pytest.raises(InputError, match="no classes per frame"):
        plot_commitment(run, tmp_path / "map")


def test_maps_and_autoencoder(run, tmp_path):
    for paths in (
        plot_commitment(run, tmp_path / "all", frame_rate=21.5),
        plot_commitment(run, tmp_path / "one", prompt=2),
        plot_autoencoder(run, tmp_path / "sae"),
    ):
        assert all(path.stat().st_size > 5000 for path in paths)
    assert "time in the song (s)" in text_of(tmp_path / "all.svg")
    assert any("prompt 2" in line for line in text_of(tmp_path / "one.svg"))


def test_nowhere_to_write(run, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        plot_runs([run], tmp_path / "file" / "emergence")
    with pytest.raises(InputError, match="at least one"):
        plot_runs([], tmp_path / "none")
