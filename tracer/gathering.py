"""From the finished clips of a run, one prompt at a time, to sums over prompts.

Two passes: the first keeps how the songs end (`tracer.measures.finals`), the second compares every state with these
endings. What is kept is a row per view, probe, attribute and measure. A row is a mean over prompts, or a ratio of two
sums over prompts (`part` over `whole`), as agreement and closeness are.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from probes.errors import InputError
from tracer.curves import GENERIC, LINEAR_FLOW, SHUFFLED, TRAINED, Curve, kind
from tracer.measures.committing import CommitmentMap
from tracer.measures.contrast import (
    SCALES,
    Scale,
    at_scale,
    class_contrast,
    frames_of,
    parts_of,
    ratio,
    reading_contrast,
)
from tracer.measures.finals import Classes, Readings
from tracer.measures.matching import matched_groups
from tracer.measures.passages import ClassPassages, Passage, ReadingPassages
from tracer.measures.progress import Accumulator, Bootstrap, js, l1, paper
from tracer.record.shards import PromptTrace
from tracer.record.store import RunReader

POOLED_MEASURES = ("paper", "l1", "js")
CLOSENESS: dict[Scale, str] = {"all": "closeness", "song": "closeness_song", "frame": "closeness_frame"}
RATIOS = ("agreement", "agreement_matched", *CLOSENESS.values())
MEASURES = (*POOLED_MEASURES, *RATIOS)
MATCHED = (TRAINED, SHUFFLED, GENERIC, LINEAR_FLOW)
"""Probes whose agreement is also taken with merged classes."""
PARTS = ("prompt", "song", "frame")
"""What a state knows: what the prompt alone says, what is constant over the song, what is particular to the frame."""
PAIRED = "paired"
"""Probe of rows that are not shown: the trained probes, over the prompts that have a linear flow."""


class Row(NamedTuple):
    """One curve of a measure."""

    attribute: str
    view: str
    probe: str
    measure: str

    @property
    def place(self) -> tuple[str, str, str, int]:
        """Sorts rows as the tables have them."""
        order = (*MEASURES, "own", "fvu", "l0")
        base = self.measure.split(":")[0]
        return self.attribute, self.view, self.probe, order.index(base)


class Contrast(NamedTuple):
    """One clip against its own end and those of the other prompts, float64 [states] each."""

    curve: Curve
    measure: str
    own: np.ndarray
    other: np.ndarray
    target: np.ndarray
    """The other prompts' states against the end of this clip; NaN along a linear flow, which has the trained ends."""
    frames: int
    """Number of frames that count."""


class Endings:
    """How all songs of a run end, and how they pass through their states: the first pass."""

    def __init__(self) -> None:
        self.classes: dict[Curve, Classes] = {}
        self.readings: dict[tuple[Curve, Scale], Readings] = {}
        self.class_passages: dict[Curve, ClassPassages] = {}
        self.reading_passages: dict[tuple[Curve, Scale], ReadingPassages] = {}
        self.curves: dict[Curve, bool] = {}
        """Curves with frames, and whether they have readings."""

    @classmethod
    def of(cls, reader: RunReader) -> Endings:
        """Read the clips of a run; empty where no frames were kept."""
        endings = cls()
        if reader.frames:
            for trace in reader.traces(pooled=False):
                endings.add(trace)
        return endings

    def add(self, trace: PromptTrace) -> None:
        """Add one clip."""
        for curve, classes in trace.classes.items():
            self.curves[curve] = curve in trace.values
            if curve.probe == LINEAR_FLOW:  # ends as the trained probes do
                continue
            valid = trace.valid[curve]
            self.classes.setdefault(curve, Classes()).add(classes[-1], valid)
            self.class_passages.setdefault(curve, ClassPassages()).add(classes, valid)
            for scale in SCALES if curve in trace.values else ():
                reading, counted = _scaled(trace, curve, scale)
                self.readings.setdefault((curve, scale), Readings()).add(reading[-1], counted)
                self.reading_passages.setdefault((curve, scale), ReadingPassages()).add(reading, counted)

    def groups(self) -> dict[str, np.ndarray]:
        """Merged class of each class, by attribute, from how the trained probes read the finished songs."""
        return {
            curve.attribute: matched_groups(classes.counts.sum(axis=0))
            for curve, classes in self.classes.items()
            if curve.probe == TRAINED
        }


class Contrasts:
    """Compares the clips of one prompt with their own ends and with those of the others.

    Args:
        endings: How all songs of the run end.
        alone: The run has one prompt: its agreement is the uncorrected share, with a chance of 0.
    """

    def __init__(self, endings: Endings, alone: bool = False) -> None:
        self.endings, self.alone = endings, alone
        self.groups = endings.groups()
        self.merged = {
            curve: classes.merged(self._groups(curve, classes.counts.shape[1]))
            for curve, classes in endings.classes.items()
            if kind(curve.probe) in MATCHED
        }
        self.merged_passages = {
            curve: passages.merged(self._groups(curve, passages.weights.shape[2]))
            for curve, passages in endings.class_passages.items()
            if curve in self.merged
        }

    def _groups(self, curve: Curve, known: int) -> np.ndarray:
        groups = self.groups[curve.attribute]
        # A control may end in classes that no song ends in: they join the last group.
        return np.pad(groups, (0, max(0, known - len(groups))), mode="edge") if len(groups) else np.zeros(known, int)

    def of_prompt(self, clips: Sequence[PromptTrace]) -> Iterator[tuple[int, Contrast]]:
        """Contrasts of the clips of one prompt, each with its place among them."""
        for curve in self.endings.curves:
            mine = [clip for clip in clips if curve in clip.classes]
            if not mine:
                continue
            home = curve._replace(probe=TRAINED) if curve.probe == LINEAR_FLOW else curve
            endings = self.endings
            yield from self._agreement("agreement", curve, clips, endings.classes[home], endings.class_passages[home])
            if home in self.merged:
                known = self.merged[home], self.merged_passages[home]
                yield from self._agreement("agreement_matched", curve, clips, *known, self._groups(curve, 256))
            if self.endings.curves[curve]:
                yield from self._closeness(curve, home, clips)

    def _agreement(
        self,
        measure: str,
        curve: Curve,
        clips: Sequence[PromptTrace],
        finals: Classes,
        passages: ClassPassages,
        groups: np.ndarray | None = None,
    ) -> Iterator[tuple[int, Contrast]]:
        """Contrasts of classes, merged where `groups` is given, of the clips that have the curve."""
        home = curve._replace(probe=TRAINED) if curve.probe == LINEAR_FLOW else curve

        def read(clip: PromptTrace, own: Curve) -> Passage:
            return clip.classes[own] if groups is None else groups[clip.classes[own]], clip.valid[own]

        mine = [read(clip, home) for clip in clips]
        # A single prompt has no others: all its frames count.
        rest = [] if self.alone else [finals.without([(classes[-1], valid) for classes, valid in mine])]
        for number, clip in enumerate(clips):
            if curve in clip.classes:
                classes, valid = read(clip, curve)
                own, *others = class_contrast(classes, valid, rest)
                other = others[0] if others else 0 * own
                target = passages.share(classes[-1], valid, mine) if curve == home else np.full_like(own, np.nan)
                yield number, Contrast(curve, measure, own, other, target, frames_of(valid, rest))

    def _closeness(self, curve: Curve, home: Curve, clips: Sequence[PromptTrace]) -> Iterator[tuple[int, Contrast]]:
        for scale, measure in CLOSENESS.items():
            if scale != "all" and kind(curve.probe) not in (TRAINED, LINEAR_FLOW, GENERIC):
                continue
            mine = [_scaled(clip, home, scale) for clip in clips]
            rest = self.endings.readings[home, scale].without([(reading[-1], counted) for reading, counted in mine])
            passages = self.endings.reading_passages[home, scale]
            for number, clip in enumerate(clips):
                if curve in clip.values:
                    reading, counted = _scaled(clip, curve, scale)
                    own, other = reading_contrast(reading, counted, [rest])
                    own_end = curve == home
                    target = passages.distance(reading[-1], counted, mine) if own_end else np.full_like(own, np.nan)
                    yield number, Contrast(curve, measure, own, other, target, frames_of(counted, [rest]))

    def parts_of_prompt(self, clips: Sequence[PromptTrace]) -> Iterator[tuple[int, Curve, str, np.ndarray]]:
        """What `split` takes apart, [5, states], of each clip of a prompt of several, with its place among them."""
        for curve, has_readings in self.endings.curves.items():
            if curve.probe != TRAINED:
                continue
            class_ends = [(clip.classes[curve][-1], clip.valid[curve]) for clip in clips]
            classes = self.endings.classes[curve].without(class_ends)
            scaled = [_scaled(clip, curve, "all") for clip in clips] if has_readings else []
            reading_ends = [(reading[-1], counted) for reading, counted in scaled]
            for number, clip in enumerate(clips):
                mates = Classes(end for k, end in enumerate(class_ends) if k != number)
                times = Classes([class_ends[number]]).at_other_times()
                levels = [classes, mates, times, mates.at_other_times()]
                yield number, curve, "agreement", class_contrast(clip.classes[curve], clip.valid[curve], levels)
                if has_readings:
                    others = self.endings.readings[curve, "all"].without(reading_ends)
                    near = Readings(end for k, end in enumerate(reading_ends) if k != number)
                    then = Readings([reading_ends[number]]).at_other_times()
                    apart = [others, near, then, near.at_other_times()]
                    yield number, curve, "closeness", reading_contrast(*scaled[number], apart)


def _scaled(clip: PromptTrace, curve: Curve, scale: Scale) -> tuple[np.ndarray, np.ndarray]:
    return at_scale(clip.values[curve].astype(np.float64), clip.valid[curve], scale)


class Gathered:
    """Sums over prompts of every row: the second pass."""

    def __init__(self, reader: RunReader, endings: Endings, first: PromptTrace) -> None:
        self.t, self.logsnr = first.t, first.logsnr
        self.contrasts = Contrasts(endings, alone=reader.finished == 1)
        views = sorted(first.fvu)
        means = [Row(c.attribute, c.view, c.probe, m) for c in first.pooled for m in POOLED_MEASURES]
        means += [Row(c.attribute, c.view, kind(c.probe), "own") for c in endings.curves]
        means += [Row("sae", view, TRAINED, measure) for view in views for measure in ("fvu", "l0")]
        self.means = sorted(set(means), key=lambda row: row.place)
        self.ratios = sorted(set(_ratio_rows(endings, reader.seeds > 1)), key=lambda row: row.place)
        shape = (len(self.t),)
        self.mean_sums = Accumulator((len(self.means), *shape))
        self.parts, self.wholes = (Accumulator((len(self.ratios), *shape)) for _ in range(2))
        self.surplus = Accumulator((2, len(self.ratios), *shape))
        """What part and whole of a prompt have less than what the bootstrap draws for it."""
        self.framed = sorted({(row.attribute, row.view) for row in self.ratios})
        self.frames = Accumulator((len(self.framed), *shape))
        """Number of frames that count of a prompt, of each attribute and view, the same at every state."""
        self.bootstrap = Bootstrap(reader.finished)
        self.directions: dict[tuple[Curve, str], np.ndarray] = {}
        """Sums over prompts of part and whole [2, states] of each generic direction."""
        self.excluded = {Row(c.attribute, c.view, c.probe, "paper"): Accumulator() for c in first.pooled}
        self.maps = {c: CommitmentMap(len(self.t)) for c in endings.curves if c.probe in (TRAINED, SHUFFLED)}
        self.seen: list[list[Contrast]] = []
        """Contrasts of the clips of the prompt that was added last."""

    def add(self, clips: Sequence[PromptTrace]) -> None:
        """Add all clips of one prompt."""
        means: dict[Row, list[np.ndarray]] = {}
        parts: dict[Row, list[tuple[np.ndarray, ...]]] = {}
        directions: dict[tuple[Curve, str], list[np.ndarray]] = {}
        frames: dict[tuple[str, str], list[int]] = {}
        for clip in clips:
            if len(clip.t) != len(self.t):
                raise InputError(
                    f"prompt {clip.prompt} has {len(clip.t)} states and others {len(self.t)}: trace again into another"
                    " --out"
                )
            for row, values in self._pooled(clip):
                means.setdefault(row, []).append(values)
            for curve, commitment in self.maps.items():
                commitment.add(clip.classes[curve], clip.valid[curve])
        self.seen = [[] for _ in clips]
        followed = [any(curve.probe == LINEAR_FLOW for curve in clip.classes) for clip in clips]
        for number, found in self.contrasts.of_prompt(clips):
            self.seen[number].append(found)
            part, whole = parts_of(found.measure, found.own, found.other)
            curve = found.curve
            row = Row(curve.attribute, curve.view, kind(curve.probe), found.measure)
            drawn = part, whole
            if curve.probe != LINEAR_FLOW:
                drawn = parts_of(found.measure, found.own, found.other + found.target)
            parts.setdefault(row, []).append((part, whole, *drawn))
            if found.measure == "agreement":
                means.setdefault(row._replace(measure="own"), []).append(found.own)
                if row.probe == GENERIC:
                    directions.setdefault((curve, "own"), []).append(np.stack([found.own, np.ones_like(found.own)]))
            if curve.probe == TRAINED and found.measure == "agreement" and found.frames:
                frames.setdefault((curve.attribute, curve.view), []).append(found.frames)
            if curve.probe == TRAINED and followed[number]:
                parts.setdefault(row._replace(probe=PAIRED), []).append((part, whole, part, whole))
            if row.probe == GENERIC:
                directions.setdefault((curve, found.measure), []).append(np.stack([part, whole]))
        if len(clips) > 1:
            for number, curve, measure, levels in self.contrasts.parts_of_prompt(clips):
                own, other, *near = levels
                pair = next(one for one in self.seen[number] if (one.curve, one.measure) == (curve, measure))
                drawn_split = split(measure, np.stack([own, other + pair.target, *near]))
                for name, plain in split(measure, levels).items():
                    row = Row(curve.attribute, curve.view, TRAINED, f"{measure}:{name}")
                    parts.setdefault(row, []).append((*plain, *drawn_split[name]))
        for key, of_clips in directions.items():  # as the rows are, a mean over the clips of a prompt
            sums = self.directions.setdefault(key, np.zeros((2, len(self.t))))
            sums += np.nan_to_num(_mean(of_clips))
        nothing = np.full(len(self.t), np.nan)
        stacked = np.stack([_mean_of_known(means.get(row, [nothing])) for row in self.means])
        both = [_mean([np.stack(own) for own in parts.get(row, [(nothing,) * 4])]) for row in self.ratios]
        pairs = np.stack(both) if both else np.zeros((0, 4, len(self.t)))
        self.mean_sums.add(stacked)
        self.parts.add(pairs[:, 0])
        self.wholes.add(pairs[:, 1])
        self.surplus.add(np.moveaxis(pairs[:, :2] - pairs[:, 2:], 1, 0))
        counted = np.zeros((len(self.framed), len(self.t)))
        for place, framed in enumerate(self.framed):
            counted[place] = np.mean(frames[framed]) if framed in frames else np.nan
        self.frames.add(counted)
        self.bootstrap.add(np.concatenate([stacked, pairs[:, 2], pairs[:, 3], counted]))

    def _pooled(self, clip: PromptTrace) -> Iterator[tuple[Row, np.ndarray]]:
        for curve, p in clip.pooled.items():
            row = Row(curve.attribute, curve.view, curve.probe, "paper")
            if np.isnan(p).all():
                nothing = np.full(len(p), np.nan)
                yield from ((row._replace(measure=measure), nothing) for measure in POOLED_MEASURES)
                continue
            published = paper(p)
            self.excluded[row].add(published.share)
            yield row, published.values
            yield row._replace(measure="l1"), l1(p)
            yield row._replace(measure="js"), js(p)
        for view, measure in itertools.product(clip.fvu, ("fvu", "l0")):
            yield Row("sae", view, TRAINED, measure), getattr(clip, measure)[view].astype(np.float64)


def _ratio_rows(endings: Endings, several_seeds: bool) -> Iterator[Row]:
    followed = any(curve.probe == LINEAR_FLOW for curve in endings.curves)
    for curve, has_readings in endings.curves.items():
        probe = kind(curve.probe)
        row = Row(curve.attribute, curve.view, probe, "agreement")
        yield row
        if probe in MATCHED:
            yield row._replace(measure="agreement_matched")
        if has_readings:
            scales = CLOSENESS.values() if probe in (TRAINED, LINEAR_FLOW, GENERIC) else ["closeness"]
            yield from (row._replace(measure=measure) for measure in scales)
        if probe == TRAINED:
            measures = ["agreement", *(["closeness"] if has_readings else [])]
            if followed:
                yield from (row._replace(probe=PAIRED, measure=measure) for measure in measures)
            if several_seeds:
                yield from (row._replace(measure=f"{m}:{part}") for m in measures for part in PARTS)


def split(measure: str, levels: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Take agreement or closeness apart into what the prompt says, what the song, and what the frame.

    The prompt says by how much the other seeds of this prompt are nearer than other prompts are; its course over time
    is in that. The song, by how much this clip is nearer than the other seeds, both at other times. The frame, what is
    left: by how much the frame is nearer than other times of the same clip, beyond what it is for the other seeds.

    Args:
        measure: "agreement" or "closeness".
        levels: float64 [5, states]: shares or distances of the own end, of other prompts, of other seeds of this
            prompt, of the own end at other times, and of the other seeds at other times.

    Returns:
        Numerator and denominator of each of `PARTS`; over one denominator, the three add up to the measure.
    """
    own, other, mates, times, mates_then = levels
    sign = 1 if measure == "agreement" else -1
    whole = parts_of(measure, own, other)[1]
    found = {"prompt": mates - other, "song": times - mates_then, "frame": (own - times) - (mates - mates_then)}
    return {part: (sign * found[part], whole) for part in PARTS}


def _mean_of_known(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Mean over clips, each state over those that have a value there."""
    stacked = np.stack(arrays)
    known = ~np.isnan(stacked)
    return ratio(np.where(known, stacked, 0.0).sum(axis=0), known.sum(axis=0).astype(np.float64))


def _mean(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Mean over clips; those with NaN do not count."""
    present = [values for values in arrays if not np.isnan(values).any()]
    return np.mean(present, axis=0) if present else np.full_like(arrays[0], np.nan, dtype=np.float64)


def ratio_curves(gathered: Gathered) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation over prompts of every ratio row, [rows, states].

    The deviation is that of the prompts' parts over the mean whole, whose mean is the ratio of sums.
    """
    whole = gathered.wholes.mean
    return ratio(gathered.parts.mean, whole), ratio(gathered.parts.std, whole)
