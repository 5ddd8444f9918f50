"""Data sets by name, on small trees of the same shape as the real ones."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from probes.corpus import Corpus
from probes.corpus.annotations import read_notes
from probes.corpus.collections import COLLECTIONS, collect
from probes.corpus.job import EncodeOptions, encode_corpus
from probes.corpus.sources import audio_sources
from probes.errors import InputError

RATE = 8000


def tone(path: Path, number: int = 0, seconds: float = 0.5, file_format: str | None = None) -> Path:
    """A short tone that differs from all others."""
    path.parent.mkdir(parents=True, exist_ok=True)
    times = np.arange(round(RATE * seconds)) / RATE
    soundfile.write(path, 0.2 * np.sin(2 * np.pi * (200 + 7 * number) * times), RATE, format=file_format)
    return path


def table(path: Path, rows: list[dict[str, str]]) -> None:
    """A CSV file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def guitarset(root: Path) -> Path:
    """Six players; keys with # and b; accompaniment and solo; a stray file."""
    for number, (player, key) in enumerate([(p, k) for p in range(6) for k in ("Eb", "C#")]):
        for kind in ("comp", "solo"):
            stem = f"{player:02d}_BN1-129-{key}_{kind}"
            tone(root / "audio_mono-mic" / f"{stem}_mic.wav", 4 * number + (kind == "solo"))
            tone(root / "audio_mono-pickup_mix" / f"{stem}_mix.wav", 4 * number + 2 + (kind == "solo"))
    tone(root / "audio_mono-mic" / "test_mic.wav", 99)
    return root


def maestro(root: Path) -> Path:
    """Three splits in year folders, and a row without audio."""
    rows = []
    for number, split in enumerate(("train", "train", "validation", "test", "train")):
        name = f"{2004 + number % 2}/piece {number}.wav"
        rows.append({"split": split, "audio_filename": name, "midi_filename": "x.midi", "duration": "0.5"})
        if number < 4:
            tone(root / name, 100 + number)
    table(root / "maestro-v3.0.0.csv", rows)
    return root


def egmd(root: Path) -> Path:
    """One id on two kits, a row without an audio name, a row whose audio is missing."""
    rows = []
    for kit in ("Acoustic", "808"):
        for number, split in enumerate(("train", "validation", "test")):
            name = f"drummer1/session{number}/1_funk_80_beat_4-4_{kit}.wav"
            rows.append({"drummer": "drummer1", "id": f"drummer1/{number}", "split": split, "audio_filename": name})
            tone(root / name, 200 + len(rows))
    rows.append({"drummer": "drummer2", "id": "drummer2/0", "split": "train", "audio_filename": ""})
    rows.append({"drummer": "drummer2", "id": "drummer2/1", "split": "train", "audio_filename": "drummer2/absent.wav"})
    table(root / "e-gmd-v1.0.0.csv", rows)
    return root


def cocochorales(root: Path) -> Path:
    """Folders by split, and flattened ones."""
    for number, place in ((1, "main_dataset/train/"), (192001, "main_dataset/valid/"), (216001, ""), (240000, "")):
        folder = root / f"{place}string_track{number:06d}"
        tone(folder / "mix.wav", number % 997)
        tone(folder / "stems_audio" / "1_violin.wav", number % 991)
    return root


def damp_vsep(root: Path) -> Path:
    """Vocals as Ogg, the rest as m4a, and lists of two splits."""
    for number in range(4):
        folder = root / "songs" / f"{1000 + number}_key"
        tone(folder / "vocal.ogg", 400 + number, file_format="OGG")
        (folder / "mix.m4a").write_bytes(b"\0\0\0\x20ftypM4A ")
    (root / "train.csv").write_text("perf_key,plan\n1000_key,a\n1001_key,b\n")
    (root / "valid.csv").write_text("perf_key\n1002_key\n")
    return root


TREES: dict[str, Callable[[Path], Path]] = {
    "guitarset": guitarset, "maestro": maestro, "egmd": egmd, "cocochorales": cocochorales, "damp-vsep": damp_vsep,
}  # fmt: skip


def splits(name: str, root: Path, part: str | None = None) -> dict[str, str | None]:
    return {source.name: source.split for source in collect(name, root, part)[0]}


def test_guitarset_holds_out_players(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="1 files with other names are left out: test_mic.wav"):
        found = splits("guitarset", guitarset(tmp_path))
    assert len(found) == 24
    assert found["03_BN1-129-C#_solo"] == "train"
    assert {name[:2] for name, split in found.items() if split == "val"} == {"04"}
    assert {name[:2] for name, split in found.items() if split == "test"} == {"05"}
    (source, *_), _ = collect("guitarset", tmp_path, "mono-pickup_mix")
    assert source.path.name.endswith("_mix.wav")


def test_maestro_keeps_its_split_and_counts_what_is_missing(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="1 of 5 rows have no audio here"):
        found = splits("maestro", maestro(tmp_path))
    assert found == {
        "2004/piece 0.wav": "train", "2005/piece 1.wav": "train", "2004/piece 2.wav": "val", "2005/piece 3.wav": "test",
    }  # fmt: skip


def test_egmd_goes_by_audio_file_and_not_by_id(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="2 of 8 rows have no audio here"):
        found = splits("egmd", egmd(tmp_path))
    assert len(found) == 6
    assert sorted(found.values(), key=str) == ["test", "test", "train", "train", "val", "val"]


def test_cocochorales_goes_by_number_in_folders_or_flat(tmp_path: Path) -> None:
    found = splits("cocochorales", cocochorales(tmp_path))
    assert found == {
        "string_track000001": "train", "string_track192001": "val", "string_track216001": "test",
        "string_track240000": "test",
    }  # fmt: skip


def test_damp_vsep_takes_vocals_and_says_what_m4a_needs(tmp_path: Path) -> None:
    found = splits("damp-vsep", damp_vsep(tmp_path))
    assert found == {"1000_key": "train", "1001_key": "train", "1002_key": "val", "1003_key": None}
    with pytest.raises(InputError, match=r"mix.m4a needs ffmpeg: convert each \(ffmpeg -i mix.m4a mix.wav\)"):
        collect("damp-vsep", tmp_path, "mix")
    tone(tmp_path / "songs" / "1000_key" / "mix.wav", 500)
    with pytest.warns(UserWarning, match="3 files are m4a, which needs ffmpeg: left out"):
        assert list(splits("damp-vsep", tmp_path, "mix")) == ["1000_key"]


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_paper_mix_takes_hours_of_each_and_names_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place, name in enumerate(("guitarset", "maestro", "egmd", "cocochorales")):
        TREES[name](tmp_path / f"unpacked {place}")
    sources, taken = collect("paper", tmp_path)
    assert [(row.name, row.there, row.taken) for row in taken] == [
        ("guitarset", 24, 24), ("maestro", 4, 4), ("egmd", 6, 6), ("cocochorales", 4, 4), ("damp-vsep", 0, 0),
    ]  # fmt: skip
    assert [row.wanted for row in taken] == [11.2, 11.7, 7.8, 0.4, 0.55]
    assert len(sources) == 38
    assert len({source.name for source in sources}) == 38
    short = {name: type(one)(**(vars(one) | {"hours": 2.0 / 3600})) for name, one in COLLECTIONS.items()}
    monkeypatch.setattr("probes.corpus.collections.COLLECTIONS", short)
    sources, taken = collect("paper", tmp_path)
    assert [row.taken for row in taken] == [4, 4, 4, 4, 0]  # half a second each
    again = collect("paper", tmp_path)[0]
    assert sources == again
    assert {source.name for source in collect("paper", tmp_path, seed=1)[0]} != {source.name for source in sources}


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_collection_becomes_a_corpus_with_its_splits(tmp_path: Path) -> None:
    options = EncodeOptions(
        out=tmp_path / "corpus", audio="egmd", root=egmd(tmp_path / "egmd"), attributes=("loudness",), device="cpu"
    )
    summary = encode_corpus(options)
    assert {split: row["files"] for split, row in summary["splits"].items()} == {"train": 2, "val": 2, "test": 2}
    assert len(Corpus.open(tmp_path / "corpus").files("val")) == 2


def test_pitch_labels_are_the_annotated_notes(tmp_path: Path) -> None:
    import pretty_midi

    music = pretty_midi.PrettyMIDI()
    piano = pretty_midi.Instrument(0)
    piano.notes = [pretty_midi.Note(80, 60, 0.0, 0.25), pretty_midi.Note(80, 64, 0.2, 0.4)]
    music.instruments = [piano]
    rows = []
    for number, split in enumerate(("train", "validation", "test")):
        tone(tmp_path / f"{number}.wav", number)
        music.write(str(tmp_path / f"{number}.midi"))
        row = {"split": split, "audio_filename": f"{number}.wav", "midi_filename": f"{number}.midi", "duration": "0.5"}
        rows.append(row)
    table(tmp_path / "maestro-v3.0.0.csv", rows)
    out = tmp_path / "corpus"
    given = {"out": out, "audio": "maestro", "root": tmp_path, "attributes": ("pitch", "loudness"), "device": "cpu"}
    encode_corpus(EncodeOptions(labels="annotation", **given))
    corpus = Corpus.open(out)
    values, valid = corpus.labels(corpus.files("val")[0], "pitch")
    middles = (np.arange(len(values)) + 0.5) / corpus.frame_rate
    first, second = middles < 0.25, (middles >= 0.2) & (middles < 0.4)
    np.testing.assert_array_equal(valid, first != second)
    np.testing.assert_array_equal(values[valid], np.where(first[valid], 60, 64))
    assert corpus.config["attributes"]["pitch"]["labels"] == "annotation"
    with pytest.raises(InputError, match="corpus"):
        encode_corpus(EncodeOptions(pitch_tracker="tiny", **given))


def test_jams_notes_of_all_strings(tmp_path: Path) -> None:
    notes = [{"time": 0.5, "duration": 0.25, "value": 40.2}], [{"time": 1.0, "duration": 0.5, "value": 55.0}]
    kept = [{"namespace": "note_midi", "data": string} for string in notes]
    content = {"annotations": [*kept, {"namespace": "chord", "data": [{"time": 0, "duration": 1, "value": "C:maj"}]}]}
    path = tmp_path / "a.jams"
    path.write_text(json.dumps(content))
    assert read_notes(path) == [(0.5, 0.75, 40.2), (1.0, 1.5, 55.0)]
    for text in ("{}", "[", json.dumps({"annotations": []}), json.dumps({"annotations": [{"namespace": "note_midi"}]})):
        path.write_text(text)
        with pytest.raises(InputError, match=r"a\.jams"):
            read_notes(path)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_annotations_are_not_made_up(tmp_path: Path) -> None:
    options = {"out": tmp_path / "corpus", "labels": "annotation", "device": "cpu"}
    with pytest.raises(InputError, match=r"none of the 6 files could be encoded; the first: .*no notes come with it"):
        encode_corpus(EncodeOptions(audio="egmd", root=egmd(tmp_path / "egmd"), **options))
    with pytest.raises(InputError, match="takes labels from notes: give root"):
        encode_corpus(EncodeOptions(audio=str(tmp_path), **options))
    with pytest.raises(InputError, match="measured or annotation, not 'own'"):
        encode_corpus(EncodeOptions(audio="rendered", **(options | {"labels": "own"})))


@pytest.mark.parametrize("name", TREES)
def test_a_wrong_folder_says_what_it_lacks(name: str, tmp_path: Path) -> None:
    tone(tmp_path / "music.wav")
    with pytest.raises(InputError, match=f"is not {COLLECTIONS[name].title}: it needs"):
        collect(name, tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        collect(name, tmp_path / "absent")
    with pytest.raises(InputError, match="has the parts"):
        collect(name, tmp_path, "left")


@pytest.mark.parametrize(
    ("audio", "root", "message"),
    [
        ("mestro", ".", "one of guitarset, maestro, egmd, cocochorales, damp-vsep, paper, not 'mestro'"),
        ("maestro", None, "maestro is a collection known by name: give its folder with"),
        ("paper", "empty", "holds none of guitarset"),
        ("paper", "absent", "no such folder"),
    ],
)
def test_mistakes_are_one_line(audio: str, root: str | None, message: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    options = EncodeOptions(out=tmp_path / "corpus", audio=audio, root=None if root is None else tmp_path / root)
    with pytest.raises(InputError, match=message):
        encode_corpus(options)


def test_none_of_a_table_is_there(tmp_path: Path) -> None:
    table(tmp_path / "maestro-v3.0.0.csv", [{"split": "train", "audio_filename": "2004/absent.wav"}])
    with pytest.raises(InputError, match="none of the 1 recordings in the table of MAESTRO is there"):
        collect("maestro", tmp_path)
    table(tmp_path / "maestro-v3.0.0.csv", [{"part": "train", "audio_filename": "2004/absent.wav"}])
    with pytest.raises(InputError, match="has no column 'split'"):
        collect("maestro", tmp_path)


@pytest.mark.parametrize(
    ("word", "split"),
    [("valid", "val"), ("validation", "val"), ("dev", "val"), ("eval", "test"), ("Train", "train"), ("test", "test")],
)
def test_manifests_take_the_usual_words(word: str, split: str, tmp_path: Path) -> None:
    tone(tmp_path / "a.wav")
    (tmp_path / "manifest.csv").write_text(f"path,split\na.wav,{word}\n")
    (source,) = audio_sources(str(tmp_path / "manifest.csv"))
    assert source.split == split
    (tmp_path / "manifest.csv").write_text("path,split\na.wav,odd\n")
    with pytest.raises(InputError, match=r"line 2 of the manifest .* unknown split 'odd'"):
        audio_sources(str(tmp_path / "manifest.csv"))
