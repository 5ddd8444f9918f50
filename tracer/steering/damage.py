"""What an edit breaks: voices that are no longer heard, clipping, and a sound far from the plain one."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

VOICED = 0.15
"""Change of the voiced share from which an edit counts as damaging."""
CLIPPED = 0.001
"""Share of samples that clip, and did not in the plain version, from which an edit counts as damaging."""
LOG_MEL = 10.0
"""Log-mel distance to the plain version, dB, from which an edit counts as damaging."""


def damages(row: Mapping[str, Any]) -> list[str]:
    """What a row of a table says is broken, in words; nothing where it has no values.

    Args:
        row: With voiced_change (against the plain version), clipped and log_mel_db, where they are known.
    """
    found = []
    change = row.get("voiced_change", 0.0)
    if abs(change) > VOICED:
        found.append(f"the voiced share changes by {change:+.2f}")
    if row.get("clipped", 0.0) > CLIPPED:
        found.append(f"{row['clipped']:.1%} of the samples clip that did not before")
    if row.get("log_mel_db", 0.0) > LOG_MEL:
        found.append(f"the sound is {row['log_mel_db']:.0f} dB (log-mel) from the plain one")
    return found


def tell_damage(rows: Sequence[Mapping[str, Any]]) -> None:
    """Warn of every edit with doses that damage the sound, one line for each edit.

    Args:
        rows: With edit, alpha where it is none of the edit's own, and what `damages` reads.
    """
    told: dict[str, list[str]] = {}
    for row in rows:
        found = damages(row)
        if found:
            dose = f"alpha {row['alpha']:g}" if "alpha" in row else "its dose"
            told.setdefault(str(row["edit"]), []).append(f"{dose}: {', '.join(found)}")
    for edit, lines in told.items():
        warnings.warn(f"{edit} damages the sound at {'; '.join(lines)}", stacklevel=3)
