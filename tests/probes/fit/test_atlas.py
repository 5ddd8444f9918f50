"""Figures of features, against planted ones and against the whole matrix of features."""

from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile
import torch
from support.corpus import tiny_corpus
from support.readout import tiny_readout

from probes.corpus import Corpus
from probes.errors import InputError
from probes.fit.atlas import EDGES, Atlas, clip_name, make_atlas, nearest, write_clips
from probes.fit.explain import class_features
from probes.readout import Readout
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
