"""The grid: one pass for all points, resumed point by point, a table and a figure."""

import gc
import json
import os
import subprocess
import sys
import weakref
from pathlib import Path

import pandas as pd
import pytest
from support.corpus import tiny_corpus
from support.strangers import COMMAND

from probes.errors import InputError
from probes.fit import sweep
from probes.fit.figures import METRICS, read_figures
from probes.fit.pipeline import fit_sae
from probes.fit.probe_training import ProbeOptions
from probes.fit.sae_training import SAETrainer, TrainingOptions
from probes.fit.sweep import Grid, collect, place, run_sweep
from probes.sae import ReluConfig, SparseAutoencoder
from tracer.figures.sweep import draw_sweeps

GRID = Grid(
    hidden=(16, 24),
    lambdas=(0.01, 0.3),
    training=TrainingOptions(steps=20, batch=64),
    probes=ProbeOptions(epochs=2, baselines=False),
)


@pytest.fixture
def bare(tmp_path):
    return tiny_corpus(tmp_path / "corpus", frames=80, attributes=())


def same_weights(a, b) -> bool:
    return (a / "model.safetensors").read_bytes() == (b / "model.safetensors").read_bytes()


def test_points_trained_together_equal_those_trained_alone(bare, tmp_path):
    rows = run_sweep(bare, tmp_path / "sweep", GRID)
    assert [(row["hidden"], row["lambda"]) for row in rows] == [(16, 0.01), (16, 0.3), (24, 0.01), (24, 0.3)]
    for point in GRID.points():
        alone = tmp_path / f"alone-{point.hidden}-{point.lam}"
        fit_sae(bare, alone, ReluConfig(channels=12, hidden=point.hidden, lam=point.lam), GRID.training)
        assert same_weights(place(tmp_path / "sweep", point), alone)


def test_an_interrupted_sweep_goes_on_where_it_stopped(bare, tmp_path, monkeypatch):
    run_sweep(bare, tmp_path / "whole", GRID)
    trained = []
    step = SAETrainer.step

    def counted(trainer, x):
        trained.append((trainer.sae.config.hidden, trainer.steps_done))
        return step(trainer, x)

    def broken(trainer, x):
        if trainer.steps_done == 12 and trainer.sae.config.hidden == 24:
            raise KeyboardInterrupt
        return counted(trainer, x)

    options = TrainingOptions(steps=20, batch=64, checkpoint_every=5)
    grid = Grid(GRID.hidden, GRID.lambdas, training=options, probes=GRID.probes)
    monkeypatch.setattr(sweep, "groups", lambda waiting, budget: [waiting[:1], waiting[1:]])
    monkeypatch.setattr(SAETrainer, "step", broken)
    with pytest.raises(KeyboardInterrupt):
        run_sweep(bare, tmp_path / "sweep", grid)
    assert len(collect(tmp_path / "sweep", grid.points())) == 1
    monkeypatch.setattr(SAETrainer, "step", counted)
    trained.clear()
    rows = run_sweep(bare, tmp_path / "sweep", grid)
    assert len(rows) == 4
    assert min(done for _, done in trained) == 10
    for point in grid.points():
        assert same_weights(place(tmp_path / "sweep", point), place(tmp_path / "whole", point))
    trained.clear()
    run_sweep(bare, tmp_path / "sweep", grid)
    assert not trained


def test_two_processes_share_the_points_and_make_the_same(bare, tmp_path):
    # accelerate starts several processes on one CPU through its multi-GPU launcher; --device cpu does the rest.
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    launch += ["--main_process_port", "0", str(COMMAND), "fit", "sweep", "--device", "cpu"]
    options = ["--hidden", "16,24", "--lambda", "0.01,0.3", "--steps", "20", "--batch", "64", "--json"]
    command = [*launch, "--corpus", str(tmp_path / "corpus"), "--out", str(tmp_path / "two"), *options]
    environment = os.environ | {"PYTHONPATH": str(Path(sweep.__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, cwd=tmp_path)
    assert result.returncode == 0, result.stderr[:3000]
    rows = run_sweep(bare, tmp_path / "one", GRID)
    assert (tmp_path / "two" / "table.csv").read_bytes() == (tmp_path / "one" / "table.csv").read_bytes()
    assert len(rows) == 4
    for point in GRID.points():
        assert same_weights(place(tmp_path / "one", point), place(tmp_path / "two", point))


def test_groups_fit_the_memory_and_leave_none_out():
    points = [ReluConfig(channels=2, hidden=size) for size in (10, 10, 10, 30, 5)]  # 6 numbers a feature, and 2
    found = sweep.groups(points, budget=16 * 6 * 25)
    assert [[point.hidden for point in group] for group in found] == [[10, 10], [10], [30], [5]]


def test_a_group_holds_no_more_than_the_budget_and_is_gone_before_the_next(bare, tmp_path, monkeypatch):
    """Two processes on this machine: each has half of the half."""
    alive, held = weakref.WeakSet(), []
    numbers = 3 * (24 * (2 * 12 + 2) + 12)  # of three autoencoders of 24 features
    monkeypatch.setattr(sweep, "free_memory", lambda device: 2 * 2 * 16 * numbers)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    make, train = sweep.make_trainer, sweep.train

    def made(*arguments):
        trainer = make(*arguments)
        alive.add(trainer.sae)
        return trainer

    def trained(*arguments):
        gc.collect()
        held.append(sum(parameter.numel() for sae in alive for parameter in sae.parameters()))
        train(*arguments)

    monkeypatch.setattr(sweep, "make_trainer", made)
    monkeypatch.setattr(sweep, "train", trained)
    grid = Grid((24,), (0.01, 0.02, 0.03, 0.1, 0.3), training=TrainingOptions(steps=2, batch=64))
    assert len(run_sweep(bare, tmp_path / "sweep", grid)) == 5
    assert held == [numbers, 2 * numbers // 3]


def test_the_table_and_figure_hold_probes_with_intervals(tmp_path):
    corpus = tiny_corpus(tmp_path / "corpus", frames=120, attributes=("loudness",))
    grid = Grid((16,), (0.01, 0.3), training=GRID.training, probes=GRID.probes)
    rows = run_sweep(corpus, tmp_path / "sweep", grid)
    for row in rows:
        assert row["loudness_low"] <= row["loudness_accuracy"] <= row["loudness_high"]
        assert 0 <= row["sparsity"] <= 1
    table = pd.read_csv(tmp_path / "sweep" / "table.csv")
    assert table["loudness_accuracy"][1] == pytest.approx(rows[1]["loudness_accuracy"], rel=1e-5)
    assert table["space"][0] == "mini"
    bare = [{name: value for name, value in row.items() if "loudness" not in name} for row in rows]
    alone = [row | {"loudness_low": "", "loudness_high": ""} for row in rows]  # as of a single test file
    paths = draw_sweeps({"mini": rows, "without labels": bare, "one file": alone}).write(tmp_path / "figure3")
    assert [path.name for path in paths] == ["figure3.png", "figure3.svg"]
    assert all(path.stat().st_size > 5000 for path in paths)
    (bars,) = draw_sweeps({"mini": [row | {"loudness_low": 0.0} for row in rows]}).axes[0].containers
    assert bars[2][0].get_segments()[0][0][1] == 0.0  # an interval that begins at 0 is drawn whole
    with pytest.raises(InputError, match="no finished point"):
        draw_sweeps({})


def test_every_point_says_what_it_is(bare, tmp_path):
    run_sweep(bare, tmp_path / "sweep", GRID)
    point = GRID.points()[3]
    folder = place(tmp_path / "sweep", point)
    sae = SparseAutoencoder.from_pretrained(folder)
    assert (sae.config.hidden, sae.config.lam, sae.config.space) == (24, 0.3, "mini")
    assert json.loads((folder / METRICS).read_text())["made_with"]["options"]["steps"] == 20


def test_points_that_differ_in_the_seventh_digit_have_folders_of_their_own(bare, tmp_path):
    grid = Grid((16,), (0.0123456, 0.01234561, 1.0), training=GRID.training, probes=GRID.probes)
    assert len({place(tmp_path, point) for point in grid.points()}) == 3
    assert place(tmp_path, grid.points()[2]).name == "h16-lambda1"
    assert len({row["fvu"] for row in run_sweep(bare, tmp_path / "sweep", grid)}) == 3


def test_frames_seen_in_training_are_those_of_the_batches_that_were(bare, tmp_path):
    """A corpus of 4 x 80 training frames fills no batch of 1,024."""
    fit_sae(bare, tmp_path, ReluConfig(channels=12, hidden=16), TrainingOptions(steps=5, batch=1024))
    assert read_figures(tmp_path)["training_frames"] == 5 * 320
