"""Data sets by name, on small trees of the same shape as the real ones."""

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from probes.attributes import get_attribute
from probes.attributes.chord import NONE
from probes.attributes.score import Score
from probes.corpus import Corpus
from probes.corpus.annotations import jams_score, key_named
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


def strings(path: Path, number: int) -> Path:
    """Six channels, of which one holds a tone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.zeros((RATE // 2, 6))
    samples[:, number % 6] = 0.2 * np.sin(2 * np.pi * (300 + 7 * number) * np.arange(RATE // 2) / RATE)
    soundfile.write(path, samples, RATE)
    return path


def only_guitarset(monkeypatch: pytest.MonkeyPatch, hours: float) -> None:
    """A mix of GuitarSet alone, of some hours."""
    one = replace(COLLECTIONS["guitarset"], hours=hours)
    monkeypatch.setattr("probes.corpus.collections.COLLECTIONS", {"guitarset": one})


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
        ("guitarset", 48, 48), ("maestro", 4, 4), ("egmd", 6, 6), ("cocochorales", 4, 4), ("damp-vsep", 0, 0),
    ]  # fmt: skip
    assert taken[0].versions == "mono-mic 24, mono-pickup_mix 24"
    assert {row.versions for row in taken[1:]} == {""}
    assert [row.wanted for row in taken] == [11.2, 11.7, 7.8, 0.4, 0.55]
    assert len(sources) == 62
    assert len({source.name for source in sources}) == 62
    short = {name: type(one)(**(vars(one) | {"hours": 2.0 / 3600})) for name, one in COLLECTIONS.items()}
    monkeypatch.setattr("probes.corpus.collections.COLLECTIONS", short)
    sources, taken = collect("paper", tmp_path)
    assert [row.taken for row in taken] == [4, 4, 4, 4, 0]  # half a second each
    again = collect("paper", tmp_path)[0]
    assert sources == again
    assert {source.name for source in collect("paper", tmp_path, seed=1)[0]} != {source.name for source in sources}


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_paper_mix_takes_further_versions_of_guitarset_until_its_hours_are_reached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = guitarset(tmp_path / "guitars")
    for number, path in enumerate(sorted((root / "audio_mono-mic").glob("0*"))):
        stem = path.name.removesuffix("_mic.wav")
        strings(root / "audio_hex-pickup_debleeded" / f"{stem}_hex_cln.wav", number)
        strings(root / "audio_hex-pickup_original" / f"{stem}_hex.wav", 100 + number)
    only_guitarset(monkeypatch, hours=29 / 3600)  # 48 recordings of half a second, then ten more
    sources, (row,) = collect("paper", tmp_path)
    assert row.versions == "mono-mic 24, mono-pickup_mix 24, hex-pickup_debleeded 10"
    assert (row.there, row.taken, round(row.hours * 3600)) == (96, 58, 29)
    split_of = {source.name: source.split for source in sources}
    assert len(split_of) == 58
    for name, split in split_of.items():
        assert split == split_of[f"guitarset/{name.rsplit('/')[-1]}"], name
    only_guitarset(monkeypatch, hours=11.2)
    assert collect("paper", tmp_path)[1][0].versions.endswith("hex-pickup_debleeded 24, hex-pickup_original 24")


def test_the_six_strings_are_heard_together(tmp_path: Path) -> None:
    for player in range(3):
        strings(tmp_path / "audio_hex-pickup_original" / f"{player:02d}_BN1-129-Eb_comp_hex.wav", player)
    options = EncodeOptions(
        tmp_path / "corpus", "guitarset", root=tmp_path, part="hex-pickup_original", attributes=("loudness",),
        device="cpu",
    )  # fmt: skip
    encode_corpus(options)
    corpus = Corpus.open(tmp_path / "corpus")
    (file, *_) = corpus.files()
    loudness = float(np.median(corpus.labels(file, "loudness")[0]))
    assert loudness == pytest.approx(0.2 / 6 / np.sqrt(2), rel=0.1)  # one string sounds, the others rest


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


def jams(path: Path, annotations: list[dict[str, object]]) -> Path:
    """A JAMS file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"annotations": annotations}))
    return path


def test_jams_notes_of_all_strings(tmp_path: Path) -> None:
    notes = [{"time": 0.5, "duration": 0.25, "value": 40.2}], [{"time": 1.0, "duration": 0.5, "value": 55.0}]
    path = jams(tmp_path / "a.jams", [{"namespace": "note_midi", "data": string} for string in notes])
    assert jams_score(path) == Score(((0.5, 0.75, 40.2), (1.0, 1.5, 55.0)))  # type: ignore[arg-type]
    for text in ("{}", "[", json.dumps({"annotations": []}), json.dumps({"annotations": [{"namespace": "note_midi"}]})):
        path.write_text(text)
        with pytest.raises(InputError, match=r"a\.jams"):
            jams_score(path)


def test_jams_chords_key_and_tempo(tmp_path: Path) -> None:
    note = {"namespace": "note_midi", "data": [{"time": 0.0, "duration": 9.0, "value": 60.0}]}
    dense = {"namespace": "tempo", "data": {"time": [0.0], "duration": [9.0], "value": [129], "confidence": [1]}}
    labels = ["Eb:maj", "A#:hdim7/b7", "N", "X", "G:7", "D:min7/b3"]
    sheet = [{"time": float(at), "duration": 1.0, "value": label} for at, label in enumerate(labels)]
    performed = [{"time": 0.0, "duration": 9.0, "value": "C:maj7/1"}]
    key = {"namespace": "key_mode", "data": [{"time": 0.0, "duration": 9.0, "value": "Eb:major"}]}
    chords = [{"namespace": "chord", "data": sheet}, {"namespace": "chord", "data": performed}]
    beats = {"namespace": "beat_position", "data": [{"time": at, "value": {"position": 1}} for at in (0.0, 0.4, 0.8)]}
    path = jams(tmp_path / "a.jams", [note, *chords, key, dense, beats])
    score = jams_score(path)
    assert score.beats == (0.0, 0.4, 0.8)
    assert (score.key, score.tempo) == ((3, False), 129.0)
    assert score.harmonies is not None
    assert [one.tones for one in score.harmonies] == [
        {3, 7, 10}, {10, 1, 4, 8}, frozenset(), None, {7, 11, 2}, {2, 5, 9},
    ]  # fmt: skip
    values, known = get_attribute("chord").of_score(score, 90, 10.0)
    at = [5, 15, 25, 35, 45, 55, 75]
    np.testing.assert_array_equal(known[at], [1, 0, 1, 0, 1, 1, 0])  # the note goes on after the last chord
    np.testing.assert_array_equal(values[[5, 25, 45, 55]], [3, NONE, 7, 12 + 2])
    assert jams_score(path, chords=False).harmonies == ()
    several = [{"time": 0.0, "duration": 1.0, "value": "C:major"}, {"time": 1.0, "duration": 1.0, "value": "C:minor"}]
    jams(path, [note, {"namespace": "key_mode", "data": several}])
    score = jams_score(path)
    assert (score.key, score.tempo, score.harmonies) == (None, None, None)
    jams(path, [note, {"namespace": "chord", "data": [{"time": 0.0, "duration": 1.0, "value": "Q:odd"}]}])
    with pytest.raises(InputError, match=r"a\.jams cannot be read as JAMS: ValueError 'Q:odd' is no chord"):
        jams_score(path)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("Eb:major", (3, False)), ("F#:minor", (6, True)), ("Cb:dorian", (11, True)), ("B#:mixolydian", (0, False)),
        ("A", None), ("N", None), ("", None), ("H:major", None), ("C:odd", None),
    ],
)  # fmt: skip
def test_keys_of_jams(text: str, key: tuple[int, bool] | None) -> None:
    assert key_named(text) == key


def midi(path: Path, notes: list[tuple[int, float, float]], drums: bool = False) -> Path:
    """A MIDI file of notes (pitch, start, end), written with a tempo of 77."""
    import pretty_midi

    music = pretty_midi.PrettyMIDI(initial_tempo=77)
    one = pretty_midi.Instrument(0, is_drum=drums)
    one.notes = [pretty_midi.Note(80, pitch, start, end) for pitch, start, end in notes]
    music.instruments = [one]
    path.parent.mkdir(parents=True, exist_ok=True)
    music.write(str(path))
    return path


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_guitarset_says_chords_key_and_tempo(tmp_path: Path) -> None:
    guitarset(tmp_path)
    for player in range(6):
        for kind in ("comp", "solo"):
            notes = [{"time": 0.0, "duration": 0.25, "value": 51.1}]
            chords = [{"time": 0.0, "duration": 0.25, "value": "Eb:maj"}]
            held = {"note_midi": notes, "chord": chords, "tempo": [{"time": 0, "duration": 1, "value": 129.0}]}
            held["key_mode"] = [{"time": 0, "duration": 1, "value": "Eb:major"}]
            path = tmp_path / "annotation" / f"{player:02d}_BN1-129-Eb_{kind}.jams"
            jams(path, [{"namespace": namespace, "data": data} for namespace, data in held.items()])
    out, names = tmp_path / "corpus", ("chord", "key", "tempo", "pitch", "onset")
    with pytest.warns(UserWarning, match="C#_comp: no annotation comes with it"):
        encode_corpus(
            EncodeOptions(out, "guitarset", root=tmp_path, attributes=names, labels="annotation", device="cpu")
        )
    corpus = Corpus.open(out)
    files = {file.name: file for file in corpus.files()}
    assert len(files) == 12
    half = slice(0, int(0.25 * corpus.frame_rate))
    values, valid = corpus.labels(files["00_BN1-129-Eb_comp"], "chord")
    assert valid.all()
    assert set(values[half]) == {3}
    assert values[-1] == NONE
    _, valid = corpus.labels(files["00_BN1-129-Eb_solo"], "chord")
    assert not valid[half].any()  # a single voice over chords that are not in its recording
    assert valid[-1]
    assert set(corpus.labels(files["05_BN1-129-Eb_solo"], "key")[0]) == {3}
    assert set(corpus.labels(files["05_BN1-129-Eb_solo"], "tempo")[0]) == {129}
    assert corpus.labels(files["05_BN1-129-Eb_solo"], "pitch")[0][0] == np.float32(51.1)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_egmd_says_tempo_onsets_and_drums(tmp_path: Path) -> None:
    root = egmd(tmp_path / "egmd")
    rows = list(csv.DictReader((root / "e-gmd-v1.0.0.csv").open()))
    rows = [row | {"bpm": "80", "midi_filename": row["audio_filename"].replace(".wav", ".midi")} for row in rows[:6]]
    table(root / "e-gmd-v1.0.0.csv", rows)
    for row in rows:
        midi(root / row["midi_filename"], [(36, 0.2, 0.25), (38, 0.3, 0.35)], drums=True)
    given = {"audio": "egmd", "root": root, "labels": "annotation", "device": "cpu"}
    encode_corpus(EncodeOptions(tmp_path / "corpus", attributes=("tempo", "onset", "drums", "pitch"), **given))
    corpus = Corpus.open(tmp_path / "corpus")
    file = corpus.files("val")[0]
    assert set(corpus.labels(file, "tempo")[0]) == {80}  # the table's, not the MIDI file's 77
    onsets = np.flatnonzero(corpus.labels(file, "onset")[0])
    np.testing.assert_array_equal(onsets, [int(at * corpus.frame_rate) for at in (0.2, 0.3)])
    assert corpus.labels(file, "drums")[0].any()
    assert not corpus.labels(file, "pitch")[1].any()
    with pytest.raises(InputError, match=r"none of the 6 files .* the annotation does not say key: leave labels"):
        encode_corpus(EncodeOptions(tmp_path / "keys", attributes=("key",), **given))


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_cocochorales_says_notes_tempo_and_the_soprano_s_family(tmp_path: Path) -> None:
    root = cocochorales(tmp_path / "coco")
    for folder in {path.parent for path in root.rglob("mix.wav")}:
        midi(folder / "stems_MIDI" / "0_violin.mid", [(76, 0.0, 0.2)])
        midi(folder / "stems_MIDI" / "1_double bass.mid", [(40, 0.1, 0.4)])
        (folder / "metadata.yaml").write_text("tempo: 88\ninstrument_name:\n  0: violin\n  1: double bass\n")
    given = {"audio": "cocochorales", "root": root, "labels": "annotation", "device": "cpu"}
    names = ("pitch", "onset", "tempo", "family", "drums")
    encode_corpus(EncodeOptions(tmp_path / "corpus", attributes=names, **given))
    corpus = Corpus.open(tmp_path / "corpus")
    (file, *_) = corpus.files("train")
    values, valid = corpus.labels(file, "pitch")
    middles = (np.arange(len(values)) + 0.5) / corpus.frame_rate
    np.testing.assert_array_equal(valid, (middles < 0.1) | ((middles >= 0.2) & (middles < 0.4)))
    np.testing.assert_array_equal(values[valid], np.where(middles < 0.1, 76, 40)[valid])
    assert set(corpus.labels(file, "tempo")[0]) == {88}
    assert set(corpus.labels(file, "family")[0]) == {get_attribute("family").names.index("bowed")}
    assert not corpus.labels(file, "drums")[0].any()
    for folder in {path.parent for path in root.rglob("mix.wav")}:
        (folder / "metadata.yaml").write_text("[1, 2")
    with pytest.raises(InputError, match=r"metadata\.yaml cannot be read as metadata of a chorale"):
        encode_corpus(EncodeOptions(tmp_path / "again", attributes=names, **given))


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_maestro_says_notes_alone(tmp_path: Path) -> None:
    rows = []
    for number in range(3):
        tone(tmp_path / f"{number}.wav", number)
        midi(tmp_path / f"{number}.midi", [(60, 0.0, 0.2)])
        rows.append({"split": "train", "audio_filename": f"{number}.wav", "midi_filename": f"{number}.midi"})
    table(tmp_path / "maestro-v3.0.0.csv", rows)
    given = {"audio": "maestro", "root": tmp_path, "labels": "annotation", "device": "cpu"}
    with pytest.raises(InputError, match=r"the first: 0\.wav: the annotation does not say tempo"):
        encode_corpus(EncodeOptions(tmp_path / "corpus", attributes=("tempo",), **given))


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_annotations_are_not_made_up(tmp_path: Path) -> None:
    options = {"out": tmp_path / "corpus", "labels": "annotation", "device": "cpu"}
    with pytest.raises(
        InputError, match=r"none of the 6 files could be encoded; the first: .*no annotation comes with it"
    ):
        encode_corpus(EncodeOptions(audio="egmd", root=egmd(tmp_path / "egmd"), **options))
    with pytest.raises(InputError, match="takes labels from annotations: take a data set"):
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
        ("damp-vsep", None, "damp-vsep is known by name, but no mirror of it on the hub: give its folder with"),
        ("paper", None, "paper is known by name, but no mirror"),
        ("maestro", None, "cannot read hf://datasets/ddPn08/maestro-v3.0.0@.* .OfflineModeIsEnabled"),
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
