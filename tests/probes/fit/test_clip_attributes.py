"""Attributes with one value for a clip: counted once for each clip, in training, in the report and when read."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from support.apple import OnAppleGPU

from probes import Readout
from probes.attributes import Bins, get_attribute
from probes.corpus import Corpus
from probes.corpus.labels import check_enough, clip_labels
from probes.corpus.writer import CorpusWriter
from probes.errors import InputError
from probes.fit.clip_probes import ClipData, ClipProbe, clip_inputs, fit_softmax, mean, predict_clips
from probes.fit.pipeline import fit_bins, fit_probes, fit_readout
from probes.fit.probe_training import ProbeOptions
from probes.fit.sae_training import TrainingOptions
from probes.fit.sweep import Grid, run_sweep
from probes.readout.inputs import Inputs, sae_inputs
from probes.readout.kinds import SHUFFLED, TRAINED
from probes.sae import ReluConfig, SparseAutoencoder, make_sae

KEYS = 12  # of 24
FRAMES, CHANNELS = 20, 16
SPLITS = ("train",) * 48 + ("val",) * 12 + ("test",) * 12


def key_corpus(path: Path, splits: Sequence[str] = SPLITS) -> Corpus:
    """Clips whose key is a direction, stronger than the noise over a clip and weaker in a single frame; and a
    loudness that is noise."""
    random = np.random.default_rng(0)
    info = {"name": "mini", "spaces": ["mini"], "channels": CHANNELS, "frame_rate": 20.0, "fingerprint": "f00d"}
    attributes = {"key": get_attribute("key").describe_notated(), "loudness": {"unit": "RMS", "threshold": 0.5}}
    with CorpusWriter(path, {"space": info, "attributes": attributes, "dtype": "float32"}) as writer:
        for number, split in enumerate(splits):
            key = number % KEYS
            latents = random.normal(size=(FRAMES + number % 3, CHANNELS))
            latents[:, key] += 2.0
            sure = np.ones(len(latents))
            labels = {
                "key": np.stack([np.full(len(latents), key), sure], 1),
                "loudness": np.stack([random.uniform(size=len(latents)), sure], 1),
            }
            labels = {name: values.astype(np.float32) for name, values in labels.items()}
            writer.add(f"{number:02d}.wav", f"{number:032x}", latents.astype(np.float32), labels, split)
    return Corpus.open(path)


def untrained_sae(corpus: Corpus) -> SparseAutoencoder:
    sae = make_sae(ReluConfig(channels=CHANNELS, hidden=64, space="mini"))
    mean, std = corpus.statistics()
    sae.set_statistics(torch.from_numpy(mean), torch.from_numpy(std))
    return sae


STEPS: list[tuple[int, int]] = []
"""What the fit of the fixture told of its progress."""


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Corpus, Path, Readout]:
    folder = tmp_path_factory.mktemp("clips")
    corpus = key_corpus(folder / "corpus")
    sae = untrained_sae(corpus)
    bins = fit_bins(corpus, counts={"loudness": 4})
    options = ProbeOptions(epochs=15, batch=100, learning_rate=0.02)

    def tell(_: str, done: int, of: int) -> None:
        STEPS.append((done, of))

    return corpus, folder / "readout", fit_probes(corpus, sae, folder / "readout", bins, options, progress=tell)


def test_the_report_counts_clips(fitted: tuple[Corpus, Path, Readout]) -> None:
    _, _, readout = fitted
    key, loudness = (readout.report["probes"][name] for name in ("key", "loudness"))
    assert key["clips"] == key["files"] == 12
    assert "frames" not in key
    assert loudness["frames"] > 12 * FRAMES
    # Frames are read far worse than whole clips, so that counting frames would show.
    assert key["accuracy"] > 0.9
    assert key["majority"] == pytest.approx(1 / 12)
    assert key["shuffled"] < 0.5
    assert {"raw_latents", "untrained_sae"} <= set(key)
    assert "within_one" not in key


def test_no_clip_needs_to_validate(tmp_path: Path) -> None:
    corpus = key_corpus(tmp_path / "corpus", ("train",) * 60 + ("test",) * 12)
    bins = fit_bins(corpus, counts={"loudness": 4})
    options = ProbeOptions(epochs=2, batch=100, learning_rate=0.02, baselines=False)
    with pytest.warns(UserWarning, match="no labelled frame of key, loudness in the validation split"):
        readout = fit_probes(corpus, untrained_sae(corpus), tmp_path / "readout", bins, options, levels=(3.0,))
    assert readout.report["probes"]["key"]["accuracy"] > 0.9
    assert readout.report["noise"]["attributes"]["key"]["accuracy"][0] > 0.5


def test_progress_counts_the_probes_of_clips_too(fitted: tuple[Corpus, Path, Readout]) -> None:
    done, most = zip(*STEPS)
    # Fifteen epochs at most, and five probes of the key: trained, shuffled, without the level, and two baselines.
    assert set(most) == {20}
    assert list(done) == sorted(set(done))
    assert done[-5:] == (16, 17, 18, 19, 20)


def test_a_clip_is_read_from_the_peaks_of_its_frames(fitted: tuple[Corpus, Path, Readout]) -> None:
    corpus, folder, _ = fitted
    readout = Readout.from_pretrained(folder)
    assert readout.bins["key"].grid == "clip"
    latents = torch.stack([torch.from_numpy(np.array(corpus.latents(file)[:FRAMES])) for file in corpus.files("test")])
    mask = torch.ones(latents.shape[:2], dtype=torch.bool)
    mask[:, 15:] = False
    read = readout.read(latents, mask, keep=["key"])
    for probe in (TRAINED, SHUFFLED):
        best = read.pooled[probe]["key"].argmax(-1)
        assert torch.equal(read.classes[probe]["key"], best[:, None].expand(-1, FRAMES).to(torch.uint8))
    assert torch.equal(read.distributions[TRAINED]["key"][:, 3], read.pooled[TRAINED]["key"].float())
    for probe in read.classes:
        classes = read.classes[probe]["key"]
        assert torch.equal(classes, classes[:, :1].expand_as(classes))
        assert "key" not in read.values[probe]  # its classes have no order
    assert (read.classes[TRAINED]["loudness"] != read.classes[TRAINED]["loudness"][:, :1]).any()
    whole = readout.frames(latents)["key"]
    assert torch.equal(whole, whole[:, :1].expand_as(whole))
    rows = readout.probes.rows("key")
    features = sae_inputs(readout.sae, readout.log_rms).features(latents[:, :15].flatten(0, 1))
    highest = features.view(len(latents), 15, -1).amax(1)
    torch.testing.assert_close(readout(latents, mask)["key"], readout.probes(highest)[:, rows].softmax(-1))
    single = readout.logits(latents.flatten(0, 1))[:, rows].view(*latents.shape[:2], -1).argmax(-1)
    truth = torch.arange(12)[:, None]
    assert (read.classes[TRAINED]["key"][:, :1] == truth).float().mean() > 0.8
    assert (single == truth).float().mean() < 0.8


def test_an_attribute_fitted_alone_is_what_it_is_beside_others(
    fitted: tuple[Corpus, Path, Readout], tmp_path: Path
) -> None:
    """So that readouts whose attributes were learned from different pieces can be joined."""
    corpus, _, both = fitted
    options = ProbeOptions(epochs=15, batch=100, learning_rate=0.02)
    told = []
    bins = {"key": both.bins["key"]}
    alone = fit_probes(
        corpus, both.sae, tmp_path, bins, options, progress=lambda *step: told.append(step), levels=[4.0]
    )
    assert alone.attributes == ("key",)
    assert told[-1] == ("probes of noise", 15, 15)
    rows = both.probes.rows("key")
    for mine, theirs in ((alone.probes, both.probes), (alone.controls, both.controls)):
        torch.testing.assert_close(mine.weight, theirs.weight[rows], rtol=1e-3, atol=1e-5)
        torch.testing.assert_close(mine.bias, theirs.bias[rows], rtol=1e-3, atol=1e-4)
    reports = [one.report["probes"]["key"] for one in (alone, both)]
    for figure in ("accuracy", "calibration_error", "shuffled", "margin"):
        assert reports[0][figure] == pytest.approx(reports[1][figure], abs=1e-4)
    assert alone.generic is not None
    assert both.generic is not None
    directions = dict(zip(both.generic.attributes, both.generic.directions))
    assert torch.equal(alone.generic.directions[0], directions["key"])
    assert not torch.allclose(directions["key"], directions["loudness"])


def test_labels_of_clips() -> None:
    labels = np.array([3, 3, -1, 5, 5, 5, -1, -1], np.int16)
    assert clip_labels(labels, [3, 3, 2]).tolist() == [3, 5, -1]
    key = {"key": get_attribute("key").fit_bins(np.empty(0))}
    many = np.zeros((1000, 1), np.int16)
    with pytest.raises(InputError, match="key has 24 classes but only 10 labelled training clips"):
        check_enough(many, key, [100] * 10)
    check_enough(many, {"key": Bins("key", "key", "names", key["key"].edges)}, [100] * 10)


def test_a_clip_counts_once_however_long_it_is(tmp_path: Path) -> None:
    """A probe of clips is the same when the frames of some are doubled, which leaves their means as they were."""
    random = np.random.default_rng(0)
    labels = torch.arange(60) % 3
    arrays = [random.normal(size=(8, 4)).astype(np.float32) + 2 * np.eye(4, dtype=np.float32)[k] for k in labels]
    doubled = [np.concatenate([array, array]) if n % 2 else array for n, array in enumerate(arrays)]
    inputs = Inputs(lambda x: x.clone(), 4)
    means = [clip_inputs(inputs, own, torch.device("cpu"), mean) for own in (arrays, doubled)]
    torch.testing.assert_close(*means)
    seen = means[0][:, 0]
    weight, bias = fit_softmax((seen[:40], labels[:40]), (seen[40:], labels[40:]), 5)
    logits = seen[40:] @ weight.t() + bias
    assert (logits.argmax(-1) == labels[40:]).float().mean() > 0.9
    # Classes 3 and 4 do not occur.
    assert weight.isfinite().all()
    assert logits.softmax(-1)[:, 3:].max() < 0.02


def test_the_penalty_keeps_a_probe_of_few_clips_from_learning_noise_by_heart() -> None:
    random = torch.Generator().manual_seed(0)
    x, y = torch.randn(80, 200, generator=random), torch.randint(0, 2, (80,), generator=random)
    weight, bias = fit_softmax((x[:40], y[:40]), (x[40:], y[40:]), 2)
    shares = (x[40:] @ weight.t() + bias).softmax(-1)
    # Of labels that say nothing the loss of a sure probe would be large.
    assert torch.nn.functional.nll_loss(shares.log(), y[40:]) < 0.8


def test_clips_are_predicted_where_there_is_no_float64() -> None:
    inputs = torch.randn(9, 2, 5, generator=torch.Generator().manual_seed(0))
    probe = ClipProbe(torch.eye(3, 10).unflatten(1, (2, 5)), torch.zeros(3))
    tables = {"labels": np.zeros((9, 1), np.int16)}
    found = [
        predict_clips(ClipData(own, tables), {("probes", "key"): probe}, ["key"])["probes", "key"]
        for own in (inputs.as_subclass(OnAppleGPU), inputs)
    ]
    np.testing.assert_array_equal(found[0].confidence, found[1].confidence)


def test_a_sweep_has_attributes_without_an_order_and_none_that_has_no_probe(tmp_path: Path) -> None:
    corpus = key_corpus(tmp_path / "corpus")
    training, probes = TrainingOptions(steps=10, batch=64), ProbeOptions(epochs=1, baselines=False)
    (row,) = run_sweep(corpus, tmp_path / "sweep", Grid((16,), (0.01,), training=training, probes=probes))
    assert 0 <= row["key_accuracy"] <= 1
    assert "key_within_one" not in row
    assert "loudness_within_one" in row


def test_too_few_clips_are_told_before_an_autoencoder_is_trained(tmp_path: Path) -> None:
    corpus = key_corpus(tmp_path / "corpus", ("train",) * 5 + ("val", "test"))
    config, training = ReluConfig(channels=CHANNELS, hidden=16), TrainingOptions(steps=10, batch=64)
    bins = fit_bins(corpus, counts={"loudness": 4})
    with pytest.raises(InputError, match="only 5 labelled training clips"):
        fit_readout(corpus, tmp_path / "readout", config, training, ProbeOptions(epochs=1), bins)
    assert not (tmp_path / "readout").exists()
    with pytest.raises(InputError, match="only 5 labelled training clips"):
        run_sweep(corpus, tmp_path / "sweep", Grid((16,), (0.01,), training=training))
    assert not (tmp_path / "sweep").exists()
