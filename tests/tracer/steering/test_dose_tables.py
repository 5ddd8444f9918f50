"""Tables of doses: what comes of clips whose shifts are planted, and how it is told."""

import math

import numpy as np
import pandas as pd
import pytest

from tracer.commands.steering import print_doses
from tracer.steering import parse_edit
from tracer.steering.damage import tell_damage
from tracer.steering.dose_tables import crossing, equal_effects, leakage, table, with_intervals, with_realised
from tracer.steering.results import read_table
from tracer.steering.tables import clip_file, read_csv, write_csv


def clip(prompt, kind, edit="", attribute="", alpha=0.0, pitch=60.0, loudness=-20.0, timbre=11.0, **more):
    shifts = {"shift_pitch": pitch - 60 - prompt, "shift_loudness": loudness + 20, "shift_timbre": timbre - 11}
    row = {"prompt": prompt, "kind": kind, "edit": edit, "attribute": attribute, "alpha": alpha, "pitch": pitch,
           "loudness": loudness, "timbre": timbre}  # fmt: skip
    return row | (shifts if kind != "plain" else {}) | more


def planted():
    """Three prompts; loudness=+ adds 3 dB, and 0.1 octaves of centroid, per unit of alpha; random pushes add 0.5 dB."""
    clips = []
    for prompt in range(3):
        pitch = 60.0 + prompt
        clips.append(clip(prompt, "plain", pitch=pitch, loudness=-20.0 + 2 * prompt))
        for alpha in (1.0, 3.0):
            moved = {"loudness": -20 + 3 * alpha, "timbre": 11 + 0.1 * alpha, "pitch": pitch}
            clips.append(clip(prompt, "steered", "loudness=+", "loudness", alpha, **moved))
            clips.append(clip(prompt, "random", "loudness=+", "loudness", alpha, pitch=pitch, loudness=-19.5))
    return clips


def repeated(times):
    """The prompts of `planted` so many times over, under numbers of their own."""
    return [clip | {"prompt": clip["prompt"] + 3 * k} for k in range(times) for clip in planted()]


def test_table_standardises_by_the_spread_of_the_plain_versions():
    rows = table(planted())
    assert [row["alpha"] for row in rows] == [1.0, 3.0]
    assert rows[1]["shift_loudness"] == pytest.approx(9)
    assert rows[1]["standard_loudness"] == pytest.approx(9 / 2)
    assert rows[1]["band_loudness"] == pytest.approx(0.5)
    assert rows[1]["shift_pitch"] == 0


def test_an_edit_towards_a_note_is_shown_by_what_arrives_there(capsys):
    arrived = {"steered": 0.75, "random": 0.25}
    aimed = [
        row | ({"edit": "pitch=C5", "attribute": "pitch", "on_target": arrived[row["kind"]], "on_target_plain": 0.0})
        for row in planted()
        if row["kind"] != "plain"
    ]
    print_doses(pd.DataFrame(table([*planted(), *aimed])))
    told = capsys.readouterr().out
    assert "on the note: share of all frames" in told  # as `Tracks.on_note` has it
    notes = [line for line in told.splitlines() if line.startswith("pitch=C5")]
    others = [line for line in told.splitlines() if line.startswith("loudness=+")]
    assert len(notes) == len(others) == 2
    assert all("0.75 (0.25)" in line for line in notes)
    assert not any("0.75" in line or "(nan)" in line for line in others)


def test_equal_effect_is_interpolated_between_doses():
    effects = equal_effects(planted(), [parse_edit("loudness=+")])
    assert effects[0]["alpha"] == pytest.approx(2.0)
    assert effects[0]["shift_loudness"] == pytest.approx(6.0)
    assert effects[0]["shift_timbre"] == pytest.approx(0.2)
    matrix = leakage(effects, planted())
    assert matrix[0]["loudness"] == pytest.approx(3.0)
    assert matrix[0]["pitch"] == 0


def test_damage_that_goes_both_ways_is_a_leak_as_large_as_that_of_a_random_push():
    edits = [parse_edit("loudness=+")]
    clips = repeated(4)
    for row in clips:  # an octave up in one prompt and down in the next, by the edit and by the push
        if row["kind"] != "plain" and row["alpha"] == 3:
            row["shift_pitch"] = 12.0 if row["prompt"] % 2 else -12.0
        if row["kind"] == "steered":  # the median is 6 dB at the strongest dose, that of the sizes 9
            row["shift_loudness"] = (-9, 6, 9)[row["prompt"] % 3] * row["alpha"] / 3
    (row,) = leakage(equal_effects(clips, edits), clips)
    spread = {
        name: np.std([row[name] for row in clips if row["kind"] == "plain"], ddof=1) for name in ("pitch", "loudness")
    }
    assert row["pitch"] == row["random_pitch"] == pytest.approx(12 / spread["pitch"])
    assert row["loudness"] == pytest.approx(6 / spread["loudness"])


def test_a_leak_has_an_interval_over_prompts():
    edits = [parse_edit("loudness=+")]
    clips = repeated(4)
    for row in clips:  # each prompt leaks as much into the centroid as its number says
        if row["kind"] == "steered":
            row["shift_timbre"] = 0.01 * row["prompt"] * row["alpha"]
        row["timbre"] = 11.0 + 0.1 * (row["prompt"] % 2)
    (row,) = with_intervals(leakage(equal_effects(clips, edits), clips), clips, edits)
    assert row["low_timbre"] < row["timbre"] < row["high_timbre"]
    assert row["low_pitch"] == row["pitch"] == row["high_pitch"] == 0
    for few in (1, 5):
        part = [clip for clip in clips if clip["prompt"] < few]
        (row,) = with_intervals(leakage(equal_effects(part, edits), part), part, edits)
        assert math.isnan(row["low_loudness"])


def test_the_spread_may_be_larger_than_it_is_over_few_prompts():
    """Of a shift that every prompt shares, all that an interval knows is the spread it is counted in."""
    edits = [parse_edit("loudness=+")]
    clips = [clip for clip in repeated(3) if clip["prompt"] < 8]
    (row,) = with_intervals(leakage(equal_effects(clips, edits), clips), clips, edits)
    assert row["high_loudness"] / row["loudness"] < row["loudness"] / row["low_loudness"]


def test_a_shift_towards_a_note_stands_beside_the_whole_way_there(capsys):
    """Prompts 12, 11 and 10 semitones below the note, two each; the edit goes 6 of them, random pushes go 2."""
    clips = []
    for prompt in range(6):
        pitch, to_note = 60.0 + prompt, {"to_note": 12.0 - prompt % 3, "on_target": 0.0, "on_target_plain": 0.0}
        clips.append(clip(prompt, "plain", pitch=pitch))
        for kind, moved in (("steered", 6.0), ("random", 2.0)):
            clips.append(clip(prompt, kind, "pitch=C5", "pitch", 1.0, pitch=pitch + moved, **to_note))
    (row,) = table(clips)
    assert row["over_band"] == pytest.approx(6 / 2)
    assert row["over_band_note"] == pytest.approx(11 / 2)
    print_doses(pd.DataFrame([row]))
    told = capsys.readouterr().out
    assert "3.0 of 5.5 (3.0-3.0)" in told
    assert "of: what it would be with every clip on the note" in told


def test_a_shift_over_its_band_has_an_interval_over_prompts():
    rows = table(repeated(2))
    assert rows[1]["over_band"] == pytest.approx(9 / 0.5)
    assert rows[1]["over_band_low"] <= rows[1]["over_band"] <= rows[1]["over_band_high"]
    assert math.isnan(rows[1]["over_band_data"])  # there were no such pushes
    for few in (1, 5):
        part = table([row for row in repeated(2) if row["prompt"] < few])
        assert part[1]["over_band"] == pytest.approx(18)
        assert math.isnan(part[1]["over_band_low"])


def test_what_came_of_a_dose_is_the_median_over_states():
    steps = [
        {"edit": "loudness=+", "alpha": 1.0, "kind": "steered", "t": t, "ratio": 0.1, "wanted": 1.0, "change": change,
         "change_low": 0.0, "change_high": 1.0, "held": 0.0, "held_high": 0.1}
        for t, change in ((0.2, 0.9), (0.3, 0.7), (0.4, 0.8))
    ]  # fmt: skip
    rows = with_realised(table(planted()), steps)
    assert rows[0]["change"] == 0.8
    assert "change" not in rows[1]


def held_steps(**columns):
    """Rows of steps.csv of the weaker dose of `planted`."""
    came = {"wanted": 1.0, "change": 1.0, "change_low": 1.0, "change_high": 1.0, "held": 0.0, "held_high": 0.08}
    return [{"edit": "loudness=+", "alpha": 1.0, "kind": "steered", "t": t} | came | columns for t in (0.2, 0.3)]


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"held_pitch_high": 0.01, "held_timbre_high": 0.07}, "0.07 (timbre)"),
        ({"held_pitch_high": 0.06, "held_timbre_high": 0.02}, "0.06 (pitch)"),
        ({}, "0.08"),  # written before each attribute had its column
    ],
)
def test_the_held_attribute_that_strays_most_is_named(columns, says, tmp_path, capsys):
    write_csv(tmp_path / "dose.csv", with_realised(table(planted()), held_steps(**columns)))
    print_doses(read_table(tmp_path / "dose.csv"))
    _, headings, weaker, stronger, *legend = capsys.readouterr().out.splitlines()
    end = headings.index("held (classes)") + len("held (classes)")
    assert weaker[:end].endswith(f" {says}")
    assert stronger[:end].endswith(" -")
    assert any(line.startswith("held:") for line in legend)


def test_nothing_is_told_of_held_readings_where_nothing_is_held(capsys):
    print_doses(pd.DataFrame(with_realised(table(planted()), held_steps(held_high=0.0))))
    assert "held" not in capsys.readouterr().out


def test_damage_is_told_in_one_line_for_each_edit():
    rows = [
        {"edit": "pitch=C5", "alpha": 5.0, "voiced_change": -0.02, "clipped": 0.0, "log_mel_db": 3.0},
        {"edit": "pitch=C5", "alpha": 20.0, "voiced_change": -0.4, "clipped": 0.01, "log_mel_db": 3.0},
        {"edit": "timbre=+", "alpha": 2.0, "voiced_change": float("nan"), "clipped": 0.0, "log_mel_db": 12.0},
    ]
    with pytest.warns(UserWarning, match="damages the sound") as told:
        tell_damage(rows)
    lines = [str(one.message) for one in told]
    assert lines == [
        "pitch=C5 damages the sound at alpha 20: the voiced share changes by -0.40, 1.0% of the samples clip "
        "that did not before",
        "timbre=+ damages the sound at alpha 2: the sound is 12 dB (log-mel) from the plain one",
    ]


def test_an_effect_that_is_never_reached_stays_empty():
    assert math.isnan(crossing(np.array([0.0, 1.0, 2.0]), np.array([0.0, 1.0, 2.0]), 3.0))
    assert crossing(np.array([0.0, 1.0, 2.0]), np.array([0.0, 1.0, 2.0]), 1.5) == pytest.approx(1.5)


def test_an_effect_that_is_there_without_any_dose_stays_empty():
    assert math.isnan(crossing(np.array([0.0, 5.0, 10.0]), np.array([0.6, 0.8, 0.9]), 0.5))
    clips = [
        row | {"edit": "pitch=C5", "attribute": "pitch", "on_target": 0.8, "on_target_plain": 0.6}
        if row["kind"] != "plain"
        else row
        for row in planted()
    ]
    (row,) = equal_effects(clips, [parse_edit("pitch=C5")])
    assert all(math.isnan(row[name]) for name in ("alpha", "shift_pitch", "abs_loudness"))


def test_words_of_a_table_stay_words(tmp_path):
    rows = [{"id": name, "seed": 3.0, "rank": 1.5} for name in ("007", "10000001", "10000002", "1_2", "nan")]
    write_csv(tmp_path / "takes.csv", rows)
    assert read_csv(tmp_path / "takes.csv") == rows


def test_a_clip_of_an_edit_along_a_long_path_has_a_name_that_fits():
    version = f"loudness=@{'a' * 120}/{'b' * 120}/c.csv-steered-1"
    assert len(clip_file(3, version)) < 200
    assert clip_file(3, version) != clip_file(3, version.replace("/c", "/d"))
    assert clip_file(3, "pitch=C5-random-20") == "00003-pitch=C5-random-20.wav"
