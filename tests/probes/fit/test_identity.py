"""Nothing that was fitted is handed out for other data or other options."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.corpus import forget_checksums, tiny_corpus

from probes.errors import InputError
from probes.fit.figures import read_figures
from probes.fit.pipeline import fit_bins, fit_sae
from probes.fit.probe_fit import fit_linear_probes
from probes.fit.probe_training import ProbeOptions
from probes.fit.sae_training import TrainingOptions
from probes.fit.sweep import Grid, run_sweep
from probes.sae import ReluConfig, make_sae

CONFIG = ReluConfig(channels=12, hidden=32)
TRAINING = TrainingOptions(steps=20, batch=64)
PROBES = ProbeOptions(epochs=1, batch=64, baselines=False)


def test_an_autoencoder_of_another_corpus_is_refused(tmp_path: Path) -> None:
    one, other = tiny_corpus(tmp_path / "1"), tiny_corpus(tmp_path / "2", seed=1)
    fit_sae(one, tmp_path / "sae", CONFIG, TRAINING)
    fit_sae(one, tmp_path / "sae", CONFIG, TRAINING)
    with pytest.raises(InputError, match=rf"corpus \({one.fingerprint} there, {other.fingerprint} here\)"):
        fit_sae(other, tmp_path / "sae", CONFIG, TRAINING)


def test_a_sweep_follows_its_probe_options_and_refuses_another_corpus(tmp_path: Path) -> None:
    one, other = tiny_corpus(tmp_path / "1"), tiny_corpus(tmp_path / "2", seed=1)
    grid = Grid((32,), (0.01,), CONFIG, TRAINING, PROBES)
    longer = replace(grid, probes=replace(PROBES, epochs=15, log_rms=False))
    run_sweep(one, tmp_path / "s", grid)
    assert run_sweep(one, tmp_path / "s", longer) == run_sweep(one, tmp_path / "fresh", longer)
    with pytest.raises(InputError, match="corpus"):
        run_sweep(other, tmp_path / "s", grid)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"seed": -1}, "seed"),
        ({"learning_rate": float("nan")}, "learning_rate must"),
        ({"warmup": 2.0}, "warmup"),
        ({"steps": 0}, "steps"),
    ],
)
def test_numbers_that_no_training_could_take_are_refused(changes: dict[str, float], says: str) -> None:
    with pytest.raises(InputError, match=says):
        TrainingOptions(**changes)
    if "warmup" not in changes and "steps" not in changes:
        with pytest.raises(InputError, match=says):
            ProbeOptions(**changes)


def test_a_constant_held_out_file_has_no_variance_to_explain(tmp_path: Path) -> None:
    corpus = tiny_corpus(tmp_path / "c", splits=("train", "train", "val"), attributes=())
    file = corpus.files("val")[0]
    latents = np.lib.format.open_memmap(tmp_path / "c" / "shards" / "00000" / "latents.npy", mode="r+")
    latents[file.start : file.start + file.frames] = 0
    latents.flush()
    corpus = forget_checksums(corpus.path)
    fit_sae(tiny_corpus(tmp_path / "d"), tmp_path / "other", CONFIG, TRAINING)
    fit_sae(corpus, tmp_path / "sae", CONFIG, TRAINING)
    figures = read_figures(tmp_path / "sae")
    assert figures["fvu"] is None
    assert figures["l0"] >= 0


def test_without_validation_labels_training_goes_on_and_says_so(tmp_path: Path) -> None:
    corpus = tiny_corpus(tmp_path / "c")
    file = corpus.files("val")[0]
    labels = np.lib.format.open_memmap(tmp_path / "c" / "shards" / "00000" / "pitch.npy", mode="r+")
    labels[file.start : file.start + file.frames, 1] = 0
    labels.flush()
    corpus = forget_checksums(corpus.path)
    sae = make_sae(CONFIG)
    bins = fit_bins(corpus, ("pitch",), {"pitch": 6})
    epochs: list[int] = []
    with pytest.warns(UserWarning, match="no labelled frame of pitch in the validation split"):
        found = fit_linear_probes(corpus, sae, bins, replace(PROBES, epochs=12), lambda done, of: epochs.append(done))
    assert epochs[-1] == 12
    assert found.report["pitch"]["accuracy"] > 0.5
