"""How much of its own song a state holds, against chance: agreement of classes and closeness of readings.

Both compare a state with the finished song of its own prompt and with those of the other prompts, and both are a ratio
of sums over prompts. The mean of per-prompt ratios would not do: it is unbounded below and explodes where most songs
share a class.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from tracer.measures.finals import Classes, Readings
from tracer.measures.passages import ClassPassages, ReadingPassages

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
        float64 [states]. NaN where all songs end alike, so that there is nothing to tell, and where no two prompts have
        a valid frame in common. A single prompt has no others to be compared with: its uncorrected share is returned.

    Raises:
        ValueError: no prompts, prompts of different numbers of states, masks of another shape, or a class in a frame
            that counts which is no whole number from 0.
    """
    if len(classes) == 1:
        (read,), (mask,) = _classes(classes, valid)
        return class_contrast(read, mask, [])[0]
    pairs = class_contrasts(classes, valid)
    return pooled(*agreement_parts(pairs[:, 0], pairs[:, 1]))


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
        ValueError: no prompts, prompts of different numbers of states, masks of another shape, a reading in a frame
            that counts which is not finite, or an unknown scale.
    """
    pairs = reading_contrasts(readings, valid, scale)
    return pooled(*closeness_parts(pairs[:, 0], pairs[:, 1]))


def class_contrasts(classes: Sequence[np.ndarray], valid: Sequence[np.ndarray | None] | None = None) -> np.ndarray:
    """What agreement is made of: own, other, target and frames of every prompt, float64 [prompts, 4, states].

    own and other are shares. target is the share of the other prompts' frames that have the class in which this one
    ends: what its end is to their `other`. frames is the number of frames that count, the same at every state.
    Arguments and errors are those of `agreement`.
    """
    arrays, masks = _classes(classes, valid)
    endings = [(read[-1], mask) for read, mask in zip(arrays, masks)]
    finals, passages = Classes(endings), ClassPassages()
    for read, mask in zip(arrays, masks):
        passages.add(read, mask)
    found = []
    for read, end in zip(arrays, endings):
        rest = [finals.without([end])]
        pair, target = class_contrast(read, end[1], rest), passages.share(*end, [(read, end[1])])
        found.append(np.stack([*pair, target, np.full(len(read), frames_of(end[1], rest))]))
    return np.stack(found)


def reading_contrasts(
    readings: Sequence[np.ndarray], valid: Sequence[np.ndarray | None] | None = None, scale: Scale = "all"
) -> np.ndarray:
    """What closeness is made of: own, other, target and frames of every prompt, float64 [prompts, 4, states].

    own and other are squared distances, summed over frames. target is that of the other prompts' states to the end of
    this one: what its end is to their `other`. frames is the number of frames that count, the same at every state.
    Arguments and errors are those of `closeness`.
    """
    if scale not in SCALES:
        raise ValueError(f"scale is all, song or frame, not {scale!r}")
    arrays, masks = _same_states(readings, valid)
    if not all(np.isfinite(reading[:, mask]).all() for reading, mask in zip(arrays, masks)):
        raise ValueError("a reading in a frame that counts is not finite: leave such frames out by their masks")
    # Sums of squares are taken of readings around 0 with a spread of 1, so that a unit's size costs no precision.
    ends = np.concatenate([reading[-1, mask] for reading, mask in zip(arrays, masks)]).astype(np.float64)
    middle, spread = (ends.mean(), ends.std()) if len(ends) else (0.0, 0.0)
    if spread <= 1e-12 * abs(middle):  # rounding alone
        spread = 1.0
    scaled = [
        at_scale((reading.astype(np.float64) - middle) / spread, mask, scale) for reading, mask in zip(arrays, masks)
    ]
    finals, passages = Readings((reading[-1], counted) for reading, counted in scaled), ReadingPassages()
    for reading, counted in scaled:
        passages.add(reading, counted)
    found = []
    for reading, counted in scaled:
        rest = [finals.without([(reading[-1], counted)])]
        pair, target = (
            reading_contrast(reading, counted, rest),
            passages.distance(reading[-1], counted, [(reading, counted)]),
        )
        found.append(np.stack([*pair, target, np.full(len(reading), frames_of(counted, rest))]))
    return np.stack(found)


def class_contrast(classes: np.ndarray, counted: np.ndarray, levels: Sequence[Classes]) -> np.ndarray:
    """Shares of a clip's frames that have their own final class, and that have those of other songs.

    Args:
        classes: uint8 [states, frames].
        counted: Frames that count, bool [frames].
        levels: Endings of other songs. Frames count in which each level has one.

    Returns:
        float64 [1 + levels, states]: own share, then that of each level; NaN without a frame to compare.
    """
    classes = np.asarray(classes)
    frames = _shared(counted, [level.present(classes.shape[1]) for level in levels])
    if not len(frames):
        return np.full((1 + len(levels), len(classes)), np.nan)
    own = (classes[:, frames] == classes[-1, frames]).mean(axis=1)
    return np.stack([own, *(level.share(classes, frames) for level in levels)])


def reading_contrast(reading: np.ndarray, counted: np.ndarray, levels: Sequence[Readings]) -> np.ndarray:
    """Squared distances of a clip's states to its own final reading and to those of other songs, summed over frames.

    Args:
        reading: float64 [states, frames].
        counted: Frames that count, bool [frames].
        levels: Endings of other songs. Frames count in which each level has one.

    Returns:
        float64 [1 + levels, states]: to its own, then the mean over each level's songs; NaN without a frame to compare.
    """
    frames = _shared(counted, [level.present(reading.shape[1]) for level in levels])
    if not len(frames):
        return np.full((1 + len(levels), len(reading)), np.nan)
    own = np.square(reading[:, frames] - reading[-1, frames]).sum(axis=1)
    return np.stack([own, *(level.distance(reading, frames) for level in levels)])


def frames_of(counted: np.ndarray, levels: Sequence[Classes | Readings]) -> int:
    """Number of frames that count and in which each level has a song."""
    return len(_shared(counted, [level.present(len(counted)) for level in levels]))


def agreement_parts(own: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Numerator and denominator of agreement from shares of any shape."""
    return own - other, 1 - other


def closeness_parts(own: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Numerator and denominator of closeness from squared distances of any shape."""
    return other - own, other


def parts_of(measure: str, own: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Numerator and denominator of a measure, "agreement", "closeness" or one of their kinds."""
    return (agreement_parts if measure.startswith("agreement") else closeness_parts)(own, other)


def drawn_parts(measure: str, contrasts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Numerator and denominator of a measure for a bootstrap over prompts, each [prompts, states].

    A prompt that is drawn counts by its states and by its end. Its end is worth what it is to the others beyond what an
    end of as many frames is to them on average: without that the number of its frames would count twice.

    Args:
        measure: As in `parts_of`.
        contrasts: What `class_contrasts` or `reading_contrasts` gives; NaN for a prompt that counts nowhere.
    """
    own, other, target, frames = np.moveaxis(contrasts, 1, 0)
    frames = np.where(np.isnan(target), np.nan, frames)
    usual = np.nanmean(target, axis=0) * frames / np.nanmean(frames, axis=0)
    return parts_of(measure, own, other + target - usual)


def clip_curves(measure: str, own: np.ndarray, other: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """Curve of each clip: what is left between it and its own end, of what is between all songs on average.

    It is 1 at the end for every clip. Agreement or closeness of one clip against its own chance would not do: a song
    that is like the others would be divided by next to nothing, and one that is unlike them would settle early.

    Args:
        measure: As in `parts_of`.
        own: Shares or squared distances [clips, ..., states], NaN for a clip that counts nowhere; other likewise.
        other: The same against the ends of other prompts.
        frames: Number of frames that count, of the same shape.

    Returns:
        float64 of the same shape.
    """
    if measure.startswith("agreement"):
        away, weights = (1 - own, 1 - other), np.ones_like(own)
    else:
        away, weights = (own, other), frames
    places = tuple(range(own.ndim - 1))
    chance = ratio(np.nansum(away[1], axis=places), np.nansum(np.where(np.isnan(away[1]), 0, weights), axis=places))
    return 1 - ratio(away[0] / weights, np.broadcast_to(chance, own.shape))


def pooled(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Ratio of sums over prompts.

    Args:
        part: float64 [prompts, ..., states]; NaN for a prompt that counts nowhere.
        whole: The same shape.

    Returns:
        float64 [..., states]; NaN where the songs leave no room between them.
    """
    return ratio(np.nansum(part, axis=0), np.nansum(whole, axis=0))


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole, NaN where there is nothing to divide by."""
    result = np.full(np.shape(whole), np.nan)
    np.divide(part, whole, out=result, where=np.asarray(whole) > 1e-12)
    return result


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


def _shared(counted: np.ndarray, present: Sequence[np.ndarray]) -> np.ndarray:
    """Indices of the frames that count and in which every level has a song."""
    frames = np.asarray(counted, dtype=bool).copy()
    for level in present:
        frames &= level > 0
    return np.flatnonzero(frames)


def _classes(
    classes: Sequence[np.ndarray], valid: Sequence[np.ndarray | None] | None
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Classes [states, frames] and frames that count, bool [frames], of each prompt."""
    arrays, masks = _same_states(classes, valid)
    counted = [np.where(mask, array, 0) for array, mask in zip(arrays, masks)]
    if not all(((array >= 0) & (array % 1 == 0)).all() for array in counted):
        raise ValueError("a class in a frame that counts is no whole number from 0: leave such frames out by a mask")
    return [array.astype(np.int64) for array in counted], masks


def _same_states(
    values: Sequence[np.ndarray], valid: Sequence[np.ndarray | None] | None
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Values [states, frames] and frames that count, bool [frames], of each prompt."""
    arrays = [np.asarray(value) for value in values]
    states = {array.shape[0] if array.ndim == 2 else 0 for array in arrays}
    if len(states) != 1 or 0 in states:
        raise ValueError("give [states, frames] for each prompt, with the same number of states")
    given = [None] * len(arrays) if valid is None else list(valid)
    masks = [np.ones(a.shape[1], bool) if mask is None else np.asarray(mask) for a, mask in zip(arrays, given)]
    shapes = [array.shape[1:] for array in arrays]
    if len(given) != len(arrays) or [mask.shape for mask in masks] != shapes:
        raise ValueError("valid holds a mask [frames] for each prompt, or None")
    if not all(np.isin(mask, (0, 1)).all() for mask in masks):
        raise ValueError("a mask says of every frame whether it counts, True or False")
    return arrays, [mask.astype(bool) for mask in masks]
