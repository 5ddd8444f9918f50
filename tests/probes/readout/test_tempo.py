"""Tempo, read from the onset probe's readings: on curves whose tempo is known, and of a readout fitted for it."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.apple import OnAppleGPU
from support.readout import tiny_readout
from torch import Tensor

from probes import Readout
from probes.attributes import get_attribute
from probes.attributes.tempo import near
from probes.attributes.windows import window_slices
from probes.corpus import Corpus
from probes.corpus.folder import CorpusFile
from probes.corpus.writer import CorpusWriter
from probes.errors import InputError
from probes.fit.pipeline import fit_bins, fit_probes
from probes.fit.probe_training import ProbeOptions
from probes.fit.tempo import read_windows, window_labels
from probes.readout.gathering import Reading
from probes.readout.generic import GenericDirections
from probes.readout.joining import join_readouts
from probes.readout.kinds import SHUFFLED, TRAINED
from probes.readout.linear import LinearProbes
from probes.readout.tempo import TempoReader
from probes.sae import ReluConfig, make_sae
from tracer.steering.edits import displacement
from tracer.steering.spec import parse_edit

RATE = 20.0
BINS = get_attribute("tempo").fit_bins(np.geomspace(50, 200, 500))
CHANNELS = 8


def beats(tempo: float, seconds: float, first: float = 0.3) -> np.ndarray:
    """1 in the frames of beats, otherwise 0."""
    curve = np.zeros(round(seconds * RATE))
    times = np.arange(first, seconds, 60 / tempo)
    curve[np.minimum((times * RATE).astype(int), len(curve) - 1)] = 1
    return curve


def read(*curves: np.ndarray, valid: Tensor | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Tempos in BPM, classes and shares of every frame of curves."""
    stacked = torch.from_numpy(np.stack(curves)).float()
    found = TempoReader(BINS, RATE)(stacked, torch.ones(stacked.shape, dtype=torch.bool) if valid is None else valid)
    return BINS.values_at(found.values.numpy()), found.classes.numpy(), found.shares.numpy()


@given(tempo=st.floats(60, 190), first=st.floats(0, 0.3), noise=st.floats(0, 0.1))
def test_beats_have_their_tempo(tempo: float, first: float, noise: float) -> None:
    curve = beats(tempo, 6.0, first) + noise * np.random.default_rng(0).normal(size=120)
    found, classes, shares = read(curve)
    assert near(found, np.full(found.shape, tempo)).all()
    assert np.ptp(classes) == 0
    np.testing.assert_array_equal(classes, BINS.classes(found))
    np.testing.assert_array_equal(shares.argmax(-1), classes)
    np.testing.assert_allclose(shares.sum(-1), 1, rtol=1e-5)


def test_every_window_has_its_own_tempo() -> None:
    found, _, _ = read(np.concatenate([beats(90, 6.0), beats(130, 6.0)]))
    for window, tempo in zip(window_slices(240, RATE), (90.0, 130.0), strict=True):
        own = found[0, window]
        assert np.ptp(own) == 0
        assert near(own, np.full(len(own), tempo)).all()


def test_offset_and_scale_of_a_curve_do_not_matter_and_neither_does_what_is_not_counted() -> None:
    curve = beats(110, 6.0)
    valid = torch.ones(1, 150, dtype=torch.bool)
    valid[:, 120:] = False
    alone = read(curve)
    behind = [(np.concatenate([curve, np.full(30, value)])[None], valid) for value in (np.nan, 9.0)]
    for other, mask in ((3 * curve - 7, None), *behind):
        found = read(*np.atleast_2d(other), valid=mask)
        for one, own in zip(found, alone):
            np.testing.assert_allclose(one[:, :120], own, rtol=1e-4)
    # Frames behind the last one that counts belong to its window.
    assert np.ptp(found[0]) == 0
    together = read(curve, beats(70, 6.0))
    np.testing.assert_array_equal(together[0][:1], alone[0])


def test_without_a_change_there_is_the_prior() -> None:
    found, _, shares = read(np.full(120, 0.3))
    assert near(found, np.full(found.shape, 120.0), folded=False).all()
    assert shares.max() < 0.1


def beat_corpus(path: Path) -> Corpus:
    """Clips of noise whose first channel rises on every beat of a tempo of their own."""
    random = np.random.default_rng(0)
    info = {"name": "mini", "spaces": ["mini"], "channels": CHANNELS, "frame_rate": RATE, "fingerprint": "f00d"}
    attributes = {name: get_attribute(name).describe_notated() for name in ("onset", "tempo")}
    with CorpusWriter(path, {"space": info, "attributes": attributes, "dtype": "float32"}) as writer:
        for number in range(48):
            tempo = float(random.uniform(60, 180))
            marks = beats(tempo, 12.0, float(random.uniform(0, 0.5)))
            latents = random.normal(size=(len(marks), CHANNELS))
            latents[:, 0] += 4 * marks
            columns = {"onset": marks, "tempo": np.full(len(marks), tempo)}
            labels = {name: np.stack([own, np.ones(len(own))], 1).astype(np.float32) for name, own in columns.items()}
            split = ("train", "train", "val", "test")[number % 4]
            writer.add(f"{number:02d}.wav", f"{number:032x}", latents.astype(np.float32), labels, split)
    return Corpus.open(path)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Corpus, Path, Readout]:
    folder = tmp_path_factory.mktemp("tempo")
    corpus = beat_corpus(folder / "corpus")
    sae = make_sae(ReluConfig(channels=CHANNELS, hidden=32, space="mini"))
    sae.set_statistics(*(torch.from_numpy(values) for values in corpus.statistics()))
    options = ProbeOptions(epochs=10, batch=500, learning_rate=0.02)
    place = folder / "readout"
    fit_probes(corpus, sae, place, fit_bins(corpus, counts={"tempo": 12}), options, levels=(-2.0, 2.0))
    return corpus, place, Readout.from_pretrained(place)


def test_the_report_counts_windows_beside_those_of_the_controls(fitted: tuple[Corpus, Path, Readout]) -> None:
    _, _, readout = fitted
    assert readout.attributes == ("onset",)
    assert list(readout.bins) == ["onset", "tempo"]
    found = readout.report["probes"]["tempo"]
    assert found["windows"] == 2 * found["files"] == 24
    assert "frames" not in found
    assert found["within_4_percent"] > 0.9
    low, high = found["within_4_percent_interval"]
    assert low <= found["within_4_percent"] <= high
    # Twelve classes over an octave and a half are narrower than 4 % on both sides.
    assert found["accuracy"] > 0.5 > found["majority"]
    assert {"shuffled", "raw_latents", "untrained_sae", "margin"} <= set(found)
    noisy = readout.report["noise"]["attributes"]
    assert set(noisy) == {"onset", "tempo"}
    assert set(noisy["tempo"]) == set(noisy["onset"])
    # Little noise leaves the tempo, much takes it.
    far, near_the_data = noisy["tempo"]["accuracy"]
    assert near_the_data > 0.4
    assert near_the_data > far + 0.1
    assert noisy["tempo"]["clean"][0] < 0.4
    card = str(readout.generate_model_card())
    assert "tempo: 12 classes" in card
    assert "| within 4 %, octave-folded |" in card


def test_tempo_is_scored_where_there_is_no_float64(fitted: tuple[Corpus, Path, Readout]) -> None:
    corpus, _, readout = fitted

    def here(file: CorpusFile) -> Reading:
        latents = torch.from_numpy(np.array(corpus.latents(file)))[None]
        return readout.read(latents, keep=("tempo",), only_trained=True)

    def there(file: CorpusFile) -> Reading:
        read = here(file)
        own = {"tempo": read.distributions[TRAINED]["tempo"].as_subclass(OnAppleGPU)}
        return read._replace(distributions={TRAINED: own})

    labels = window_labels(corpus, readout, "test")
    found, wanted = (read_windows(corpus, readout, labels, (TRAINED,), way).predicted[TRAINED] for way in (there, here))
    np.testing.assert_array_equal(found.confidence, wanted.confidence)


def test_tempo_is_read_beside_the_probes(fitted: tuple[Corpus, Path, Readout]) -> None:
    corpus, _, readout = fitted
    latents = torch.stack([torch.from_numpy(np.array(corpus.latents(file))) for file in corpus.files("test")])
    found = readout.read(latents, keep=("tempo",), baselines=("raw",))
    curve = found.values[TRAINED]["onset"]
    wanted = TempoReader(readout.bins["tempo"], RATE)(curve, torch.ones(curve.shape, dtype=torch.bool))
    assert torch.equal(found.classes[TRAINED]["tempo"], wanted.classes)
    assert torch.equal(found.values[TRAINED]["tempo"], wanted.values)
    assert torch.equal(found.distributions[TRAINED]["tempo"], wanted.shares)
    for side in (TRAINED, SHUFFLED, "raw"):
        torch.testing.assert_close(found.pooled[side]["tempo"].sum(1), torch.ones(12))
    for probe in (SHUFFLED, "raw", "generic-1"):
        assert found.classes[probe]["tempo"].shape == curve.shape
    torch.testing.assert_close(readout(latents)["tempo"], wanted.shares.mean(1))
    # Without the controls the products have another shape, and on some processors other last bits.
    torch.testing.assert_close(readout.frames(latents)["tempo"], wanted.shares)
    # The state of a generation has a curve too, by the probes that know its noise.
    noisy = readout.read(0.7 * latents + 0.7 * torch.randn(latents.shape), noise=(0.7, 0.7))
    assert not torch.equal(noisy.classes[TRAINED]["tempo"], wanted.classes)


def test_a_saved_readout_keeps_its_tempo(fitted: tuple[Corpus, Path, Readout], tmp_path: Path) -> None:
    _, folder, readout = fitted
    readout.save_pretrained(tmp_path / "again")
    again = Readout.from_pretrained(tmp_path / "again")
    assert again.bins == readout.bins
    assert again.fingerprint() == readout.fingerprint()
    without = Readout.from_pretrained(folder)
    config = json.loads((tmp_path / "again" / "config.json").read_text())
    linear = config["tempo"]["bins"] | {"scale": "linear"}
    for damage in ({"bins": {}}, {"bins": linear}, {"frame_rate": 0.0}, {"frame_rate": "fast"}):
        broken = config | {"tempo": config["tempo"] | damage}
        (tmp_path / "again" / "config.json").write_text(json.dumps(broken))
        with pytest.raises(InputError, match=r"damaged|frame.rate"):
            Readout.from_pretrained(tmp_path / "again")
    config.pop("tempo")
    (tmp_path / "again" / "config.json").write_text(json.dumps(config))
    plain = Readout.from_pretrained(tmp_path / "again")
    assert "tempo" not in plain.bins
    assert plain.fingerprint() != without.fingerprint()


@pytest.mark.parametrize("counts", [None, {"tempo": 7}])
def test_a_readout_of_tempo_is_not_replaced_by_another(
    counts: dict[str, int] | None, fitted: tuple[Corpus, Path, Readout]
) -> None:
    corpus, place, readout = fitted
    bins = fit_bins(corpus, ("onset", "tempo") if counts else ("onset",), counts)
    options = ProbeOptions(**readout.report["training"]["options"])
    with pytest.raises(InputError, match=r"classes\.tempo \(12 there, (7|not set) here\)"):
        fit_probes(corpus, readout.sae, place, bins, options, levels=(-2.0, 2.0))


def test_tempo_takes_onsets(fitted: tuple[Corpus, Path, Readout]) -> None:
    corpus, _, readout = fitted
    with pytest.raises(InputError, match="name onset beside it"):
        fit_bins(corpus, ("tempo",))
    three = tiny_readout()
    with pytest.raises(InputError, match="must read onset"):
        Readout(three.sae, three.probes, three.controls, three.bins, three.spaces, tempo=readout.tempo)
    with pytest.raises(InputError, match="no probe to steer by"):
        displacement(parse_edit("tempo=+"), readout)


def test_joined_readouts_keep_tempo(fitted: tuple[Corpus, Path, Readout]) -> None:
    corpus, _, readout = fitted
    assert readout.generic is not None
    both = [
        LinearProbes.of_weights({"drums": 2}, own.weight.data, own.bias.data, {"drums": own.weight.data / 2})
        for own in (readout.probes, readout.controls)
    ]
    drums = {"drums": get_attribute("drums").fit_bins(np.empty(0))}
    generic = GenericDirections(["drums"], **readout.generic.tensors())
    other = Readout(
        *(readout.sae, *both, drums, readout.spaces, readout.log_rms, None, readout.covariance), generic=generic
    )
    joined = join_readouts([other, readout])
    assert list(joined.bins) == ["drums", "onset", "tempo"]
    latents = torch.from_numpy(np.array(corpus.latents(corpus.files("test")[0])))[None]
    assert torch.equal(joined.read(latents).classes[TRAINED]["tempo"], readout.read(latents).classes[TRAINED]["tempo"])
