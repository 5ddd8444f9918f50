"""From clips to lock-in curves: what survives of an edit, beside what a linear flow only transports."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from probes.errors import InputError
from tracer.measures import agreement
from tracer.steering.dose_tables import drawn_interval
from tracer.steering.spec import EditSpec
from tracer.steering.tables import Row

RESAMPLES = 1000
LITTLE = 0.5
"""Share over the null below which the whole interval of an edit that is undone lies."""
LIKE = (0.5, 2.0)
"""Shares over the null between which the whole interval of an edit like the null lies."""
MUSIC, VOICED = "music", "voiced"
"""Names of the frames that count in a file of states/."""


def shares(
    clips: Sequence[Mapping[str, Any]], spec: EditSpec, windows: int, note: bool = False
) -> list[dict[str, Any]]:
    """Per window: the share of the edit's effect that survives, that of the linear flow, and one over the other.

    For `heard` (on the decoded audio) and `read` (by the probes) alike: *_shift, median effect; *_share, over that of
    editing the finished latent, with *_low and *_high; *_null, the same in a linear flow; *_over, share over null,
    with *_over_low and *_over_high; *_lost, share of bootstrap resamples without a value. Intervals are 95 % over
    prompts, which are drawn with all their clips; there is none over fewer than six, or with a tenth of the resamples
    lost.
    `verdict` says what the heard ratio means; where a share of frames on a note is heard, which saturates, it says so,
    and `turned` is the share that the edit of the finished latent turns.

    Args:
        clips: Rows of clips.csv.
        spec: The edit.
        windows: Number of windows.
        note: What is heard is a share of frames on a note, which saturates.
    """
    rows = []
    own = {
        window: sorted((row for row in clips if row["edit"] == spec.label and row["window"] == window), key=_prompt)
        for window in [*range(windows), "end"]
    }
    prompts = len(own["end"])
    draws = np.random.default_rng(0).integers(0, prompts, (RESAMPLES, prompts))
    for window in range(windows):
        row: dict[str, Any] = {
            "edit": spec.label, "attribute": spec.attribute, "from": window / windows, "to": (window + 1) / windows,
            "prompts": prompts,
        }  # fmt: skip
        for how in ("heard", "read"):
            effect, null = (column(own[window], how + kind) for kind in ("", "_null"))
            whole = column(own["end"], how)
            row[f"{how}_shift"] = float(np.nanmedian(effect))
            for name, part, base in (("", effect, whole), ("_null", null, whole), ("_over", effect, null)):
                row |= share_row(f"{how}{name or '_share'}", f"{how}{name}", part, base, draws)
        row["verdict"] = verdict(row) + ("; saturates" if note else "")
        if note:
            row["turned"] = float(np.nanmedian(column(own["end"], "heard")))
        rows.append(row)
    return rows


def column(rows: Sequence[Mapping[str, Any]], name: str) -> np.ndarray:
    """A column as numbers; NaN where a row has none."""
    return np.array([float(row.get(name, np.nan)) for row in rows])


def share_row(name: str, prefix: str, part: np.ndarray, whole: np.ndarray, draws: np.ndarray) -> dict[str, float]:
    """Ratio of medians over prompts, with its bootstrap interval and the share of resamples without a value."""
    if np.isnan(part).all() or np.isnan(whole).all():
        return {name: np.nan, f"{prefix}_low": np.nan, f"{prefix}_high": np.nan, f"{prefix}_lost": np.nan}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # resamples without a value
        resampled = ratio(np.nanmedian(part[draws], 1), np.nanmedian(whole[draws], 1))
    lost = 1 - np.isfinite(resampled).sum() / len(resampled)
    low, high = drawn_interval(resampled, int(np.isfinite(part + whole).sum()))
    found = float(ratio(np.array(np.nanmedian(part)), np.array(np.nanmedian(whole))))
    return {name: found, f"{prefix}_low": low, f"{prefix}_high": high, f"{prefix}_lost": float(lost)}


def verdict(row: Mapping[str, Any]) -> str:
    """What became of an edit beyond transport, by the interval of its share over the null.

    "amplified": all of it above 1. "undone in part": all of it between 0 and 1. "undone": it holds 0 or lies below, and
    ends below `LITTLE`. "like the null": it holds 1 and lies within `LIKE`. "not told apart": it is too wide for any of
    them. "unknown": there is none.
    """
    low, high = row["heard_over_low"], row["heard_over_high"]
    if np.isnan([low, high]).any():
        return "unknown"
    if low > 1:
        return "amplified"
    if low > 0 and high < 1:
        return "undone in part"
    if low <= 0 and high < LITTLE:
        return "undone"
    return "like the null" if LIKE[0] <= low and 1 <= high <= LIKE[1] else "not told apart"


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole, NaN where the whole is 0: an edit without an effect has no share.

    A whole below 0 is an effect too, unlike in `tracer.measures.contrast.ratio`.
    """
    return np.asarray(part / np.where(whole == 0, np.nan, whole))


def emergence_rows(files: Sequence[Path]) -> list[Row]:
    """Agreement of the clean estimate with the finished clip, per attribute and state, pooled over prompts.

    As in a run, frames of music count, and for pitch those of them that the finished clip voices.
    """
    prompts = [read_states(file) for file in files]
    rows = []
    for name in prompts[0]:
        if name in ("times", MUSIC, VOICED):
            continue
        valid = [states[VOICED if name == "pitch" else MUSIC] for states in prompts]
        values = agreement([states[name] for states in prompts], valid)
        rows += [
            {"attribute": name, "t": float(t), "agreement": float(value)}
            for t, value in zip(prompts[0]["times"], values)
        ]
    return rows


def read_states(file: Path) -> dict[str, np.ndarray]:
    """What `tracer.steering.lockin.watch` wrote of one prompt.

    `times` [states], the classes of each attribute [states, frames], and the frames of `MUSIC` and those of them that
    are `VOICED`, bool [frames].

    Raises:
        InputError: it was written before the frames that count were kept.
    """
    with np.load(file) as states:
        found = dict(states)
    if VOICED not in found:
        raise InputError(
            f"{file.parent.parent} was made by a version that did not keep which frames are voiced: "
            "run it again with a new folder for --out"
        )
    return found


def _prompt(row: Mapping[str, Any]) -> int:
    return int(row["prompt"])
