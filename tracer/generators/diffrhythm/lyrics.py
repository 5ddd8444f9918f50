"""Lyrics of phoneme ids with time stamps, placed on the latent's frames as DiffRhythm was trained on them."""

import logging
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from probes.errors import InputError
from probes.support.tensors import read_torch

log = logging.getLogger(__name__)

FRAME_RATE = 44100 / 2048  # latent frames per second
COMMA, PERIOD = 1, 2  # phoneme ids; 0 is the filler between lines
INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
STAMP = re.compile(r"\[(\d+):(\d{1,2}(?:\.\d+)?)\](.*)")
OFFSET = re.compile(r"\[offset:\s*([+-]?\d+)\s*\]", re.IGNORECASE)  # ms; positive moves lyrics earlier
TAG = re.compile(r"\[[A-Za-z#]+:.*\]")  # [ar:...], [ti:...] and their kin carry no lyrics


class Line(NamedTuple):
    """One line of lyrics."""

    seconds: float
    """When it begins."""
    ids: list[int]
    """Phoneme ids: 1 comma, 2 period."""


def read_lyrics(path: str | Path, vocabulary: int = 363) -> list[Line]:
    """The lines of a lyrics file, in order of time.

    Args:
        path: a text file of lines "[mm:ss.xx]12 45 7", or a `.pt` file in the form of DiffRhythm's data set (`time` in
            seconds, `lrc` a list of id tensors).
        vocabulary: largest phoneme id.

    Raises:
        InputError: unreadable file, or a bad stamp or id (the line is named).
    """
    path = Path(path).expanduser()
    lines = list(_read_pt(path) if path.suffix == ".pt" else _read_lrc(path))
    for where, line in lines:
        wrong = [value for value in line.ids if not 0 <= value <= vocabulary]
        if wrong:
            raise InputError(f"{where}: phoneme id {wrong[0]} is not in 0 to {vocabulary}")
    if not lines:
        raise InputError(f"{path} holds no line of lyrics of the form [mm:ss.xx]12 45 7")
    return sorted((line for _, line in lines), key=lambda line: line.seconds)


def lyric_ids(lines: Sequence[Line], frames: int, drop_last: bool = False) -> Tensor:
    """The lines on the frame grid, phoneme ids [frames] int64: 0 where nothing is sung.

    Each line begins at the frame of its stamp, or where the line before it ends, one id per frame. Periods inside it
    become commas and one period closes it, as in training. What lies beyond the last frame is left out.

    Args:
        drop_last: leave out the last line that begins in time as well, as upstream does for the 2048-frame model.
    """
    begun = [line for line in lines if line.seconds < frames / FRAME_RATE]
    sung = begun[:-1] if drop_last else begun
    if len(sung) < len(lines):
        log.info("%d of %d lines of the lyrics are not sung in this length", len(lines) - len(sung), len(lines))
    ids = torch.zeros(frames, dtype=torch.long)
    free = 0
    for line in sung:
        phonemes = [COMMA if value == PERIOD else value for value in line.ids] + [PERIOD]
        start = max(int(line.seconds * FRAME_RATE), free)
        free = min(start + len(phonemes), frames)
        ids[start:free] = torch.tensor(phonemes[: max(free - start, 0)], dtype=torch.long)
    return ids


def _read_lrc(path: Path) -> Iterator[tuple[str, Line]]:
    """Each line, and how to name it in a message."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the lyrics {path}: {error}") from None
    shift = 0.0
    for number, written in enumerate(text.splitlines(), 1):
        where, written = f"{path}, line {number}", written.strip()
        offset = OFFSET.fullmatch(written)
        if offset is not None:
            shift = int(offset[1]) / 1000
        if not written or TAG.fullmatch(written):
            continue
        found = STAMP.fullmatch(written)
        if found is None or float(found[2]) >= 60:
            raise InputError(f"{where}: no time stamp [mm:ss.xx] at its start: {written[:40]!r}")
        words = found[3].split()
        bad = [word for word in words if not (word.isascii() and word.isdigit())]
        if bad:
            raise InputError(
                f"{where}: {bad[0][:40]!r} is no phoneme id; lyrics are numbers here, as DiffRhythm's "
                "own g2p writes them"
            )
        yield where, Line(max(0.0, 60 * int(found[1]) + float(found[2]) - shift), [int(word) for word in words])


def _read_pt(path: Path) -> Iterator[tuple[str, Line]]:
    """As `_read_lrc`."""
    stored: Any = read_torch(path)
    if not (isinstance(stored, dict) and isinstance(stored.get("time"), list) and isinstance(stored.get("lrc"), list)):
        raise InputError(f"{path} holds no lists 'time' (seconds) and 'lrc' (phoneme ids)")
    times, ids = stored["time"], stored["lrc"]
    if not times or len(times) != len(ids):
        raise InputError(f"{path}: {len(times)} times for {len(ids)} lines of lyrics")
    for number, (seconds, phonemes) in enumerate(zip(times, ids), 1):
        where = f"{path}, lyrics line {number}"
        if not (isinstance(phonemes, Tensor) and phonemes.dim() == 1 and phonemes.dtype in INTEGERS):
            raise InputError(f"{where}: the phoneme ids must be a one-dimensional tensor of whole numbers")
        if not (isinstance(seconds, int | float) and math.isfinite(seconds) and seconds >= 0):
            raise InputError(f"{where}: {seconds!r} is no time in seconds")
        yield where, Line(float(seconds), phonemes.tolist())
