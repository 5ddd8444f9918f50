"""CocoChorales: 240,000 synthesised chorales of four parts (Wu et al., 2022)."""

import re
from pathlib import Path

from probes.corpus.collections.base import Collection, Piece
from probes.corpus.sources import files_below

_TRACK = re.compile(r"(?P<ensemble>[a-z]+)_track(?P<number>\d+)")
TRAIN, VAL = 192_000, 216_000
"""Last numbers of the training and the validation tracks."""


def find(root: Path, part: str) -> list[Piece]:
    """The mixes of all tracks, in folders by split or not; the split is that of the track's number."""
    found = {}
    for path in files_below(root):
        track = _TRACK.fullmatch(path.parent.name)
        if track and path.name == "mix.wav":
            number = int(track["number"])
            split = "train" if number <= TRAIN else "val" if number <= VAL else "test"
            found[path.parent.name] = Piece(path.parent.name, path, split)
    return list(found.values())


COCOCHORALES = Collection(
    "cocochorales", "CocoChorales", "CC BY 4.0", 0.4, "folders such as string_track000001 with mix.wav", ("mix",), find
)
