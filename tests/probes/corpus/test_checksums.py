"""Arrays of a corpus that are not those that were written are noticed before anything is fitted on them."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from support.corpus import forget_checksums, tiny_corpus

from probes.corpus import Corpus
from probes.corpus.encoding import Recipe, encode_into
from probes.corpus.index import checksum
from probes.corpus.ready_latents import import_latents
from probes.corpus.sources import audio_sources
from probes.errors import InputError
from probes.fit.explain import feature_classes
from probes.fit.pipeline import fit_bins, fit_probes, fit_readout, fit_sae
from probes.fit.probe_training import ProbeOptions
from probes.fit.sae_training import TrainingOptions
from probes.fit.sweep import Grid, run_sweep
from probes.readout import Readout
from probes.sae import ReluConfig, make_sae

CONFIG = ReluConfig(channels=12, hidden=24, lam=0.02, space="mini")
TRAINING = TrainingOptions(steps=3, batch=64)
PROBES = ProbeOptions(epochs=1, batch=64, baselines=False)
FRAMES = 300


def swapped(rows: np.ndarray) -> np.ndarray:
    """The rows of the first two files in each other's place."""
    return np.concatenate([rows[FRAMES : 2 * FRAMES], rows[:FRAMES], rows[2 * FRAMES :]])


def last_changed(rows: np.ndarray) -> np.ndarray:
    """Other numbers in the last file alone, which stands in the test split."""
    changed = rows.copy()
    changed[-1] += 1
    return changed


DAMAGES = {"emptied": np.zeros_like, "swapped": swapped, "last changed": last_changed}


def spoil(folder: Path, name: str, change: Callable[[np.ndarray], np.ndarray]) -> None:
    path = folder / "shards" / "00000" / f"{name}.npy"
    np.save(path, change(np.load(path)))


def sae(corpus: Corpus, out: Path) -> None:
    fit_sae(corpus, out, CONFIG, TRAINING)


def probes(corpus: Corpus, out: Path) -> Readout:
    return fit_probes(corpus, make_sae(CONFIG), out, fit_bins(corpus, (), {"pitch": 4, "loudness": 4}), PROBES)


def readout(corpus: Corpus, out: Path) -> None:
    bins = fit_bins(corpus, (), {"pitch": 4, "loudness": 4})
    fit_readout(corpus, out, CONFIG, TRAINING, PROBES, bins)


def sweep(corpus: Corpus, out: Path) -> None:
    run_sweep(corpus, out, Grid((24,), (0.02,), CONFIG, TRAINING, PROBES))


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize(
    ("fit", "array"),
    [
        (sae, "latents"),
        (probes, "latents"),
        (probes, "pitch"),
        (readout, "loudness"),
        (sweep, "latents"),
        (sweep, "pitch"),
    ],
)
def test_a_fit_on_other_arrays_is_refused_before_it_begins(fit, array, damage, tmp_path):
    tiny_corpus(tmp_path / "c")
    spoil(tmp_path / "c", array, DAMAGES[damage])
    with pytest.raises(InputError, match=rf"{array}\.npy is damaged, .*song\d\.wav.* again") as refused:
        fit(Corpus.open(tmp_path / "c"), tmp_path / "out")
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "out").exists()


def test_features_are_not_explained_with_other_latents(tmp_path):
    made = probes(tiny_corpus(tmp_path / "c"), tmp_path / "readout")
    feature_classes(made, Corpus.open(tmp_path / "c"), 3)
    spoil(tmp_path / "c", "latents", last_changed)
    with pytest.raises(InputError, match=r"latents\.npy is damaged"):
        feature_classes(made, Corpus.open(tmp_path / "c"), 3)


def test_rows_of_another_place_in_the_table_are_refused(tmp_path):
    corpus = tiny_corpus(tmp_path / "c")
    index = corpus.path / "files.jsonl"
    rows = [json.loads(line) for line in index.read_text().splitlines()]
    rows[0]["start"], rows[1]["start"] = rows[1]["start"], rows[0]["start"]
    index.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(InputError, match=r"song0\.wav are not those that were written"):
        Corpus.open(corpus.path).check("latents")


def test_a_corpus_without_checksums_is_read_and_has_the_same_identity(tmp_path, recwarn):
    corpus = tiny_corpus(tmp_path / "c")
    fingerprint = corpus.fingerprint
    older = forget_checksums(corpus.path)
    older.check("latents", "pitch")
    assert older.fingerprint == fingerprint == "b3245e0d458724a4"
    assert older.damaged() == []
    assert not recwarn.list


def test_each_file_is_read_for_its_checksum_once(tmp_path, monkeypatch):
    corpus = tiny_corpus(tmp_path / "c")
    sums: list[int] = []
    monkeypatch.setattr("probes.corpus.folder.checksum", lambda rows: sums.append(len(rows)) or checksum(rows))
    corpus.moments("train")
    corpus.moments("train")
    for _ in range(3):
        corpus.check("latents")
        corpus.labels(corpus.files()[0], "pitch")
    assert len(sums) == len(corpus.files()) + 1


def test_encoding_again_replaces_damaged_files_alone(tmp_path):
    (tmp_path / "audio").mkdir()
    time = np.arange(22050) / 22050
    for number in range(3):
        tone = 0.1 * (number + 1) * np.sin(2 * np.pi * 330 * time)
        soundfile.write(tmp_path / "audio" / f"{number}.wav", tone.astype(np.float32), 22050)
    recipe = Recipe("mini", attributes={"loudness": {}})

    def encode() -> Corpus:
        encode_into(tmp_path / "c", audio_sources(str(tmp_path / "audio")), recipe)
        return Corpus.open(tmp_path / "c")

    whole = encode()
    wanted = [(np.array(whole.latents(file)), *whole.confidence(file, "loudness")) for file in whole.files()]
    spoil(tmp_path / "c", "loudness", last_changed)
    with pytest.warns(UserWarning, match=r"1 files of the corpus .* damaged and encoded again: 2\.wav"):
        again = encode()
    assert again.fingerprint == whole.fingerprint
    assert again.damaged() == []
    for file, arrays in zip(again.files(), wanted, strict=True):
        for found, array in zip((again.latents(file), *again.confidence(file, "loudness")), arrays, strict=True):
            np.testing.assert_array_equal(found, array)
    (tmp_path / "c" / "shards" / "00000" / "latents.npy").write_bytes(b"")
    with pytest.warns(UserWarning, match="3 files"):
        emptied = encode()
    assert emptied.damaged() == []
    np.testing.assert_array_equal(emptied.latents(emptied.files()[1]), wanted[1][0])


def test_ready_latents_that_were_damaged_are_copied_again(tmp_path):
    (tmp_path / "l").mkdir()
    for number, name in enumerate("abc"):
        np.save(tmp_path / "l" / f"{name}.npy", np.full((30, 64), number, np.float32))
    import_latents(tmp_path / "l", tmp_path / "c", "mini")
    spoil(tmp_path / "c", "latents", last_changed)
    with pytest.warns(UserWarning, match=r"encoded again: c\.npy"):
        again = import_latents(tmp_path / "l", tmp_path / "c", "mini")
    np.testing.assert_array_equal(again.latents(again.files()[2]), np.full((30, 64), 2))
