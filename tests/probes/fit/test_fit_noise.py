"""Fitting probes that know the noise: planted latents whose best accuracy is known, and what is refused."""

import math
from statistics import NormalDist

import numpy as np
import pytest
import torch
from support.corpus import tiny_corpus
from support.readout import tiny_readout
from typer.testing import CliRunner

from probes import Readout
from probes.corpus import Corpus
from probes.corpus.noising import REACH, noised, spread_levels, straight_shares
from probes.corpus.writer import CorpusWriter
from probes.errors import InputError
from probes.fit.noise import fit_noise
from probes.fit.pipeline import fit_bins, fit_probes, fit_readout
from probes.fit.probe_training import ProbeOptions
from probes.fit.sae_training import TrainingOptions
from probes.sae import ReluConfig
from tracer.commands.fit import app
from tracer.commands.fit_options import noise_levels

CHANNELS, SPACING, SCATTER = 6, 3.0, 0.8
LEVELS = (-4.0, 0.0, 4.0)


def planted_corpus(path, frames=1500):
    """Two loudness classes, the means of channel 0 a few deviations apart; all other channels are large and empty."""
    random = np.random.default_rng(3)
    info = {"name": "mini", "spaces": ["mini"], "channels": CHANNELS, "frame_rate": 20.0, "fingerprint": "f00d"}
    about = {"space": info, "attributes": {"loudness": {"unit": "RMS", "threshold": 0.5}}, "dtype": "float32"}
    with CorpusWriter(path, about) as writer:
        for number, split in enumerate(("train",) * 5 + ("val", "test", "test")):
            loud = random.integers(0, 2, frames)
            latents = random.normal(size=(frames, CHANNELS)) * [SCATTER, 3, 3, 3, 3, 3]
            latents[:, 0] += SPACING * (loud - 0.5)
            measured = np.float32(np.stack([0.05 + 0.1 * loud, np.ones(frames)], 1))
            writer.add(f"song{number}.wav", f"{number:012x}", np.float32(latents), {"loudness": measured}, split)
    return Corpus.open(path)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("noise")
    corpus = planted_corpus(folder / "corpus")
    bins = fit_bins(corpus, counts={"loudness": 2})
    options = ProbeOptions(epochs=4, batch=256, learning_rate=1e-2, baselines=False)
    training = TrainingOptions(steps=60, batch=128, learning_rate=3e-3)
    config = ReluConfig(channels=CHANNELS, hidden=48, lam=0.02)
    fit_readout(corpus, folder / "readout", config, training, options, bins, levels=LEVELS)
    return corpus, folder / "readout", options


def best_accuracy(logsnr: float) -> float:
    """Of two classes a spacing apart, each scattered, with noise on top: Phi of half the distance in deviations."""
    alpha, sigma = straight_shares(logsnr)
    return NormalDist().cdf(alpha * SPACING / 2 / math.sqrt((alpha * SCATTER) ** 2 + sigma**2))


def test_each_level_reads_as_well_as_anything_could(fitted):
    _, folder, _ = fitted
    report = Readout.from_pretrained(folder).report["noise"]
    assert report["levels"] == list(LEVELS)
    found = report["attributes"]["loudness"]
    best = [best_accuracy(level) for level in LEVELS]
    np.testing.assert_allclose(found["accuracy"], best, atol=0.025)
    np.testing.assert_allclose(found["majority"], 0.5, atol=0.03)
    np.testing.assert_allclose(found["shuffled"], 0.5, atol=0.05)
    assert best[0] < 0.6 < 0.75 < best[1]
    assert min(np.subtract(found["accuracy"], found["majority"])) > -0.02
    # The clean-trained probes are worse on the noise than those that know it.
    assert found["clean"][1] < found["accuracy"][1] + 0.01
    for (low, high), value in zip(found["interval"], found["accuracy"]):
        assert low <= value <= high


def test_the_saved_readout_reads_noisy_latents_as_the_report_says(fitted):
    corpus, folder, options = fitted
    readout = Readout.from_pretrained(folder)
    for row, level in enumerate(LEVELS):
        hits = []
        for file in corpus.files("test"):
            x = torch.from_numpy(noised(corpus.latents(file), file.name, level, options.seed))[None]
            read = readout.read(x, noise=straight_shares(level)).classes["trained"]["loudness"][0].numpy()
            hits.append(read == readout.bins["loudness"].classes(*corpus.labels(file, "loudness")))
        assert np.mean(hits) == pytest.approx(
            readout.report["noise"]["attributes"]["loudness"]["accuracy"][row], abs=1e-6
        )


def test_a_second_fit_is_the_same_and_the_clean_probes_are_those_of_a_fit_without(fitted):
    corpus, folder, options = fitted
    readout = Readout.from_pretrained(folder)
    again, _ = fit_noise(corpus, readout, LEVELS[::-1], options)
    assert again.fingerprint() == readout.noise.fingerprint()
    assert sorted(path.name for path in folder.glob("*.safetensors")) == [
        "covariance.safetensors", "generic.safetensors", "model.safetensors", "noise.safetensors",
    ]  # fmt: skip


def test_probes_of_noise_are_not_dropped_in_silence(fitted):
    corpus, folder, options = fitted
    before = (folder / "config.json").read_bytes()
    bins, readout = fit_bins(corpus, counts={"loudness": 2}), Readout.from_pretrained(folder)
    for levels, here in (((), r"\[\]"), ((-4.0, 0.0), r"\[-4.0, 0.0\]")):
        with pytest.raises(
            InputError, match=rf"noise_levels \(\[-4.0, 0.0, 4.0\] there, {here} here\): choose another out"
        ):
            fit_probes(corpus, readout.sae, folder, bins, options, levels=levels)
    assert (folder / "config.json").read_bytes() == before


def test_the_card_has_accuracy_by_log_snr(fitted):
    text = (fitted[1] / "README.md").read_text()
    assert "## Through noise" in text
    assert "| log-SNR | noise-aware | 95 % interval | clean-trained | majority | shuffled labels |" in text
    assert [line[:8] for line in text.splitlines() if line[:3] in ("| +", "| -")] == [
        "| -4.00 ",
        "| +0.00 ",
        "| +4.00 ",
    ]


def test_noise_belongs_to_the_file_alone():
    clean = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    one = noised(clean, "a.wav", 1.0)
    assert np.array_equal(one, noised(clean, "a.wav", 1.0))
    assert not np.array_equal(one, noised(clean, "b.wav", 1.0))
    assert not np.array_equal(one, noised(clean, "a.wav", 1.0, seed=1))
    alpha, sigma = straight_shares(1.0)
    assert alpha + sigma == pytest.approx(1)
    assert 2 * math.log(alpha / sigma) == pytest.approx(1.0)
    rest = (noised(np.zeros((20_000, 3)), "a.wav", 1.0)) / sigma
    assert abs(rest.std() - 1) < 0.01


def test_levels_cover_a_flow_of_32_states_in_equal_parts():
    levels = spread_levels(8)
    assert levels[0] == pytest.approx(-5.95, abs=0.01)
    assert np.allclose(np.diff(levels), 2 * REACH / 8)
    assert spread_levels(1) == (0.0,)
    assert noise_levels(None, "3,-6,0") == (-6.0, 0.0, 3.0)
    assert noise_levels(None, None) == ()


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, None), (-3, None), (65, None), (4, "1,2")]
    + [(None, text) for text in ("a,b", "nan", "inf,1", "2,2", "21", "", "1;2", "-20.5")],
)
def test_levels_that_no_probes_could_have_are_told_in_one_line(count, text):
    with pytest.raises(InputError, match="noise") as caught:
        noise_levels(count, text)
    assert "\n" not in str(caught.value)


def test_wrong_levels_stop_the_command_before_it_reads_anything(tmp_path):
    answer = CliRunner().invoke(app, ["readout", "--out", str(tmp_path / "out"), "--noise", "0"])
    assert isinstance(answer.exception, InputError)
    assert not (tmp_path / "out").exists()


def test_the_command_trains_levels_and_prints_them(tmp_path):
    corpus = tiny_corpus(tmp_path / "corpus", frames=120)
    command = [
        "readout",
        "--corpus",
        str(corpus.path),
        "--out",
        str(tmp_path / "out"),
        "--hidden",
        "32",
        "--steps",
        "5",
    ]
    command += ["--epochs", "1", "--classes", "pitch=12", "--classes", "loudness=5", "--noise-levels", "-2,2"]
    answer = CliRunner().invoke(app, command)
    assert answer.exit_code == 0, answer.output
    assert "loudness through noise" in answer.output
    assert Readout.from_pretrained(tmp_path / "out").noise.levels.tolist() == [-2.0, 2.0]


def test_a_readout_that_knows_no_covariance_is_told(tmp_path):
    corpus = tiny_corpus(tmp_path, channels=64, attributes=("pitch", "loudness", "timbre"))
    with pytest.raises(InputError, match="covariance"):
        fit_noise(corpus, tiny_readout(), LEVELS, ProbeOptions(epochs=1))
