from pathlib import Path

import pytest
import torch

from probes.errors import InputError
from tracer.generators.diffrhythm.lyrics import Line, lyric_ids, read_lyrics

RATE = 44100 / 2048


def at(seconds: float) -> int:
    return int(seconds * RATE)


def test_a_line_is_written_from_the_frame_of_its_stamp_and_closed_by_a_period() -> None:
    ids = lyric_ids([Line(1.0, [12, 45, 7]), Line(3.5, [9])], frames=100)
    start, later = at(1.0), at(3.5)
    assert ids.dtype == torch.long
    assert ids[start : start + 4].tolist() == [12, 45, 7, 2]
    assert ids[later : later + 2].tolist() == [9, 2]
    assert int((ids != 0).sum()) == 6


def test_periods_inside_a_line_become_commas() -> None:
    assert lyric_ids([Line(0, [5, 2, 1, 6, 2])], frames=8).tolist() == [5, 1, 1, 6, 1, 2, 0, 0]


def test_a_line_never_begins_before_the_end_of_the_one_before() -> None:
    ids = lyric_ids([Line(0.0, [10] * 5), Line(0.1, [20]), Line(0.0, [30])], frames=12)
    assert ids.tolist() == [10] * 5 + [2, 20, 2, 30, 2, 0, 0]


def test_lines_are_cut_at_the_end_and_left_out_beyond_it() -> None:
    frames = 40
    ids = lyric_ids([Line((frames - 2.5) / RATE, [10] * 5), Line(99.0, [20])], frames)
    assert ids[-3:].tolist() == [10] * 3
    crowded = lyric_ids([Line(0, [10] * 60), Line(1.0, [20])], frames)
    assert crowded.tolist() == [10] * 40


def test_the_last_line_in_time_is_dropped_for_the_2048_frame_model() -> None:
    lines = [Line(0, [10]), Line(1.0, [20]), Line(500.0, [30])]
    assert 20 in lyric_ids(lines, 100)
    assert lyric_ids(lines, 100, drop_last=True).tolist() == [10, 2] + [0] * 98
    assert lyric_ids(lines[2:], 100, drop_last=True).tolist() == [0] * 100


def test_text_files_are_read_with_tags_blank_lines_and_byte_order_mark(tmp_path: Path) -> None:
    file = tmp_path / "song.lrc"
    file.write_text("\ufeff[ar:someone]\n\n[00:01.50]12 45 7\n[02:03]363 0\n[10:00.125]\n", encoding="utf-8")
    assert read_lyrics(file) == [Line(1.5, [12, 45, 7]), Line(123.0, [363, 0]), Line(600.125, [])]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[00:01.00]12\n[00:xx.00]13", "line 2"),
        ("[00:75.00]13", "line 1"),
        ("12 13", "line 1"),
        ("[00:01.00]\n\n[00:02.00]12 364", "line 3"),
        ("[00:01.00]12 -4", "-4"),
        ("[00:01.00]hello world", "hello"),
        ("[00:01.00]12 ٣", "line 1"),
        ("[ti:only tags]", "no line of lyrics"),
        ("", "no line of lyrics"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, named: str) -> None:
    file = tmp_path / "song.lrc"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=named) as raised:
        read_lyrics(file)
    assert "\n" not in str(raised.value)


def test_files_that_are_no_text_or_not_there(tmp_path: Path) -> None:
    binary = tmp_path / "song.lrc"
    binary.write_bytes(b"\xff\xfe\x00\x80")
    for path in (binary, tmp_path / "missing.lrc", tmp_path, tmp_path / "missing.pt"):
        with pytest.raises(InputError, match=r"cannot (be )?read"):
            read_lyrics(path)


@pytest.mark.parametrize(
    "stored",
    [
        {"time": [1.0]},
        {"time": [1.0, 2.0], "lrc": [torch.tensor([3])]},
        {"time": [], "lrc": []},
        {"time": [1.0], "lrc": [torch.tensor([3.5])]},
        {"time": [float("nan")], "lrc": [torch.tensor([3])]},
        {"time": [1.0], "lrc": [torch.tensor([364])]},
        {"time": [1.0], "lrc": ["abc"]},
        torch.ones(3),
    ],
)
def test_tensor_files_of_another_form_are_refused(tmp_path: Path, stored: object) -> None:
    torch.save(stored, tmp_path / "song.pt")
    with pytest.raises(InputError, match=r"song\.pt"):
        read_lyrics(tmp_path / "song.pt")


def test_real_lyrics_as_text_and_as_tensors(shared: Path, tmp_path: Path) -> None:
    for file in sorted((shared / "data/diffrhythm/lrc").glob("*.pt")):
        lines = read_lyrics(file)
        stored = torch.load(file, weights_only=True)
        assert [line.seconds for line in lines] == stored["time"]
        ids = lyric_ids(lines, 6144)
        for seconds, phonemes in zip(stored["time"], stored["lrc"]):
            start = at(seconds)
            assert ids[start : start + len(phonemes)].tolist() == phonemes.tolist()
            assert ids[start + len(phonemes)] == 2
        text = tmp_path / "song.lrc"
        text.write_text(
            "\n".join(
                f"[{int(line.seconds) // 60:02d}:{line.seconds % 60:05.2f}]{' '.join(map(str, line.ids))}"
                for line in lines
            )
        )
        written = read_lyrics(text)
        assert [line.ids for line in written] == [line.ids for line in lines]
        assert [line.seconds for line in written] == pytest.approx([line.seconds for line in lines], abs=0.005)
