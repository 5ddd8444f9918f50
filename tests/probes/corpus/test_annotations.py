"""Labels that annotations of data sets say: JAMS, MIDI and tables."""

import csv
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.collection_trees import cocochorales, egmd, guitarset, table, tone

from probes.attributes import get_attribute
from probes.attributes.chord import NONE
from probes.attributes.score import Score
from probes.corpus import Corpus
from probes.corpus.annotations import jams_score, key_named
from probes.corpus.job import EncodeOptions, encode_corpus
from probes.errors import InputError


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


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_corrected_annotation_is_taken_over(tmp_path: Path) -> None:
    guitarset(tmp_path)

    def annotate(pitch: float, players: Sequence[int]) -> None:
        for player in players:
            data = [{"time": 0.0, "duration": 0.25, "value": pitch}]
            path = tmp_path / "annotation" / f"{player:02d}_BN1-129-Eb_solo.jams"
            jams(path, [{"namespace": "note_midi", "data": data}])

    def first_notes() -> tuple[list[float], str]:
        options = EncodeOptions(tmp_path / "corpus", "guitarset", root=tmp_path, attributes=("pitch",), device="cpu")
        encode_corpus(replace(options, labels="annotation"))
        corpus = Corpus.open(tmp_path / "corpus")
        return [float(corpus.labels(file, "pitch")[0][0]) for file in corpus.files()], corpus.fingerprint

    annotate(51.0, range(6))
    before = first_notes()
    assert before == first_notes()
    annotate(53.0, [2])
    notes, fingerprint = first_notes()
    assert notes == [51.0, 51.0, 53.0, 51.0, 51.0, 51.0]
    assert fingerprint != before[1]
