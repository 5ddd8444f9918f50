"""A run folder as the user meets it: curves, settled points, figures, clips and prompts."""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from probes.errors import InputError
from tracer.curves import TRAINED, VIEWS, Curve
from tracer.gathering import MEASURES
from tracer.measures.committing import CommitmentMap
from tracer.measures.progress import THRESHOLD, THRESHOLDS
from tracer.options import names_of
from tracer.prompts import Prompt
from tracer.record.store import RunReader
from tracer.results import Results, compute_progress, is_computed, load_results, with_interval
from tracer.truth_files import write_truth

if TYPE_CHECKING:
    import pandas as pd

    from tracer.figures.palette import Drawing

_ALL_MEASURES = (*MEASURES, "own", "fvu", "l0")


class Run:
    """A finished or unfinished run; everything is computed from its finished prompts alone.

    Args:
        path: Run folder, the `out` of a trace; or its URL (s3://, gs://, hf://, ...), of which a copy is read.

    Raises:
        InputError: `path` is not a run folder.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.reader = RunReader(path)
        self.path = self.reader.path

    def __repr__(self) -> str:
        planned = self.reader.planned // self.reader.seeds
        several = f", {self.reader.seeds} seeds each" if self.reader.seeds > 1 else ""
        model = self.options.get("model", "unknown model")
        lines = [f"Run {self.path}: {model}, {self.n} of {planned} prompts finished{several}"]
        if self.autoencoder:
            lines.append("  autoencoder imported from {library}, {origin}".format(**self.autoencoder))
        if self.n and not ("results" in self.__dict__ or is_computed(self.reader)):
            lines.append("  curves are not computed yet: progress(), settled() and plot() compute them")
        elif self.n:
            lines.append(f"  {self.results.states} states, read as {' and '.join(self.views)}")
            lines += self._settled_lines()
        return "\n".join(lines)

    def _settled_lines(self) -> list[str]:
        measure = self.results.main_measure
        table = self.results.settled
        table = table[(table["measure"] == measure) & (table["probe"] == TRAINED) & (table["threshold"] == THRESHOLD)]
        table = table.set_index(["attribute", "view"])
        lines = [
            f"  settled from state (95 % interval), {measure}:",
            f"  {'':12}" + "".join(f"{v:16}" for v in self.views),
        ]
        for attribute in self.attributes:
            cells = []
            for view in self.views:
                found = table.loc[(attribute, view)] if (attribute, view) in table.index else None
                cells.append("-" if found is None else with_interval(*found[["index", "low", "high"]]))
            lines.append(f"  {attribute:12}" + "".join(f"{cell:16}" for cell in cells))
        return [line.rstrip() for line in lines]

    @property
    def options(self) -> dict[str, Any]:
        """The options that the run was made with."""
        return self.reader.options

    @property
    def autoencoder(self) -> dict[str, str | None] | None:
        """Whose autoencoder read the run: library, origin and revision; None for one trained here."""
        return self.reader.about.get("autoencoder")

    @property
    def n(self) -> int:
        """Number of prompts of which a clip is finished."""
        return self.reader.finished

    @cached_property
    def prompts(self) -> list[Prompt]:
        """The prompts of the run, finished or not."""
        return self.reader.prompts()

    @cached_property
    def results(self) -> Results:
        """All curves of the run, of every view, probe and measure; computed on first use."""
        return load_results(self.reader)

    @property
    def attributes(self) -> list[str]:
        """The attributes that were read, in the order in which they settle."""
        return self.results.attributes

    @property
    def views(self) -> list[str]:
        """The views that were read, "state" first."""
        return self.results.views

    def progress(self, view: str = "endpoint", measure: str = "agreement", probe: str = TRAINED) -> pd.DataFrame:
        """Mean curves over prompts.

        Args:
            view: "state" (the latent as it is) or "endpoint" (the clean latent that the model expects at that state).
            measure: "agreement", "agreement_matched" (classes merged to one entropy), "closeness", "closeness_song",
                "closeness_frame", "paper" (Eq. 4), "l1", "js", "own" (agreement before the correction for chance), or,
                of the autoencoder itself, "fvu" and "l0".
            probe: "trained", "shuffled" (labels of other files), "generic" (directions that mean nothing),
                "linear_flow" (a generator that knows mean and covariance alone), or "measured" (decoded audio), where
                the run has it.

        Returns:
            A row per attribute and state with columns attribute, index, t, logsnr, mean, std, low, high, n. low and
            high are the 95 % bootstrap interval over prompts; of "generic" the lowest and the highest direction. std is
            the standard deviation over prompts: of the agreements and closenesses, which are pooled, that of each
            prompt's part over the mean whole, and not of ratios of their own.

        Raises:
            InputError: The run has no such view, measure or probe.
        """
        table = self._rows(self.results.progress, "curves", view=view, measure=measure, probe=probe)
        return table[["attribute", "index", "t", "logsnr", "mean", "std", "low", "high", "n"]].reset_index(drop=True)

    def settled(
        self,
        view: str | None = None,
        measure: str = "agreement",
        probe: str = TRAINED,
        threshold: float = THRESHOLD,
    ) -> pd.DataFrame:
        """First state from which the mean over prompts stays near its end.

        Args:
            view: As in `progress`; None for all views.
            measure: As in `progress`, but for "own", "fvu" and "l0".
            probe: As in `progress`.
            threshold: Distance to the end that counts as near: 0.05, 0.1 or 0.2.

        Returns:
            A row per attribute and view with columns attribute, view, index, low, high (95 % bootstrap interval over
            prompts; NaN over one), t, t_low, t_high, n.

        Raises:
            InputError: The run has no such view, measure or probe, or the table no such threshold.
        """
        near = [known for known in THRESHOLDS if math.isclose(known, threshold, rel_tol=1e-6)]  # np.float32(0.1) too
        if not near:
            raise InputError(f"settled points are kept for {', '.join(map(str, THRESHOLDS))}, not {threshold:g}")
        table = self.results.settled
        table = table[table["threshold"] == near[0]]
        views = {} if view is None else {"view": view}
        table = self._rows(table, "settled points", measure=measure, probe=probe, **views)
        return table.drop(columns=["probe", "measure", "threshold"]).reset_index(drop=True)

    def verdicts(self) -> pd.DataFrame:
        """Whether each attribute settles earlier than, like, or later than its nulls.

        Returns:
            A row per attribute, view, measure ("closeness" or "agreement") and null, with columns settled and
            null_settled (states, between states too), difference with its 95 % interval low and high (over prompts,
            and for "generic" over directions too), logsnr_difference, verdict and n (number of prompts).
        """
        return self.results.verdicts

    def parts(self, view: str = "endpoint", measure: str = "closeness") -> pd.DataFrame:
        """What the prompt alone says, what is constant over the song, and what is particular to the frame.

        Args:
            view: As in `progress`.
            measure: "closeness" or "agreement"; the three parts add up to it.

        Returns:
            A row per attribute, part and state with columns attribute, part, index, t, logsnr, mean, low, high, n.

        Raises:
            InputError: The run has one seed, and so nothing that tells the prompt from the song; or no such view or
                measure.
        """
        table = self.results.parts
        if table.empty:
            raise InputError(f"{self.path} has one seed: trace it with --seeds 2 or more to take its curves apart")
        table = self._rows(table, "parts", view=view, measure=measure)
        return table.drop(columns=["view", "measure"]).reset_index(drop=True)

    def commitment(self, attribute: str, view: str = "endpoint", probe: str = TRAINED) -> np.ndarray:
        """Share of clips whose frame keeps its final class from a state on: float32 [states, frames].

        Raises:
            InputError: The run kept no classes per frame of this attribute, view and probe.
        """
        maps = self.results.commitment
        try:
            return maps[Curve(view, probe, attribute)]
        except KeyError:
            held = ", ".join(sorted({curve.attribute for curve in maps})) or "none"
            raise InputError(
                f"{self.path} has no classes per frame of {attribute} in view {view}: it holds {held}"
            ) from None

    def audio(self, prompt: int = 0, seed: int = 0) -> tuple[np.ndarray, int]:
        """The clip of one prompt, and of one of its seeds: samples float32 [channels, n] and the sample rate in Hz.

        Seeds are counted from 0, whatever the seed of the run.

        In a notebook, `samples, rate = run.audio(0)` and `IPython.display.Audio(samples, rate=rate)` play it.

        Raises:
            InputError: The run has no such prompt or seed. The prompt has no clip: it is not finished, or the run was
                made without audio. Or the clip is not the one that the run wrote.
        """
        from probes.support.audio_files import read_audio

        seeds = self.reader.seeds
        prompt = self._number("prompt", prompt, self.reader.planned // seeds)
        seed = self._number("seed", seed, seeds)
        stem = Prompt(prompt, "", "", seed).stem
        path = self.path / "audio" / f"{stem}.wav"
        if not path.exists():
            raise InputError(f"{self.path} has no clip of prompt {prompt}: trace it with audio (save_audio=True)")
        if self.reader.changed_sound(prompt * seeds + seed, stem):
            raise InputError(f"{path} is not what the run wrote: give its trace command again to redo it")
        return read_audio(path)

    def plot(
        self,
        path: str | Path | None = None,
        *,
        measures: Sequence[str] = ("agreement", "closeness"),
        axis: str | None = None,
    ) -> Drawing:
        """Draw the emergence curves with their intervals, each attribute and view beside its own controls.

        Args:
            path: File to write as well; a name without .png, .svg or .pdf is written as both .png and .svg.
            measures: Measures to draw, or their names with commas, a row each for every view. A run without classes per
                frame has "l1" alone.
            axis: The x axis: "index" (state index), "t" (flow time) or "logsnr"; None is "index".

        Returns:
            The matplotlib figure, which a notebook shows.

        Raises:
            InputError: An unknown measure or axis, or a file that cannot be written.
        """
        from tracer.figures.emergence import draw_emergence

        runs = [(self.path.resolve().name, self.results)]
        return _written(draw_emergence(runs, names_of(measures), axis), path)

    def plot_progress(self, path: str | Path | None = None, axis: str | None = None) -> Drawing:
        """Draw the published progress s_t (Eq. 4), the counterpart of the paper's Figure 4.

        Args:
            path: File to write as well, as in `plot`.
            axis: The x axis, as in `plot`.

        Returns:
            The matplotlib figure, which a notebook shows.
        """
        from tracer.figures.progress import draw_progress

        return _written(draw_progress(self.results, axis), path)

    def plot_parts(self, path: str | Path | None = None) -> Drawing:
        """Draw what the prompt, the song and the frame say, as stacked areas over the states.

        Args:
            path: File to write as well, as in `plot`.

        Returns:
            The matplotlib figure, which a notebook shows.

        Raises:
            InputError: The run has one seed.
        """
        from tracer.figures.parts import draw_parts

        self.parts(self.views[0], "agreement")
        return _written(draw_parts(self.results), path)

    def plot_commitment(
        self,
        attribute: str | None = None,
        view: str | None = None,
        prompt: int | None = None,
        path: str | Path | None = None,
    ) -> Drawing:
        """Draw when each frame of the song keeps its final class: states against song time.

        Args:
            attribute: Attribute to draw; None for all.
            view: "state" or "endpoint"; None for all views.
            prompt: Index of one prompt to draw alone; None for the share of all prompts.
            path: File to write as well, as in `plot`.

        Returns:
            The matplotlib figure, which a notebook shows.

        Raises:
            InputError: The run kept no classes per frame of them, or the file cannot be written.
        """
        from tracer.figures.maps import draw_commitment

        maps = self.results.commitment if prompt is None else self._maps_of(prompt)
        maps = {
            curve: share
            for curve, share in maps.items()
            if curve.probe == TRAINED and attribute in (None, curve.attribute) and view in (None, curve.view)
        }
        attributes = [name for name in self.attributes if any(curve.attribute == name for curve in maps)]
        views = [name for name in VIEWS if any(curve.view == name for curve in maps)]
        if not maps:
            wanted = " ".join(word for word in (attribute, view) if word)
            raise InputError(
                f"{self.path} kept no classes per frame{' of ' + wanted if wanted else ''}: "
                "trace again with frames to draw when they commit"
            )
        return _written(draw_commitment(maps, attributes, views, prompt), path)

    def plot_autoencoder(self, path: str | Path | None = None) -> Drawing:
        """Draw what the autoencoder leaves unexplained (FVU) and its active features (L0) at every state.

        Args:
            path: File to write as well, as in `plot`.

        Returns:
            The matplotlib figure, which a notebook shows.
        """
        from tracer.figures.maps import draw_autoencoder

        return _written(draw_autoencoder(self.results), path)

    def summary(self) -> list[dict[str, Any]]:
        """What `trace` prints at the end, a row per attribute and view.

        Each row has attribute, view, states (number of states), and for each measure and probe that the run has a
        column such as `closeness` or `agreement_shuffled`: {"index", "low", "high", "t"} of the settled point; and
        `verdicts`, the word for each null by closeness, or by agreement where the classes have no order.
        """
        table = self.results.settled
        table = table[table["threshold"] == THRESHOLD]
        verdicts = self.results.own_verdicts
        rows: list[dict[str, Any]] = []
        for view in self.views:
            for attribute in self.attributes:
                row: dict[str, Any] = {"attribute": attribute, "view": view, "states": self.results.states}
                mine = table[(table["view"] == view) & (table["attribute"] == attribute)]
                for found in mine.to_dict("records"):
                    name = found["measure"] + ("" if found["probe"] == TRAINED else f"_{found['probe']}")
                    row[name] = {key: found[key] for key in ("index", "low", "high", "t")}
                said = verdicts[(verdicts["view"] == view) & (verdicts["attribute"] == attribute)]
                row["verdicts"] = dict(zip(said["null"], said["verdict"]))
                rows.append(row)
        return rows

    def _number(self, name: str, value: int, count: int) -> int:
        """The number of one of the run's prompts or seeds, of which there are `count`.

        Raises:
            InputError: It is no whole number, or the run has none of that number.
        """
        try:
            number = operator.index(value)
        except TypeError as error:
            raise InputError(f"{name} must be a whole number, got {repr(value)[:40]}") from error
        if not 0 <= number < count:
            raise InputError(f"{self.path} has no {name} {number}: it has {count}, counted from 0")
        return number

    def _maps_of(self, prompt: int) -> dict[Curve, np.ndarray]:
        """Commitment maps of one prompt alone."""
        prompt = self._number("prompt", prompt, self.reader.planned // self.reader.seeds)
        trace = self.reader.trace(prompt * self.reader.seeds, pooled=False)
        maps = {}
        for curve, classes in trace.classes.items():
            gathered = CommitmentMap(len(classes))
            gathered.add(classes, trace.valid[curve])
            maps[curve] = gathered.share()
        return maps

    def _rows(self, table: pd.DataFrame, what: str, **wanted: str) -> pd.DataFrame:
        """The rows of a table that holds curves, settled points or parts, by view, measure and probe.

        Raises:
            InputError: There are none; one line that says what there is instead.
        """
        have = self.results.progress
        known = {
            "view": self.views,
            "measure": [m for m in _ALL_MEASURES if (have["measure"] == m).any()],
            "probe": sorted(set(have["probe"])),
        }
        for name, value in wanted.items():
            if value not in known[name]:
                raise InputError(f"{self.path} has no {name} {value!r}: it has {', '.join(known[name])}")
        others = table
        for name, value in wanted.items():
            if name != "measure":
                others = others[others[name] == value]
        rows = others[others["measure"] == wanted["measure"]]
        if rows.empty:
            held = ", ".join(m for m in _ALL_MEASURES if (others["measure"] == m).any()) or "no measure"
            of = f" of probe {wanted['probe']!r}" if "probe" in wanted else ""
            raise InputError(f"{self.path} has no {what}{of} by {wanted['measure']!r}: there it has {held}")
        return rows


def _written(figure: Drawing, path: str | Path | None) -> Drawing:
    if path is not None:
        figure.write(path)
    return figure


def finish_run(folder: str | os.PathLike[str]) -> Run:
    """Compute a run's curves anew and draw them: the tables, `emergence.*`, `progress.*` and, of seeds, `parts.*`.

    Where the attributes were measured on decoded audio too, `ground-truth.*` says how well the probes
    follow, and `validity.*` whether they are right.

    Returns:
        The run, with the curves that were computed.

    Raises:
        InputError: No prompt is finished, a shard is damaged, or the files cannot be written.
    """
    run = Run(folder)
    run.results = compute_progress(run.reader)
    run.plot(run.path / "emergence")
    run.plot_progress(run.path / "progress")
    if not run.results.parts.empty:
        run.plot_parts(run.path / "parts")
    write_truth(run)
    return run
