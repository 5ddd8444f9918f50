"""A corpus holds what its sources hold now: changed, removed and moved files are followed."""

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from support.corpus import tiny_corpus

from probes.corpus import Corpus
from probes.corpus.encoding import Recipe, encode_into
from probes.corpus.job import EncodeOptions, encode_corpus
from probes.corpus.ready_latents import import_latents
from probes.corpus.sources import audio_sources
from probes.errors import InputError

RATE = 22050
RECIPE = Recipe("mini", attributes={"loudness": {}})


def tone(level: float, seconds: float = 1.0) -> np.ndarray:
    return (level * np.sin(2 * np.pi * 330 * np.arange(int(seconds * RATE)) / RATE)).astype(np.float32)


@pytest.fixture
def audio(tmp_path: Path) -> Path:
    folder = tmp_path / "audio"
    folder.mkdir()
    for index in range(4):
        soundfile.write(folder / f"n{index}.wav", tone(0.05 * (index + 1)), RATE)
    return folder


def encode(audio: Path | str, out: Path) -> Corpus:
    encode_into(out, audio_sources(str(audio)), RECIPE)
    return Corpus.open(out)


def level(corpus: Corpus, name: str) -> float:
    file = next(file for file in corpus.files() if file.name == name)
    return float(corpus.labels(file, "loudness")[0].mean())


def test_a_file_of_the_same_size_with_other_content_is_encoded_again(audio: Path, tmp_path: Path) -> None:
    corpus = encode(audio, tmp_path / "c")
    first = corpus.fingerprint
    soundfile.write(audio / "n0.wav", tone(0.5), RATE)
    again = encode(audio, tmp_path / "c")
    assert level(again, "n0.wav") == pytest.approx(0.5 / np.sqrt(2), rel=0.05)
    assert level(again, "n1.wav") == level(corpus, "n1.wav")
    assert again.fingerprint != first
    assert encode(audio, tmp_path / "c").fingerprint == again.fingerprint


def test_removed_files_leave_the_corpus_and_may_come_back(audio: Path, tmp_path: Path) -> None:
    encode(audio, tmp_path / "c")
    kept = (audio / "n3.wav").read_bytes()
    (audio / "n3.wav").unlink()
    with pytest.warns(UserWarning, match=r"1 files .* left the corpus: n3\.wav"):
        corpus = encode(audio, tmp_path / "c")
    assert [file.name for file in corpus.files()] == ["n0.wav", "n1.wav", "n2.wav"]
    (audio / "n3.wav").write_bytes(kept)
    assert len(encode(audio, tmp_path / "c").files()) == 4
    assert level(encode(audio, tmp_path / "c"), "n3.wav") == pytest.approx(0.2 / np.sqrt(2), rel=0.05)


def contents(corpus: Corpus) -> dict[str, tuple[bytes, bytes]]:
    """Latents and labels by name."""
    return {
        file.name: (corpus.latents(file).tobytes(), corpus.labels(file, "loudness")[0].tobytes())
        for file in corpus.files()
    }


@pytest.mark.parametrize("change", ["renamed", "moved into a folder", "swapped"])
def test_files_of_other_names_stay_and_are_not_encoded_again(change: str, audio: Path, tmp_path: Path) -> None:
    before = contents(encode(audio, tmp_path / "c"))
    if change == "renamed":
        moved = {"n0.wav": "piano.wav"}
    elif change == "moved into a folder":
        (audio / "x").mkdir()
        moved = {f"n{index}.wav": f"x/n{index}.wav" for index in range(4)}
    else:
        moved = {"n0.wav": "n1.wav", "n1.wav": "n0.wav"}
    sounds = {new: (audio / old).read_bytes() for old, new in moved.items()}
    for old in moved:
        (audio / old).unlink()
    for new, sound in sounds.items():
        (audio / new).write_bytes(sound)
    done: list[Any] = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        failed = encode_into(tmp_path / "c", audio_sources(str(audio)), RECIPE, on_file=done.append)
    assert not failed
    assert done == [None] * 4
    assert contents(Corpus.open(tmp_path / "c")) == {moved.get(name, name): own for name, own in before.items()}
    assert encode(audio, tmp_path / "c").fingerprint == encode(audio, tmp_path / "fresh").fingerprint


def test_of_two_copies_the_first_source_stays(audio: Path, tmp_path: Path) -> None:
    encode(audio, tmp_path / "c")
    (audio / "a.wav").write_bytes((audio / "n0.wav").read_bytes())
    failed = encode_into(tmp_path / "c", audio_sources(str(audio)), RECIPE)
    assert [result.error for result in failed] == ["n0.wav: the same content as a.wav"]
    assert contents(Corpus.open(tmp_path / "c")) == contents(encode(audio, tmp_path / "fresh"))
    (audio / "a.wav").unlink()
    assert [file.name for file in encode(audio, tmp_path / "c").files()] == [f"n{index}.wav" for index in range(4)]


def test_a_changed_split_is_followed(audio: Path, tmp_path: Path) -> None:
    manifest = audio / "m.csv"
    rows = ["path,split", *(f"n{index}.wav,train" for index in range(4))]
    manifest.write_text("\n".join(rows) + "\n")
    assert {file.split for file in encode(manifest, tmp_path / "c").files()} == {"train"}
    rows[1] = "n0.wav,test"
    manifest.write_text("\n".join(rows) + "\n")
    corpus = encode(manifest, tmp_path / "c")
    assert {file.name for file in corpus.files("test")} == {"n0.wav"}
    assert len(corpus.files()) == 4


def test_copies_in_several_formats_share_a_split(audio: Path, tmp_path: Path) -> None:
    for index in range(4):
        samples, _ = soundfile.read(audio / f"n{index}.wav")
        soundfile.write(audio / f"copy{index}.flac", samples, RATE)
    splits = {file.name: file.split for file in encode(audio, tmp_path / "c").files()}
    assert len(splits) == 8
    for index in range(4):
        assert splits[f"copy{index}.flac"] == splits[f"n{index}.wav"]


def test_a_copy_that_is_to_stand_in_another_split_is_left_out(audio: Path, tmp_path: Path) -> None:
    samples, _ = soundfile.read(audio / "n1.wav")
    soundfile.write(audio / "copy.flac", samples, RATE)
    (audio / "m.csv").write_text("path,split\nn1.wav,train\ncopy.flac,test\nn2.wav,test\n")
    failed = encode_into(tmp_path / "c", audio_sources(str(audio / "m.csv")), RECIPE)
    assert [result.error for result in failed] == ["copy.flac: the same recording as n1.wav, which is in another split"]
    assert len(Corpus.open(tmp_path / "c").files()) == 2


def test_a_file_that_can_no_longer_be_read_leaves_nothing_old(audio: Path, tmp_path: Path) -> None:
    encode(audio, tmp_path / "c")
    (audio / "n2.wav").write_bytes(b"not audio")
    assert [file.name for file in encode(audio, tmp_path / "c").files()] == ["n0.wav", "n1.wav", "n3.wav"]


def latents(folder: Path, **changes: Any) -> Path:
    folder.mkdir(exist_ok=True)
    random = np.random.default_rng(0)
    for name in "abc":
        array = changes.get(name, random.standard_normal((30, 64)).astype(np.float32))
        if array is not None:
            np.save(folder / f"{name}.npy", array)
    return folder


def test_ready_latents_are_followed_too(tmp_path: Path) -> None:
    folder = latents(tmp_path / "l")
    first = import_latents(folder, tmp_path / "c", "mini")
    before = first.fingerprint
    latents(folder, b=np.ones((30, 64), np.float32))
    again = import_latents(folder, tmp_path / "c", "mini")
    assert again.fingerprint != before
    (folder / "a.npy").unlink()
    with pytest.warns(UserWarning, match=r"left the corpus: a\.npy"):
        third = import_latents(folder, tmp_path / "c", "mini")
    assert [file.name for file in third.files()] == ["b.npy", "c.npy"]
    assert np.array_equal(third.latents(third.files()[0]), np.ones((30, 64), np.float32))


@pytest.mark.parametrize("hold_out", [(), ("a",), ("b",)])
def test_ready_latents_with_the_content_of_others_are_left_out(hold_out: tuple[str, ...], tmp_path: Path) -> None:
    folder = latents(tmp_path / "l")
    options = EncodeOptions(tmp_path / "c", latents=folder, space="mini", hold_out=hold_out)
    assert encode_corpus(options)["skipped"] == []
    (folder / "b.npy").write_bytes((folder / "a.npy").read_bytes())
    with pytest.warns(UserWarning, match=r"left out: b\.npy: the same content as a\.npy"):
        assert encode_corpus(options)["skipped"] == ["b.npy: the same content as a.npy"]
    corpus = Corpus.open(tmp_path / "c")
    assert [file.name for file in corpus.files()] == ["a.npy", "c.npy"]
    if hold_out == ("a",):
        assert [file.split for file in corpus.files()] == ["test", "train"]
    np.save(folder / "b.npy", np.ones((30, 64), np.float32))
    assert encode_corpus(options)["skipped"] == []
    assert len(Corpus.open(tmp_path / "c").files()) == 3


def test_square_latents_could_be_read_both_ways(tmp_path: Path) -> None:
    folder = latents(tmp_path / "l", a=np.zeros((64, 64), np.float32))
    with pytest.raises(InputError, match=r"as \[64, T\] and as \[T, 64\]"):
        import_latents(folder, tmp_path / "c", "mini")
    latents(folder, a=np.zeros((1, 64, 64), np.float32))
    assert len(import_latents(folder, tmp_path / "c2", "mini").files()) == 3


WHOLE = b'{"name": "x", "hash": "00", "split": null, "size": null, "shard": 0, "start": 0, "frames": 3}'


@pytest.mark.parametrize(
    "line",
    [
        b"\0" * 40,
        b"",
        b"[]",
        b"null",
        b'{"name": "x"}',
        b"{",
        WHOLE[:-20],
        WHOLE.replace(b'"x"', b"null"),
        WHOLE.replace(b'"frames": 3', b'"frames": "3"'),
        WHOLE.replace(b'"frames": 3', b'"frames": -3'),
        WHOLE.replace(b'"start": 0', b'"start": 1.5'),
        WHOLE.replace(b'"split": null', b'"split": "dev"'),
        WHOLE.replace(b'"hash": "00"', b'"hash": "not hexadecimal"'),
        WHOLE.replace(b"}", b', "checksums": ["a"]}'),
    ],
)
def test_a_damaged_line_of_the_index_is_told(line: bytes, tmp_path: Path) -> None:
    tiny_corpus(tmp_path / "c")
    index = tmp_path / "c" / "files.jsonl"
    lines = index.read_bytes().split(b"\n")
    lines[1] = line
    index.write_bytes(b"\n".join(lines))
    with pytest.raises(InputError, match=r"line 2 of .*files\.jsonl") as refused:
        Corpus.open(tmp_path / "c")
    assert "\n" not in str(refused.value)


def test_the_fingerprint_knows_content_split_and_options(tmp_path: Path) -> None:
    one = tiny_corpus(tmp_path / "1").fingerprint
    assert tiny_corpus(tmp_path / "2").fingerprint == one
    assert tiny_corpus(tmp_path / "3", seed=1).fingerprint != one
    assert tiny_corpus(tmp_path / "4", splits=("train",) * 5 + ("val", "test")).fingerprint != one
    config = json.loads((tmp_path / "1" / "corpus.json").read_text())
    config["attributes"]["pitch"]["threshold"] = 0.7
    (tmp_path / "1" / "corpus.json").write_text(json.dumps(config))
    assert Corpus.open(tmp_path / "1").fingerprint != one


def test_a_path_that_no_file_system_takes_is_a_file_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text(f"path,split\n{'9' * 5000}.wav,train\n")
    (source,) = audio_sources(str(tmp_path / "m.csv"))
    assert source.size is None


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"latents": "x", "weights": "w"}, "weights has no meaning beside latents"),
        ({"latents": "x", "hours": -4.0}, "hours has no meaning beside latents"),
        ({"latents": "x", "labels": "annotation"}, "labels has no meaning beside latents"),
        ({"audio": "songs", "attributes": ("loudness",), "pitch_tracker": "nonsense"}, "full or tiny"),
    ],
)
def test_options_without_a_meaning_are_refused(given: dict[str, Any], says: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=says):
        encode_corpus(EncodeOptions(tmp_path / "c", **given))
    assert not (tmp_path / "c").exists()
