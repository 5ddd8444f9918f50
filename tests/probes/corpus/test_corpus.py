"""Corpora on disk: writing, continuing, splits, reading, and what can be wrong with a folder."""

import errno
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.corpus import forget_checksums, tiny_corpus

from probes.corpus import writer as corpus_writer
from probes.corpus.folder import Corpus, CorpusFile
from probes.corpus.ready_latents import import_latents
from probes.corpus.split import SPLITS, assign
from probes.corpus.summary import summarise
from probes.corpus.writer import CorpusWriter
from probes.errors import InputError

SPACE = {"name": "toy", "channels": 3, "frame_rate": 10.0, "options": {}, "fingerprint": "abc"}
CONFIG = {"space": SPACE, "attributes": {"pitch": {"unit": "MIDI", "threshold": 0.5}}, "dtype": "float32"}


def clip(index: int) -> tuple[np.ndarray, np.ndarray]:
    """Latents and labels that say which file and frame they are."""
    frames = 5 + index
    latents = np.stack([np.full(frames, index), np.arange(frames), np.zeros(frames)], axis=1)
    labels = np.stack([60 + np.arange(frames), (np.arange(frames) % 2)], axis=1)
    return latents.astype(np.float32), labels.astype(np.float32)


def write(path: Path, indices: range, config: dict[str, Any] = CONFIG, shard_bytes: int = 300) -> None:
    with CorpusWriter(path, config, shard_bytes) as writer:
        for index in indices:
            latents, labels = clip(index)
            writer.add(f"{index:02d}.wav", f"{index * 2654435761 % 2**32:08x}" * 4, latents, {"pitch": labels})


def check(corpus: Corpus, indices: range) -> None:
    """Everything reads back as it was written."""
    assert [file.name for file in corpus.files()] == [f"{index:02d}.wav" for index in indices]
    for file, index in zip(corpus.files(), indices, strict=True):
        latents, labels = clip(index)
        np.testing.assert_array_equal(corpus.latents(file), latents)
        values, valid = corpus.labels(file, "pitch")
        np.testing.assert_array_equal(values, labels[:, 0])
        np.testing.assert_array_equal(valid, labels[:, 1] > 0.5)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write(tmp_path / "c", range(12))
    corpus = Corpus.open(tmp_path / "c")
    check(corpus, range(12))
    assert (corpus.space, corpus.channels, corpus.frame_rate) == ("toy", 3, 10.0)
    assert len(list((tmp_path / "c" / "shards").iterdir())) > 2
    file = corpus.files()[3]
    base: Any = corpus.latents(file)
    while not isinstance(base, np.memmap):
        base = base.base
    assert sum(corpus.frames(split) for split in SPLITS) == corpus.frames() == sum(5 + i for i in range(12))


def test_continuing_keeps_what_is_there(tmp_path: Path) -> None:
    write(tmp_path / "c", range(5))
    write(tmp_path / "c", range(5, 9))
    check(Corpus.open(tmp_path / "c"), range(9))


@pytest.mark.parametrize("name", ["latents.npy", "pitch.npy", "files.jsonl"])
def test_a_write_cut_short_loses_only_itself(tmp_path: Path, name: str) -> None:
    """As when the process is killed half-way through a file: some bytes more in an array, or half a line."""
    path = tmp_path / "c"
    write(path, range(4), shard_bytes=10**6)
    target = path / name if name == "files.jsonl" else path / "shards" / "00000" / name
    with open(target, "ab") as file:
        file.write(b'{"name": "half' if name == "files.jsonl" else b"\1" * 37)
    check(Corpus.open(path), range(4))
    write(path, range(4, 6), shard_bytes=10**6)
    check(Corpus.open(path), range(6))


def test_a_failure_half_way_through_a_file_is_undone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "c"
    append = corpus_writer.GrowingArray.append

    def full(self: Any, values: np.ndarray) -> None:
        if values.shape[1] == 2 and self.rows > 10:
            raise OSError(errno.ENOSPC, "No space left on device")
        append(self, values)

    monkeypatch.setattr(corpus_writer.GrowingArray, "append", full)
    with pytest.raises(InputError, match="no room left"):
        write(path, range(6), shard_bytes=10**6)
    monkeypatch.undo()
    check(Corpus.open(path), range(2))
    write(path, range(2, 6), shard_bytes=10**6)
    check(Corpus.open(path), range(6))


def test_a_corpus_says_what_it_is(tmp_path: Path) -> None:
    write(tmp_path / "c", range(12))
    corpus = Corpus.open(tmp_path / "c")
    parts = ", ".join(f"{len(corpus.files(split))} {split}" for split in SPLITS)
    assert repr(corpus) == (
        f'Corpus "{tmp_path / "c"}" of toy latents [frames, 3] at 10 frames a second: 0.0035 hours in {parts} files, '
        "labels of pitch"
    )


def test_half_precision(tmp_path: Path) -> None:
    write(tmp_path / "c", range(3), {**CONFIG, "dtype": "float16"})
    corpus = Corpus.open(tmp_path / "c")
    assert corpus.latents(corpus.files()[0]).dtype == np.float16
    check(corpus, range(3))


def test_statistics_equal_numpy(tmp_path: Path) -> None:
    write(tmp_path / "c", range(12))
    corpus = Corpus.open(tmp_path / "c")
    everything = np.concatenate([corpus.latents(file) for file in corpus.files("train")]).astype(np.float64)
    mean, std = corpus.statistics()
    np.testing.assert_allclose(mean, everything.mean(0))
    np.testing.assert_allclose(std, everything.std(0))
    _, covariance = corpus.moments()
    np.testing.assert_allclose(covariance, np.cov(everything.T, bias=True), atol=1e-12)
    values = corpus.train_values("pitch")
    assert len(values) == sum(corpus.labels(file, "pitch")[1].sum() for file in corpus.files("train"))


def test_another_corpus_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "c", range(2))
    for change, complaint in (
        ({"space": {**SPACE, "name": "other"}}, r"space \(toy there, other here\)"),
        ({"space": {**SPACE, "fingerprint": "def"}}, r"weights \(abc there, def here\)"),
        ({"space": {**SPACE, "options": {"bandwidth": 3}}}, "options"),
        ({"attributes": {}}, "attributes"),
        ({"dtype": "float16"}, "dtype"),
    ):
        with pytest.raises(InputError, match=complaint):
            write(tmp_path / "c", range(2, 3), {**CONFIG, **change})
    check(Corpus.open(tmp_path / "c"), range(2))


def test_wrong_folders(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "text.txt").write_text("mine")
    with pytest.raises(InputError, match="not empty and not a corpus"):
        write(tmp_path / "notes", range(1))
    with pytest.raises(InputError, match="is not a corpus"):
        Corpus.open(tmp_path / "notes")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        write(tmp_path / "file" / "c", range(1))
    write(tmp_path / "empty", range(0))
    with pytest.raises(InputError, match="no finished file"):
        Corpus.open(tmp_path / "empty")
    with (
        CorpusWriter(tmp_path / "c", CONFIG),
        pytest.raises(InputError, match="another process"),
        CorpusWriter(tmp_path / "c", CONFIG),
    ):
        pass
    write(tmp_path / "d", range(2))
    corpus = Corpus.open(tmp_path / "d")
    with pytest.raises(InputError, match="no labels of 'loudness'; it has pitch"):
        corpus.labels(corpus.files()[0], "loudness")
    with pytest.raises(InputError, match="train, val or test"):
        corpus.files("dev")
    next((tmp_path / "d" / "shards").glob("*/latents.npy")).write_bytes(b"")
    with pytest.raises(InputError, match="damaged"):
        Corpus.open(tmp_path / "d").latents(corpus.files()[0])
    config = json.loads((tmp_path / "d" / "corpus.json").read_text())
    (tmp_path / "d" / "corpus.json").write_text(json.dumps({**config, "format": 99}))
    with pytest.raises(InputError, match="format 99"):
        Corpus.open(tmp_path / "d")


def test_summary_counts_every_valid_frame(tmp_path: Path) -> None:
    write(tmp_path / "c", range(8))
    corpus = Corpus.open(tmp_path / "c")
    summary = summarise(corpus, ["x.wav: broken"])
    labels = summary["attributes"]["pitch"]
    used = sum(int(corpus.labels(file, "pitch")[1].sum()) for file in corpus.files())
    assert sum(labels["counts"]) == used == round(labels["valid"] * corpus.frames())
    assert sum(row["files"] for row in summary["splits"].values()) == 8
    assert summary["skipped"] == ["x.wav: broken"]
    assert json.loads(json.dumps(summary)) == summary
    assert len(labels["counts"]) == 20


@given(hashes=st.lists(st.text("0123456789abcdef", min_size=12, max_size=12), max_size=40, unique=True))
def test_the_split_goes_by_content(hashes: list[str]) -> None:
    splits = dict(zip(hashes, assign(hashes, [None] * len(hashes)), strict=True))
    # The order does not matter.
    turned = hashes[::-1]
    assert dict(zip(turned, assign(turned, [None] * len(turned)), strict=True)) == splits
    if len(hashes) >= 3:
        assert set(splits.values()) == set(SPLITS)
    # A given split stands, and files with one are not moved to fill others.
    assert assign(hashes, ["test"] * len(hashes)) == ["test"] * len(hashes)


def test_split_shares() -> None:
    hashes = [f"{value:012x}" for value in np.random.default_rng(0).integers(0, 16**12, 4000)]
    splits = assign(hashes, [None] * len(hashes))
    assert splits.count("val") == pytest.approx(400, abs=80)
    assert splits.count("test") == pytest.approx(400, abs=80)
    more = assign([*hashes, "0" * 12], [None] * 4001)
    assert more[:4000] == splits


def test_ready_latents_in_every_format_and_layout(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    folder = tmp_path / "latents"
    folder.mkdir()
    clips = {name: torch.randn(20 + index, 64) for index, name in enumerate(("a", "b", "c", "d"))}
    torch.save(clips["a"].T.unsqueeze(0).contiguous(), folder / "a.pt")
    np.save(folder / "b.npy", clips["b"].numpy())
    save_file({"latent": clips["c"].T.contiguous()}, folder / "c.safetensors")
    torch.save({"latent": clips["d"].unsqueeze(0)}, folder / "d.pt")
    corpus = import_latents(folder, tmp_path / "c", "diffrhythm", hold_out=["b"])
    assert [(file.name, file.split) for file in corpus.files()] == [
        ("a.pt", "train"),
        ("b.npy", "test"),
        ("c.safetensors", "train"),
        ("d.pt", "train"),
    ]
    for file in corpus.files():
        np.testing.assert_array_equal(corpus.latents(file), clips[file.name[0]].numpy())
    assert corpus.attributes == ()
    assert corpus.space_info["spaces"] == ["diffrhythm", "stable-audio"]
    again = import_latents(folder, tmp_path / "c", "diffrhythm", hold_out=["b"])
    assert again.files() == corpus.files()


def test_wrong_ready_latents(tmp_path: Path) -> None:
    folder = tmp_path / "latents"
    folder.mkdir()
    with pytest.raises(InputError, match="holds no latents"):
        import_latents(folder, tmp_path / "c", "diffrhythm")
    np.save(folder / "a.npy", np.zeros((10, 12), np.float32))
    with pytest.raises(InputError, match=r"shape \[10, 12\]: expected \[1, 64, T\]"):
        import_latents(folder, tmp_path / "c", "diffrhythm")
    np.save(folder / "a.npy", np.full((10, 64), np.nan, np.float32))
    with pytest.raises(InputError, match="not finite"):
        import_latents(folder, tmp_path / "c2", "diffrhythm")
    (folder / "a.npy").write_bytes(b"hello")
    with pytest.raises(InputError, match="cannot read latents"):
        import_latents(folder, tmp_path / "c3", "diffrhythm")
    with pytest.raises(InputError, match="size of rave depends on its weights"):
        import_latents(folder, tmp_path / "c5", "rave")
    with pytest.raises(InputError, match="no file is called song"):
        import_latents(folder, tmp_path / "c4", "diffrhythm", hold_out=["song"])


def test_the_songs_of_diffrhythm(shared: Path, tmp_path: Path) -> None:
    corpus = import_latents(shared / "data/diffrhythm/latent", tmp_path / "c", "diffrhythm", ["549162241"])
    assert corpus.frames() == 20_727
    assert (len(corpus.files("train")), len(corpus.files("test"))) == (3, 1)
    assert isinstance(corpus.files("test")[0], CorpusFile)
    _, std = corpus.statistics()
    assert 0.6 < std.min() < std.max() < 1.4


def read_all(corpus):
    for file in corpus.files():
        corpus.latents(file)
        for attribute in corpus.attributes:
            corpus.labels(file, attribute)


def spoil(folder, name, change):
    path = folder / "shards" / "00000" / f"{name}.npy"
    np.save(path, change(np.load(path)))


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        ("latents", lambda rows: rows[:, :5], r"latents\.npy .* is not \[frames, 12\]"),
        ("latents", lambda rows: rows.astype(np.int32), "is not"),
        ("latents", lambda rows: rows[:-1], "too short"),
        ("pitch", lambda rows: rows[:, :1], r"pitch\.npy .* is not \[frames, 2\]"),
        ("pitch", lambda rows: rows[:40], "too short"),
        ("loudness", lambda rows: np.where(rows > 0.4, np.inf, rows), "labels of loudness .* not finite"),
        ("loudness", lambda rows: np.full_like(rows, np.nan), "not finite"),
    ],
)
def test_arrays_that_are_not_those_of_the_file_table_are_refused(name, change, says, tmp_path):
    tiny_corpus(tmp_path / "corpus")
    spoil(tmp_path / "corpus", name, change)
    corpus = forget_checksums(tmp_path / "corpus")
    with pytest.raises(InputError, match=says):
        read_all(corpus)


@pytest.mark.parametrize(
    "content", ["[" * 100_000, "[]", '{"format": 1}', '{"format": 1, "space": {}, "attributes": {}}']
)
def test_a_corpus_file_that_is_none_is_one_line(content, tmp_path):
    (tmp_path / "corpus.json").write_text(content)
    with pytest.raises(InputError) as refused:
        Corpus.open(tmp_path)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("damage", ["folder", "header"])
def test_damage_is_one_line(damage, tmp_path):
    corpus = tiny_corpus(tmp_path / "corpus")
    if damage == "folder":
        (corpus.path / "files.jsonl").unlink()
        (corpus.path / "files.jsonl").mkdir()
    else:
        array = corpus.path / "shards" / "00000" / "pitch.npy"
        content = bytearray(array.read_bytes())
        content[10:40] = b"{'descr': (((((" + bytes(15)
        array.write_bytes(bytes(content))
    with pytest.raises(InputError, match=r"cannot be read|is damaged"):
        Corpus.open(corpus.path).train_values("pitch")
