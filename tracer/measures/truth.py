"""How well the probes' curves follow what was measured on the decoded audio of the same states (`--ground-truth`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tracer.curves import MEASURED, SHUFFLED, TRAINED

if TYPE_CHECKING:
    import pandas as pd

MEASURES = ("agreement", "paper", "l1", "js")


def against_audio(progress: pd.DataFrame) -> list[dict[str, Any]]:
    """Compare the mean curves of the probes with the mean curve of the audio, over the states where both exist.

    Args:
        progress: Table of `Results.progress`: view, probe, attribute, measure, index, mean.

    Returns:
        A row per view, attribute, measure and probe (trained, or control as the yardstick) with states (number of
        states compared), correlation (Pearson's, over states; None where a curve is flat) and difference (mean absolute
        difference of the two curves; None where no state has both). No row without measured curves.
    """
    rows = []
    table = progress[progress["measure"].isin(MEASURES)]
    kinds = table.groupby(["view", "attribute", "measure", "probe"])
    curves = {key: part.set_index("index")["mean"] for key, part in kinds}
    for (view, attribute, measure, probe), audio in curves.items():
        if probe != MEASURED:
            continue
        for reader in (TRAINED, SHUFFLED):
            if (view, attribute, measure, reader) not in curves:
                continue
            read, heard = curves[view, attribute, measure, reader].align(audio, join="inner")
            both = np.isfinite(read) & np.isfinite(heard)
            pair = read[both].to_numpy(), heard[both].to_numpy()
            flat = both.sum() < 3 or min(np.ptp(pair[0]), np.ptp(pair[1])) == 0
            rows.append(
                {
                    "view": view,
                    "attribute": attribute,
                    "measure": measure,
                    "probe": reader,
                    "states": int(both.sum()),
                    "correlation": None if flat else float(np.corrcoef(*pair)[0, 1]),
                    "difference": float(np.abs(pair[0] - pair[1]).mean()) if both.any() else None,
                }
            )
    return rows
