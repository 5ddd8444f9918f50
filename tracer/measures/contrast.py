"""How much of its own song a state holds, against chance: agreement of classes and closeness of readings.

Both compare a state with the finished song of its own prompt and with those of the other prompts, and both are a ratio
of sums over prompts. The mean of per-prompt ratios would not do: it is unbounded below and explodes where most songs
share a class.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from tracer.measures.frame_classes import Finals, prompt_agreement

Scale = Literal["all", "song", "frame"]
SCALES: tuple[Scale, ...] = ("all", "song", "frame")


def agreement(classes: Sequence[np.ndarray], valid: Sequence[np.ndarray | None] | None = None) -> np.ndarray:
    """Chance-corrected share of frames that have the class they end with, pooled over prompts.

    agreement_t = sum over prompts (own_t - other_t) / sum over prompts (1 - other_t), where own_t is the share of
    frames that have their final class at state t, and other_t the share that have the final class of another prompt,
    mean over the others. It is 0 when the states say nothing particular about their songs, and 1 at the end. It
    compares an attribute with its own controls, not with another attribute: it depends on the number of classes.

    Args:
        classes: Most probable class of every frame, uint8 [states, frames] for each prompt. Songs may differ in length;
            they are compared where they overlap.
        valid: Frames that count, bool [frames] for each prompt; None counts all. A prompt without one counts nowhere.

    Returns:
        float64 [states]. NaN where all songs end alike, so that there is nothing to tell. A single prompt has no others
        to be compared with: its uncorrected share is returned.

    Raises:
        ValueError: no prompts, or prompts of different numbers of states.
    """
    masks = _masks(classes, valid)
    finals = Finals()
    for read, mask in zip(classes, masks):
        finals.add(np.asarray(read)[-1], mask)
    pairs = [prompt_agreement(read, finals, mask) for read, mask in zip(classes, masks)]
    own, other = (np.stack([getattr(pair, name) for pair in pairs]) for name in ("own", "other"))
    return pooled_agreement(own, other)


def pooled_agreement(own: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Ratio of sums of agreement, from the shares of each prompt.

    Args:
        own: Share of frames with their final class, float64 [..., prompts, states]; NaN for a prompt that counts
            nowhere.
        other: The same share against the finals of other prompts.

    Returns:
        float64 [..., states]; NaN where no prompt has room for agreement.
    """
    return _ratio(np.nansum(own - other, axis=-2), np.nansum(1 - other, axis=-2))


class FinalReadings:
    """Count, sum and sum of squares over prompts of each frame's reading at the last state; memory [frames]."""

    def __init__(self) -> None:
        self.sums = np.zeros((3, 0))

    def add(self, final: np.ndarray, counted: np.ndarray) -> None:
        """Add one prompt: its final reading [frames] and the frames that count, bool [frames]."""
        if len(final) > self.sums.shape[1]:
            self.sums = np.pad(self.sums, [(0, 0), (0, len(final) - self.sums.shape[1])])
        self.sums[:, : len(final)] += powers(final) * counted


def powers(values: np.ndarray) -> np.ndarray:
    """Ones, values and squares [3, frames]."""
    return np.stack([np.ones(len(values)), values, np.square(values)])


def closeness(
    readings: Sequence[np.ndarray], valid: Sequence[np.ndarray | None] | None = None, scale: Scale = "all"
) -> np.ndarray:
    """Closeness of a reading to its own finished song, against the songs of other prompts.

    closeness_t = 1 - D_own / D_other. D_own is the mean over prompts and frames of (r_t(f) - r_T(f))^2, D_other the
    same against the finals of the other prompts, in frames that count for both. It is 0 when the reading says nothing
    about this song and 1 at the end. It knows no bins, and measures each attribute in units of its own spread between
    songs, so that attributes and models can be compared.

    Args:
        readings: A number of every frame, such as its expected class, float [states, frames] for each prompt.
        valid: Frames that count, bool [frames] for each prompt; None counts all. A prompt without one counts nowhere.
        scale: "song" compares the means over a prompt's frames, "frame" what is left of a frame without its prompt's
            mean, "all" both together.

    Returns:
        float64 [states]; NaN where the songs end alike, and for a single prompt.

    Raises:
        ValueError: no prompts, prompts of different numbers of states, or an unknown scale.
    """
    if scale not in SCALES:
        raise ValueError(f"scale is all, song or frame, not {scale!r}")
    masks = _masks(readings, valid)
    scaled = [at_scale(np.asarray(reading, np.float64), mask, scale) for reading, mask in zip(readings, masks)]
    finals = FinalReadings()
    for reading, counted in scaled:
        finals.add(reading[-1], counted)
    sums = np.stack([squared_distances(reading, finals, counted) for reading, counted in scaled])
    return pooled_closeness(sums)


def at_scale(reading: np.ndarray, mask: np.ndarray, scale: Scale) -> tuple[np.ndarray, np.ndarray]:
    """One prompt's reading [states, frames] at a scale, and the frames that count, bool [frames].

    The song scale has one frame: the mean.
    """
    if scale == "all":
        return reading, mask
    if not mask.any():
        width = 1 if scale == "song" else len(mask)
        return np.zeros((len(reading), width)), np.zeros(width, dtype=bool)
    mean = reading[:, mask].mean(axis=1, keepdims=True)
    return (mean, np.ones(1, dtype=bool)) if scale == "song" else (reading - mean, mask)


def squared_distances(reading: np.ndarray, finals: FinalReadings, counted: np.ndarray) -> np.ndarray:
    """Squared distances of one prompt to its own final and to those of the others, summed over its frames.

    Args:
        reading: float64 [states, frames].
        finals: Sums over all prompts, this one among them; it is taken out here.
        counted: Frames that count, bool [frames].

    Returns:
        float64 [3, states]: to its own final, to the others' (mean over the others in each frame), and the number of
        frames in which both exist.
    """
    width = len(counted)
    count, total, squares = finals.sums[:, :width] - powers(reading[-1]) * counted
    frames = counted & (count > 0.5)
    r = reading[:, frames]
    own = np.square(r - r[-1]).sum(axis=1)
    n = count[frames]
    other = (np.square(r) - 2 * r * total[frames] / n + squares[frames] / n).sum(axis=1)
    return np.stack([own, other, np.full(len(reading), float(frames.sum()))])


def pooled_closeness(sums: np.ndarray) -> np.ndarray:
    """1 - D_own / D_other from the sums of each prompt, float64 [..., prompts, 3, states] -> [..., states]."""
    own, other, frames = np.moveaxis(sums.sum(axis=-3), -2, 0)
    return np.where(frames > 0, 1 - _ratio(own, other), np.nan)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    result = np.full(np.shape(whole), np.nan)
    np.divide(part, whole, out=result, where=np.asarray(whole) > 1e-12)
    return result


def _masks(values: Sequence[np.ndarray], valid: Sequence[np.ndarray | None] | None) -> list[np.ndarray]:
    """Frames that count of each prompt, bool [frames]."""
    shapes = [np.shape(value) for value in values]
    if not shapes or any(len(shape) != 2 for shape in shapes) or len({shape[0] for shape in shapes}) > 1:
        raise ValueError("give [states, frames] for each prompt, with the same number of states")
    if valid is None:
        return [np.ones(shape[1], dtype=bool) for shape in shapes]
    return [
        np.ones(shape[1], dtype=bool) if mask is None else np.asarray(mask, dtype=bool)
        for shape, mask in zip(shapes, valid, strict=True)
    ]
