"""From a corpus to a readout: what is learned, what is compared, what is refused."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from support.corpus import SPLITS, tiny_corpus
from support.sae import random_sae

from probes import Readout
from probes.corpus.labels import class_labels, shuffled_labels
from probes.errors import InputError
from probes.fit.explain import class_features, feature_classes
from probes.fit.figures import METRICS
from probes.fit.generic import fit_generic
from probes.fit.pipeline import fit_bins, fit_probes, fit_readout, fit_sae, open_sae
from probes.fit.probe_fit import fit_linear_probes
from probes.fit.probe_training import Block, ProbeOptions, ProbeTrainer
from probes.fit.sae_training import CHECKPOINT, TrainingOptions
from probes.readout.generic import cut_directions
from probes.readout.inputs import raw_inputs
from probes.sae import ReluConfig, SparseAutoencoder, make_sae

CONFIG = ReluConfig(channels=12, hidden=96, lam=0.02)
TRAINING = TrainingOptions(steps=150, batch=128, learning_rate=3e-3)
PROBES = ProbeOptions(epochs=12, batch=100, learning_rate=2e-2)
COUNTS = {"pitch": 12, "loudness": 5}


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("fit")
    corpus = tiny_corpus(folder / "corpus")
    readout = fit_readout(corpus, str(folder / "readout"), CONFIG, TRAINING, PROBES, fit_bins(corpus, counts=COUNTS))
    return corpus, folder / "readout", readout


def test_the_readout_reads_unseen_files(fitted):
    corpus, folder, _ = fitted
    readout = Readout.from_pretrained(folder)
    assert readout.spaces == ("mini",)
    for file in corpus.files("test"):
        latents = torch.from_numpy(np.array(corpus.latents(file)))[None]
        reading = readout.read(latents)
        assert reading.fvu < 0.2
        for name in ("pitch", "loudness"):
            truth = readout.bins[name].classes(*corpus.labels(file, name))
            valid = truth >= 0
            hits = (reading.classes["trained"][name][0].numpy() == truth)[valid].mean()
            misses = (reading.classes["shuffled"][name][0].numpy() == truth)[valid].mean()
            assert hits > 0.6 > 0.35 > misses


def test_the_readout_knows_how_its_training_latents_spread(fitted):
    corpus, folder, _ = fitted
    frames = np.concatenate([corpus.latents(file) for file in corpus.files("train")])
    covariance = Readout.from_pretrained(folder).covariance
    np.testing.assert_allclose(covariance, np.cov(frames.T, bias=True), rtol=1e-3, atol=1e-4)


def test_the_report_sets_accuracy_beside_its_baselines(fitted):
    corpus, _, readout = fitted
    for name in ("pitch", "loudness"):
        found = readout.report["probes"][name]
        assert found["majority"] < 0.35
        assert found["shuffled"] < 0.4
        assert found["accuracy"] > 0.6
        assert found["interval"][0] <= found["accuracy"] <= found["interval"][1]
        assert found["within_one"] >= found["accuracy"]
        assert {"raw_latents", "untrained_sae", "without_log_rms", "macro_f1", "calibration_error"} <= set(found)
    assert readout.report["probes"]["pitch"]["octave_folded"] >= readout.report["probes"]["pitch"]["accuracy"]
    assert readout.report["probes"]["pitch"]["unlabelled"] == pytest.approx(0.1)
    assert readout.report["probes"]["pitch"]["frames"] == corpus.frames("test") * 0.9
    assert "octave_folded" not in readout.report["probes"]["loudness"]


def test_the_files_of_the_autoencoder_say_what_they_are(fitted):
    _, folder, readout = fitted
    content = json.loads((folder / "sae" / METRICS).read_text())
    assert content["split"] == "test"
    assert content["figures"]["fvu"] < 0.2
    assert set(content["figures"]["dead"]) == {"100000", "1000000"}
    config = json.loads((folder / "sae" / "config.json").read_text())
    assert (config["space"], config["revision"]) == ("mini", "f00d")
    assert not (folder / "sae" / CHECKPOINT).exists()
    alone = SparseAutoencoder.from_pretrained(folder / "sae")
    x = torch.randn(3, 12)
    assert torch.equal(alone(x), readout.sae(x))


def test_an_autoencoder_is_taken_from_its_folder_or_from_a_readout(fitted):
    _, folder, _ = fitted
    x = torch.randn(3, 12)
    alone, of_readout = open_sae(str(folder / "sae")), open_sae(str(folder))
    assert torch.equal(alone(x), of_readout(x))
    assert open_sae("mini").config.channels == 64
    with pytest.raises(InputError):
        open_sae(str(folder / "nothing"))


def test_a_finished_autoencoder_is_not_trained_again_and_another_is_refused(fitted, monkeypatch):
    corpus, folder, _ = fitted
    monkeypatch.setattr("probes.fit.sae_training.SAETrainer.step", None)
    fit_sae(corpus, folder / "sae", CONFIG, TRAINING)
    with pytest.raises(InputError, match=r"hidden \(96 there, 128 here\)"):
        fit_sae(corpus, folder / "sae", ReluConfig(channels=12, hidden=128, lam=0.02), TRAINING)


def test_an_autoencoder_from_elsewhere_is_not_written_over(fitted, tmp_path):
    corpus, _, _ = fitted
    theirs = random_sae("topk", channels=12, hidden=96)
    theirs.save_pretrained(tmp_path)
    with pytest.raises(InputError, match="an autoencoder that was not trained there: choose another out"):
        fit_sae(corpus, tmp_path, CONFIG, TRAINING)
    assert SparseAutoencoder.from_pretrained(tmp_path).config == theirs.config


def test_a_readout_never_takes_the_place_of_something_else(fitted, tmp_path, monkeypatch):
    corpus, folder, readout = fitted
    bins = fit_bins(corpus, counts=COUNTS)
    monkeypatch.setattr("probes.fit.probe_fit.fit_linear_probes", None)

    def fit(out, bins=bins, options=PROBES):
        return fit_probes(corpus, readout.sae, out, bins, options)

    with pytest.raises(InputError, match=r"seed \(0 there, 3 here\)"):
        fit(folder, options=replace(PROBES, seed=3))
    with pytest.raises(InputError, match=r"classes.pitch \(12 there, 8 here\)"):
        fit(folder, bins=fit_bins(corpus, counts={**COUNTS, "pitch": 8}))
    with pytest.raises(InputError, match=r"autoencoder \(\w+ there, \w+ here\)"):
        fit_probes(corpus, make_sae(readout.sae.config, seed=1), folder, bins, PROBES)
    with pytest.raises(InputError, match="something else"):
        fit(folder / "sae")
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(InputError, match="something else"):
        fit(tmp_path)
    with pytest.raises(InputError, match="something else"):
        fit_sae(corpus, folder, CONFIG, TRAINING)


def test_strong_features_of_a_class_name_that_class(fitted):
    corpus, _, readout = fitted
    strongest = class_features(readout, corpus, "loudness", 4, top=3)
    assert strongest[0].contribution >= strongest[1].contribution > 0
    back = feature_classes(readout, corpus, strongest[0].feature, top=3)
    label = readout.bins["loudness"].label(4)
    assert ("loudness", label) in [(one.attribute, one.label) for one in back]
    for call in (lambda: feature_classes(readout, corpus, 96), lambda: class_features(readout, corpus, "tempo", 0)):
        with pytest.raises(InputError):
            call()


def test_contributions_are_weight_times_activation(fitted):
    corpus, _, readout = fitted
    found = class_features(readout, corpus, "loudness", 2, top=96)
    rows = []
    for file in corpus.files("test"):
        labelled = readout.bins["loudness"].classes(*corpus.labels(file, "loudness")) == 2
        rows.append(corpus.latents(file)[labelled])
    f = readout.sae.encode(torch.from_numpy(np.concatenate(rows)))
    expected = (f * readout.class_vector("loudness", 2)).mean(0)
    for one in found[:5]:
        assert one.contribution == pytest.approx(float(expected[one.feature]), rel=1e-4)


def test_generic_directions_of_a_long_corpus_are_cut_in_some_of_its_frames(fitted, monkeypatch):
    """Frames that are drawn anew for each attribute; a corpus that is short enough is cut in all of them."""
    corpus, _, readout = fitted
    cut = []

    def see(directions, projections, classes, count):
        cut.append({name: len(values) for name, values in projections.items()})
        assert {name: len(values) for name, values in classes.items()} == cut[-1]
        return cut_directions(directions, projections, classes, count)

    monkeypatch.setattr("probes.fit.generic.cut_directions", see)
    made = [fit_generic(corpus, readout, readout.bins)]
    for frames in (1200, 1100, 700, 700):
        monkeypatch.setattr("probes.fit.generic.FRAMES", frames)
        made.append(fit_generic(corpus, readout, readout.bins))
    assert cut[:3] == [{"pitch": 1080, "loudness": 1200}] * 2 + [{"pitch": 1080, "loudness": 1100}]
    assert cut[3:] == [{"pitch": 700, "loudness": 700}] * 2
    whole, same, _, fewer, again = [own.edges for own in made]
    assert torch.equal(whole, same)
    assert torch.equal(fewer, again)
    assert torch.equal(whole, readout.generic.edges)
    finite = whole.isfinite()
    assert not torch.equal(whole, fewer)
    torch.testing.assert_close(whole[finite], fewer[finite], rtol=0, atol=0.25 * float(made[0].std.max()))


class OnARay:
    """A corpus with every latent replaced by its loudness times one direction."""

    def __init__(self, corpus):
        self._corpus = corpus

    def __getattr__(self, name):
        return getattr(self._corpus, name)

    def latents(self, file):
        values, _ = self._corpus.labels(file, "loudness")
        return np.float32(np.outer(values + 0.05, np.ones(12)))


def test_log_rms_brings_back_a_level_that_the_norm_takes_away(tmp_path):
    """Without biases f is the same all along a ray: only rms(h) tells where on it a latent lies."""
    corpus = tiny_corpus(tmp_path / "corpus", attributes=("loudness",), frames=200)
    sae = make_sae(ReluConfig(channels=12, hidden=64, space="mini", standardise=False))
    bins = fit_bins(corpus, counts={"loudness": 5})
    options = ProbeOptions(epochs=10, batch=64, learning_rate=0.05, baselines=True)
    fitted = fit_linear_probes(OnARay(corpus), sae, bins, options)
    report = fitted.report["loudness"]
    assert report["without_log_rms"] < 0.3
    assert report["accuracy"] > report["without_log_rms"] + 0.1
    assert fitted.log_rms is not None
    without = fit_linear_probes(OnARay(corpus), sae, bins, replace(options, log_rms=False, baselines=False))
    assert without.log_rms is None
    assert without.probes.weight.shape == (5, 64)


def test_shuffled_labels_keep_their_shares_and_never_their_file():
    lengths = [30, 30, 30, 30]
    labels = np.repeat(np.arange(4), 30)[:, None].astype(np.int16)
    shuffled = shuffled_labels(labels, lengths, seed=0)
    assert (shuffled != labels).all()
    assert (np.bincount(shuffled[:, 0]) == 30).all()
    assert (np.diff(shuffled[:, 0].reshape(4, 30)) == 0).all()
    one = np.arange(10, dtype=np.int16)[:, None]
    assert (shuffled_labels(one, [10], seed=0) != one).all()
    assert len(shuffled_labels(labels[:50], [20, 30], seed=0)) == 50


def test_labels_are_masked_and_in_the_files_order(tmp_path):
    corpus = tiny_corpus(tmp_path / "corpus", frames=40)
    labels = class_labels(corpus, "train", fit_bins(corpus, counts=COUNTS))
    assert labels.shape == (160, 2)
    assert (labels[::10, 0] == -1).all()
    assert (labels[:, 1] >= 0).all()


def test_without_files_that_validate_probes_keep_their_last_weights(tmp_path):
    corpus = tiny_corpus(tmp_path / "corpus", splits=("train",) * 5 + ("test",) * 2)
    bins = fit_bins(corpus, counts=COUNTS)
    with pytest.warns(UserWarning, match="no labelled frame of pitch, loudness in the validation split"):
        readout = fit_readout(corpus, tmp_path / "readout", CONFIG, TRAINING, PROBES, bins, levels=(3.0,))
    for name in COUNTS:
        figures = readout.report["probes"][name]
        assert figures["accuracy"] > 0.6 > 0.35 > figures["shuffled"]
        assert readout.report["noise"]["attributes"][name]["accuracy"][0] > 0.5


def test_wrong_inputs_are_told(tmp_path):
    corpus = tiny_corpus(tmp_path / "corpus", frames=60)
    sae = fit_sae(corpus, str(tmp_path / "sae"), CONFIG, TrainingOptions(steps=5, batch=64))
    other = tiny_corpus(tmp_path / "other", frames=60, space="encodec")
    with pytest.raises(InputError, match=r"trained on mini .* holds encodec"):
        fit_probes(other, sae, tmp_path / "out", fit_bins(other, counts=COUNTS), PROBES)
    few = tiny_corpus(tmp_path / "few", frames=8)
    with pytest.raises(InputError, match=r"66 classes but only 28 labelled|cannot fill"):
        fit_probes(few, sae, tmp_path / "out", fit_bins(few), PROBES)
    trains_only = tiny_corpus(tmp_path / "trains", frames=60, splits=("train", "train"))
    with pytest.raises(InputError, match="test split"):
        fit_probes(trains_only, sae, tmp_path / "out", fit_bins(trains_only, counts=COUNTS), PROBES)
    with pytest.raises(InputError, match="no held-out file"):
        fit_sae(trains_only, tmp_path / "new", CONFIG, TRAINING)
    spoiled = tiny_corpus(tmp_path / "nan", frames=60, spoil={"song1.wav": np.nan})
    with pytest.raises(InputError, match="NaN"):
        fit_sae(spoiled, tmp_path / "new", CONFIG, TRAINING)
    unlabelled = tiny_corpus(tmp_path / "bare", frames=60, attributes=())
    with pytest.raises(InputError, match="no labels"):
        fit_bins(unlabelled)
    with pytest.raises(InputError, match="'tempo' is not among"):
        fit_bins(corpus, counts={"tempo": 3})
    assert len(SPLITS) == len(corpus.files())


@pytest.mark.parametrize("standardise", [True, False])
def test_probes_of_raw_latents_leave_the_batch_as_it_is(standardise):
    x = torch.randn(50, 12) * 5 + 1
    inputs = raw_inputs(make_sae(replace(CONFIG, standardise=standardise)))
    trainer = ProbeTrainer(inputs, {"pitch": 3}, [Block("raw")], x, ProbeOptions())
    before = x.clone()
    trainer.step(x, {"labels": torch.zeros(50, 1, dtype=torch.int64)}, 0.01)
    assert torch.equal(x, before)


def test_mean_and_covariance_are_those_of_one_corpus(fitted, tmp_path):
    """An autoencoder of other data: what is relative to the mean latent is relative to that of the probes' corpus."""
    corpus, folder, _ = fitted
    frames = torch.from_numpy(np.concatenate([corpus.latents(file) for file in corpus.files("train")]))
    assert Readout.from_pretrained(folder).own_mean is None  # as the autoencoder has it
    sae = make_sae(replace(CONFIG, space="mini"))
    sae.set_statistics(frames.mean(0) + 9, frames.std(0))
    options = replace(PROBES, epochs=1)
    other = fit_probes(corpus, sae, tmp_path, fit_bins(corpus, counts=COUNTS), options, levels=(0.0, 4.0))
    again = Readout.from_pretrained(tmp_path)
    assert again.fingerprint() == other.fingerprint()
    torch.testing.assert_close(again.mean, frames.mean(0), rtol=1e-4, atol=1e-4)
    assert again.noise.inputs.mean.tolist() == again.mean.tolist()
    assert torch.equal(again.double().mean, other.mean.double())
    x = frames[None, :200]
    error = (sae(x) - x).square().sum()
    torch.testing.assert_close(other.read(x).fvu[0], error / (x - frames.mean(0)).square().sum(), rtol=1e-3, atol=0)


def test_a_split_that_judges_nothing_is_told_before_anything_is_trained(tmp_path, monkeypatch):
    monkeypatch.setattr("probes.fit.probe_training.ProbeTrainer.step", None)
    corpus = tiny_corpus(tmp_path / "corpus", unvoiced=("test",))
    with pytest.raises(InputError, match="the test split has no labelled frame of pitch: add audio"):
        fit_linear_probes(corpus, make_sae(CONFIG), fit_bins(corpus, counts=COUNTS), PROBES)
