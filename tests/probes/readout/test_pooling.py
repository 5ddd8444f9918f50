"""Attributes of clips that are pooled at onsets: of clips that tell their family in attacks and mislead in between."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.readout import tiny_readout
from torch import Tensor

from probes import Readout
from probes.attributes import get_attribute
from probes.corpus import Corpus
from probes.corpus.noising import noised, straight_shares
from probes.corpus.writer import CorpusWriter
from probes.errors import InputError
from probes.fit.clip_probes import ClipProbe, clip_means
from probes.fit.pipeline import fit_bins, fit_probes
from probes.fit.probe_training import FRAMES, Inputs, ProbeOptions
from probes.readout.joining import join_readouts
from probes.readout.kinds import RAW, SHUFFLED, TRAINED, UNTRAINED
from probes.readout.pooling import REST, onset_weights, weighted_mean
from probes.sae import ReluConfig, make_sae

FAMILIES = len(get_attribute("family").names)
LENGTH, CHANNELS = 40, FAMILIES + 4
SPLITS = ("train",) * 96 + ("val",) * 24 + ("test",) * 24
LEVELS = (-2.0, 4.0)
OPTIONS = ProbeOptions(epochs=15, batch=200, learning_rate=0.02)


def attack_corpus(path: Path) -> Corpus:
    """Clips whose family sounds in the frames of an onset and behind it, and another one's, louder, between them."""
    random = np.random.default_rng(0)
    info = {"name": "mini", "spaces": ["mini"], "channels": CHANNELS, "frame_rate": 20.0, "fingerprint": "f00d"}
    attributes = {name: get_attribute(name).describe_notated() for name in ("onset", "family")}
    with CorpusWriter(path, {"space": info, "attributes": attributes, "dtype": "float32"}) as writer:
        for number, split in enumerate(SPLITS):
            family = number % FAMILIES
            marks = np.zeros(LENGTH + number % 3)
            marks[random.choice(len(marks) // 8, 3, replace=False) * 8] = 1
            near = marks + np.roll(marks, 1)
            latents = random.normal(size=(len(marks), CHANNELS))
            latents[:, family] += 2 * near
            latents[:, (family + random.integers(1, FAMILIES)) % FAMILIES] += 2 * (1 - near)
            latents[:, FAMILIES] += 5 * marks
            columns = {"onset": marks, "family": np.full(len(marks), family)}
            labels = {name: np.stack([own, np.ones(len(own))], 1).astype(np.float32) for name, own in columns.items()}
            writer.add(f"{number:03d}.wav", f"{number:032x}", latents.astype(np.float32), labels, split)
    return Corpus.open(path)


def fit(corpus: Corpus, place: Path, attributes: tuple[str, ...], levels: tuple[float, ...] = ()) -> Readout:
    sae = make_sae(ReluConfig(channels=CHANNELS, hidden=64, space="mini"))
    sae.set_statistics(*(torch.from_numpy(values) for values in corpus.statistics()))
    fit_probes(corpus, sae, place, fit_bins(corpus, attributes), OPTIONS, levels=levels)
    return Readout.from_pretrained(place)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Corpus, Path, Readout]:
    folder = tmp_path_factory.mktemp("attacks")
    corpus = attack_corpus(folder / "corpus")
    return corpus, folder / "readout", fit(corpus, folder / "readout", ("onset", "family"), LEVELS)


def clips(corpus: Corpus, split: str) -> Tensor:
    """The first frames of each clip of a split, [files, LENGTH, C]."""
    return torch.stack([torch.from_numpy(np.array(corpus.latents(file)[:LENGTH])) for file in corpus.files(split)])


def test_the_family_is_read_at_onsets_where_these_are_read(
    fitted: tuple[Corpus, Path, Readout], tmp_path: Path
) -> None:
    corpus, folder, readout = fitted
    assert readout.at_onsets == ("family",)
    found = readout.report["probes"]["family"]
    assert found["accuracy"] > 0.75
    assert found["raw_latents"] > 0.75
    assert found["shuffled"] < 0.3
    assert (
        "family: 12 classes, from keyboard to synth, one for a clip, from the mean of its frames at onsets"
        in (folder / "README.md").read_text()
    )
    alone = fit(corpus, tmp_path / "alone", ("family",))
    assert alone.at_onsets == ()
    assert alone.report["probes"]["family"]["accuracy"] < 0.6


def test_a_clip_is_read_from_the_weighted_logits_of_its_frames(fitted: tuple[Corpus, Path, Readout]) -> None:
    corpus, _, readout = fitted
    latents = clips(corpus, "test")
    mask = torch.ones(latents.shape[:2], dtype=torch.bool)
    mask[::2, 30:] = False
    mask[1] = False
    found = readout.read(latents, mask, keep=["family"], baselines=(RAW, UNTRAINED))
    logits = readout.logits(latents.flatten(0, 1)).view(*latents.shape[:2], -1)
    onset = logits[..., readout.probes.rows("onset")].softmax(-1)[..., 1]
    for item in (0, 2, 3):
        curve = onset[item, mask[item]].numpy()
        weights = REST + curve + np.concatenate([[0], curve[:-1]])
        frames = logits[item, mask[item]][:, readout.probes.rows("family")].numpy()
        wanted = torch.from_numpy(np.average(frames, axis=0, weights=weights)).softmax(-1)
        torch.testing.assert_close(found.pooled[TRAINED]["family"][item].double(), wanted.double())
    assert found.pooled[TRAINED]["family"][1].isnan().all()
    assert torch.equal(found.distributions[TRAINED]["family"][0, 7], found.pooled[TRAINED]["family"][0])
    for kind in (TRAINED, SHUFFLED, RAW, UNTRAINED):
        best = found.pooled[kind]["family"].argmax(-1, keepdim=True)
        assert torch.equal(found.classes[kind]["family"], best.expand(-1, LENGTH).to(torch.uint8))
    # What is masked, and what else is read with it, does not matter.
    shorter = readout.read(latents[:1, :30]).pooled[TRAINED]["family"]
    torch.testing.assert_close(shorter, found.pooled[TRAINED]["family"][:1])
    padded = torch.cat([torch.full((1, 4, CHANNELS), torch.nan), latents[:1, :30]], 1)
    counted = torch.arange(34)[None] >= 4
    torch.testing.assert_close(readout.read(padded, counted).pooled[TRAINED]["family"], shorter)


def test_generic_directions_are_pooled_as_they_were_cut(fitted: tuple[Corpus, Path, Readout]) -> None:
    corpus, _, readout = fitted
    counts: dict[str, np.ndarray] = {}
    for file in corpus.files("train"):
        read = readout.read(torch.from_numpy(np.array(corpus.latents(file)))[None])
        for probe in (TRAINED, "generic-1", "generic-4"):
            counts.setdefault(probe, np.zeros(FAMILIES))[int(read.classes[probe]["family"][0, 0])] += 1
    for probe in ("generic-1", "generic-4"):
        np.testing.assert_allclose(counts[probe], counts[TRAINED], atol=1)


def test_noisy_states_are_pooled_by_the_onsets_that_are_read_there(fitted: tuple[Corpus, Path, Readout]) -> None:
    corpus, _, readout = fitted
    reported = readout.report["noise"]["attributes"]["family"]
    for row, level in enumerate(LEVELS):
        hits = []
        for file in corpus.files("test"):
            x = torch.from_numpy(noised(corpus.latents(file), file.name, level, OPTIONS.seed))[None]
            read = readout.read(x, noise=straight_shares(level))
            hits.append(int(read.classes[TRAINED]["family"][0, 0]) == int(corpus.labels(file, "family")[0][0]))
        assert np.mean(hits) == pytest.approx(reported["accuracy"][row])
    assert reported["accuracy"][1] > 0.7
    assert reported["accuracy"][1] > reported["accuracy"][0] + 0.2


def test_a_saved_readout_keeps_how_it_pools(fitted: tuple[Corpus, Path, Readout], tmp_path: Path) -> None:
    corpus, _, readout = fitted
    readout.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert Readout.from_pretrained(tmp_path).fingerprint() == readout.fingerprint()
    for damage in (["tempo"], ["onset"], [3], "family"):
        (tmp_path / "config.json").write_text(json.dumps(config | {"at_onsets": damage}))
        with pytest.raises(InputError, match=r"at_onsets|pooled at onsets"):
            Readout.from_pretrained(tmp_path)
    config.pop("at_onsets")
    (tmp_path / "config.json").write_text(json.dumps(config))
    plain = Readout.from_pretrained(tmp_path)
    assert plain.fingerprint() != readout.fingerprint()
    latents = clips(corpus, "test")
    logits = plain.logits(latents.flatten(0, 1))[:, plain.probes.rows("family")].view(*latents.shape[:2], -1)
    torch.testing.assert_close(plain(latents)["family"], logits.mean(1).softmax(-1))


def test_without_onsets_nothing_is_pooled_at_them() -> None:
    three = tiny_readout()
    with pytest.raises(InputError, match="pooled at onsets"):
        Readout(three.sae, three.probes, three.controls, three.bins, three.spaces, at_onsets=("pitch",))


def test_joined_readouts_pool_as_they_did(fitted: tuple[Corpus, Path, Readout]) -> None:
    corpus, folder, readout = fitted
    bare = Readout(readout.sae, readout.probes, readout.controls, readout.bins, readout.spaces, readout.log_rms)
    assert bare.at_onsets == ()
    latents = clips(corpus, "test")
    whole = Readout.from_pretrained(folder)
    three = tiny_readout(CHANNELS, 64, log_rms=True)
    pitch = Readout(readout.sae, three.probes, three.controls, three.bins, ("mini",), three.log_rms)
    whole.generic = None
    joined = join_readouts([pitch, whole])
    assert joined.at_onsets == ("family",)
    torch.testing.assert_close(joined(latents)["family"], whole(latents)["family"])


@given(length=st.integers(1, 60), seed=st.integers(0, 2**32 - 1))
def test_weights_of_parts_are_those_of_the_whole(length: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    curve = torch.from_numpy(random.uniform(size=length))
    cut = int(random.integers(0, length + 1))
    first, second = curve[:cut], curve[cut:]
    parts = [onset_weights(first)] if cut else []
    if cut < length:
        parts.append(onset_weights(second, first[-1:] if cut else None))
    torch.testing.assert_close(torch.cat(parts), onset_weights(curve))
    values = torch.from_numpy(random.normal(size=(1, length, 2)))
    valid = torch.ones(1, length, dtype=torch.bool)
    mean = weighted_mean(values, onset_weights(curve)[None], valid)
    low, high = values.amin(1), values.amax(1)
    assert bool(((mean >= low - 1e-9) & (mean <= high + 1e-9)).all())


def test_a_long_file_is_pooled_as_one() -> None:
    random = np.random.default_rng(0)
    long = random.normal(size=(FRAMES + 3, 4)).astype(np.float32)
    probe = ClipProbe(torch.tensor([[0.0] * 4, [3.0, 0, 0, 0]]), torch.tensor([0.0, -2.0]))
    means, at_onsets = clip_means(Inputs(torch.clone, 4), [long], torch.device("cpu"), {"probes": probe})
    np.testing.assert_allclose(means[0], long.mean(0), atol=1e-5)
    curve = 1 / (1 + np.exp(-(3 * long[:, 0] - 2)))
    weights = REST + curve + np.concatenate([[0], curve[:-1]])
    np.testing.assert_allclose(at_onsets["probes"][0], np.average(long, axis=0, weights=weights), atol=1e-5)
