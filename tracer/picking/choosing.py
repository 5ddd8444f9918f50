"""`trace pick`: every seed of a prompt up to the deciding state, the best of them to the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from probes.errors import InputError
from probes.support.devices import in_float32
from probes.support.paths import result_folder
from probes.support.workers import join_launch
from tracer.clips import tracker_identity
from tracer.long_work import reporting
from tracer.options import PickOptions
from tracer.picking.calibration import calibration_of
from tracer.picking.prompt_work import Work
from tracer.picking.reference import goals_like
from tracer.picking.takes import At
from tracer.picking.wants import Goal, goals_of, parse_want
from tracer.session import Session
from tracer.steering.results import read_table
from tracer.steering.tables import open_run, read_csv, write_csv

if TYPE_CHECKING:
    import pandas as pd

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


@in_float32
def run_pick(
    generator: str | Generator = "mini",
    prompts: str | Path | Sequence[str] = "demo",
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
    pitch_tracker: str = "full",
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
        pitch_tracker: What measures pitch of the kept clips: full or tiny, sizes of CREPE, or swift-f0.
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
    session = Session.open(options, place, options.pitch_tracker)
    goals = goals_of(wants, session.readout)
    if options.like is not None:
        goals += goals_like(options.like, session, [goal.attribute for goal in goals])
    at = deciding_state(options.at, session, goals)
    folder = result_folder(options.out or Path("runs") / f"pick-{session.generator.name}")
    about = session.identity() | {
        "prompts": [prompt.caption for prompt in session.prompts],
        "seeds": options.seeds, "keep": options.keep, "at": [at.index, at.t],
        "goals": [[goal.attribute, goal.value, goal.spread, goal.weight] for goal in goals],
        "wants": list(options.wants),
    } | tracker_identity(session.pitch_tracker)  # fmt: skip
    with workers.main_process_first():
        open_run(folder, "pick.json", about)
    together = session.batch_size.dealt(options.seeds, workers.num_processes)
    work = Work(session, workers, folder, goals, at, options.seeds, options.keep, together)
    total = len(session.prompts) * options.seeds
    with reporting(progress_bar and workers.is_main_process) as report:
        for number, prompt in enumerate(session.prompts):
            work.pick_prompt(prompt, report, number * options.seeds, total)
    if not workers.is_main_process:
        return None
    write_csv(folder / "takes.csv", [row for prompt in session.prompts for row in work.ranked(prompt)])
    write_csv(
        folder / "kept.csv",
        [row for prompt in session.prompts for row in read_csv(work.kept_file(prompt), "seed", "evaluations")],
    )
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
        if text.isdecimal() and int(text) < session.steps:
            return At(index=int(text))
        if "." in text and 0 <= float(text) < 1:
            return At(t=float(text))
    except ValueError:
        pass
    raise InputError(
        f"--at takes auto, a state from 0 to {session.steps - 1}, or a flow time from 0.0 up to 1.0, not {text!r}"
    )
