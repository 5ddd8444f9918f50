"""Several runs side by side: when is each attribute settled in each model, and in which order?"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, groupby, pairwise, permutations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from probes.errors import InputError
from tracer.curves import SHUFFLED, TRAINED, mixed_measures
from tracer.gathering import Contrasts, Endings
from tracer.measures import paired
from tracer.measures.progress import THRESHOLD
from tracer.measures.verdicts import at_index
from tracer.record.contrasts import read_contrasts
from tracer.record.shards import PromptTrace
from tracer.run import Run

if TYPE_CHECKING:
    import pandas as pd

    from tracer.figures.palette import Drawing


LONGEST_NAME = 120
"""Bytes of a file name that says which runs it belongs to; file systems take 255, endings and all."""


@dataclass(frozen=True, repr=False)
class Comparison:
    """When each attribute is settled in each of several runs, and in which order."""

    settled: pd.DataFrame
    """A row per view, attribute, run (its name here) and probe (trained or shuffled).

    Columns: measure (closeness, or what a run without classes per frame has in its place), index, low and high (state
    and 95 % interval, NaN over one prompt), states (index of the last one), t, t_low and t_high (flow time), logsnr,
    logsnr_low and logsnr_high, n (number of prompts).

    logsnr = 2 ln(t / (1 - t)) is the axis on which models with different samplers can be compared. It is infinite where
    an attribute is settled at the last state only."""
    pairs: pd.DataFrame
    """A row per pair of attributes of a run, and per pair of runs of an attribute.

    Columns: kind ("attributes" or "runs"), view, of (the run or the attribute that both share), first, second;
    difference, low and high (of flow time, negative where the first settles earlier, with its 95 % bootstrap interval
    over prompts), states (the difference in states, where both have the same number) and logsnr; p (Holm-corrected over
    the rows of a kind and view), verdict ("earlier", "later" or "not told apart"), paired (whether both saw the same
    prompts with the same seeds, which are then drawn together) and n (number of prompts)."""
    orders: pd.DataFrame
    """A row per view and run with its attributes in the order in which they settle: "a < b" where a is told to settle
    earlier, "a ~ b" where the two are not told apart, "a ? b" where nothing was tested: that takes two prompts or more,
    and the classes of their frames."""
    left_out: tuple[str, ...] = ()
    """Attributes whose classes have no order: they have no closeness, by which the others are compared."""

    def __repr__(self) -> str:
        lines = [f"  {row.view}, {row.run}: {row.order}" for row in self.told_orders().itertuples()]
        if told := mixed_measures(self.settled):
            lines.append(f"  {told}")
        runs = ", ".join(dict.fromkeys(self.settled["run"]))
        return "\n".join(
            [f"Comparison of {runs}; order in which attributes settle:", *lines, "  tables: settled, pairs, orders"]
        )

    def told_orders(self) -> pd.DataFrame:
        """`orders` for people: of a run of one prompt it says that nothing is told."""
        prompts = self.settled.groupby("run")["n"].max()
        alone = self.orders["run"].map(prompts) == 1
        return self.orders.assign(order=self.orders["order"].mask(alone, "one prompt: nothing is told"))

    def few(self, prompts: int) -> list[str]:
        """Names of the runs with fewer prompts than that."""
        most = self.settled.groupby("run", sort=False)["n"].max()
        return list(most.index[most < prompts])

    def plot(self, path: str | Path | None = None) -> Drawing:
        """Draw the settled points with their intervals.

        Args:
            path: File to write as well; a name without .png, .svg or .pdf is written as both .png and .svg.

        Returns:
            The matplotlib figure, which a notebook shows.

        Raises:
            InputError: The file cannot be written.
        """
        from tracer.figures.comparison import draw_comparison

        figure = draw_comparison(self.settled)
        if path is not None:
            figure.write(path)
        return figure


def compare_runs(runs: Sequence[Run | str | os.PathLike[str]]) -> Comparison:
    """Compare when each attribute is settled in several runs.

    Args:
        runs: Two runs or more, or their folders.

    Raises:
        InputError: Fewer than two runs, or a folder that holds no run.
    """
    import pandas as pd

    opened = open_runs(runs)
    if len(opened) < 2:
        raise InputError(f"compare takes two run folders or more, got {len(opened)}")
    folders = [run.path.resolve() for run in opened]
    twice = next((folder for folder in folders if folders.count(folder) > 1), None)
    if twice is not None:
        raise InputError(f"{twice} is given twice: give different runs to compare")
    rows, songs = settled_rows(opened), [songs_of(run) for run in opened]
    pairs = [*attribute_pairs(opened, songs), *run_pairs(opened, songs)]
    compared = {row["attribute"] for row in rows}
    left_out = sorted({name for run in opened for name in run.attributes} - compared)
    return Comparison(
        pd.DataFrame(rows),
        pd.DataFrame(pairs, columns=PAIR_COLUMNS),
        pd.DataFrame(order_rows(rows, pairs)),
        tuple(left_out),
    )


def plot_runs(
    runs: Sequence[Run | str | os.PathLike[str]], path: str | Path | None = None, axis: str | None = None
) -> Drawing:
    """Draw the emergence curves of several runs over each other.

    Args:
        runs: Runs, or their folders.
        path: File to write as well, as in `Run.plot`.
        axis: The x axis, as in `Run.plot`; None is the state index, or flow time where the states of the runs are not
            at the same flow times.

    Returns:
        The matplotlib figure, which a notebook shows.

    Raises:
        InputError: No run, a folder that holds no run, an unknown axis, or a file that cannot be written.
    """
    from tracer.figures.emergence import draw_emergence

    opened = open_runs(runs)
    figure = draw_emergence(list(zip(run_names(opened), [run.results for run in opened])), axis=axis)
    if path is not None:
        figure.write(path)
    return figure


def open_runs(runs: Sequence[Run | str | os.PathLike[str]]) -> list[Run]:
    """Open the runs that are given as folders."""
    return [run if isinstance(run, Run) else Run(run) for run in runs]


def run_names(runs: Sequence[Run]) -> list[str]:
    """A name for each run: its model, with as much of its folder's path as tells it from runs of the same model."""
    models = [str(run.options.get("model", run.path.name)) for run in runs]
    folders = [run.path.resolve() for run in runs]
    names = []
    for model, folder in zip(models, folders):
        others = [other for other, its in zip(folders, models) if its == model and other != folder]
        if models.count(model) == 1:
            names.append(model)
            continue
        parts = next(
            (k for k in range(1, len(folder.parts)) if all(folder.parts[-k:] != other.parts[-k:] for other in others)),
            len(folder.parts),
        )
        names.append(f"{model} ({'/'.join(folder.parts[-parts:])})")
    return names


def joint_name(kind: str, runs: Sequence[Path]) -> str:
    """Name of a file or folder that belongs to several runs, such as "comparison-with-second".

    Another set of runs gives another name: of each run but the first it says where its path leaves that of the first.

    Args:
        kind: What it is.
        runs: Folders of the runs.
    """
    first, *others = [folder.resolve() for folder in runs]
    parts = [other.relative_to(os.path.commonpath([first.parent, other.parent])).parts for other in others]
    name = f"{kind}-with-{'-and-'.join('-'.join(each) for each in parts)}"
    if len(name.encode()) <= LONGEST_NAME:
        return name
    return f"{kind[:40]}-with-others-{hashlib.blake2b(name.encode(), digest_size=4).hexdigest()}"


def settled_rows(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Rows of `Comparison.settled`: endpoint first, attributes in the order in which the runs settle them."""
    rows = []
    for name, run in zip(run_names(runs), runs):
        table, measure = run.results.settled, run.results.main_measure
        table = table[(table["measure"] == measure) & (table["threshold"] == THRESHOLD)]
        table = table[table["probe"].isin([TRAINED, SHUFFLED])]
        for found in table.to_dict("records"):
            row = {"view": found["view"], "attribute": found["attribute"], "run": name}
            row |= {key: found[key] for key in ("probe", "measure", "index", "low", "high")}
            row["states"] = run.results.states - 1
            times = {key: found[key] for key in ("t", "t_low", "t_high")}
            row |= times | {key.replace("t", "logsnr", 1): log_snr(t) for key, t in times.items()} | {"n": found["n"]}
            rows.append(row)
    known = list(dict.fromkeys(name for run in runs for name in run.attributes))
    return sorted(
        rows, key=lambda row: (row["view"] != "endpoint", known.index(row["attribute"]), row["probe"] != TRAINED)
    )


def log_snr(t: float) -> float:
    """2 ln(alpha / sigma) at flow time t = alpha / (alpha + sigma)."""
    if t <= 0 or t >= 1:
        return math.inf if t >= 1 else -math.inf
    return 2 * math.log(t / (1 - t))


PAIR_COLUMNS = (
    "kind", "view", "of", "first", "second", "difference", "low", "high", "states", "logsnr", "p", "verdict", "paired",
    "n",
)  # fmt: skip


Songs = dict[tuple[str, str], dict[int, np.ndarray]]
"""For each view and attribute of a run, own, other, target and frames [4, states] of every prompt, mean over seeds."""


def songs_of(run: Run) -> Songs:
    """Songs of all finished clips of a run.

    Empty where the run's curves are not comparable prompt by prompt: no frames were kept, or there is one prompt.
    """
    measure = run.results.main_measure
    if measure not in ("agreement", "closeness"):
        return {}
    return _by_prompt(read_contrasts(run.path, TRAINED, measure))


def songs_among(run: Run, clips: Sequence[int], of_all: Songs) -> Songs:
    """Songs of some finished clips of a run, of two prompts or more: other is the mean over the prompts of these alone.

    Args:
        run: A run whose `songs_of` is not empty.
        clips: Numbers of the clips, in order.
        of_all: What `songs_of` gave, which serves where these are all its clips.
    """
    if list(clips) == run.reader.indices.tolist():
        return of_all
    endings = Endings()
    for clip in clips:
        endings.add(_trained(run, clip))
    contrasts, measure = Contrasts(endings), run.results.main_measure
    found: dict[tuple[str, str], dict[tuple[int, int], np.ndarray]] = {}
    for prompt, numbers in groupby(clips, lambda clip: clip // run.reader.seeds):
        mine = [_trained(run, clip) for clip in numbers]
        for place, one in contrasts.of_prompt(mine):
            if one.measure == measure:
                # To the digits of contrast.parquet, so that equal clips of two runs are equal here.
                lists = one.own, one.other, one.target, np.full_like(one.own, one.frames)
                pair = np.stack(lists).astype(np.float32).astype(np.float64)
                found.setdefault((one.curve.view, one.curve.attribute), {})[prompt, mine[place].seed] = pair
    return _by_prompt(found)


def _trained(run: Run, clip: int) -> PromptTrace:
    """A clip as the trained probes read it, without what the others read."""
    trace = run.reader.trace(clip, pooled=False)
    return replace(trace, classes={curve: read for curve, read in trace.classes.items() if curve.probe == TRAINED})


def _by_prompt(contrasts: Mapping[tuple[str, str], Mapping[tuple[int, int], np.ndarray]]) -> Songs:
    """Mean over seeds of what is known; without attributes that fewer than two prompts have."""
    found: Songs = {}
    for key, clips in contrasts.items():
        prompts: dict[int, list[np.ndarray]] = {}
        for (prompt, _), pair in clips.items():
            if not np.isnan(pair).any():
                prompts.setdefault(prompt, []).append(pair)
        if len(prompts) > 1:
            found[key] = {prompt: np.mean(pairs, axis=0) for prompt, pairs in prompts.items()}
    return found


def attribute_pairs(runs: Sequence[Run], songs: Sequence[Songs]) -> list[dict[str, Any]]:
    """Rows of `Comparison.pairs` for the attributes of each run, over the prompts in which both have a value."""
    names, axes = run_names(runs), [run_axes(run) for run in runs]
    rows: list[dict[str, Any]] = []
    for view in ("endpoint", "state"):
        keys, found = [], []
        held = [[name for name in run.attributes if (view, name) in own] for run, own in zip(runs, songs)]
        places = [(k, *pair) for k, attributes in enumerate(held) for pair in combinations(attributes, 2)]
        for k, first, second in places:
            both = [songs[k][view, attribute] for attribute in (first, second)]
            shared = sorted(both[0].keys() & both[1].keys())
            own = [_song(prompts, shared, runs[k]) for prompts in both]
            found.append((paired.draw(own, paired=True), (axes[k], axes[k])))
            keys.append(("attributes", view, names[k], first, second, True, len(shared)))
        rows += pair_rows(keys, found)
    return sorted(rows, key=lambda row: names.index(row["of"]))


def run_pairs(runs: Sequence[Run], songs: Sequence[Songs]) -> Iterator[dict[str, Any]]:
    """Rows of `Comparison.pairs` for the runs that read an attribute: paired over the prompts and seeds they share.

    Chance is taken over the shared prompts too: over all prompts of each run, it would differ where the songs do not.
    """
    names, axes = run_names(runs), [run_axes(run) for run in runs]
    among = {}
    for one, two in combinations(range(len(runs)), 2):
        clips = shared_clips(runs[one], runs[two]) if songs[one] and songs[two] else []
        among[one, two] = [songs_among(runs[k], clips, songs[k]) if clips else {} for k in (one, two)]
    for view in ("endpoint", "state"):
        keys, found = [], []
        places = [
            (attribute, one, two)
            for attribute in dict.fromkeys(name for run in runs for name in run.attributes)
            for one, two in combinations(range(len(runs)), 2)
            if all((view, attribute) in songs[k] for k in (one, two))
        ]
        for attribute, one, two in places:
            mine = [own.get((view, attribute), {}) for own in among[one, two]]
            shared = sorted(mine[0].keys() & mine[1].keys())
            together = len(shared) > 1
            if not together:
                mine = [songs[k][view, attribute] for k in (one, two)]
            orders = [shared, shared] if together else [sorted(prompts) for prompts in mine]
            both = [_song(prompts, order, runs[k]) for prompts, order, k in zip(mine, orders, (one, two))]
            keys.append(("runs", view, attribute, names[one], names[two], together, min(map(len, orders))))
            found.append((paired.draw(both, paired=together), (axes[one], axes[two])))
        yield from pair_rows(keys, found)


def shared_clips(one: Run, two: Run) -> list[int]:
    """Numbers of the finished clips that both runs made from the same captions and seeds; none of a single prompt."""
    if any(one.options.get(key, 1) != two.options.get(key, 1) for key in ("seed", "seeds")):
        return []
    captions = [{prompt.index: prompt.caption for prompt in run.prompts} for run in (one, two)]
    prompts = {index for index, caption in captions[0].items() if captions[1].get(index) == caption}
    both = np.intersect1d(one.reader.indices, two.reader.indices).tolist()
    shared = [clip for clip in both if clip // one.reader.seeds in prompts]
    return shared if len({clip // one.reader.seeds for clip in shared}) > 1 else []


def run_axes(run: Run) -> tuple[np.ndarray, np.ndarray]:
    """Flow time and log-SNR of a run's states."""
    grid = run.results.progress.drop_duplicates("index").sort_values("index")
    return grid["t"].to_numpy(float), grid["logsnr"].to_numpy(float)


def pair_rows(
    keys: Sequence[tuple[Any, ...]],
    found: Sequence[tuple[list[paired.Drawn], tuple[tuple[np.ndarray, np.ndarray], ...]]],
) -> Iterator[dict[str, Any]]:
    """Rows of the pairs of one kind and view, corrected for their number."""
    compared = [paired.compare(drawn[0], drawn[1], (axes[0][0], axes[1][0])) for drawn, axes in found]
    for key, (drawn, axes), one, (p, verdict) in zip(keys, found, compared, paired.verdicts(compared)):
        kind, view, of, first, second, together, n = key
        points = [at_index(axis[1], each.value) for axis, each in zip(axes, drawn)]
        same = len(axes[0][0]) == len(axes[1][0])
        yield {
            "kind": kind, "view": view, "of": of, "first": first, "second": second,
            "difference": one.difference, "low": one.low, "high": one.high,
            "states": drawn[0].value - drawn[1].value if same else np.nan,
            "logsnr": points[0] - points[1] if np.isfinite(points).all() else np.nan,
            "p": p, "verdict": verdict, "paired": together, "n": n,
        }  # fmt: skip


def _song(prompts: dict[int, np.ndarray], order: Sequence[int], run: Run) -> paired.Song:
    return paired.Song(np.stack([prompts[prompt] for prompt in order]), run.results.main_measure)


def order_rows(rows: Sequence[dict[str, Any]], pairs: Sequence[dict[str, Any]]) -> list[dict[str, str]]:
    """Rows of `Comparison.orders`, from those of `Comparison.settled` and `Comparison.pairs`.

    Attributes that settle at the same state stand as the differences of their pairs say, which know more than whole
    states. "<" stands where the verdict says that the first is earlier, "?" where the pair has no difference.
    """
    differences, told = {}, set()
    for row in pairs:
        if row["kind"] == "attributes":
            for (first, second), sign, word in zip(permutations((row["first"], row["second"])), (1, -1), paired.WORDS):
                differences[row["view"], row["of"], first, second] = sign * row["difference"]
                if row["verdict"] == word:
                    told.add((row["view"], row["of"], first, second))
    orders = []
    trained = [row for row in rows if row["probe"] == TRAINED]
    for view, run in dict.fromkeys((row["view"], row["run"]) for row in trained):
        times = {row["attribute"]: row["t"] for row in trained if (row["view"], row["run"]) == (view, run)}
        behind = {
            name: np.nansum([differences.get((view, run, name, other), 0) for other in times if times[other] == t])
            for name, t in times.items()
        }
        places = sorted(((t, behind[name], name) for name, t in times.items()), key=lambda place: place[:2])
        order = places[0][2]
        for (_, _, before), (_, _, after) in pairwise(places):
            pair = view, run, before, after
            tested = np.isfinite(differences.get(pair, np.nan))
            order += f" {('<' if pair in told else '~') if tested else '?'} {after}"
        orders.append({"view": view, "run": run, "order": order})
    return orders
