"""Edits at a place in the song: windows, fades, curves, and nothing outside."""

from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.readout import tiny_readout
from support.steering_toys import linear_readout

from probes.errors import InputError
from probes.readout import Readout
from tracer.steering.edits import displacement, edits_from_specs, identity_of
from tracer.steering.hold import SOLVER
from tracer.steering.song_time import Song, goal_of, song_of, weights_of
from tracer.steering.spec import parse_edit
from tracer.steering.structure import read_structure
from tracer.targets import class_position

SONG = Song(frame_rate=20.0, seconds=6.0, sections={"chorus": [(1.0, 2.0), (4.0, 5.0)]})
FRAMES = 120


@pytest.fixture(scope="module")
def readout() -> Readout:
    made = tiny_readout()
    made.report["songs"] = {"loudness": {"low": -35.0, "high": -14.0, "spread": 7.0, "files": 10}}
    return made


def latents(readout: Readout, frames: int = FRAMES) -> torch.Tensor:
    return torch.randn(2, frames, readout.sae.config.channels, generator=torch.Generator().manual_seed(1))


@given(
    start=st.integers(0, 50), length=st.integers(1, 40), fade=st.integers(0, 10),
)  # fmt: skip
def test_an_edit_fades_inside_its_window_and_does_nothing_outside(start: int, length: int, fade: int) -> None:
    spec = parse_edit(f"loudness=+,during={start / 10}s-{(start + length) / 10}s,fade={fade}")
    weights = weights_of(spec, SONG, FRAMES)
    middles = (np.arange(FRAMES) + 0.5) / SONG.frame_rate
    inside = (middles >= start / 10) & (middles < (start + length) / 10)
    assert ((weights > 0) == inside).all()
    assert weights.max() <= 1
    if fade == 0:
        assert (weights[inside] == 1).all()
    steps = np.abs(np.diff(np.concatenate([[0.0 if start else weights[0]], weights])))
    assert fade == 0 or steps.max() <= 1.01 / (fade + 1) or start + length >= 60


def test_a_section_that_comes_back_is_edited_each_time() -> None:
    weights = weights_of(parse_edit("loudness=+,during=chorus,fade=0"), SONG, FRAMES)
    assert np.flatnonzero(weights).tolist() == [*range(20, 40), *range(80, 100)]


def test_frames_outside_the_window_are_not_touched_by_a_bit(readout: Readout) -> None:
    readout = deepcopy(readout).double()  # in fp32 the steps of a frame far from the data may part over the last bit
    x = latents(readout).double()
    moved = displacement(parse_edit("loudness=+,alpha=2,during=2s-4s,fade=4"), readout, SONG)(x)
    whole = displacement(parse_edit("loudness=+,alpha=2"), readout)(x)
    assert torch.count_nonzero(moved[:, :40]) == torch.count_nonzero(moved[:, 80:]) == 0
    # In full strength it is the edit that it would be without a window; on the fading frames a share of it.
    torch.testing.assert_close(moved[:, 45:75], whole[:, 45:75], atol=1e-4, rtol=1e-3)
    ratio = moved[:, 40].norm() / whole[:, 40].norm()
    assert 0 < float(ratio) < 0.5


def test_the_paper_s_vector_takes_windows_too(readout: Readout) -> None:
    x = latents(readout)
    for unit in ("raw", "std"):
        text = f"timbre=4,alpha=0.5,vector=centred,unit={unit}"
        moved = displacement(parse_edit(f"{text},during=2s-4s,fade=0"), readout, SONG)(x)
        whole = displacement(parse_edit(text), readout)(x)
        torch.testing.assert_close(moved[:, 40:80], whole[:, 40:80])
        assert torch.count_nonzero(moved[:, :40]) == 0


def test_a_ramp_goes_from_one_end_of_its_window_to_the_other(readout: Readout) -> None:
    goal = goal_of(parse_edit("loudness=ramp(quiet,-14dB),during=1s-5s"), SONG, FRAMES, readout)
    assert goal is not None
    numbers = np.interp((np.arange(20, 100) + 0.5) / 20, [1, 5], [-35, -14])
    np.testing.assert_allclose(goal[20:100], class_position("loudness", numbers, readout))


def test_the_reading_follows_the_curve(tmp_path: Path) -> None:
    readout = linear_readout()
    (tmp_path / "curve.csv").write_text("seconds,value\n0,0.05\n3,0.3\n6,0.1\n")
    x = latents(readout)
    spec = parse_edit(f"loudness=@{tmp_path / 'curve.csv'}")
    moved = displacement(spec, readout, SONG)(x)
    goal = goal_of(spec, SONG, FRAMES, readout)
    assert goal is not None

    def reading(frames: torch.Tensor) -> np.ndarray:
        shares = readout.frames(frames)["loudness"].numpy()
        return shares @ np.arange(shares.shape[-1])

    before, after = (np.abs(reading(frames) - goal) for frames in (x, x + moved))
    assert np.median(after) < 0.1
    assert np.median(before) > 2
    half = displacement(parse_edit(f"loudness=@{tmp_path / 'curve.csv'},alpha=0.5"), readout, SONG)(x)
    way = (reading(x + half) - reading(x)) / (goal - reading(x))
    assert np.median(way) == pytest.approx(0.5, abs=0.03)


def test_a_curve_and_its_window_belong_to_the_identity_of_a_run(tmp_path: Path, readout: Readout) -> None:
    path = tmp_path / "curve.csv"
    path.write_text("0,-20dB\n")
    spec = parse_edit(f"loudness=@{path}")
    first = identity_of([spec], SONG)
    path.write_text("0,-21dB\n")
    assert identity_of([spec], SONG) != first
    assert identity_of([parse_edit("loudness=+,vector=centred")], SONG) == {}


def test_a_run_with_the_closed_form_knows_how_it_was_solved() -> None:
    for text in ("loudness=+", "loudness=+,vector=centred,hold=pitch"):
        assert identity_of([parse_edit(text)], SONG) == {"solver": SOLVER}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("loudness=+,during=8s-9s", "holds no latent frame"),
        ("loudness=+,during=3s-3s", "holds no latent frame"),
        ("loudness=+,during=4s-3s", "holds no latent frame"),
        ("loudness=+,during=verse", "neither seconds such as 10s-20s nor a section of the song; it names chorus"),
        ("loudness=+,fade=1.5", "number of latent frames"),
        ("loudness=+,fade=-1", "number of latent frames"),
        ("loudness=ramp(quiet)", "write ramp(quiet,loud)"),
        ("loudness=ramp(dark,loud)", "is no loudness"),
        ("tempo=ramp(1,2)", "no attribute 'tempo'"),
        ("loudness=ramp(quiet,loud),alpha=2", "no share of the way"),
        ("loudness=ramp(quiet,loud),vector=plain", "closed alone"),
        ("loudness=@none.csv", "cannot read the curve"),
        ("pitch=ramp(60,C5)", "as in C4 or 261.63Hz"),
    ],
)
def test_what_has_no_place_in_the_song_is_refused_in_one_line(readout: Readout, text: str, says: str) -> None:
    with pytest.raises(InputError, match=r"^[^\n]*$") as refused:
        edits_from_specs([text], readout, song=SONG)
    assert says in str(refused.value)


def test_without_a_song_no_place_is_known(readout: Readout) -> None:
    with pytest.raises(InputError, match="no song is known"):
        edits_from_specs(["loudness=+,during=1s-2s"], readout)


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ("", "has no line"),
        ("seconds,value\n", "has no line"),
        ("0,-20dB\n0,-30dB\n", "line 2"),
        ("0,-20dB\n1\n", "line 2"),
        ("0,-20dB,5\n", "line 1"),
        ("now,-20dB\n", "line 1"),
        ("0,bright\n", "is no loudness"),
        ("nan,-20dB\n", "line 1"),
    ],
)
def test_a_bad_curve_is_one_line(tmp_path: Path, readout: Readout, lines: str, says: str) -> None:
    (tmp_path / "curve.csv").write_text(lines)
    with pytest.raises(InputError, match=r"^[^\n]*$") as refused:
        edits_from_specs([f"loudness=@{tmp_path / 'curve.csv'}"], readout, song=SONG)
    assert says in str(refused.value)


def test_a_melody_is_written_in_notes_and_not_in_bare_numbers(tmp_path: Path, readout: Readout) -> None:
    path = tmp_path / "melody.csv"
    path.write_text("0,C3\n6,261.6256Hz\n")
    goal = goal_of(parse_edit(f"pitch=@{path}"), SONG, FRAMES, readout)
    assert goal is not None
    np.testing.assert_allclose(readout.bins["pitch"].values_at(goal[[0, -1]]), [48, 60], atol=0.06)
    path.write_text("0,48\n6,60\n")
    with pytest.raises(InputError, match=r"^[^\n]*as in C3 or 130\.81Hz$"):
        edits_from_specs([f"pitch=@{path}"], readout, song=SONG)


FILES = {
    "song.csv": "start,stop,name\n0,10,verse\n10,20.5,chorus\n20.5,30,verse\n",
    "song.lab": "0.0\t10.0\tverse\n10.0 20.5 chorus\n20.5 30 verse\n",
    "song.lrc": "[ti:A song]\n[00:00.00][verse]\n[00:04.00]la la\n[00:10.00] [chorus]\n[00:20.50][verse]\n",
}


@pytest.mark.parametrize("name", FILES)
def test_sections_are_read_from_three_kinds_of_files(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(FILES[name])
    assert read_structure(tmp_path / name, 30.0) == {"verse": [(0.0, 10.0), (20.5, 30.0)], "chorus": [(10.0, 20.5)]}


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("[00:05.00][00:20.00][chorus]", {"chorus": [(5.0, 10.0), (20.0, 30.0)]}),
        ("[00:05.00] [00:20.00] [chorus] la la", {"chorus": [(5.0, 10.0), (20.0, 30.0)]}),
        ("[00:05.50][verse] la la [again]", {"verse": [(5.5, 10.0)]}),
        ("[0:05][2nd verse]", {"2nd verse": [(5.0, 10.0)]}),
        ("[0:05][1.5 verses]", {"1.5 verses": [(5.0, 10.0)]}),
        ("[00:05.00] la la la", {}),
        ("[00:05.00][00:20.00] la la [laughs]", {}),
        ("[00:05:00] la la", {}),
        ("[00:05.00]", {}),
        ("[ar:Somebody]", {}),
        ("[length:03:20]", {}),
        ("[re:www.megalobiz.com][by:Somebody]", {}),
        ("(la la) [chorus]", {}),
    ],
)
def test_a_line_of_an_lrc_begins_sections_or_none(
    tmp_path: Path, line: str, names: dict[str, list[tuple[float, float]]]
) -> None:
    (tmp_path / "song.lrc").write_text(f"[00:00.00][intro]\n{line}\n[00:10.00][bridge]\n")
    found = read_structure(tmp_path / "song.lrc", 30.0)
    assert found.pop("intro") == [(0.0, min([start for own in names.values() for start, _ in own] or [10.0]))]
    assert found.pop("bridge")[0][0] == 10.0
    assert found == names


def test_a_csv_of_sections_is_read_with_its_quotes(tmp_path: Path) -> None:
    rows = '"start","stop","name"\n"0","10","verse, soft"\n10,20, "a ""big"" chorus"\n20,30,verse,\n\n'
    (tmp_path / "song.csv").write_text(rows)
    assert read_structure(tmp_path / "song.csv", 30.0) == {
        "verse, soft": [(0.0, 10.0)], 'a "big" chorus': [(10.0, 20.0)], "verse": [(20.0, 30.0)],
    }  # fmt: skip


def test_sections_that_no_edit_names_are_refused(tmp_path: Path) -> None:
    (tmp_path / "song.lab").write_text("0 2 verse\n2 6 chorus\n")
    named = parse_edit("loudness=+,during=chorus")
    assert song_of([named], 10.0, 6.0, tmp_path / "song.lab").sections["chorus"] == [(2.0, 6.0)]
    assert song_of([], 10.0, 6.0).sections == {}
    for specs in ([], [parse_edit("loudness=+")], [parse_edit("loudness=+,during=1s-2s")]):
        with pytest.raises(InputError, match="no edit has one"):
            song_of(specs, 10.0, 6.0, tmp_path / "song.lab")


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("song.csv", "start,stop,name\n", "names no section"),
        ("song.csv", "0,10\n", "line 1"),
        ("song.csv", "10,5,verse\n", "line 1"),
        ("song.csv", "start,stop,name\n0,10,verse,soft\n", "line 2: give three columns"),
        ("song.lab", "0 ten verse\n", "line 1"),
        ("song.lrc", "[00:00.00][verse]\n[01:75.00][chorus]\n", "line 2: [01:75.00] needs seconds below 60"),
        ("song.lrc", "[00:00.00][verse]\n[01:75.00] la la\n", "line 2: [01:75.00] needs seconds below 60"),
        ("song.lrc", "[00:00.00][01:60][verse]\n", "line 1: [01:60] needs seconds below 60"),
        ("song.lrc", "[00:00.00][intro]\n[00:02:50][verse]\n", "line 2: write [mm:ss.xx][name]"),
        ("song.lrc", "[00:00.00][intro]\n[00:02,50] [verse] la\n", "line 2: write [mm:ss.xx][name]"),
        ("song.lrc", "[00:00.00][intro]\n[00:02.50[verse]\n", "line 2: write [mm:ss.xx][name]"),
        ("song.lrc", "[00:00.00][intro]\n[00:02.50][00:03:50][verse]\n", "line 2: write [mm:ss.xx][name]"),
        ("song.lrc", "[00:00.00][intro]\n[00:02.50][ ]\n", "line 2: write [mm:ss.xx][name]"),
        ("song.lrc", "[00:00.00][intro]\n[00:02.50][verse\n", "line 2: write [mm:ss.xx][name]"),
        ("song.lrc", "[00:10.00]la la\n", "names no section"),
        ("none.csv", None, "cannot read the structure"),
    ],
)
def test_a_bad_structure_is_one_line(tmp_path: Path, name: str, text: str | None, says: str) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=r"^[^\n]*$") as refused:
        read_structure(tmp_path / name, 30.0)
    assert says in str(refused.value)
