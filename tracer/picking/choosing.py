"""`trace pick`: every seed of a prompt up to the deciding state, the best of them to the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import save
from torch import Tensor

from probes.errors import InputError
from probes.support.devices import float32_default
from probes.support.files import write_whole
from probes.support.paths import result_folder
from probes.support.tensors import read_safetensors
from probes.support.workers import join_launch
from tracer.clips import MEASURED
from tracer.long_work import Report, reporting
from tracer.options import PickOptions
from tracer.picking.calibration import calibration_of
from tracer.picking.reference import goals_like
from tracer.picking.takes import At, TakeReader, read_takes, song_readings
from tracer.picking.wants import Goal, distance, goals_of, parse_want
from tracer.prompts import Prompt
from tracer.session import Session
from tracer.steering.results import read_table
from tracer.steering.tables import Row, open_run, read_csv, write_csv

if TYPE_CHECKING:
    import pandas as pd
    from accelerate import PartialState

    from probes.readout import Readout
    from tracer.generators import Generator


@dataclass(frozen=True, repr=False)
class PickResult:
    """What `run_pick` chose; the tables lie in `path` as CSV too, beside the kept clips."""

    path: Path
    takes: pd.DataFrame
    """A row per take: what its estimate read as at the deciding state, its distance, rank and the reason."""
    kept: pd.DataFrame
    """A row per kept take: reading at the deciding state, finished reading, and what was measured on its audio."""

    @classmethod
    def read(cls, folder: Path) -> PickResult:
        """The result that lies in a folder."""
        return cls(folder, *(read_table(folder / f"{name}.csv") for name in ("takes", "kept")))

    @property
    def compute(self) -> float:
        """Evaluations of the network over those that all takes in full would have cost."""
        spent = self.takes["evaluations"].sum() + self.kept["evaluations"].sum()
        return float(spent / self.takes["full"].sum())

    def __repr__(self) -> str:
        prompts = self.takes["prompt"].nunique()
        return (
            f"PickResult at {self.path}: {len(self.kept)} of {len(self.takes)} takes of {prompts} prompts kept, at "
            f"{self.compute:.0%} of what all in full would have cost\n  tables: takes, kept"
        )


@float32_default()
def run_pick(
    generator: str | Generator = "mini",
    prompts: str | Sequence[str] = "demo",
    n: int | None = None,
    *,
    wants: Sequence[str] = (),
    like: str | Path | None = None,
    seeds: int = 32,
    keep: int = 4,
    at: str = "auto",
    weights: str | None = None,
    readout: str | Path | Readout | None = None,
    steps: int | None = None,
    seconds: float | None = None,
    guidance: float | None = None,
    seed: int = 0,
    batch_size: int | str = 4,
    device: str = "auto",
    dtype: str = "auto",
    balanced: bool = False,
    options: Mapping[str, str] | None = None,
    crepe: str = "full",
    out: str | Path | None = None,
    progress_bar: bool = True,
) -> PickResult | None:
    """Read many takes of each prompt at an early state, and generate the best of them in full.

    A run that was interrupted goes on in the same folder; under `accelerate launch` the takes are dealt out.

    Args:
        wants: What a take shall be, as `parse_want` reads it.
        like: A recording whose readings are wanted, in attributes that no want names.
        seeds: Takes of each prompt. Take number s is the clip that `trace --seeds` makes with seed s.
        keep: Takes to finish.
        at: Deciding state: "auto", the index of a state, or a flow time with a decimal point.
        crepe: Size of CREPE for measuring the kept clips.
        out: Folder for takes.csv, kept.csv, pick.json and audio/; None is runs/pick-GENERATOR.
        The others as in `tracer.trace`.

    Returns:
        What was chosen; None in all but the main process of several.

    Raises:
        InputError: anything in the arguments that cannot work, before anything is generated where possible.
    """
    given = {name: value for name, value in locals().items() if name != "progress_bar"}
    return pick(PickOptions(**given), progress_bar)


def pick(options: PickOptions, progress_bar: bool = True) -> PickResult | None:
    """`run_pick` with its options in one object."""
    if options.out is not None:
        result_folder(options.out)
    wants = [parse_want(text) for text in options.wants]
    if not wants and options.like is None:
        raise InputError("say what is wanted: --want timbre=dark, or --like RECORDING")
    workers, place = join_launch(options.device)
    session = Session.open(options, place, options.crepe)
    goals = goals_of(wants, session.readout)
    if options.like is not None:
        goals += goals_like(options.like, session, [goal.attribute for goal in goals])
    at = deciding_state(options.at, session, goals)
    folder = result_folder(options.out or Path("runs") / f"pick-{session.generator.name}")
    about = session.identity() | {
        "prompts": [prompt.caption for prompt in session.prompts],
        "seeds": options.seeds, "keep": options.keep, "at": [at.index, at.t], "crepe": options.crepe,
        "goals": [[goal.attribute, goal.value, goal.spread, goal.weight] for goal in goals],
        "wants": list(options.wants),
    }  # fmt: skip
    with workers.main_process_first():
        open_run(folder, "pick.json", about)
    work = Work(session, workers, folder, goals, at, options.seeds, options.keep)
    total = len(session.prompts) * options.seeds
    with reporting(progress_bar and workers.is_main_process) as report:
        for number, prompt in enumerate(session.prompts):
            work.pick_prompt(prompt, report, number * options.seeds, total)
    if not workers.is_main_process:
        return None
    write_csv(folder / "takes.csv", [row for prompt in session.prompts for row in work.ranked(prompt)])
    write_csv(folder / "kept.csv", [row for prompt in session.prompts for row in read_csv(work.kept_file(prompt))])
    return PickResult.read(folder)


def deciding_state(text: str, session: Session, goals: Sequence[Goal]) -> At:
    """Where to decide.

    Raises:
        InputError: Neither auto, a state nor a flow time; or auto without a calibration of this generator.
    """
    if text == "auto":
        calibration = calibration_of(session.readout, session.generator.name)
        if calibration is None:
            raise InputError(
                f"this readout brings no calibration for {session.generator.name}: give --at STATE, or take one "
                "(`trace fit calibrate`)"
            )
        return calibration.deciding([goal.attribute for goal in goals])
    try:
        if text.isdigit() and int(text) < session.steps:
            return At(index=int(text))
        if "." in text and 0 <= float(text) < 1:
            return At(t=float(text))
    except ValueError:
        pass
    raise InputError(
        f"--at takes auto, a state from 0 to {session.steps - 1}, or a flow time from 0.0 up to 1.0, not {text!r}"
    )


@dataclass
class Work:
    """What a process does for each prompt, and the files that it leaves."""

    session: Session
    workers: PartialState
    folder: Path
    goals: Sequence[Goal]
    at: At
    seeds: int
    keep: int

    def pick_prompt(self, prompt: Prompt, report: Report, done: int, total: int) -> None:
        """Read the takes of a prompt, and finish the best; nothing where that was done before.

        The processes wait for each other where one needs what the others found.
        """
        finished = self.kept_file(prompt).exists()
        self.workers.wait_for_everyone()
        if finished:
            return
        for batch in self.my_batches(prompt):
            report("takes", done + batch[0], total)
            self.read_batch(prompt, batch)
        self.workers.wait_for_everyone()
        chosen = [int(row["seed"]) for row in by_distance(self.rows(prompt))[: self.keep]]
        ranks = {seed: rank for rank, seed in enumerate(chosen, 1)}
        mine = chosen[self.workers.process_index :: self.workers.num_processes]
        for start in range(0, len(mine), self.session.batch_size.size):
            self.finish(prompt, {seed: ranks[seed] for seed in mine[start : start + self.session.batch_size.size]})
        self.workers.wait_for_everyone()
        report("takes", done + self.seeds, total)
        if self.workers.is_main_process:
            self.close(prompt, chosen)

    def my_batches(self, prompt: Prompt) -> list[list[int]]:
        """The seeds of the batches that are dealt to this process, without those that were read before."""
        read = {int(row["seed"]) for row in self.rows(prompt)}
        self.workers.wait_for_everyone()  # nobody writes rows before all know what is there
        size = self.session.batch_size.size
        starts = range(0, self.seeds, size)[self.workers.process_index :: self.workers.num_processes]
        batches = (
            [seed for seed in range(start, min(start + size, self.seeds)) if seed not in read] for start in starts
        )
        return [batch for batch in batches if batch]

    def read_batch(self, prompt: Prompt, batch: Sequence[int]) -> None:
        """Read some takes at the deciding state, and write what they read as; the states of the best are kept."""
        clips = [replace(prompt, seed=seed) for seed in batch]
        rows: list[Row] = []
        states: dict[int, Tensor] = {}
        for count, reader in self.session.batch_size.run(clips, lambda part: read_takes(self.session, part, self.at)):
            for place, seed in enumerate(batch[len(rows) : len(rows) + count]):
                states[seed] = reader.states[place].cpu()
                rows.append(self.row(prompt, seed, reader, place))
        if self.session.generator.goes_on:
            best = [int(row["seed"]) for row in by_distance(rows)[: self.keep]]
            write_whole(self.state_file(prompt, batch), save({str(seed): states[seed].contiguous() for seed in best}))
        write_csv(self.take_file(prompt, batch), rows)

    def row(self, prompt: Prompt, seed: int, reader: TakeReader, place: int) -> Row:
        """The row of a take."""
        reading = {name: float(values[place]) for name, values in reader.readings.items()}
        return {
            "prompt": prompt.index, "id": prompt.id, "seed": seed, "state": reader.index, "t": reader.t,
            **reading, "distance": distance(reading, self.goals), "guidance_difference": float(reader.gap[place]),
            "evaluations": min(reader.index + 1, reader.last), "full": reader.last,
        }  # fmt: skip

    def finish(self, prompt: Prompt, ranks: Mapping[int, int]) -> None:
        """Generate some takes to the end, measure and write them; nothing where that was done before.

        Args:
            prompt: Of which they are takes.
            ranks: Seed of each take, and its rank.
        """
        if all(self.end_file(prompt, seed).exists() for seed in ranks):
            return
        session, clips = self.session, [replace(prompt, seed=seed) for seed in ranks]
        states, index, last = self.states_of(prompt, list(ranks))
        if states is None:
            latents, cost = session.generate(clips), last
        else:
            latents, cost = session.go_on(clips, states, index), last - index
        readings = song_readings(session.readout, latents)
        audio, tracks = session.listen(clips, latents, MEASURED)
        for place, (seed, rank) in enumerate(ranks.items()):
            session.write_clip(self.folder / "audio" / f"{prompt.index:05d}-{rank}-seed{seed}.wav", audio[place])
            finished = {f"finished_{name}": float(values[place]) for name, values in readings.items()}
            measured = {f"measured_{name}": value for name, value in tracks[place].summary().items()}
            row = {"prompt": prompt.index, "rank": rank, "seed": seed, **finished, **measured, "evaluations": cost}
            write_csv(self.end_file(prompt, seed), [row])

    def states_of(self, prompt: Prompt, seeds: Sequence[int]) -> tuple[Tensor | None, int, int]:
        """States [B, F, C] at which takes were left, their index and the last one's; None where they are not kept."""
        row = self.rows(prompt)[0]
        found: dict[int, Tensor] = {}
        for path in self.folder.glob(f"takes/{prompt.index:05d}-*.safetensors"):
            found |= {int(name): state for name, state in read_safetensors(path).items() if int(name) in seeds}
        states = torch.stack([found[seed] for seed in seeds]) if set(seeds) <= found.keys() else None
        return states, int(row["state"]), int(row["full"])

    def rows(self, prompt: Prompt) -> list[Row]:
        """The rows of the takes of a prompt that were read, in the order of their seeds."""
        paths = sorted(self.folder.glob(f"takes/{prompt.index:05d}-*.csv"))
        return sorted((row for path in paths for row in read_csv(path)), key=lambda row: row["seed"])

    def ranked(self, prompt: Prompt) -> list[Row]:
        """The rows of a prompt's takes in the order of their seeds, with rank, reason and CFG-Rejection's rank."""
        rows = self.rows(prompt)
        for rank, row in enumerate(by_distance(rows), 1):
            row["rank"], row["kept"] = rank, rank <= self.keep
            row["reason"] = reason(row, self.goals)
        seen = [row for row in rows if "guidance_difference" in row and row["guidance_difference"] > 0]
        for rank, row in enumerate(sorted(seen, key=lambda row: (-row["guidance_difference"], row["seed"])), 1):
            row["rank_by_guidance"] = rank
        return rows

    def close(self, prompt: Prompt, chosen: Sequence[int]) -> None:
        """Put the kept takes of a prompt into one table, and remove what was only needed on the way."""
        write_csv(self.kept_file(prompt), [row for seed in chosen for row in read_csv(self.end_file(prompt, seed))])
        for path in self.folder.glob(f"takes/{prompt.index:05d}-*.safetensors"):
            path.unlink()
        for seed in chosen:
            self.end_file(prompt, seed).unlink()

    def take_file(self, prompt: Prompt, batch: Sequence[int]) -> Path:
        """Table of the takes of a batch."""
        return self.folder / "takes" / f"{prompt.index:05d}-{batch[0]:05d}.csv"

    def state_file(self, prompt: Prompt, batch: Sequence[int]) -> Path:
        """States of the best takes of a batch, until the prompt is finished."""
        return self.take_file(prompt, batch).with_suffix(".safetensors")

    def end_file(self, prompt: Prompt, seed: int) -> Path:
        """Row of a finished take, until the prompt is finished."""
        return self.folder / "kept" / f"{prompt.index:05d}-{seed:05d}.csv"

    def kept_file(self, prompt: Prompt) -> Path:
        """Table of the kept takes of a prompt; where it is there, the prompt is finished."""
        return self.folder / "kept" / f"{prompt.index:05d}.csv"


def by_distance(rows: Sequence[Row]) -> list[Row]:
    """Rows of takes, the nearest first; the lower seed first among equals."""
    return sorted(rows, key=lambda row: (row["distance"], row["seed"]))


def reason(row: Row, goals: Sequence[Goal]) -> str:
    """Why a take has its rank: where it lies of every goal."""
    return ", ".join(goal.told(float(row.get(goal.attribute, "nan"))) for goal in goals)
