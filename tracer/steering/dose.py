"""`trace steer`: what each edit does to the sound at each dose, beside a random push of equal size."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor

from probes.errors import InputError
from probes.support.devices import in_float32, pick_device
from probes.support.paths import result_folder
from tracer.clips import MEASURED, Tracks, distortion, tracker_identity
from tracer.generators import prompt_seed
from tracer.long_work import reporting
from tracer.options import SteerOptions
from tracer.prompts import Prompt
from tracer.session import Session
from tracer.steering.damage import tell_damage
from tracer.steering.dose_tables import FEW, equal_effects, leakage, table, with_intervals, with_realised
from tracer.steering.edits import check_measured, displacement, identity_of, make_edit, target_note, why_idle
from tracer.steering.results import DoseResult
from tracer.steering.song_time import Song, inside_and_outside, weights_of
from tracer.steering.spec import EditSpec, read_doses, read_edits, refuse_two_doses
from tracer.steering.tables import Row, clip_file, open_run, read_csv, write_csv
from tracer.steering.vectors import RandomDisplacement
from tracer.steering.weighing import generate_weighed

if TYPE_CHECKING:
    from probes.readout import Readout
    from tracer.generators import Generator

CLIP_COLUMNS = ("prompt", "edit", "attribute", "alpha", "kind")
"""Columns of clips.csv that every row has."""
RANDOM = ("all", "strongest")
CONTROLS: dict[str, Literal["features", "data"]] = {"random": "features", "random-data": "data"}
"""Kinds of clips with a random push, and what the push is like."""
EDITS = (
    "pitch=+,hold=loudness+timbre",
    "pitch=C5,hold=loudness+timbre",
    "pitch=C3,hold=loudness+timbre",
    "loudness=+,hold=pitch+timbre",
    "loudness=0,hold=pitch+timbre",
    "timbre=+,from=0,to=0.5,hold=pitch+loudness",
    "timbre=-,from=0,to=0.5,hold=pitch+loudness",
)


@in_float32
def run_dose(
    generator: "str | Generator" = "mini",
    prompts: str | Path | Sequence[str] = "demo",
    n: int | None = 32,
    *,
    edits: str | EditSpec | Sequence[str | EditSpec] = EDITS,
    alphas: str | float | Sequence[float] | Sequence[Sequence[float]] | None = None,
    hold: str | Sequence[str] = (),
    random: str = "all",
    save_audio: bool = True,
    weights: str | None = None,
    readout: "str | Path | Readout | None" = None,
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
    structure: str | Path | None = None,
    out: str | Path = "runs/steer",
    progress_bar: bool = True,
) -> DoseResult:
    """Generate every prompt plain, with each edit at each dose, and with a random push of equal size; measure all.

    A run that was interrupted goes on in the same folder with the prompts that are missing.

    Args:
        edits: One edit, or several, each on its own.
        alphas: Doses, above 0, of edits that name none: one or several for every edit, or a sequence for each edit.
            None for the edits' own, and for the `usual_doses` of those that name none.
        hold: Attributes to hold in every edit that does not aim at them, on top of the edits' own hold=.
        random: Doses that get a random push beside them: "all", or "strongest", which halves the work. The strongest
            gets a second one that is shaped like the training data, where the readout knows their covariance.
        save_audio: Keep every clip.
        pitch_tracker: What measures pitch: full or tiny, sizes of CREPE, or swift-f0.
        structure: File that names sections of the song, for `during=` in edits.
        out: Folder for clips.csv (one row per clip), dose.csv (per edit and dose), equal-effect.csv, leakage.csv,
            steps.csv (size and realised change per clip and state), dose.png, leakage.png, steer.json and audio/.
        progress_bar: Show how far it is.
        The others as in `tracer.trace`.

    Raises:
        InputError: anything in the arguments that cannot work, before anything is generated.
    """
    specs = [spec.holding(hold) for spec in read_edits(edits)]
    doses = doses_of(specs, alphas)
    given = SteerOptions(
        generator=generator, prompts=prompts, n=n, weights=weights, readout=readout, steps=steps, seconds=seconds,
        guidance=guidance, seed=seed, batch_size=batch_size, device=device, dtype=dtype, balanced=balanced,
        options=options, pitch_tracker=pitch_tracker, structure=structure,
    )  # fmt: skip
    if random not in RANDOM:
        raise InputError(f"--random must be one of {', '.join(RANDOM)}, not {random!r}")
    folder = result_folder(out)
    session = Session.open(given, pick_device(device), pitch_tracker)
    song = session.song(specs, structure)
    for spec in specs:
        check_measured(spec, session.readout, session.guided, song)
    about = run_identity(session) | {
        "edits": [str(spec) for spec in specs], "alphas": [doses[spec] for spec in specs], "random": random,
        "save_audio": save_audio,
    } | identity_of(specs, song)  # fmt: skip
    open_run(folder, "steer.json", about)
    clips = read_csv(folder / "clips.csv", *CLIP_COLUMNS)
    done = {row["prompt"] for row in clips}
    if done and not (folder / "steps.csv").exists():
        raise InputError(f"{folder} has lost its steps.csv: restore it, or choose another --out")
    steps_rows = [row for row in read_csv(folder / "steps.csv", "prompt", "edit") if row["prompt"] in done]
    missing = [prompt for prompt in session.prompts if prompt.index not in done]
    finished, total = len(session.prompts) - len(missing), len(session.prompts)
    with reporting(progress_bar) as report_progress:
        report_progress("prompts", finished, total)

        def work(batch: Sequence[Prompt]) -> list[tuple[list[Row], list[Row]]]:
            return list(dose_batch(session, batch, doses, song, random, folder if save_audio else None))

        for count, rows_of_batch in session.batch_size.run(missing, work):
            for clip_rows, step_rows in rows_of_batch:
                clips += clip_rows
                steps_rows += step_rows
            write_csv(folder / "steps.csv", steps_rows)
            write_csv(folder / "clips.csv", clips)  # last: what it holds is done
            finished += count
            report_progress("prompts", finished, total)
    report(
        folder, read_csv(folder / "clips.csv", *CLIP_COLUMNS), specs, read_csv(folder / "steps.csv")
    )  # as written, so that resuming changes no digit
    return DoseResult.read(folder)


def run_identity(session: Session) -> dict[str, Any]:
    """Everything that the tables of a steering run depend on; compared when it is continued."""
    return (
        session.identity()
        | {
            "prompts": [prompt.caption for prompt in session.prompts],
            "indices": [prompt.index for prompt in session.prompts],
        }
        | tracker_identity(session.pitch_tracker)
    )


def doses_of(
    specs: Sequence[EditSpec], alphas: str | float | Sequence[float] | Sequence[Sequence[float]] | None
) -> dict[EditSpec, list[float]]:
    """The doses of each edit, rising.

    Raises:
        InputError: no edit, two that tables could not tell apart, no dose, doses that are not finite and above 0, one
            that an edit cannot have, doses beside an edit that names one, or as many sequences of doses as there are
            not edits.
    """
    if alphas is not None:
        refuse_two_doses(specs)
    given: Any = [spec.usual_doses for spec in specs] if alphas is None else alphas
    if isinstance(given, str | Real) or all(isinstance(alpha, Real) for alpha in given):
        lists = [read_doses(given)] * len(specs)
    else:
        lists = [read_doses(own) for own in given]
    if len(lists) != len(specs):
        raise InputError(f"give --alpha once for all edits or once for each: {len(lists)} for {len(specs)} edits")
    if not specs or not all(len(own) and np.isfinite(own).all() and min(own) > 0 for own in lists):
        raise InputError("give at least one edit and one finite alpha above 0, such as --alpha 0.5,1,2")
    labels = [spec.label for spec in specs]
    if len(set(labels)) < len(labels):
        raise InputError("two of the edits differ in nothing but dose or hold: give them to two runs")
    doses = {spec: sorted(set(own)) for spec, own in zip(specs, lists)}
    for spec, own in doses.items():
        for alpha in own:
            spec.at(alpha)  # refuses a dose that the edit cannot have
    return doses


def report(folder: Path, clips: list[dict[str, Any]], specs: Sequence[EditSpec], steps: list[dict[str, Any]]) -> None:
    """Tables and figures from the rows of clips.csv and steps.csv."""
    from tracer.figures.dose import draw_dose
    from tracer.figures.leakage import draw_leakage

    rows = with_realised(table(clips), steps)
    tell_damage(rows)
    few = len({row["prompt"] for row in clips}) < FEW
    if few:
        warnings.warn(f"fewer than {FEW} prompts: medians and bands of so few say little", stacklevel=2)
    effects = equal_effects(clips, specs)
    matrix = with_intervals(leakage(effects, clips), clips, specs)
    write_csv(folder / "dose.csv", rows)
    write_csv(folder / "equal-effect.csv", effects)
    write_csv(folder / "leakage.csv", matrix)
    draw_dose(rows).write(folder / "dose.png")
    draw_leakage(matrix, len({row["prompt"] for row in clips})).write(folder / "leakage.png")


def dose_batch(
    session: Session,
    prompts: Sequence[Prompt],
    doses: Mapping[EditSpec, Sequence[float]],
    song: Song,
    random: str,
    folder: Path | None,
) -> Iterator[tuple[list[dict[str, Any]], list[dict[str, Any]]]]:
    """Rows of clips.csv and of steps.csv for each version of a batch of prompts, the plain one first."""
    times: list[float] = []
    latents = session.generate(prompts, sink=lambda event: times.append(event.t))
    for spec in doses:
        if told := why_idle(make_edit(spec, displacement(spec, session.readout, song)), times):
            raise InputError(f"{spec}: {told}")
    plain_audio, plain = session.listen(prompts, latents, MEASURED)
    keep_audio(folder, session, prompts, "plain", plain_audio)
    yield [clip_row(prompt, None, 0.0, "plain", tracks) for prompt, tracks in zip(prompts, plain)], []
    directions = [prompt_seed(session.seed + 1, prompt.index) for prompt in prompts]
    for spec, alphas in doses.items():
        goal = target_note(spec, session.readout)
        strength = weights_of(spec, song, len(plain[0].valid["loudness"])) if spec.during else None
        for alpha in alphas:
            own = displacement(spec.at(alpha), session.readout, song)
            for kind in ("steered", *controls(session, random, alpha == alphas[-1])):
                displace = (
                    RandomDisplacement(session.readout, own, directions, CONTROLS[kind]) if kind in CONTROLS else own
                )
                latents, notes = generate_weighed(session, prompts, spec.at(alpha), displace)
                check_finite(latents, spec, alpha)
                audio, measured = session.listen(prompts, latents, MEASURED)
                keep_audio(folder, session, prompts, f"{spec.label}-{kind}-{alpha:g}", audio)
                rows = [
                    clip_row(prompt, spec, alpha, kind, tracks, before, goal, strength)
                    | distortion(after, untouched, session.generator.sample_rate)
                    for prompt, tracks, before, after, untouched in zip(prompts, measured, plain, audio, plain_audio)
                ]
                where = {"edit": spec.label, "alpha": alpha, "kind": kind}
                yield rows, [where | note for note in notes]


def controls(session: Session, random: str, strongest: bool) -> list[str]:
    """Kinds of random pushes beside a dose."""
    kinds = ["random"] if random == "all" or strongest else []
    return [*kinds, "random-data"] if strongest and session.readout.covariance is not None else kinds


def check_finite(latents: Tensor, spec: EditSpec, alpha: float) -> None:
    """InputError when a dose has blown the generation up."""
    if not torch.isfinite(latents).all():
        raise InputError(f"{spec.label} at alpha {alpha:g} drives the latent to infinity: take a smaller alpha")


def clip_row(
    prompt: Prompt,
    spec: EditSpec | None,
    alpha: float,
    kind: str,
    tracks: Tracks,
    before: Tracks | None = None,
    note: float | None = None,
    strength: np.ndarray | None = None,
) -> dict[str, Any]:
    """Row of clips.csv: measurements of one clip, and their difference to the plain version.

    Of an edit in a window of the song, whose `strength` on every frame is given, the shifts are those of the frames
    where it acts in full, and outside_* those of the frames where it does not act. Of an edit towards a note, to_note
    is the shift that would bring the plain version there.
    """
    row: dict[str, Any] = {
        "prompt": prompt.index, "edit": spec.label if spec else "", "attribute": spec.attribute if spec else "",
        "alpha": alpha, "kind": kind, **tracks.summary(), "voiced": tracks.voiced(),
    }  # fmt: skip
    if before is not None:
        if strength is None:
            row |= {f"shift_{name}": value for name, value in tracks.shift(before).items()}
        else:
            inside, outside = inside_and_outside(strength)
            row |= {f"shift_{name}": value for name, value in tracks.shift(before, inside).items()}
            row |= {f"outside_{name}": value for name, value in tracks.shift(before, outside).items()}
    if note is not None:
        assert before is not None
        acted_on = before if strength is None else before.of(inside_and_outside(strength)[0])
        row |= {"on_target": tracks.on_note(note), "on_target_plain": before.on_note(note)}
        row["to_note"] = note - acted_on.summary()["pitch"]
    return row


def keep_audio(folder: Path | None, session: Session, prompts: Sequence[Prompt], name: str, audio: np.ndarray) -> None:
    """One WAV per clip, where clips are kept."""
    if folder is not None:
        for prompt, clip in zip(prompts, audio):
            session.write_clip(folder / "audio" / clip_file(prompt.index, name), clip)
