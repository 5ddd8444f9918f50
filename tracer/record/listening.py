"""What states sound like: which of them are decoded, and where their sound lies in a run folder."""

from pathlib import Path

import numpy as np


def heard_states(states: int, count: int) -> list[int]:
    """Indices of `count` states spread evenly over a run of `states`, first and last among them; all where it has
    fewer."""
    return sorted({round(float(index)) for index in np.linspace(0, states - 1, count)})


def sound_path(folder: Path, stem: str, view: str, index: int) -> Path:
    """The file with the sound of a clip's state, or of its endpoint there."""
    return folder / "audio" / stem / f"{view}-{index:03d}.ogg"


def sounds(folder: Path, stem: str) -> dict[str, list[int]]:
    """The states of a clip whose sound was kept, by view."""
    found: dict[str, list[int]] = {}
    for path in sorted((folder / "audio" / stem).glob("*.ogg")):
        view, _, index = path.stem.partition("-")
        if index.isdecimal():
            found.setdefault(view, []).append(int(index))
    return found
