"""GuitarSet: 360 excerpts of about 30 s by six guitarists (Xi et al., ISMIR 2018)."""

import re
import warnings
from pathlib import Path

from probes.corpus.collections.base import Collection, Piece, existing

# 00_BN1-129-Eb_comp_mic.wav: player, style and progression, tempo, key (with b or #), accompaniment or solo.
_NAME = re.compile(r"(?P<player>\d\d)_[^-_]+-\d+-[A-G][b#]?_(comp|solo)")
_ENDINGS = {"mono-mic": "_mic.wav", "mono-pickup_mix": "_mix.wav"}
_SPLITS = {"04": "val", "05": "test"}
"""Players that are held out: there is no official split."""


def find(root: Path, part: str) -> list[Piece]:
    """The excerpts of a part, split by player."""
    ending = _ENDINGS[part]
    paths = sorted((root / f"audio_{part}").glob(f"*{ending}"))
    known = [(path, _NAME.fullmatch(path.name.removesuffix(ending))) for path in paths]
    strange = [path.name for path, found in known if not found]
    if strange:
        warnings.warn(f"GuitarSet: {len(strange)} files with other names are left out: {strange[0]}", stacklevel=2)
    notes = root / "annotation"
    return [
        Piece(found[0], path, _SPLITS.get(found["player"], "train"), None, existing(notes / f"{found[0]}.jams"))
        for path, found in known
        if found
    ]


GUITARSET = Collection(
    "guitarset", "GuitarSet", "CC BY 4.0", 11.2, "audio_mono-mic/ with files such as 00_BN1-129-Eb_comp_mic.wav",
    tuple(_ENDINGS), find,
)  # fmt: skip
