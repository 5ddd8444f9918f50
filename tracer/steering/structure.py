"""The sections of a song, from a file that names them."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from probes.errors import InputError

Window = tuple[float, float]
"""From and to, in seconds of the song."""
STAMPED = re.compile(r"\[(\d+):(\d{1,2}(?:\.\d+)?)\]\s*\[([^\]]+)\]\s*")
"""A line of an .lrc that begins a section."""


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
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the structure {path}: give a .csv, .lab or .lrc file") from error
    if path.suffix.lower() == ".lrc":
        begins = [
            (60 * int(m[1]) + float(m[2]), m[3].strip()) for line in lines if (m := STAMPED.fullmatch(line.strip()))
        ]
        begins.sort()
        stops = [start for start, _ in begins[1:]] + [seconds]
        found = [(start, stop, name) for (start, name), stop in zip(begins, stops)]
    else:
        found = list(stretches(path, lines))
    sections: dict[str, list[Window]] = {}
    for start, stop, name in found:
        sections.setdefault(name, []).append((start, stop))
    if not sections:
        raise InputError(f"{path} names no section: write start, stop and name, or [mm:ss.xx][chorus] in an .lrc")
    return sections


def stretches(path: Path, lines: Sequence[str]) -> Iterator[tuple[float, float, str]]:
    """Start, stop and name of every line of a .csv or .lab; a heading is left out."""
    for number, line in enumerate(lines, 1):
        parts = [
            part.strip() for part in (line.split(",", 2) if path.suffix.lower() == ".csv" else line.split(None, 2))
        ]
        if not any(parts) or (number == 1 and parts[0].lower() == "start"):
            continue
        try:
            start, stop, name = float(parts[0]), float(parts[1]), parts[2]
        except (ValueError, IndexError):
            raise InputError(f"{path}, line {number}: give start, stop and name, such as 10.5,20,chorus") from None
        if not (0 <= start < stop < float("inf")) or not name:
            raise InputError(f"{path}, line {number}: a section needs 0 <= start < stop and a name")
        yield start, stop, name
