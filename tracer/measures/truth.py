"""Whether the probes are right on what they read: beside the decoded audio of the same states (`--ground-truth`).

`Validity` compares classes frame by frame and state by state. `against_audio` compares mean curves, which says less:
any two curves that rise correlate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from probes.support.intervals import interval
from tracer.curves import MEASURED, NO_CLASS, SHUFFLED, TRAINED
from tracer.measures.contrast import ratio
from tracer.measures.progress import Bootstrap

if TYPE_CHECKING:
    import pandas as pd

MEASURES = ("agreement", "paper", "l1", "js")
SCORES = ("accuracy", "within_one", "octave_folded", "bias")
"""What is said of a probe at a state: share of frames in the measured class, at most one class away, and a multiple of
twelve classes away (octaves where classes are semitones); mean of read minus measured class."""


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


class Validity:
    """How right a probe is at every state, gathered prompt by prompt; memory does not grow with the prompts.

    Every score is a ratio of sums over prompts, so that a prompt weighs as much as it has frames.

    Args:
        prompts: Number of prompts that will be added.
        circle: Number of classes where the last is a neighbour of the first, as in chroma: differences are then taken
            the short way round. None where classes are a scale.
    """

    def __init__(self, prompts: int, circle: int | None = None) -> None:
        self.circle = circle
        self.n = np.zeros(0, dtype=np.int64)
        """Prompts with a frame to compare, int [states]."""
        self._sums = np.zeros((0, 0))
        self._measured = np.zeros((0, NO_CLASS), dtype=np.int64)
        self._bootstrap = Bootstrap(prompts)

    def add(self, read: np.ndarray, measured: np.ndarray, valid: np.ndarray | None = None) -> None:
        """Add one prompt.

        Args:
            read: Class that the probe reads in every frame, uint8 [states, frames]; frames of several clips of the
                prompt stand side by side.
            measured: Class measured on the decoded audio, the same shape; 255 where nothing was measured.
            valid: Frames that count, bool [frames]; all when None. A frame counts at the states at which it has a
                measured class.

        Raises:
            ValueError: Shapes that differ, or more prompts than were announced.
        """
        if np.shape(read) != np.shape(measured):
            raise ValueError(f"read {np.shape(read)} and measured {np.shape(measured)} are not of one shape")
        both = np.asarray(measured) != NO_CLASS
        if valid is not None:
            both &= np.asarray(valid, dtype=bool)
        sums = _sums(np.asarray(read), np.asarray(measured), both, self.circle)
        if not len(self.n):
            self.n, self._sums = np.zeros(len(both), dtype=np.int64), np.zeros_like(sums)
            self._measured = np.zeros((len(both), NO_CLASS), dtype=np.int64)
        self.n += both.any(axis=1)
        self._sums += sums
        states, frames = np.nonzero(both)
        np.add.at(self._measured, (states, np.asarray(measured)[states, frames]), 1)
        self._bootstrap.add(sums)

    @property
    def n_frames(self) -> np.ndarray:
        """Frames with both a read and a measured class, over all prompts, int [states]."""
        return self._sums[0].astype(np.int64)

    @property
    def majority(self) -> np.ndarray:
        """Share of these frames in the commonest measured class, float64 [states]: what a constant answer gets."""
        return ratio(self._measured.max(axis=1).astype(np.float64), self._sums[0])

    def scores(self) -> dict[str, np.ndarray]:
        """Each of `SCORES` as float64 [3, states]: the value, and low and high of its 95 % bootstrap interval.

        The interval is over prompts: it is NaN at a state at which fewer than two have a frame to compare. The value is
        NaN where none has.
        """
        drawn = self._bootstrap.means()
        replicates = ratio(drawn[:, 1:], np.broadcast_to(drawn[:, :1], drawn[:, 1:].shape))
        bounds = interval(replicates, self.n)
        values = ratio(self._sums[1:], np.broadcast_to(self._sums[:1], self._sums[1:].shape))
        return {score: np.stack([values[k], *bounds[:, k]]) for k, score in enumerate(SCORES)}


def _sums(read: np.ndarray, measured: np.ndarray, both: np.ndarray, circle: int | None) -> np.ndarray:
    """Number of frames that count, and what each of `SCORES` sums over them, float64 [1 + scores, states]."""
    away = read.astype(np.int64) - measured.astype(np.int64)
    if circle is not None:
        away = (away + circle // 2) % circle - circle // 2
    terms = (np.ones_like(away), away == 0, np.abs(away) <= 1, away % 12 == 0, away)
    return np.stack([np.where(both, term, 0).sum(axis=1) for term in terms]).astype(np.float64)
