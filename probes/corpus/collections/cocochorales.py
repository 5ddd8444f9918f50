"""CocoChorales: 240,000 synthesised chorales of four parts (Wu et al., 2022)."""

import re
from dataclasses import dataclass
from pathlib import Path

from probes.attributes.score import Score
from probes.corpus.annotations import midi_score, tempo_of
from probes.corpus.collections.base import Collection
from probes.corpus.collections.pieces import Piece
from probes.corpus.sources import files_below
from probes.errors import InputError

_TRACK = re.compile(r"(?P<ensemble>[a-z]+)_track(?P<number>\d+)")
TRAIN, VAL = 192_000, 216_000
"""Last numbers of the training and the validation tracks."""
FAMILIES = {
    "violin": "bowed", "viola": "bowed", "cello": "bowed", "double bass": "bowed", "flute": "flute", "oboe": "reed",
    "clarinet": "reed", "bassoon": "reed", "saxophone": "reed", "trumpet": "brass", "horn": "brass",
    "trombone": "brass", "tuba": "brass",
}  # fmt: skip
"""Families of the thirteen instruments, as the attribute names them."""


@dataclass(frozen=True)
class Chorale:
    """A track's folder: MIDI of each voice, and the tempo and the soprano's instrument of metadata.yaml."""

    folder: Path

    def score(self) -> Score:
        tempo, lead = read_metadata(self.folder / "metadata.yaml")
        voices = sorted((self.folder / "stems_MIDI").glob("*.mid"))
        if not voices:
            raise InputError(f"{self.folder}/stems_MIDI holds no MIDI files")
        return midi_score(voices, tempo, FAMILIES.get(lead))


def read_metadata(path: Path) -> tuple[float | None, str]:
    """Tempo and the name of the soprano's instrument; None and "" where there is no such file.

    Raises:
        InputError: It cannot be read.
    """
    import yaml

    if not path.is_file():
        return None, ""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        name = str(content.get("instrument_name", {}).get(0, ""))
        return tempo_of(content.get("tempo")), name.lower().replace("_", " ").removeprefix("french ")
    except (OSError, ValueError, AttributeError, yaml.YAMLError) as error:
        raise InputError(f"{path} cannot be read as metadata of a chorale: {type(error).__name__}") from error


def find(root: Path, part: str) -> list[Piece]:
    """The mixes of all tracks, in folders by split or not; the split is that of the track's number."""
    found = {}
    for path in files_below(root):
        track = _TRACK.fullmatch(path.parent.name)
        if track and path.name == "mix.wav":
            number = int(track["number"])
            split = "train" if number <= TRAIN else "val" if number <= VAL else "test"
            voices = (path.parent / "stems_MIDI").is_dir()
            annotation = Chorale(path.parent) if voices else None
            found[path.parent.name] = Piece(path.parent.name, path, split, None, annotation)
    return list(found.values())


COCOCHORALES = Collection(
    "cocochorales", "CocoChorales", "CC BY 4.0", 0.4, "folders such as string_track000001 with mix.wav", ("mix",), find
)
