"""The sections of a song, from a file that names them."""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from probes.errors import InputError

Window = tuple[float, float]
"""From and to, in seconds of the song."""
Row = tuple[int, list[str]]
"""Number of a line in its file, and its cells."""
STAMP = re.compile(r"\[(\d+):(\d{1,2}(?:\.\d+)?)\]\s*")
"""A time at the beginning of a line of an .lrc."""
TAG = re.compile(r"\[([^\[\]]*[^\[\]\s][^\[\]]*)\]")
"""The name of a section behind its times."""
LIKE_A_STAMP = re.compile(r"\s*\d+\s*[:.,][\d\s:.,]*")
"""What was meant as a time, and is no name."""
LIKE_A_SECTION = re.compile(r"\[\s*\d[^\[\]]*\]?\s*\[")
"""Begins a line that was meant to begin a section, whatever stands for its time."""


def read_structure(path: str | Path, seconds: float) -> dict[str, list[Window]]:
    """Sections of a song by name: from a .csv (start, stop, name), a .lab (the same between blanks), or an .lrc whose
    lines `[mm:ss.xx][chorus]` say where a section begins.

    Args:
        path: The file.
        seconds: Length of the song, where the last section of an .lrc ends.

    Raises:
        InputError: names the line, or says that there is no section.
    """
    path = Path(path).expanduser()
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the structure {path}: give a .csv, .lab or .lrc file") from error
    kind = path.suffix.lower()
    if kind == ".lrc":
        begins = sorted(beginnings(path, text.splitlines()))
        stops = [start for start, _ in begins[1:]] + [seconds]
        found = [(start, stop, name) for (start, name), stop in zip(begins, stops)]
    else:
        rows = csv_rows(path, text) if kind == ".csv" else lab_rows(text.splitlines())
        found = list(stretches(path, rows))
    sections: dict[str, list[Window]] = {}
    for start, stop, name in found:
        sections.setdefault(name, []).append((start, stop))
    if not sections:
        raise InputError(f"{path} names no section: write start, stop and name, or [mm:ss.xx][chorus] in an .lrc")
    return sections


def beginnings(path: Path, lines: Sequence[str]) -> Iterator[tuple[float, str]]:
    """Where the sections of an .lrc begin, in seconds, and their names; lines without a name are left out.

    Several times before a name are a section that comes back, and text behind the name is the first line that is sung.
    """
    for number, line in enumerate(lines, 1):
        starts, rest = times_of(path, number, line.strip())
        tag = TAG.match(rest) if starts else None
        if tag is not None and not LIKE_A_STAMP.fullmatch(tag[1]):
            yield from ((start, tag[1].strip()) for start in starts)
        elif (starts and rest.startswith("[")) or LIKE_A_SECTION.match(rest):
            raise InputError(f"{path}, line {number}: write [mm:ss.xx][name], such as [01:02.50][chorus]")


def times_of(path: Path, number: int, line: str) -> tuple[list[float], str]:
    """The times in seconds with which a line of an .lrc begins, and what follows them.

    Raises:
        InputError: the seconds of a time reach into the next minute.
    """
    starts = []
    while (stamp := STAMP.match(line)) is not None:
        if float(stamp[2]) >= 60:
            raise InputError(f"{path}, line {number}: {stamp[0].strip()} needs seconds below 60, as in [01:59.50]")
        starts.append(60 * int(stamp[1]) + float(stamp[2]))
        line = line[stamp.end() :]
    return starts, line


def csv_rows(path: Path, text: str) -> Iterator[Row]:
    """Rows of a .csv, with its quotes read; InputError where it is none."""
    reader = csv.reader(io.StringIO(text), skipinitialspace=True)
    try:
        for row in reader:
            while len(row) > 3 and not row[-1].strip():
                row.pop()
            if len(row) > 3:
                raise InputError(
                    f"{path}, line {reader.line_num}: give three columns, start, stop and name, and put a name with a "
                    "comma in quotes"
                )
            yield reader.line_num, row
    except csv.Error as error:
        raise InputError(f"{path}, line {reader.line_num}, is not CSV ({error}): check its quotes") from error


def lab_rows(lines: Sequence[str]) -> Iterator[Row]:
    """Rows of a .lab, whose cells stand between blanks."""
    yield from ((number, line.split(None, 2)) for number, line in enumerate(lines, 1))


def stretches(path: Path, rows: Iterable[Row]) -> Iterator[tuple[float, float, str]]:
    """Start, stop and name of every row of a .csv or .lab; a heading is left out."""
    for number, row in rows:
        parts = [part.strip() for part in row]
        if not any(parts) or (number == 1 and parts[0].lower() == "start"):
            continue
        try:
            start, stop, name = float(parts[0]), float(parts[1]), parts[2]
        except (ValueError, IndexError):
            raise InputError(f"{path}, line {number}: give start, stop and name, such as 10.5,20,chorus") from None
        if not (0 <= start < stop < float("inf")) or not name:
            raise InputError(f"{path}, line {number}: a section needs 0 <= start < stop and a name")
        yield start, stop, name
