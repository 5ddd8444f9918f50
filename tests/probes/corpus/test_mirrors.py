"""Hours of a collection from a mirror, on repositories of the same layout that lie on this machine."""

import csv
import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
import yaml
from typer.testing import CliRunner

from probes.attributes import get_attribute
from probes.corpus import Corpus
from probes.corpus.collections import COLLECTIONS, collect_from_hub
from probes.corpus.collections.mirrors import FileMirror, RowMirror
from probes.corpus.job import EncodeOptions, encode_corpus
from probes.errors import InputError
from tracer.commands.fit import app
from tracer.fetching import of_collection

RATE, SECONDS = 8000, 0.5


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "generation-tracer"


def wav(number: int, channels: int = 1) -> bytes:
    """A short tone that differs from all others."""
    tone = 0.2 * np.sin(2 * np.pi * (200 + 7 * number) * np.arange(round(RATE * SECONDS)) / RATE)
    content = io.BytesIO()
    soundfile.write(content, np.repeat(tone[:, None], channels, 1), RATE, format="WAV")
    return content.getvalue()


def write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def table(path: Path, rows: list[dict[str, object]]) -> None:
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def midi(path: Path, pitch: int, drums: bool) -> None:
    import pretty_midi

    music, one = pretty_midi.PrettyMIDI(), pretty_midi.Instrument(0, is_drum=drums)
    one.notes = [pretty_midi.Note(80, pitch, 0.1, 0.3)]
    music.instruments = [one]
    path.parent.mkdir(parents=True, exist_ok=True)
    music.write(str(path))


def mirrored(monkeypatch: pytest.MonkeyPatch, name: str, mirror: Any) -> None:
    """Give a collection another mirror."""
    both = COLLECTIONS | {name: replace(COLLECTIONS[name], mirror=mirror)}
    monkeypatch.setattr("probes.corpus.collections.COLLECTIONS", both)


def maestro(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files in year folders beside their table, as ddPn08/maestro-v3.0.0 has them; ten of each split."""
    rows: list[dict[str, object]] = []
    for number in range(30):
        split = ("train", "validation", "test")[number % 3]
        stem = f"{2004 + number % 3}/piece {number}"
        write(root / f"{stem}.wav", wav(number))
        midi(root / f"{stem}.midi", 60, drums=False)
        rows.append(
            {"split": split, "audio_filename": f"{stem}.wav", "midi_filename": f"{stem}.midi", "duration": SECONDS}
        )
    table(root / "maestro-v3.0.0.csv", rows)
    real = COLLECTIONS["maestro"].mirror
    assert isinstance(real, FileMirror)
    mirrored(monkeypatch, "maestro", replace(real, url=f"file://{root}"))


def egmd(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Audio and MIDI by split and kit, and metadata.csv, as schism-audio/e-gmd has them."""
    rows: list[dict[str, object]] = []
    for number in range(30):
        split = ("train", "validation", "test")[number % 3]
        stem = f"{split}/acoustic-kit/drummer1/session1/{number}_funk_80_beat_4-4_1"
        audio, notes = f"audio/{stem}.wav", f"midi/{stem}.midi"
        write(root / audio, wav(number))
        midi(root / notes, 36, drums=True)
        rows.append(
            {"file_name": audio, "drummer": "drummer1", "bpm": 80, "duration": SECONDS, "split": split}
            | {"kit_name": "Acoustic Kit", "midi_path": notes, "audio_path": audio}
        )
    table(root / "metadata.csv", rows)
    real = COLLECTIONS["egmd"].mirror
    assert isinstance(real, FileMirror)
    mirrored(monkeypatch, "egmd", replace(real, url=f"file://{root}"))


def guitarset(root: Path, monkeypatch: pytest.MonkeyPatch, column: str = "audio_mono_mic") -> None:
    """Rows with an audio column for each version and the notes, in Parquet files, as jhartquist/guitarset has them."""
    from datasets import Audio, Features, List, Value

    note = {
        "string": Value("int32"),
        "onset_s": Value("float64"),
        "offset_s": Value("float64"),
        "midi": Value("float64"),
    }
    features = Features(
        {
            "track_id": Value("string"), "player": Value("int32"), "style": Value("string"),
            "duration_s": Value("float64"), column: Audio(), "audio_hex_pickup_original": Audio(), "notes": List(note),
        }
    )  # fmt: skip
    rows = [
        {
            "track_id": f"{number // 5:02d}_BN{number % 5}-129-{'C#' if number % 2 else 'Eb'}_comp",
            "player": number // 5, "style": "comp", "duration_s": SECONDS,
            column: {"bytes": wav(number), "path": None},
            "audio_hex_pickup_original": {"bytes": wav(number, 6), "path": None},
            "notes": [{"string": 0, "onset_s": 0.1, "offset_s": 0.3, "midi": 50.5}],
        }
        for number in range(30)
    ]  # fmt: skip
    (root / "data").mkdir(parents=True)
    for shard in range(3):
        part = pa.Table.from_pylist(rows[10 * shard : 10 * shard + 10], schema=features.arrow_schema)
        pq.write_table(part, root / "data" / f"train-{shard:05d}-of-00003.parquet", row_group_size=4)
    about = {"features": features._to_yaml_list(), "splits": [{"name": "train", "num_examples": 30}]}
    card = {"dataset_info": about, "configs": [{"config_name": "default", "data_files": "data/train-*"}]}
    (root / "README.md").write_text(f"---\n{yaml.safe_dump(card)}---\n")
    real = COLLECTIONS["guitarset"].mirror
    assert isinstance(real, RowMirror)
    mirrored(monkeypatch, "guitarset", replace(real, name=str(root), revision=None))


MIRRORS: dict[str, Callable[[Path, pytest.MonkeyPatch], None]] = {
    "guitarset": guitarset, "maestro": maestro, "egmd": egmd,
}  # fmt: skip


@pytest.mark.parametrize("name", MIRRORS)
def test_never_more_than_the_hours_that_are_asked_for(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    MIRRORS[name](tmp_path / "hub", monkeypatch)
    hours = 10.2 * SECONDS / 3600
    sources, (row,) = collect_from_hub(name, None, hours)
    found = list(sources)
    assert (row.there, row.taken, row.wanted) == (30, 10, hours)
    assert row.hours * 3600 == pytest.approx(10 * SECONDS)
    assert row.source.startswith(("file://", "hf://"))
    splits = [source.split for source in found]
    assert {split: splits.count(split) for split in splits} == {"train": 8, "val": 1, "test": 1}
    names = [source.name for source in found]
    assert names == [source.name for source in collect_from_hub(name, None, hours)[0]]
    assert set(names) != {source.name for source in collect_from_hub(name, None, hours, seed=1)[0]}
    everything = list(collect_from_hub(name, None, 100.0)[0])
    assert len(everything) == 30
    assert {len(source.read()[0]) for source in everything} == {1}


def test_only_what_is_taken_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    maestro(tmp_path / "hub", monkeypatch)
    sources, _ = collect_from_hub("maestro", None, 10.2 * SECONDS / 3600)
    assert {path.name for path in cache.rglob("*.*")} == {"maestro-v3.0.0.csv", "files.json"}
    first = next(sources)
    assert len(list(cache.rglob("*.wav"))) == len(list(cache.rglob("*.midi"))) == 1
    assert first.read()[0].shape == (1, RATE * SECONDS)
    list(sources)
    assert len(list(cache.rglob("*.wav"))) == 10


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", MIRRORS)
def test_a_mirror_becomes_a_corpus_with_labels_from_its_annotations(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    MIRRORS[name](tmp_path / "hub", monkeypatch)
    attributes = ("onset", "tempo") if name == "egmd" else ("onset", "pitch")
    taken: list[Any] = []
    options = EncodeOptions(
        tmp_path / "corpus", name, attributes=attributes, labels="annotation", hours=10.2 * SECONDS / 3600, device="cpu"
    )
    summary = encode_corpus(options, on_taken=taken.extend)
    assert {split: row["files"] for split, row in summary["splits"].items()} == {"train": 8, "val": 1, "test": 1}
    assert [row.licence for row in taken] == [COLLECTIONS[name].licence]
    corpus = Corpus.open(tmp_path / "corpus")
    (file,) = corpus.files("val")
    assert np.flatnonzero(corpus.labels(file, "onset")[0]) == [int(0.1 * corpus.frame_rate)]
    values, valid = corpus.labels(file, attributes[1])
    assert set(values[valid]) == {{"guitarset": 50.5, "maestro": 60, "egmd": 80}[name]}
    assert encode_corpus(options)["splits"] == summary["splits"]  # and again, when all is there


def test_another_version_of_guitarset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    guitarset(tmp_path / "hub", monkeypatch)
    (source, *_) = collect_from_hub("guitarset", "hex-pickup_original", 100.0)[0]
    assert source.voices
    assert len(source.read()[0]) == 6
    with pytest.raises(InputError, match=r"has no column audio_mono_pickup_mix: give the data set's folder with root"):
        list(collect_from_hub("guitarset", "mono-pickup_mix", 100.0)[0])
    with pytest.raises(InputError, match="guitarset has the parts mono-mic"):
        collect_from_hub("guitarset", "left", 1.0)


def test_mistakes_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    maestro(tmp_path / "hub", monkeypatch)
    with pytest.raises(InputError, match="no recording of MAESTRO v3 fits into hours=1e-06: ask for more"):
        collect_from_hub("maestro", None, 1e-6)
    with pytest.raises(InputError, match="hours must be positive"):
        collect_from_hub("maestro", None, float("nan"))
    with pytest.raises(InputError, match=r"damp-vsep is known by name, but no mirror of it on the hub: .*egmd"):
        collect_from_hub("damp-vsep")
    gone = COLLECTIONS["guitarset"].mirror
    assert isinstance(gone, RowMirror)
    mirrored(monkeypatch, "guitarset", replace(gone, name=str(tmp_path / "gone")))
    with pytest.raises(InputError, match=r"nothing lies at hf://.*gone@4aca2548\w+: check the address") as told:
        collect_from_hub("guitarset")
    assert "\n" not in str(told.value)


def test_licence_and_size_are_told_before_anything_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    (entry,) = of_collection("maestro", None, None, 2.0)
    assert (entry.licence, entry.download) == ("CC BY-NC-SA 4.0", pytest.approx(1.22))
    assert entry.source == "hf://datasets/ddPn08/maestro-v3.0.0@67e586b1dcf5925c94a6729fcd5eb7f23d504fac"
    (hex_entry,) = of_collection("guitarset", None, "hex-pickup_original", 1.0)
    assert hex_entry.download == pytest.approx(1.9)
    assert of_collection("maestro", tmp_path, None, 1.0) == of_collection("damp-vsep", None, None, 1.0) == []
    assert of_collection("songs/", None, None, 1.0) == of_collection(None, None, None, 1.0) == []
    maestro(tmp_path / "hub", monkeypatch)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    words = ["encode", "--audio", "maestro", "--hours", "2", "--out", str(tmp_path / "corpus"), "--device", "cpu"]
    result = CliRunner().invoke(app, words)
    assert isinstance(result.exception, InputError)
    told = result.exception.on_command_line
    assert "about 1.2 GB, 2 hours of MAESTRO v3, CC BY-NC-SA 4.0): add --yes, or give --root FOLDER" in told
    assert not cache.exists()
    assert not (tmp_path / "corpus").exists()
    result = CliRunner().invoke(app, [*words, "--yes", "--attributes", "loudness"])
    assert result.exit_code == 0, result.output
    assert "CC BY-NC-SA 4.0" in result.output
    assert f"maestro comes from file://{tmp_path / 'hub'}" in result.output


def test_help_names_the_attributes() -> None:
    told = CliRunner().invoke(app, ["encode", "--help"], env={"COLUMNS": "200", "TERM": "dumb"}).output
    for name in ("pitch", "chroma", "chord", "drums"):
        assert get_attribute(name).name in told.split("--attributes")[1].split("--labels")[0]
