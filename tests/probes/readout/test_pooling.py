"""Probes of clips see peaks: of clips that tell their family for a moment and mislead all the time."""

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
from probes.fit.clip_probes import clip_inputs, fit_softmax, mean
from probes.fit.pipeline import fit_bins, fit_probes
from probes.fit.probe_training import FRAMES, ProbeOptions
from probes.readout.inputs import Inputs, sae_inputs
from probes.readout.joining import join_readouts
from probes.readout.kinds import RAW, SHUFFLED, TRAINED, UNTRAINED
from probes.readout.pooling import STRETCH, clip_peaks, peaks
from probes.sae import ReluConfig, make_sae

FAMILIES = len(get_attribute("family").names)
LENGTH, CHANNELS = 2 * STRETCH, FAMILIES + 4
SPLITS = ("train",) * 96 + ("val",) * 24 + ("test",) * 24
LEVELS = (-2.0, 4.0)
OPTIONS = ProbeOptions(epochs=15, batch=200, learning_rate=0.02)


def moments_corpus(path: Path) -> Corpus:
    """Clips whose family sounds loudly in one frame, and another one's softly in all of them."""
    random = np.random.default_rng(0)
    info = {"name": "mini", "spaces": ["mini"], "channels": CHANNELS, "frame_rate": 20.0, "fingerprint": "f00d"}
    attributes = {name: get_attribute(name).describe_notated() for name in ("onset", "family")}
    with CorpusWriter(path, {"space": info, "attributes": attributes, "dtype": "float32"}) as writer:
        for number, split in enumerate(SPLITS):
            family = number % FAMILIES
            marks = np.zeros(LENGTH + number % 3)
            marks[random.integers(LENGTH - 3)] = 1
            latents = random.normal(size=(len(marks), CHANNELS)) / 10
            latents[:, (family + random.integers(1, FAMILIES)) % FAMILIES] += 1
            latents[:, family] += 6 * marks
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
    folder = tmp_path_factory.mktemp("moments")
    corpus = moments_corpus(folder / "corpus")
    return corpus, folder / "readout", fit(corpus, folder / "readout", ("onset", "family"), LEVELS)


def clips(corpus: Corpus, split: str) -> Tensor:
    """The first frames of each clip of a split, [files, LENGTH, C]."""
    return torch.stack([torch.from_numpy(np.array(corpus.latents(file)[:LENGTH])) for file in corpus.files(split)])


def test_a_family_that_sounds_for_a_moment_is_read(fitted: tuple[Corpus, Path, Readout]) -> None:
    corpus, folder, readout = fitted
    assert readout.clips == ("family",)
    found = readout.report["probes"]["family"]
    assert found["accuracy"] > 0.8
    assert found["raw_latents"] > 0.8
    assert found["shuffled"] < 0.3
    assert (
        "family: 12 classes, from keyboard to synth, one for a clip, from the peaks of its frames"
        in (folder / "README.md").read_text()
    )
    inputs = sae_inputs(readout.sae, readout.log_rms)
    seen, families = [], []
    for split in ("train", "val", "test"):
        arrays = [corpus.latents(file) for file in corpus.files(split)]
        seen.append(clip_inputs(inputs, arrays, torch.device("cpu"), mean))
        families.append(torch.tensor([int(corpus.labels(file, "family")[0][0]) for file in corpus.files(split)]))
    weight, bias = fit_softmax((seen[0][:, 0], families[0]), (seen[1][:, 0], families[1]), FAMILIES)
    of_mean = (seen[2][:, 0] @ weight.t() + bias).argmax(1)
    assert (of_mean == families[2]).float().mean() < 0.6


def test_a_clip_is_read_from_the_peaks_of_its_features(fitted: tuple[Corpus, Path, Readout]) -> None:
    corpus, _, readout = fitted
    latents = clips(corpus, "test")
    mask = torch.ones(latents.shape[:2], dtype=torch.bool)
    mask[::2, 50:] = False
    mask[1] = False
    found = readout.read(latents, mask, keep=["family"], baselines=(RAW, UNTRAINED))
    rows = readout.probes.rows("family")
    for item in (0, 2, 3):
        x = latents[item, mask[item]]
        assert readout.log_rms is not None
        level = (readout.sae.rms(readout.sae.hidden(x)).log() - readout.log_rms[0]) / readout.log_rms[1]
        parts = torch.cat([readout.sae.encode(x), level], 1).tensor_split(round(len(x) / STRETCH))
        highest = torch.stack([part.amax(0) for part in parts])
        mean, rise = highest.mean(0), highest.amax(0) - highest.mean(0)
        assert rise.max() > 0.1
        logits = readout.probes.weight[rows] @ mean + readout.probes.on_rises()["family"] @ rise
        wanted = (logits + readout.probes.bias[rows]).softmax(-1)
        torch.testing.assert_close(found.pooled[TRAINED]["family"][item], wanted)
        assert readout.baselines is not None
        raw = readout.baselines.raw.of_peaks(peaks(readout.sae.standardise, x))[rows].softmax(-1)
        torch.testing.assert_close(found.pooled[RAW]["family"][item], raw)
    assert found.pooled[TRAINED]["family"][1].isnan().all()
    assert torch.equal(found.distributions[TRAINED]["family"][0, 7], found.pooled[TRAINED]["family"][0])
    for kind in (TRAINED, SHUFFLED, RAW, UNTRAINED):
        best = found.pooled[kind]["family"].argmax(-1, keepdim=True)
        assert torch.equal(found.classes[kind]["family"], best.expand(-1, LENGTH).to(torch.uint8))
    # What is masked, and what else is read with it, does not matter.
    shorter = readout.read(latents[:1, :50]).pooled[TRAINED]["family"]
    torch.testing.assert_close(shorter, found.pooled[TRAINED]["family"][:1])
    padded = torch.cat([torch.full((1, 4, CHANNELS), torch.nan), latents[:1, :50]], 1)
    counted = torch.arange(54)[None] >= 4
    torch.testing.assert_close(readout.read(padded, counted).pooled[TRAINED]["family"], shorter)


def test_a_frame_alone_is_read_as_a_clip_of_one_frame(fitted: tuple[Corpus, Path, Readout]) -> None:
    corpus, _, readout = fitted
    frames = clips(corpus, "test")[0]
    alone = readout(frames[:, None])["family"]
    torch.testing.assert_close(alone, readout.logits(frames)[:, readout.probes.rows("family")].softmax(-1))


def test_what_is_reported_is_what_is_read(fitted: tuple[Corpus, Path, Readout]) -> None:
    corpus, _, readout = fitted
    names = {TRAINED: "accuracy", SHUFFLED: "shuffled", RAW: "raw_latents", UNTRAINED: "untrained_sae"}
    hits: dict[str, list[bool]] = {kind: [] for kind in names}
    for file in corpus.files("test"):
        read = readout.read(torch.from_numpy(np.array(corpus.latents(file)))[None], baselines=(RAW, UNTRAINED))
        for kind, own in hits.items():
            own.append(int(read.classes[kind]["family"][0, 0]) == int(corpus.labels(file, "family")[0][0]))
    for kind, figure in names.items():
        assert np.mean(hits[kind]) == pytest.approx(readout.report["probes"]["family"][figure])


def test_generic_directions_are_cut_where_they_are_read(fitted: tuple[Corpus, Path, Readout]) -> None:
    corpus, _, readout = fitted
    counts: dict[str, np.ndarray] = {}
    for file in corpus.files("train"):
        read = readout.read(torch.from_numpy(np.array(corpus.latents(file)))[None])
        for probe in (TRAINED, "generic-1", "generic-4"):
            counts.setdefault(probe, np.zeros(FAMILIES))[int(read.classes[probe]["family"][0, 0])] += 1
    for probe in ("generic-1", "generic-4"):
        np.testing.assert_allclose(counts[probe], counts[TRAINED], atol=1)


def test_noisy_states_are_read_from_the_peaks_of_their_estimate(fitted: tuple[Corpus, Path, Readout]) -> None:
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


def test_noisy_states_are_read_alike_alone_and_together(fitted: tuple[Corpus, Path, Readout]) -> None:
    corpus, _, readout = fitted
    latents = clips(corpus, "test")
    together = readout.read(latents, noise=straight_shares(1.0)).pooled[TRAINED]["family"]
    for item in (0, 5):
        alone = readout.read(latents[item : item + 1], noise=straight_shares(1.0)).pooled[TRAINED]["family"]
        torch.testing.assert_close(alone[0], together[item])


def test_a_saved_readout_keeps_what_its_probes_see(fitted: tuple[Corpus, Path, Readout], tmp_path: Path) -> None:
    _, _, readout = fitted
    readout.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert Readout.from_pretrained(tmp_path).fingerprint() == readout.fingerprint()
    assert config.pop("clips") == "peaks and rises"
    for other in ({}, {"clips": "means"}, {"clips": "peaks"}, {"by_peaks": ["family"]}):
        (tmp_path / "config.json").write_text(json.dumps(config | other))
        with pytest.raises(InputError, match="saw something else: fit it anew"):
            Readout.from_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(config | {"clips": ["family"]}))
    with pytest.raises(InputError, match="clips"):
        Readout.from_pretrained(tmp_path)


def test_joined_readouts_see_what_they_did(fitted: tuple[Corpus, Path, Readout]) -> None:
    corpus, folder, readout = fitted
    latents = clips(corpus, "test")
    whole = Readout.from_pretrained(folder)
    three = tiny_readout(CHANNELS, 64, log_rms=True)
    pitch = Readout(readout.sae, three.probes, three.controls, three.bins, ("mini",), three.log_rms)
    whole.generic = None
    joined = join_readouts([pitch, whole])
    assert joined.clips == ("family",)
    torch.testing.assert_close(joined(latents)["family"], whole(latents)["family"])


def test_half_precision_reads_the_same(fitted: tuple[Corpus, Path, Readout]) -> None:
    corpus, folder, readout = fitted
    half = Readout.from_pretrained(folder).to(torch.bfloat16)
    latents = clips(corpus, "test")
    read = half.read(latents, baselines=(RAW, UNTRAINED))
    wanted = readout.read(latents, baselines=(RAW, UNTRAINED))
    for kind in (TRAINED, RAW, UNTRAINED):
        same = read.classes[kind]["family"][:, 0] == wanted.classes[kind]["family"][:, 0]
        assert float(same.float().mean()) > 0.9


@given(length=st.integers(1, 3 * STRETCH), seed=st.integers(0, 2**32 - 1))
def test_peaks_lie_between_the_mean_and_the_largest(length: int, seed: int) -> None:
    values = torch.from_numpy(np.random.default_rng(seed).normal(size=(length, 2)))
    found = peaks(torch.clone, values)
    assert bool((found[0] >= values.mean(0) - 1e-9).all() and (found[1] >= 0).all())
    torch.testing.assert_close(found.sum(0), values.amax(0))
    if length < 1.5 * STRETCH:
        assert not found[1].any()
    counted = torch.tensor([[True], [False]]).expand(2, length)
    batch = clip_peaks(torch.clone, values.expand(2, -1, -1), counted)
    torch.testing.assert_close(batch[0], found)
    assert batch[1].isnan().all()


def test_a_long_file_is_seen_as_one() -> None:
    long = np.random.default_rng(0).normal(size=(FRAMES + 3, 4)).astype(np.float32)
    arguments = Inputs(torch.clone, 4), [long, long[:7]], torch.device("cpu")
    means, highest = clip_inputs(*arguments, mean), clip_inputs(*arguments)
    np.testing.assert_allclose(means[0, 0], long.mean(0), atol=1e-5)
    of_stretches = np.mean([part.max(0) for part in np.array_split(long, round(len(long) / STRETCH))], 0)
    np.testing.assert_allclose(highest[0], [of_stretches, long.max(0) - of_stretches], atol=1e-5)
    np.testing.assert_allclose(highest[1], [long[:7].max(0), np.zeros(4)], atol=1e-6)
