"""DAMP-VSEP: 41,000 karaoke performances with vocals and backing (Smule, 2019)."""

import warnings
from pathlib import Path

from probes.corpus.collections.base import Collection
from probes.corpus.collections.pieces import Piece
from probes.corpus.sources import files_below
from probes.corpus.split import split_named
from probes.errors import InputError

_FILES = {"vocal": ("vocal.ogg",), "background": ("background.wav", "background.flac"), "mix": ("mix.wav", "mix.flac")}
_NEEDS_FFMPEG = {"background": "background.m4a", "mix": "mix.m4a"}


def find(root: Path, part: str) -> list[Piece]:
    """The performances of a part, in the splits of the lists by performance key where these lie in the folder.

    Raises:
        InputError: The part is there as m4a alone, which libsndfile does not read.
    """
    splits = read_splits(root)
    found, other = [], 0
    for path in files_below(root):
        if path.name in _FILES[part]:
            key = path.parent.name
            found.append(Piece(key, path, splits.get(key)))
        other += path.name == _NEEDS_FFMPEG.get(part)
    if other and not found:
        name = _NEEDS_FFMPEG[part]
        raise InputError(f"{name} needs ffmpeg: convert each (ffmpeg -i {name} {Path(name).stem}.wav) and try again")
    if other > len(found):
        warnings.warn(f"DAMP-VSEP: {other - len(found)} files are m4a, which needs ffmpeg: left out", stacklevel=2)
    return found


def read_splits(root: Path) -> dict[str, str]:
    """Split of each performance key, from lists such as train.csv whose lines begin with the key."""
    found: dict[str, str] = {}
    for path in sorted([*root.glob("*.csv"), *root.glob("*.txt")]):
        word = next((word for word in ("train", "valid", "test") if word in path.stem.lower()), None)
        if word is not None:
            for line in path.read_text(encoding="utf-8-sig", errors="replace").splitlines():
                key = line.split(",")[0].strip().strip('"')
                if key and key != "perf_key":
                    found[key] = split_named(word)
    return found


DAMP_VSEP = Collection(
    "damp-vsep", "DAMP-VSEP", "Smule's own terms, for research, on request", 0.55,
    "folders named by performance key with vocal.ogg", tuple(_FILES), find,
)  # fmt: skip
