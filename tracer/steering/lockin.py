"""`trace steer --when`: until when does the model undo an edit, and from when does it stay?

The same edit acts in a window that slides over flow time, always with the same total push: the strength is divided by
what the window's steps would add up to, so that the state is moved by one displacement altogether. Its effect on the
finished clip is compared with that of the same displacement of the finished latent, which nobody can undo.

That share alone says little, since a displacement of an early state grows on its way to the end in any flow. So it is
divided by the share that a linear flow would show, which transports and knows nothing else
(`tracer.measures.linear_flow`). Above this null the model amplified the edit, between 0 and the null it undid a part.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from hooks import Edit, Event
from hooks.editing import in_window
from probes.errors import InputError
from probes.support.devices import in_float32, pick_device
from probes.support.paths import result_folder
from tracer.clips import MEASURED, Tracks
from tracer.curves import TRAINED
from tracer.long_work import reporting
from tracer.measures.linear_flow import LinearFlow
from tracer.options import SteerOptions
from tracer.prompts import Prompt
from tracer.session import Session
from tracer.steering.dose import run_identity
from tracer.steering.edits import check_measured, displacement, identity_of, make_edit, target_note
from tracer.steering.lockin_tables import MUSIC, VOICED, emergence_rows, read_states, shares
from tracer.steering.results import LockinResult
from tracer.steering.spec import EditSpec, read_edits
from tracer.steering.tables import Row, open_run, read_csv, write_csv

if TYPE_CHECKING:
    from probes.readout import Readout
    from tracer.generators import Generator

EDITS = (
    "pitch=C5,alpha=30,hold=loudness+timbre",
    "loudness=+,alpha=2,hold=pitch+timbre",
    "timbre=+,alpha=2,hold=pitch+loudness",
)


class Watched(NamedTuple):
    """Clips that were generated without edits."""

    latents: Tensor
    """Finished latents [B, F, C]."""
    tracks: list[Tracks]
    """What is measured on each finished clip."""
    times: list[float]
    """Flow time of every state."""
    straight: bool
    """Whether the flow is x = t data + (1 - t) noise, for which the null is built."""


@in_float32
def run_lockin(
    generator: "str | Generator" = "mini",
    prompts: str | Path | Sequence[str] = "demo",
    n: int | None = 32,
    *,
    edits: str | EditSpec | Sequence[str | EditSpec] = EDITS,
    windows: int = 10,
    alpha: float | None = None,
    hold: str | Sequence[str] = (),
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
    out: str | Path = "runs/lockin",
    progress_bar: bool = True,
) -> LockinResult:
    """Slide each edit over flow time and measure how much of its effect the finished clip keeps.

    A run that was interrupted goes on in the same folder with the prompts that are missing.

    Args:
        edits: One edit, or several, each on its own; the window sets their from, to and schedule.
        windows: Number of equal windows of flow time.
        alpha: Dose in place of the edits' own.
        structure: Must be None: whole clips are measured.
        out: Folder for lockin.csv (per edit and window), clips.csv, emergence.csv, states/ (classes of every prompt
            at every state, and the frames that count), lockin.png and lockin.json.
        The others as in `tracer.steering.run_dose`.

    Raises:
        InputError: anything in the arguments that cannot work, before anything is generated.
    """
    specs = [spec.holding(hold) for spec in read_edits(edits)]
    specs = [spec if alpha is None else spec.at(alpha) for spec in specs]
    if not specs or any(spec.alpha == 0 for spec in specs):
        raise InputError("--when needs edits with an alpha other than 0")
    if any(spec.site != "endpoint" or spec.branch != "both" for spec in specs):
        raise InputError("--when slides edits of site=endpoint and branch=both: leave those options out")
    if structure is not None or any(spec.is_in_song for spec in specs):
        raise InputError("--when measures whole clips: leave during=, curves and --structure out")
    given = SteerOptions(
        generator=generator, prompts=prompts, n=n, weights=weights, readout=readout, steps=steps, seconds=seconds,
        guidance=guidance, seed=seed, batch_size=batch_size, device=device, dtype=dtype, balanced=balanced,
        options=options, pitch_tracker=pitch_tracker,
    )  # fmt: skip
    folder = result_folder(out)
    session = Session.open(given, pick_device(device), pitch_tracker)
    if not 2 <= windows < session.steps:
        raise InputError(f"--windows must lie between 2 and one less than the {session.steps} states, not {windows}")
    for spec in specs:
        check_measured(spec, session.readout, session.guided)
    about = run_identity(session) | {"edits": [str(spec) for spec in specs], "windows": windows}
    about |= identity_of(specs, session.song())
    open_run(folder, "lockin.json", about)
    clips = read_csv(folder / "clips.csv", "prompt", "edit")
    done = {row["prompt"] for row in clips}
    missing = [prompt for prompt in session.prompts if prompt.index not in done]
    for prompt in session.prompts:
        if prompt.index in done:
            read_states(folder / "states" / file_name(prompt))
    done_count, total = len(session.prompts) - len(missing), len(session.prompts)
    with reporting(progress_bar) as report:
        report("prompts", done_count, total)

        def work(batch: Sequence[Prompt]) -> list[Row]:
            return lockin_batch(session, batch, specs, windows, watch(session, batch, folder / "states"))

        for count, rows_of_batch in session.batch_size.run(missing, work):
            clips += rows_of_batch
            write_csv(folder / "clips.csv", clips)  # last: what it holds is done
            done_count += count
            report("prompts", done_count, total)
    clips = read_csv(folder / "clips.csv")  # as written, so that resuming changes no digit
    if not any("heard_null" in row for row in clips):
        warnings.warn(
            "no linear-flow null: it takes a readout that knows the covariance of its latents, and a straight flow",
            stacklevel=2,
        )
    notes = {spec: target_note(spec, session.readout) is not None for spec in specs}
    rows = [row for spec in specs for row in shares(clips, spec, windows, notes[spec])]
    write_csv(folder / "lockin.csv", rows)
    emergence = emergence_rows([folder / "states" / file_name(prompt) for prompt in session.prompts])
    write_csv(folder / "emergence.csv", emergence)
    from tracer.figures.lockin import draw_lockin

    draw_lockin(rows, emergence).write(folder / "lockin.png")
    return LockinResult.read(folder)


def lockin_batch(
    session: Session,
    prompts: Sequence[Prompt],
    specs: Sequence[EditSpec],
    windows: int,
    watched: Watched,
) -> list[Row]:
    """One row per prompt, edit and window (and for the finished latent, window "end") of a batch."""
    finished, before, times = watched.latents, watched.tracks, watched.times
    read_before = read(session, finished)
    flow = session.linear_flow() if watched.straight else None
    rows = []
    for spec in specs:
        note = target_note(spec, session.readout)
        displace = displacement(spec, session.readout)
        moved = displace(finished)
        for window in range(windows + 1):
            versions = {}
            if window == windows:
                versions[""] = finished + moved
            else:
                versions[""] = session.generate(prompts, [window_edit(spec, displace, window, windows, times)])
                if flow is not None:
                    versions["_null"] = finished + transported(flow, moved, window, windows, times)
            found: list[Row] = [
                {"prompt": p.index, "edit": spec.label, "window": "end" if window == windows else window}
                for p in prompts
            ]
            for kind, latents in versions.items():
                _, after = session.listen(prompts, latents, MEASURED)
                read_after = read(session, latents)
                for k, row in enumerate(found):
                    row[f"heard{kind}"] = heard(after[k], before[k], spec.attribute, note)
                    row[f"read{kind}"] = float(read_after[spec.attribute][k] - read_before[spec.attribute][k])
            rows += found
    return rows


def window_shares(window: int, windows: int, times: Sequence[float]) -> list[tuple[float, float]]:
    """(flow time that a step arrives at, its share of the window's push) for each step in the window.

    The sum over steps is that of a straight flow: a push d of the estimate at t moves the next state by
    (t' - t) / (1 - t) d.
    """
    steps = window_steps(window, windows, times)
    total = sum(push for _, push in steps)
    return [(after, push / total) for after, push in steps] if total else []


def window_steps(window: int, windows: int, times: Sequence[float]) -> list[tuple[float, float]]:
    """(flow time that a step arrives at, by how much it moves the state) for each step in the window."""
    start, stop = window / windows, (window + 1) / windows
    return [(after, (after - t) / (1 - t)) for t, after in pairwise(times) if in_window(t, start, stop)]


def transported(flow: LinearFlow, moved: Tensor, window: int, windows: int, times: Sequence[float]) -> Tensor:
    """What a window's displacements of the state arrive as in a linear flow, for a displacement `moved` [B, F, C]."""
    arrived = torch.zeros_like(moved)
    for t, share in window_shares(window, windows, times):
        arrived += share * moved @ torch.from_numpy(flow.transport(t, 1 - t)).to(moved).t()
    return arrived


def file_name(prompt: Prompt) -> str:
    return f"{prompt.index:05d}.npz"


def watch(session: Session, prompts: Sequence[Prompt], folder: Path) -> Watched:
    """Generate without edits. The classes at every state go into a file per prompt, with the frames that count."""
    times: list[float] = []
    scales: list[float] = []
    states: dict[str, list[np.ndarray]] = {}
    masks: list[Tensor | None] = []

    def sink(event: Event) -> None:
        assert event.endpoint is not None
        times.append(event.t)
        scales.append(event.scale)
        masks.append(event.mask)
        reading = session.readout.read(event.endpoint, event.mask, only_trained=True)
        for name, classes in reading.classes[TRAINED].items():
            states.setdefault(name, []).append(classes.cpu().numpy())

    latents = session.generate(prompts, sink=sink)
    _, tracks = session.listen(prompts, latents, MEASURED)
    music = np.ones(latents.shape[:2], bool) if masks[-1] is None else masks[-1].cpu().numpy()
    folder.mkdir(exist_ok=True)
    for k, prompt in enumerate(prompts):
        own: dict[str, Any] = {name: np.stack([at[k] for at in classes]) for name, classes in states.items()}
        counted = {MUSIC: music[k], VOICED: music[k] & tracks[k].valid["pitch"]}
        np.savez(folder / file_name(prompt), times=np.array(times), **counted, **own)
    return Watched(latents, tracks, times, all(abs(scale - 1) < 1e-6 for scale in scales))


def window_edit(spec: EditSpec, displace: Any, window: int, windows: int, times: Sequence[float]) -> Edit:
    """The edit in one of the windows, scaled so that its steps move the state by one displacement altogether."""
    start, stop = window / windows, (window + 1) / windows
    total = sum(push for _, push in window_steps(window, windows, times))
    if total == 0:
        raise InputError(f"no state lies in flow time {start:g} to {stop:g}: take fewer --windows or more --steps")
    return make_edit(
        replace(spec, start=start, stop=stop, schedule="constant"), lambda latent: displace(latent) / total
    )


def read(session: Session, latents: Tensor) -> dict[str, np.ndarray]:
    """Expected class index by attribute, mean over frames of music, [B]."""
    pooled = session.readout(latents, session.music(latents.shape[1]))
    return {name: (p.cpu().numpy() @ np.arange(p.shape[1])) for name, p in pooled.items()}


def heard(after: Tracks, before: Tracks, attribute: str, note: float | None) -> float:
    """What an edit did to its attribute: change of the share of frames on a note, or the shift (see `Tracks`)."""
    if note is not None:
        return after.on_note(note) - before.on_note(note)
    return after.summary()[attribute] - before.summary()[attribute]
