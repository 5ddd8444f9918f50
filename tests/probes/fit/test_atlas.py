"""Figures of features, against planted ones and against the whole matrix of features."""

from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile
import torch
from support.corpus import tiny_corpus
from support.readout import tiny_readout

from probes.attributes import get_attribute
from probes.corpus import Corpus
from probes.corpus.writer import CorpusWriter
from probes.errors import InputError
from probes.fit.atlas import EDGES, Atlas, clip_name, make_atlas, nearest, votes, write_clips
from probes.fit.explain import class_features, feature_classes
from probes.readout import Readout
from probes.readout.linear import LinearProbes
from probes.spaces import load_space

CHANNELS, HIDDEN = 12, 96


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return tiny_corpus(tmp_path_factory.mktemp("atlas") / "corpus", frames=130, channels=CHANNELS)


@pytest.fixture(scope="module")
def readout() -> Readout:
    readout = tiny_readout(CHANNELS, HIDDEN)
    with torch.no_grad():
        readout.sae.encoder_bias[7] = -1e4  # never fires
    return readout


@pytest.fixture(scope="module")
def atlas(readout: Readout, corpus: Corpus) -> Atlas:
    return make_atlas(readout, corpus)


@pytest.fixture(scope="module")
def features(readout: Readout, corpus: Corpus) -> list[np.ndarray]:
    """All features of each file, [frames, H]."""
    return [readout.sae.encode(torch.from_numpy(np.array(corpus.latents(file)))).numpy() for file in corpus.files()]


def test_counts_are_those_of_all_features(atlas: Atlas, features: list[np.ndarray]) -> None:
    whole = np.concatenate(features)
    assert atlas.frames == len(whole)
    np.testing.assert_allclose(atlas.density, (whole > 0).mean(0))
    np.testing.assert_allclose(atlas.maximum, whole.max(0), rtol=1e-5)
    with np.errstate(divide="ignore"):
        logs = np.log2(whole)
    for j in (0, 7, 50):
        fired = logs[whole[:, j] > 0, j]
        np.testing.assert_array_equal(atlas.histogram[j], np.histogram(fired, np.nan_to_num(EDGES))[0])


def test_moments_are_the_strongest_windows(atlas: Atlas, features: list[np.ndarray]) -> None:
    assert atlas.window == 40
    for j in (0, 50, 95):
        windows = [
            (-part[:, j].max(), number, start + int(part[:, j].argmax()))
            for number, own in enumerate(features)
            for start in range(0, len(own), 40)
            for part in [own[start : start + 40]]
            if part[:, j].max() > 0
        ]
        best = sorted(windows)[:8]
        np.testing.assert_allclose(atlas.value[j, : len(best)], [-value for value, *_ in best], rtol=1e-5)
        assert [*zip(atlas.file[j], atlas.peak[j])][: len(best)] == [(number, peak) for _, number, peak in best]


def test_a_feature_that_never_fires_has_no_moment(atlas: Atlas) -> None:
    assert atlas.density[7] == atlas.maximum[7] == 0
    assert (atlas.file[7] == -1).all()
    assert not atlas.histogram[7].any()
    assert not any(7 in np.flatnonzero((atlas.file == number).any(1)) for number in range(len(atlas.files)))


def test_labels_are_those_at_the_peak(atlas: Atlas, readout: Readout, corpus: Corpus) -> None:
    files = corpus.files()
    for place in ((0, 0), (50, 3)):
        number, peak = atlas.file[place], atlas.peak[place]
        for name in ("pitch", "loudness"):
            values, valid = corpus.labels(files[number], name)
            expected = readout.bins[name].classes(values[peak : peak + 1], valid[peak : peak + 1])[0]
            assert atlas.labels[name][place] == expected
    assert (atlas.labels["pitch"] == -1).any()  # every tenth frame has no pitch
    assert "timbre" not in atlas.labels  # the corpus has no labels of it


def test_strongest_features_of_a_class_are_those_of_explain(readout: Readout, tmp_path: Path) -> None:
    held_out = tiny_corpus(tmp_path / "corpus", frames=130, channels=CHANNELS, splits=("test", "test"))
    atlas = make_atlas(readout, held_out)
    k = int(np.flatnonzero(np.isfinite(atlas.contribution["loudness"][:, 0]))[2])
    found = class_features(readout, held_out, "loudness", k, 8)
    assert [one.feature for one in found] == atlas.strongest["loudness"][k].tolist()
    np.testing.assert_allclose([one.contribution for one in found], atlas.contribution["loudness"][k], rtol=1e-4)


def family_of_peaks(path: Path) -> tuple[Readout, Corpus]:
    """A readout of the four channels' features, and three clips of one family: channel 0 strikes in a few frames, one
    of them in a part that is labelled otherwise, channel 1 sounds all the time."""
    sae = planted_readout().sae
    bins = {"family": get_attribute("family").fit_bins(np.empty(0))}
    both = [LinearProbes({"family": len(bins["family"])}, 4, ["family"]) for _ in range(2)]
    for probes in both:
        probes.weight.data[2] = torch.tensor([1.0, 1, 0, 0])
        probes.on_rises()["family"].data[2] = torch.tensor([0.5, 1, 0, 0])
    info = {"name": "mini", "spaces": ["mini"], "channels": 4, "frame_rate": 20.0, "fingerprint": "f00d"}
    told = {"family": get_attribute("family").describe_notated()}
    with CorpusWriter(path, {"space": info, "attributes": told, "dtype": "float32"}) as writer:
        for number, peak in enumerate((4, 6, 0)):
            latents = np.full((90, 4), -1, np.float32)
            latents[:, 1] = 1
            latents[[3, 80], 0] = peak / 2, peak
            family = np.float32([[2 if frame < 70 else 3, 1] for frame in range(len(latents))])
            writer.add(f"{number}.wav", f"{number:032x}", latents, {"family": family}, "test")
    return Readout(sae, *both, bins, ["mini"]), Corpus.open(path)


def test_an_attribute_of_clips_is_explained_by_what_its_probe_sees(tmp_path: Path) -> None:
    """By the peaks of each clip: means over frames would name the feature that sounds all the time."""
    readout, corpus = family_of_peaks(tmp_path / "corpus")
    classes = len(readout.bins["family"])
    share = 1 - 1 / classes  # of the weight that is left of it less the mean over the classes
    # In three stretches channel 0 is at p / 2, 0 and p: mean p / 2 of weight 1, and rise p / 2 of weight 0.5.
    found = class_features(readout, corpus, "family", 2, 2)
    assert [one.feature for one in found] == [0, 1]
    assert [one.contribution for one in found] == pytest.approx([share * 2.5, share])
    assert [one.firing for one in found] == pytest.approx([2 / 3, 1])
    atlas = make_atlas(readout, corpus)
    assert atlas.strongest["family"][2, :2].tolist() == [0, 1]
    assert atlas.contribution["family"][2, :2] == pytest.approx([share * 2.5, share])
    assert np.isnan(np.delete(atlas.contribution["family"], 2, 0)).all()  # that of most frames is the clip's
    with pytest.raises(InputError, match=r"no test clip of .* is labelled family"):
        class_features(readout, corpus, "family", 3)
    strongest = feature_classes(readout, corpus, 0, 1)[0]
    assert strongest.label == readout.bins["family"].label(2)
    assert (strongest.contribution, strongest.firing) == pytest.approx((share * 3.75, 2 / 3))  # where it is active


def test_the_features_of_a_long_file_are_never_held_together(
    readout: Readout, corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = class_features(readout, corpus, "loudness", 9), feature_classes(readout, corpus, 50)
    asked: list[int] = []
    encode = readout.sae.encode
    monkeypatch.setattr(readout.sae, "encode", lambda x: (asked.append(len(x)), encode(x))[1])
    monkeypatch.setattr("probes.fit.explain.FRAMES", 4)
    parts = class_features(readout, corpus, "loudness", 9), feature_classes(readout, corpus, 50)
    assert max(asked) <= 4
    for whole, own in zip(alone, parts):
        assert [one[:3] for one in whole] == [one[:3] for one in own]
        assert [one[3:] for one in whole] == [pytest.approx(one[3:], rel=1e-4) for one in own]


def test_the_chunks_do_not_matter(atlas: Atlas, readout: Readout, corpus: Corpus, monkeypatch: pytest.MonkeyPatch):
    asked: list[int] = []
    encode = readout.sae.encode
    monkeypatch.setattr(readout.sae, "encode", lambda x: (asked.append(len(x)), encode(x))[1])
    monkeypatch.setattr("probes.fit.atlas._ELEMENTS", 1)
    again = make_atlas(readout, corpus)
    assert max(asked) == atlas.window  # never more than one window at a time
    for name in ("density", "histogram", "file", "peak"):
        np.testing.assert_array_equal(getattr(atlas, name), getattr(again, name))


def test_neighbours_are_the_nearest_directions() -> None:
    atoms = torch.randn(40, 6, generator=torch.Generator().manual_seed(0))
    atoms[11] = 3 * atoms[4]
    indices, cosines = nearest(atoms)
    assert indices[4, 0] == 11
    assert indices[11, 0] == 4
    assert cosines[4, 0] == pytest.approx(1)
    assert all(row not in own for row, own in enumerate(indices.tolist()))


def planted_readout() -> Readout:
    """Four features that are the four channels of the latent, where these are positive."""
    readout = tiny_readout(4, 4, architecture="topk")
    with torch.no_grad():
        readout.sae.encoder_weight.copy_(torch.eye(4))
        readout.sae.encoder_bias.zero_()
    readout.sae.set_statistics(torch.zeros(4), torch.ones(4))
    return readout


def planted_corpus(path: Path) -> Corpus:
    """Files of 100 and 80 frames, silent but for planted frames: windows of 40, 40, 20 and 40, 40."""
    first, second = np.full((100, 4), -1, np.float32), np.full((80, 4), -1, np.float32)
    first[5, 0], first[45, 0], second[79, 0], second[10, 0] = 2, 4, 4, 0.5
    first[99, 1] = 1
    info = {"name": "mini", "spaces": ["mini"], "channels": 4, "frame_rate": 20.0, "fingerprint": "f00d"}
    labels = {"pitch": {"unit": "MIDI", "threshold": 0.5}, "loudness": {"unit": "RMS", "threshold": 0.5}}
    with CorpusWriter(path, {"space": info, "attributes": labels, "dtype": "float32"}) as writer:
        for name, latents in (("a.wav", first), ("b.wav", second)):
            pitch = np.float32([[60, frame != 99] for frame in range(len(latents))])
            loudness = np.float32([[0.1, 1]] * len(latents))
            writer.add(name, name, latents, {"pitch": pitch, "loudness": loudness}, "train")
    return Corpus.open(path)


def test_planted_features_are_found(tmp_path: Path) -> None:
    readout, corpus = planted_readout(), planted_corpus(tmp_path / "corpus")
    atlas = make_atlas(readout, corpus)
    assert atlas.density.tolist() == [4 / 180, 1 / 180, 0, 0]
    assert atlas.maximum.tolist() == [4, 1, 0, 0]
    assert atlas.value[0].tolist() == [4, 4, 2, 0.5, 0, 0, 0, 0]
    assert atlas.file[0].tolist() == [0, 1, 0, 1, -1, -1, -1, -1]  # of equal moments that of the earlier file first
    assert atlas.peak[0, :4].tolist() == [45, 79, 5, 10]
    assert atlas.moments == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]
    filled = {float(EDGES[k]): int(count) for k, count in enumerate(atlas.histogram[0]) if count}
    assert filled == {-1: 1, 1: 1, 2: 2}  # log2 of 0.5, of 2, and of 4 twice
    assert readout.bins["pitch"].label(atlas.labels["pitch"][0, 0]) == "C4"
    assert (atlas.file[1, 0], atlas.peak[1, 0], atlas.labels["pitch"][1, 0]) == (0, 99, -1)  # masked there
    k = int(atlas.labels["loudness"][1, 0])
    weights = readout.class_vector("loudness", k)
    expected = weights * torch.tensor([10.5, 1, 0, 0]) / 180
    found = dict(zip(atlas.strongest["loudness"][k].tolist(), atlas.contribution["loudness"][k].tolist()))
    assert found == pytest.approx({j: float(expected[j]) for j in range(4)})
    assert np.isnan(np.delete(atlas.contribution["loudness"], k, 0)).all()  # no frame is labelled so


def test_latents_that_are_not_finite_are_refused(readout: Readout, tmp_path: Path) -> None:
    spoilt = tiny_corpus(tmp_path / "corpus", channels=CHANNELS, splits=("train", "test"), spoil={"song1.wav": np.nan})
    with pytest.raises(InputError, match=r"latents of song1\.wav hold NaN"):
        make_atlas(readout, spoilt)


@pytest.mark.parametrize("log_rms", [False, True])
def test_votes_are_the_centred_weights_of_features_alone(log_rms: bool) -> None:
    readout = tiny_readout(CHANNELS, 100, log_rms=log_rms)  # the level is an input of the probes, and no feature
    for name, weights in votes(readout, slice(64, 128)):
        expected = torch.stack([readout.class_vector(name, k)[64:] for k in range(len(readout.bins[name]))])
        np.testing.assert_allclose(weights, expected.detach(), rtol=1e-4, atol=1e-6)


def test_a_corpus_of_another_space_is_refused(readout: Readout, tmp_path: Path) -> None:
    other = tiny_corpus(tmp_path / "corpus", channels=CHANNELS, space="encodec")
    with pytest.raises(InputError, match="is of encodec, this readout reads mini"):
        make_atlas(readout, other)


def test_clips_are_the_decoded_moments(tmp_path: Path) -> None:
    corpus = tiny_corpus(tmp_path / "corpus", frames=100, channels=64, splits=("train", "test"))
    space = load_space("mini")
    atlas = make_atlas(tiny_readout(64, 16), corpus)
    write_clips(atlas, corpus, space, tmp_path / "clips")
    written = sorted(path.name for path in (tmp_path / "clips").iterdir())
    assert written == [clip_name(*moment) for moment in atlas.moments]
    number, window = atlas.moments[-2]
    latents = torch.from_numpy(np.array(corpus.latents(corpus.files()[number])))[None]
    whole = space.decode(latents)[0].numpy()
    part = whole[:, window * atlas.window * space.hop : (window + 1) * atlas.window * space.hop]
    clip, rate = soundfile.read(tmp_path / "clips" / clip_name(number, window), always_2d=True)
    assert rate == space.sample_rate
    assert clip.shape == part.T.shape
    # Phases depend on where decoding begins, spectra do not.
    other = whole[0, : part.shape[1]]
    heard, expected, wrong = (np.abs(librosa.stft(sound, n_fft=1024)).ravel() for sound in (clip[:, 0], part[0], other))
    assert np.corrcoef(heard, expected)[0, 1] > 0.9
    assert np.corrcoef(heard, wrong)[0, 1] < 0.8
    before = (tmp_path / "clips" / written[0]).stat().st_mtime_ns
    write_clips(atlas, corpus, space, tmp_path / "clips")
    assert (tmp_path / "clips" / written[0]).stat().st_mtime_ns == before


def test_everything_is_the_same_again(tmp_path: Path) -> None:
    corpus = tiny_corpus(tmp_path / "corpus", frames=60, channels=64, splits=("train", "test"))
    space, readout = load_space("mini"), tiny_readout(64, 16)
    first, second = make_atlas(readout, corpus), make_atlas(readout, corpus)
    for name in ("density", "histogram", "value", "file", "peak", "neighbours", "cosine"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    for name in first.contribution:
        np.testing.assert_array_equal(first.contribution[name], second.contribution[name])
    for folder, atlas in (("a", first), ("b", second)):
        write_clips(atlas, corpus, space, tmp_path / folder)
    made = [{path.name: path.read_bytes() for path in (tmp_path / folder).iterdir()} for folder in ("a", "b")]
    assert made[0]
    assert made[0] == made[1]
