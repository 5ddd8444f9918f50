"""From clips to the dose-response table, the doses of equal effect, and the leakage matrix."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from probes.support.intervals import PERCENTILES, interval, stretch
from tracer.clips import MEASURED
from tracer.steering.spec import EditSpec
from tracer.steering.tables import Row, held_changes, held_column

EFFECTS = {"pitch": 2.0, "loudness": 6.0, "timbre": float(np.log2(1.5))}
"""Shifts at which edits are compared: semitones, dB, octaves of centroid. A pitch edit with a note as its target is
compared where half of the frames sit on that note."""
FEW = 8
"""Prompts below which medians and bands say little."""
RESAMPLES = 1000
BAND = 68.0
"""Percentile of |shift| under a random push that makes the random-vector band: one standard deviation of a Gaussian."""


def numbers(rows: Sequence[Mapping[str, Any]], column: str) -> np.ndarray:
    """A column as float64; NaN where a row has none."""
    return np.array([float(row.get(column, np.nan)) for row in rows])


def spread(clips: Sequence[Row], attribute: str) -> float:
    """Standard deviation over the plain versions, the unit of a standardised shift; NaN where they are equal."""
    values = numbers([row for row in clips if row["kind"] == "plain"], attribute)
    values = values[np.isfinite(values)]
    return float(np.std(values, ddof=1)) if np.unique(values).size > 1 else float("nan")


def median(values: np.ndarray) -> float:
    return float(np.nanmedian(values)) if np.isfinite(values).any() else float("nan")


def size(clips: Sequence[Row], attribute: str) -> float:
    """Median of |shift| over clips, whichever way each of them goes."""
    return median(np.abs(numbers(clips, f"shift_{attribute}")))


def groups(clips: Sequence[Row], kind: str) -> dict[tuple[str, float], list[Row]]:
    """Clips of one kind by (edit, alpha), in order."""
    found: dict[tuple[str, float], list[Row]] = {}
    for row in clips:
        if row["kind"] == kind:
            found.setdefault((row["edit"], row["alpha"]), []).append(row)
    return found


def table(clips: Sequence[Row]) -> list[Row]:
    """One row per edit and dose.

    shift_*: median over prompts; low_* and high_*: quartiles; standard_*: median over the spread of the plain versions;
    outside_*: of an edit in a window of the song, the shift where it does not act; band_*: half-width of the
    random-vector band (see `BAND`); band_data_*: of that of pushes shaped like the data; over_band, over_band_low and
    over_band_high: the own attribute's shift in units of its band, with the 95 % bootstrap interval over prompts, and
    over_band_data* the same of pushes shaped like the data; over_band_note: over_band, were every clip on the note that
    an edit aims at; voiced_change: change of the voiced share against the plain version.
    """
    rows = []
    random, like_data = groups(clips, "random"), groups(clips, "random-data")
    plain = {row["prompt"]: row for row in clips if row["kind"] == "plain"}
    for (edit, alpha), members in groups(clips, "steered").items():
        row: Row = {"edit": edit, "attribute": members[0]["attribute"], "alpha": alpha, "prompts": len(members)}
        for name in MEASURED:
            shifts = numbers(members, f"shift_{name}")
            row[f"shift_{name}"] = median(shifts)
            finite = shifts[np.isfinite(shifts)]
            for label, percent in (("low", 25), ("high", 75)):
                row[f"{label}_{name}"] = float(np.percentile(finite, percent)) if finite.size else float("nan")
            row[f"standard_{name}"] = row[f"shift_{name}"] / spread(clips, name)
            row[f"band_{name}"] = band(random.get((edit, alpha), []), name)
            row[f"band_data_{name}"] = band(like_data.get((edit, alpha), []), name)
            if f"outside_{name}" in members[0]:
                row[f"outside_{name}"] = median(numbers(members, f"outside_{name}"))
        if "on_target" in members[0]:
            row["on_target"] = median(numbers(members, "on_target"))
            row["on_target_plain"] = median(numbers(members, "on_target_plain"))
            row["on_target_random"] = median(numbers(random.get((edit, alpha), []), "on_target"))
            row["on_target_random_data"] = median(numbers(like_data.get((edit, alpha), []), "on_target"))
        for name, pushes in (("over_band", random), ("over_band_data", like_data)):
            row |= over_band(members, pushes.get((edit, alpha), []), row["attribute"], name)
        if "to_note" in members[0] and row["band_pitch"] > 0:
            row["over_band_note"] = abs(median(numbers(members, "to_note"))) / row["band_pitch"]
        row["voiced"] = median(numbers(members, "voiced"))
        row["voiced_change"] = median(
            numbers(members, "voiced") - numbers([plain[m["prompt"]] for m in members], "voiced")
        )
        for name in ("log_mel_db", "stft_distance", "clipped"):
            row[name] = median(numbers(members, name))
            row[f"{name}_random"] = median(numbers(random.get((edit, alpha), []), name))
        rows.append(row)
    return rows


def band(random: Sequence[Row], attribute: str) -> float:
    """Half-width of the random-vector band of one attribute's shift."""
    shifts = np.abs(numbers(random, f"shift_{attribute}"))
    shifts = shifts[np.isfinite(shifts)]
    return float(np.percentile(shifts, BAND)) if shifts.size else float("nan")


def drawn_interval(drawn: np.ndarray, prompts: int) -> tuple[float, float]:
    """95 % interval of replicates [n] of a bootstrap over prompts.

    NaN over fewer than `PERCENTILES` prompts, over which a ratio of medians takes too few values for percentiles, and
    where fewer than nine of ten replicates have a value.
    """
    known = drawn[np.isfinite(drawn)]
    if prompts < PERCENTILES or len(known) < 0.9 * len(drawn):
        return np.nan, np.nan
    low, high = (float(end) for end in interval(known, prompts))
    return low, high


def over_band(members: Sequence[Row], pushes: Sequence[Row], attribute: str, name: str) -> Row:
    """Own shift over the random band, with its interval: prompts are drawn anew, with both of their clips.

    Empty (NaN) without random pushes; no interval over fewer than six prompts. The size of a median is
    never exactly 0: the interval of an edit without an effect lies above 0 as well.
    """
    pairs = {row["prompt"]: row for row in pushes}
    both = [(member, pairs[member["prompt"]]) for member in members if member["prompt"] in pairs]
    empty = {name: np.nan, f"{name}_low": np.nan, f"{name}_high": np.nan}
    if not both:
        return empty
    own, other = (numbers([pair[k] for pair in both], f"shift_{attribute}") for k in range(2))

    def shares(draws: np.ndarray) -> np.ndarray:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # draws without a value
            whole = np.nanpercentile(np.abs(other[draws]), BAND, axis=1)
            return np.abs(np.nanmedian(own[draws], axis=1)) / np.where(whole > 0, whole, np.nan)

    found = float(shares(np.arange(len(both))[None])[0])
    drawn = shares(np.random.default_rng(0).integers(0, len(both), (RESAMPLES, len(both))))
    low, high = drawn_interval(drawn, int(np.isfinite(own + other).sum()))
    return {name: found, f"{name}_low": low, f"{name}_high": high}


def with_realised(rows: Sequence[Row], steps: Sequence[Row]) -> list[Row]:
    """Rows of `table` with what came of the closed form on the latents: medians over clips and states.

    Adds wanted, change, change_low, change_high, held, held_high and each held_ATTRIBUTE_high as in
    `tracer.steering.weighing.WeighedEdit`.
    """
    names = ("wanted", "change", "change_low", "change_high", "held", "held_high")
    found: dict[tuple[str, float], list[Row]] = {}
    for step in steps:
        if step["kind"] == "steered" and "change" in step:
            found.setdefault((step["edit"], step["alpha"]), []).append(step)
    added = []
    for row in rows:
        own = found.get((row["edit"], row["alpha"]), [])
        each = dict.fromkeys(held_column(attribute) for step in own for attribute in held_changes(step))
        added.append(row | ({name: median(numbers(own, name)) for name in (*names, *each)} if own else {}))
    return added


def equal_effects(clips: Sequence[Row], specs: Sequence[EditSpec]) -> list[Row]:
    """For each edit, the dose at which its target has moved by `EFFECTS`, and all shifts there.

    shift_*: median over prompts; abs_*: median of |shift|. Between measured doses they are interpolated linearly in
    alpha, from the plain version at 0. An edit that never gets there, and one whose plain versions are there already,
    has empty shifts.
    """
    rows = []
    steered = groups(clips, "steered")
    for spec in specs:
        doses = [(alpha, members) for (edit, alpha), members in steered.items() if edit == spec.label]
        alphas = np.array([0.0] + [alpha for alpha, _ in doses])
        aimed = bool(doses) and "on_target" in doses[0][1][0]
        wanted = 0.5 if aimed else EFFECTS[spec.attribute]
        if aimed:
            effect = [median(numbers(doses[0][1], "on_target_plain"))]
            effect += [median(numbers(members, "on_target")) for _, members in doses]
        else:
            sign = direction(spec, doses)
            effect = [0.0] + [sign * median(numbers(members, f"shift_{spec.attribute}")) for _, members in doses]
        row: Row = {
            "edit": spec.label, "attribute": spec.attribute, "hold": "+".join(spec.hold), "effect": wanted,
            "of": "frames on the note" if aimed else "shift", "alpha": crossing(alphas, np.array(effect), wanted),
        }  # fmt: skip
        for name in MEASURED:
            shifts = np.array([0.0] + [median(numbers(members, f"shift_{name}")) for _, members in doses])
            magnitudes = np.array([0.0] + [size(members, name) for _, members in doses])
            row[f"shift_{name}"] = float(np.interp(row["alpha"], alphas, shifts))
            row[f"abs_{name}"] = float(np.interp(row["alpha"], alphas, magnitudes))
        rows.append(row)
    return rows


def direction(spec: EditSpec, doses: Sequence[tuple[float, list[Row]]]) -> float:
    """1 for an edit that raises its attribute, -1 for one that lowers it; of a class, as its strongest dose does."""
    if spec.target in ("+", "-"):
        return 1.0 if spec.target == "+" else -1.0
    return -1.0 if doses and median(numbers(doses[-1][1], f"shift_{spec.attribute}")) < 0 else 1.0


def crossing(alphas: np.ndarray, effect: np.ndarray, wanted: float) -> float:
    """The first alpha at which the effect reaches what is wanted, linear between doses.

    NaN when it never does, and when it is there without any dose.
    """
    if effect[0] >= wanted:
        return float("nan")
    for k in range(1, len(alphas)):
        if effect[k] >= wanted:
            share = (wanted - effect[k - 1]) / (effect[k] - effect[k - 1]) if effect[k] > effect[k - 1] else 1.0
            return float(alphas[k - 1] + share * (alphas[k] - alphas[k - 1]))
    return float("nan")


def leakage(effects: Sequence[Row], clips: Sequence[Row], units: Mapping[str, float] | None = None) -> list[Row]:
    """Target attribute x measured attribute: standardised shifts at equal effect, mean over the target's edits.

    Of the other attributes the median of |shift|, so that damage that goes both ways counts; of the target's own the
    size of its median shift, which is the effect that was asked for. random_*: the median of |shift| under the random
    pushes beside the edits' strongest doses.

    Args:
        effects: Rows of `equal_effects`.
        clips: Rows of clips.csv.
        units: What a standardised shift of each attribute is counted in; its `spread` where nothing is said.
    """
    pushes = groups(clips, "random")
    if units is None:
        units = {name: spread(clips, name) for name in MEASURED}
    rows = []
    for target in dict.fromkeys(row["attribute"] for row in effects):
        own = [row for row in effects if row["attribute"] == target]
        row: Row = {"target": target}
        for name in MEASURED:
            column = f"shift_{name}" if name == target else f"abs_{name}"
            shares = np.array([abs(entry[column]) / units[name] for entry in own])
            row[name] = float(np.nanmean(shares)) if np.isfinite(shares).any() else float("nan")
        for name in MEASURED:
            sizes = [size(of_edit[max(of_edit)], name) / units[name] for of_edit in _by_edit(pushes, own) if of_edit]
            row[f"random_{name}"] = float(np.mean(sizes)) if sizes else float("nan")
        rows.append(row)
    return rows


def with_intervals(matrix: Sequence[Row], clips: Sequence[Row], specs: Sequence[EditSpec]) -> list[Row]:
    """Rows of `leakage` with low_* and high_*, the 95 % bootstrap interval of each shift: prompts are drawn anew.

    A prompt brings all of its clips, so that the doses of equal effect and the spread are found anew as well. Empty
    where fewer than nine of ten draws have a value, and over fewer than six prompts.
    """
    by_prompt: dict[Any, list[Row]] = {}
    for clip in clips:
        if clip["kind"] in ("plain", "steered"):
            by_prompt.setdefault(clip["prompt"], []).append(clip)
    prompts = list(by_prompt.values())
    drawn: dict[tuple[str, str], list[float]] = {(row["target"], name): [] for row in matrix for name in MEASURED}
    if len(prompts) >= PERCENTILES:
        units = {name: spread(clips, name) for name in MEASURED}
        for draw in np.random.default_rng(0).integers(0, len(prompts), (RESAMPLES, len(prompts))):
            own = [clip for place in draw for clip in prompts[place]]
            reflected = {name: reflected_spread(own, name, units[name], len(prompts)) for name in MEASURED}
            for row in leakage(equal_effects(own, specs), own, reflected):
                for name in MEASURED:
                    drawn[row["target"], name].append(row[name])
    rows = []
    for row in matrix:
        ends: Row = {}
        for name in MEASURED:
            ends[f"low_{name}"], ends[f"high_{name}"] = drawn_interval(
                np.array(drawn[row["target"], name]), len(prompts)
            )
        rows.append(row | ends)
    return rows


def reflected_spread(drawn: Sequence[Row], attribute: str, found: float, prompts: int) -> float:
    """The spread that was found, times its ratio to that of the drawn prompts: what the true one may be.

    Over few prompts a spread comes out too small more easily than too large. So do those of draws, beside the one that
    was found: where a draw has a smaller one, the true one is to be taken for larger. That of a draw is moreover
    sqrt((n - 1) / n) too small, for its duplicates.

    Args:
        drawn: Clips of the drawn prompts.
        attribute: What is measured.
        found: Spread of the prompts that the draws are made of.
        prompts: Their number n.
    """
    own = spread(drawn, attribute) * stretch(prompts)
    return float(found**2 / own)


def _by_edit(pushes: Mapping[tuple[str, float], list[Row]], edits: Sequence[Row]) -> list[dict[float, list[Row]]]:
    """For each edit, its random pushes by dose."""
    return [{alpha: rows for (edit, alpha), rows in pushes.items() if edit == row["edit"]} for row in edits]
