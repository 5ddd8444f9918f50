"""Attributes whose classes have no order, such as chords: agreement says when they settle, closeness nothing."""

import base64
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from probes.attributes import get_attribute
from probes.errors import InputError
from probes.readout import Readout
from probes.readout.generic import GenericDirections
from probes.readout.linear import LinearProbes
from tracer import Run, trace
from tracer.commands.run_tables import print_comparison, print_run
from tracer.comparing import compare_runs, plot_runs
from tracer.curves import Curve
from tracer.page.comparison_page import compare_data
from tracer.page.songs_page import readings, settled_states

CLASSES = {"loudness": 20, "chord": 25, "key": 24}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    sae = Readout.from_pretrained("mini").sae
    random = torch.Generator().manual_seed(0)
    both = [LinearProbes(CLASSES, sae.config.hidden, ["key"]) for _ in range(2)]
    for probes in both:
        probes.weight.data = torch.randn(probes.weight.shape, generator=random)
        probes.on_rises()["key"].data.normal_(generator=random)
    values = {"loudness": np.linspace(0, 0.5, 99), "chord": np.empty(0), "key": np.empty(0)}
    bins = {name: get_attribute(name).fit_bins(own) for name, own in values.items()}
    shape = (len(bins), 2)
    edges = torch.sort(torch.randn(*shape, 24, generator=random)).values
    drawn = torch.randn(*shape, 64, generator=random)
    generic = GenericDirections(list(bins), drawn, edges, torch.zeros(shape), torch.ones(shape))
    readout = Readout(sae, *both, bins, ["mini"], generic=generic)
    out = tmp_path_factory.mktemp("unordered") / "run"
    return trace("mini", prompts="demo", n=9, steps=4, seconds=1, readout=readout, out=out, progress_bar=False)


def test_only_ordered_classes_have_a_closeness(run: Run) -> None:
    progress = run.results.progress
    measures = {name: set(own["measure"]) for name, own in progress.groupby("attribute")}
    assert "closeness" in measures["loudness"]
    for name in ("chord", "key"):
        assert not [measure for measure in measures[name] if measure.startswith("closeness")]
        assert "agreement" in measures[name]
    assert set(run.attributes) == set(CLASSES)
    verdicts = run.results.own_verdicts
    by = {name: set(own["measure"]) for name, own in verdicts.groupby("attribute")}
    assert by == {"loudness": {"closeness"}, "chord": {"agreement"}, "key": {"agreement"}}
    assert all(row["verdicts"] for row in run.summary())


def test_tables_and_figures_say_so(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    print_run(run, as_json=False)
    said = capsys.readouterr().out
    assert "by agreement, since their classes have no order: " in said
    texts = [text.get_text() for panel in run.plot().axes for text in panel.texts]
    assert texts.count("classes without an order") == 2 * len(run.views)
    other = tmp_path / "other"
    shutil.copytree(run.path, other)
    print_comparison(compare_runs([run.path, other]), as_json=False)
    assert "left out, since their classes have no order: chord, key" in capsys.readouterr().out
    assert "not the same measure" not in capsys.readouterr().out
    pooled = trace("mini", n=2, steps=4, seconds=1, frames=False, out=tmp_path / "pooled", progress_bar=False)
    assert not pooled.results.missing  # its frames were not kept, whatever its readout brings
    print_comparison(compare_runs([run.path, pooled.path]), as_json=False)
    assert "not the same measure, so not to be compared: " in capsys.readouterr().out
    texts = [text.get_text() for panel in plot_runs([pooled.path, run.path]).axes for text in panel.texts]
    assert texts.count("classes without an order") == 2 * len(run.views)
    assert compare_data([run, Run(other)], ["one", "other"])["left_out"] == ["chord", "key"]


def test_a_page_shows_their_classes(run: Run) -> None:
    trace_of = run.reader.trace(0)
    read = readings(trace_of, run)["read"]["endpoint"]
    assert set(read) == set(CLASSES)
    for name in ("chord", "key"):
        classes = trace_of.classes[Curve("endpoint", "trained", name)]
        assert classes.max() > 3
        shown = np.frombuffer(base64.b64decode(read[name]["readings"]), "<u2").reshape(classes.shape) / 64
        np.testing.assert_array_equal(shown, classes)
    assert any("chord" in states for states in settled_states(run).values())


def test_generations_cannot_wait_for_them(run: Run, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="takes pitch, loudness, timbre with commas, not 'chord'"):
        trace("mini", n=1, steps=4, seconds=1, out=tmp_path / "run", stop_when_settled="chord", progress_bar=False)
