"""Scores of rendered music: what the composer knows, as labels."""

from pathlib import Path

import numpy as np
import pytest

from probes.corpus import Corpus
from probes.corpus.job import EncodeOptions, encode_corpus
from probes.errors import InputError
from probes.rendering import render_example
from probes.rendering.composing import Part, compose, draw_facts
from probes.rendering.instruments import BY_NAME
from probes.rendering.scoring import score_example, score_of

ALL = ("pitch", "loudness", "onset", "chord", "key", "tempo", "family", "drums")


def test_the_score_is_that_of_the_rendered_example() -> None:
    example, score = render_example(11, 4.0), score_example(11, 4.0)
    pitched = [note for note in example.notes if note.part >= 0]
    assert [(note.start, note.stop, note.pitch) for note in score.notes] == [
        (note.start, note.end, note.pitch) for note in pitched
    ]
    assert (score.tempo, score.family) == (example.facts.tempo, example.facts.parts[0].instrument.family)
    assert score.key is not None
    assert score.key[0] == example.facts.tonic


def test_chords_that_are_played_are_those_of_the_bars() -> None:
    for seed in range(40):
        rng = np.random.default_rng(seed)
        piece = compose(draw_facts(rng), 6.0, rng)
        played = [part for part, one in enumerate(piece.facts.parts) if one.role == "chords"]
        score = score_of(piece)
        assert bool(score.harmonies) == bool(played)
        assert [bar.end for bar in piece.bars][:-1] == pytest.approx([bar.start for bar in piece.bars][1:])
        for bar in piece.bars if played else ():
            inside = (
                note for note in piece.notes if note.part in played and bar.start + 0.02 < note.start < bar.end - 0.02
            )
            assert {round(note.pitch - piece.facts.tuning / 100) % 12 for note in inside} <= bar.chord


def test_modes_go_by_their_third_and_drums_are_hits() -> None:
    rng = np.random.default_rng(0)
    facts = draw_facts(rng)
    for scale, minor in (("major", 0), ("mixolydian", 0), ("pentatonic", 0), ("minor", 1), ("dorian", 1)):
        changed = type(facts)(**{**vars(facts), "scale": scale, "drums": scale == "major"})
        score = score_of(compose(changed, 3.0, rng))
        assert score.key == (facts.tonic, minor)
        assert bool(score.hits) == (scale == "major")
    lead = type(facts)(**{**vars(facts), "parts": (Part("melody", BY_NAME["violin"]),)})
    assert score_of(compose(lead, 3.0, rng)).family == "bowed"


def test_a_rendered_corpus_has_exact_labels(tmp_path: Path) -> None:
    given = {"audio": "rendered", "hours": 6 * 12 / 3600, "labels": "annotation", "device": "cpu"}
    encode_corpus(EncodeOptions(out=tmp_path / "c", attributes=ALL, **given))
    corpus = Corpus.open(tmp_path / "c")
    assert {name for name, about in corpus.config["attributes"].items() if about.get("grid")} == {
        "drums", "family", "key", "tempo",
    }  # fmt: skip
    assert "labels" not in corpus.config["attributes"]["loudness"]
    for file in corpus.files():
        score = score_example(int(file.name.removeprefix("rendered-")), 12.0)
        tempo, known = corpus.labels(file, "tempo")
        assert known.all()
        assert set(tempo) == {np.float32(score.tempo)}
        pitch, alone = corpus.labels(file, "pitch")
        middle = (int(np.flatnonzero(alone)[0]) + 0.5) / corpus.frame_rate
        assert pitch[alone][0] in [np.float32(note.pitch) for note in score.notes if note.start <= middle < note.stop]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"attributes": ("drums",)}, "drums has no estimator for recordings"),
        ({"attributes": ("loudness", "family")}, "family has no estimator for recordings"),
        (
            {"attributes": ("loudness",), "labels": "annotation"},
            "takes labels from annotations, which say pitch, onset",
        ),
        ({"attributes": ("rhythm",), "labels": "annotation"}, "unknown attribute 'rhythm'"),
    ],
)
def test_labels_that_cannot_be_had_are_one_line(given: dict[str, object], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message) as told:
        encode_corpus(EncodeOptions(out=tmp_path / "c", audio="rendered", **given))  # type: ignore[arg-type]
    assert "\n" not in told.value.on_command_line
    assert not (tmp_path / "c" / "corpus.json").exists()
