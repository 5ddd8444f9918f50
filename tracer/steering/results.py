"""What steering runs hand back: where their files lie, and their tables."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


CODEC = "alpha 0"
"""Version of a recording that went through the codec and was not edited."""


def read_table(path: Path) -> pd.DataFrame:
    """One of a run's tables; without columns where it has no rows."""
    import pandas as pd

    return (
        pd.read_csv(path, keep_default_na=False, na_values=["", "nan"]) if path.stat().st_size > 2 else pd.DataFrame()
    )


@dataclass(frozen=True, repr=False)
class DoseResult:
    """What `run_dose` measured; the tables lie in `path` as CSV too, beside figures and clips."""

    path: Path
    clips: pd.DataFrame
    """A row per clip: prompt, edit, alpha, kind (plain, steered, random, random-data) and what was measured."""
    doses: pd.DataFrame
    """A row per edit and dose: median shifts over prompts, quartiles, random bands, damage."""
    equal_effect: pd.DataFrame
    """A row per edit: the dose at which its own attribute has moved by a fixed amount, and all shifts there."""
    leakage: pd.DataFrame
    """Target attribute by measured attribute: standardised median of |shift| at equal effect (of the target, its median
    shift), and under random pushes."""

    @classmethod
    def read(cls, folder: Path) -> DoseResult:
        """The result that lies in a folder."""
        tables = (read_table(folder / f"{name}.csv") for name in ("clips", "dose", "equal-effect", "leakage"))
        return cls(folder, *tables)

    def __repr__(self) -> str:
        edits = ", ".join(dict.fromkeys(self.doses["edit"]))
        return (
            f"DoseResult at {self.path}: {self.clips['prompt'].nunique()} prompts, {len(self.clips)} clips\n"
            f"  edits: {edits}\n  tables: clips, doses, equal_effect, leakage"
        )


@dataclass(frozen=True, repr=False)
class LockinResult:
    """What `run_lockin` measured; the tables lie in `path` as CSV too, beside the figure."""

    path: Path
    clips: pd.DataFrame
    """A row per prompt, edit and window: what was heard and read."""
    windows: pd.DataFrame
    """A row per edit and window: the share of the edit's effect that the finished clip keeps, with its interval."""
    emergence: pd.DataFrame
    """Agreement of the clean estimate with the finished clip, per attribute and state."""

    @classmethod
    def read(cls, folder: Path) -> LockinResult:
        """The result that lies in a folder."""
        return cls(folder, *(read_table(folder / f"{name}.csv") for name in ("clips", "lockin", "emergence")))

    def __repr__(self) -> str:
        edits = list(dict.fromkeys(self.windows["edit"]))
        return (
            f"LockinResult at {self.path}: {self.clips['prompt'].nunique()} prompts, "
            f"{len(self.windows) // max(1, len(edits))} windows of flow time\n"
            f"  edits: {', '.join(edits)}\n  tables: clips, windows, emergence"
        )


@dataclass(frozen=True, repr=False)
class EditResult:
    """What `edit_audio` made of a recording; clips, tables and figure lie in `path`."""

    path: Path
    summary: pd.DataFrame
    """A row per version: pitch, level, centroid, voiced and clipped share, and the change of the voiced share and the
    log-mel distance against alpha 0."""
    curves: pd.DataFrame
    """A row per version and latent frame."""

    @classmethod
    def read(cls, folder: Path) -> EditResult:
        """The result that lies in a folder."""
        return cls(folder, read_table(folder / "summary.csv"), read_table(folder / "curves.csv"))

    def __repr__(self) -> str:
        return f"EditResult at {self.path}: {', '.join(self.summary['version'])}\n  tables: summary, curves"
