"""A run as the user meets it: what it says of itself, its figures and its clips."""

import copy
import pickle
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from matplotlib.figure import Figure
from support import planted

from probes import Readout
from probes.errors import InputError
from probes.support.files import file_checksum
from probes.support.paths import result_folder
from tracer import results, trace
from tracer.page.viewing import write_view
from tracer.run import Run, finish_run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return planted.write(tmp_path_factory.mktemp("runs") / "run", 8)


def test_repr_says_what_it_is_and_what_it_found(folder):
    run = finish_run(folder)
    text = repr(run)
    assert text.splitlines()[0] == f"Run {folder}: planted, 8 of 8 prompts finished"
    assert "12 states, read as state and endpoint" in text
    table = run.settled(measure="closeness").set_index(["attribute", "view"])
    for attribute in ("pitch", "timbre", "loudness"):
        (line,) = (line for line in text.splitlines() if line.strip().startswith(attribute))
        for view in ("state", "endpoint"):
            found = table.loc[(attribute, view)]
            assert f"{found['index']:g} ({found['low']:g}-{found['high']:g})" in line


def test_repr_of_an_unfinished_run_computes_nothing(tmp_path, monkeypatch):
    store = planted.RunStore.open(tmp_path / "run", planted.OPTIONS, planted.prompts(5))
    assert repr(Run(tmp_path / "run")) == f"Run {tmp_path / 'run'}: planted, 0 of 5 prompts finished"
    store.append([planted.trace(0)])
    monkeypatch.setattr("tracer.run.load_results", lambda reader: pytest.fail("computed"))
    assert "1 of 5 prompts finished\n  curves are not computed yet" in repr(Run(tmp_path / "run"))


def test_a_finished_run_is_not_read_again(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "_read", lambda folder: pytest.fail("read again"))
    run = finish_run(planted.write(tmp_path / "run", 2))
    assert len(run.progress())
    names = {path.name for path in run.path.iterdir()}
    assert {"progress.csv", "settled.csv", "verdicts.csv", "commitment.npz", "emergence.png", "progress.svg"} <= names
    assert "ground-truth.csv" not in names


def test_measured_attributes_get_a_report(tmp_path):
    """The audio says what the probe says wherever there is any: the report finds no difference there."""
    run = finish_run(planted.write(tmp_path / "run", 3, measured=True))
    report = pd.read_csv(run.path / "ground-truth.csv").set_index(["attribute", "measure", "probe"])
    assert (run.path / "ground-truth.png").exists()
    for attribute in planted.CLASSES:
        assert report.loc[attribute, "js", "trained"]["difference"] == pytest.approx(0, abs=1e-6)
        assert report.loc[attribute, "agreement", "trained"]["difference"] < 0.05
        assert report.loc[attribute, "agreement", "trained"]["correlation"] > 0.9


def test_plot_returns_the_figure_and_writes_where_it_is_told(folder, tmp_path):
    run = Run(folder)
    before = sorted(folder.iterdir())
    assert isinstance(run.plot(), Figure)
    assert sorted(folder.iterdir()) == before
    with pytest.raises(InputError, match="at least one measure to plot: choose from agreement,"):
        run.plot(measures=())
    labels = [axes.get_ylabel() for axes in run.plot(measures="agreement, l1").axes]
    assert labels == [axes.get_ylabel() for axes in run.plot(measures=["agreement", "l1"]).axes]
    run.plot(tmp_path / "curves.svg")
    assert [path.name for path in tmp_path.iterdir()] == ["curves.svg"]


def test_the_home_folder_is_taken_for_its_sign(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    run = trace("mini", ["slow piano"], steps=2, seconds=0.5, save_latents=True, out="~/runs/x", progress_bar=False)
    assert run.path == Run("~/runs/x").path == tmp_path / "home" / "runs" / "x"
    assert (run.path / "audio" / "00000.wav").exists()
    run.plot("~/figure.png")
    write_view(["~/runs/x"], "~/page")
    assert result_folder("~/new") == tmp_path / "home" / "new"
    Readout.from_pretrained("mini").save_pretrained(tmp_path / "home" / "readout")
    assert Readout.from_pretrained("~/readout").spaces == ("mini",)
    assert sorted(path.name for path in (tmp_path / "home").iterdir()) == ["figure.png", "page", "readout", "runs"]
    assert [path.name for path in tmp_path.iterdir()] == ["home"]
    assert result_folder("~no-such-user/x") == Path("~no-such-user/x")


def test_a_clip_that_is_not_the_run_s_own_is_refused(tmp_path):
    store, clips = planted.open_run(tmp_path / "run", 2), [planted.trace(prompt) for prompt in range(2)]
    for clip in clips:
        path = tmp_path / "run" / "audio" / f"0000{clip.prompt}.wav"
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, np.full(100, 0.1 * (1 + clip.prompt), np.float32), 22050, subtype="FLOAT")
        clip.files[f"audio/{path.name}"] = file_checksum(path)
    store.append(clips)
    run = Run(tmp_path / "run")
    assert run.audio(1)[0].max() == np.float32(0.2)
    shutil.copy(tmp_path / "run" / "audio" / "00000.wav", tmp_path / "run" / "audio" / "00001.wav")
    with pytest.raises(InputError, match=r"00001\.wav is not what the run wrote"):
        Run(tmp_path / "run").audio(1)
    (tmp_path / "run" / "audio" / "00000.wav").unlink()
    (tmp_path / "run" / "audio" / "00000.wav").mkdir()
    with pytest.raises(InputError, match=r"00000\.wav is not what the run wrote"):
        Run(tmp_path / "run").audio(0)


def test_a_run_that_was_read_is_copied_and_pickled(folder):
    run = Run(folder)
    found = run.reader.trace(3)
    for made in (copy.deepcopy(run), pickle.loads(pickle.dumps(run))):
        planted.same_trace(made.reader.trace(3), found)
        pd.testing.assert_frame_equal(made.progress(), run.progress())
    planted.same_trace(run.reader.trace(3), found)


def test_a_clip_comes_with_its_sample_rate(tmp_path):
    run = Run(planted.write(tmp_path / "run", 2))
    with pytest.raises(InputError, match="no clip of prompt 1"):
        run.audio(1)
    for wrong, says in (
        ((2,), "no prompt 2: it has 2, counted"),
        ((-1,), "no prompt -1"),
        ((0, 1), "no seed 1: it has 1"),
        ((1.0,), "prompt must be a whole number, got 1.0"),
        (("0",), "prompt must be a whole number, got '0'"),
        ((0, None), "seed must be a whole number"),
    ):
        with pytest.raises(InputError, match=says):
            run.audio(*wrong)
    (run.path / "audio").mkdir()
    clip = np.linspace(-0.5, 0.5, 200, dtype=np.float32).reshape(100, 2)
    soundfile.write(run.path / "audio" / "00001.wav", clip, 22050, subtype="FLOAT")
    with pytest.raises(InputError, match="prompt must be a whole number"):
        run.plot_commitment("pitch", prompt="0")
    samples, sample_rate = run.audio(np.int64(1))
    assert sample_rate == 22050
    np.testing.assert_array_equal(samples, clip.T)
