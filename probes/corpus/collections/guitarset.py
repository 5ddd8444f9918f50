"""GuitarSet: 360 excerpts of about 30 s by six guitarists, each recorded in four ways (Xi et al., ISMIR 2018)."""

import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from probes.attributes.score import Note
from probes.corpus.annotations import Jams, Played
from probes.corpus.collections.base import Collection
from probes.corpus.collections.mirrors import RowMirror
from probes.corpus.collections.pieces import Piece

# 00_BN1-129-Eb_comp_mic.wav: player, style and progression, tempo, key (with b or #), accompaniment or solo.
_NAME = re.compile(r"(?P<player>\d\d)_[^-_]+-\d+-[A-G][b#]?_(?P<kind>comp|solo)")
_ENDINGS = {
    "mono-mic": "_mic.wav",
    "mono-pickup_mix": "_mix.wav",
    "hex-pickup_debleeded": "_hex_cln.wav",
    "hex-pickup_original": "_hex.wav",
}
"""Ways of recording: a microphone, the pickup's six strings mixed, and the strings apart, with and without bleed
removed."""
_SPLITS = {"04": "val", "05": "test"}
"""Players that are held out: there is no official split. So all versions of a performance are in one split."""


def find(root: Path, part: str) -> list[Piece]:
    """The excerpts of a part, split by player."""
    ending = _ENDINGS[part]
    paths = sorted((root / f"audio_{part}").glob(f"*{ending}"))
    known = [(path, _NAME.fullmatch(path.name.removesuffix(ending))) for path in paths]
    strange = [path.name for path, name in known if not name]
    if strange:
        warnings.warn(f"GuitarSet: {len(strange)} files with other names are left out: {strange[0]}", stacklevel=2)
    return [excerpt(name, path, part, None, jams_of(root, name)) for path, name in known if name]


def jams_of(root: Path, name: re.Match[str]) -> Jams | None:
    """The JAMS file of an excerpt. The chords that a solo is played over are not in its recording."""
    path = root / "annotation" / f"{name[0]}.jams"
    return Jams(path, chords=name["kind"] == "comp") if path.is_file() else None


def excerpt(name: re.Match[str], path: Path, part: str, seconds: float | None, annotation: Jams | None) -> Piece:
    """One excerpt, in the split of its player."""
    split = _SPLITS.get(name["player"], "train")
    return Piece(name[0], path, split, seconds, annotation, voices=part.startswith("hex"))


def row_of_mirror(row: Mapping[str, Any], part: str) -> Piece | None:
    """The excerpt of a row of the mirror; None for another name."""
    name = _NAME.fullmatch(str(row["track_id"]))
    return None if name is None else excerpt(name, Path(), part, float(row["duration_s"]), None)


def notes_of_mirror(row: Mapping[str, Any]) -> Played:
    """The notes of a row of the mirror."""
    return Played(tuple(Note(float(n["onset_s"]), float(n["offset_s"]), float(n["midi"])) for n in row["notes"]))


GUITARSET = Collection(
    "guitarset", "GuitarSet", "CC BY 4.0", 11.2, "audio_mono-mic/ with files such as 00_BN1-129-Eb_comp_mic.wav",
    tuple(_ENDINGS), find, together=True,
    mirror=RowMirror(
        "jhartquist/guitarset", "4aca25487bef5cb0d2c4ec146218f9145402a776", ("track_id", "duration_s"), row_of_mirror,
        ("notes",), notes_of_mirror, {part: 1.9 if part.startswith("hex") else 0.32 for part in _ENDINGS},
    ),
)  # fmt: skip
