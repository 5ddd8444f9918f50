"""`trace steer --when`: until when does the model undo an edit, and from when does it stay?

The same edit acts in a window that slides over flow time, always with the same total push: the strength is divided by
what the window's steps would add up to, so that the state is moved by one displacement altogether. Its effect on the
finished clip is compared with that of the same displacement of the finished latent, which nobody can undo. A share of 0
means that the model washed the edit out, 1 that it let it stand, more than 1 that it took it up and went further.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from hooks import Edit, Event
from probes.errors import InputError
from probes.support.devices import pick_device
from probes.support.paths import result_folder
from tracer.clips import MEASURED, Tracks
from tracer.curves import TRAINED
from tracer.long_work import reporting
from tracer.measures import agreement
from tracer.options import SteerOptions
from tracer.prompts import Prompt
from tracer.session import Session
from tracer.steering.dose import run_identity
from tracer.steering.edits import check_edit, displacement, make_edit, target_note
from tracer.steering.results import LockinResult
from tracer.steering.spec import EditSpec, parse_edit
from tracer.steering.tables import Row, open_run, read_csv, write_csv

if TYPE_CHECKING:
    from probes.readout import Readout
    from tracer.generators import Generator

EDITS = (
    "pitch=C5,vector=closed,alpha=30,hold=loudness+timbre",
    "loudness=+,vector=closed,alpha=2,hold=pitch+timbre",
    "timbre=+,vector=closed,alpha=2,hold=pitch+loudness",
)
RESAMPLES = 1000


def run_lockin(
    generator: "str | Generator" = "mini",
    prompts: str | Sequence[str] = "demo",
    n: int | None = 32,
    *,
    edits: Sequence[str | EditSpec] = EDITS,
    windows: int = 10,
    alpha: float | None = None,
    hold: Sequence[str] = (),
    weights: str | None = None,
    readout: "str | Path | Readout | None" = None,
    steps: int | None = None,
    seconds: float | None = None,
    guidance: float | None = None,
    seed: int = 0,
    batch_size: int = 4,
    device: str = "auto",
    dtype: str = "auto",
    balanced: bool = False,
    options: Mapping[str, str] | None = None,
    crepe: str = "full",
    out: str | Path = "runs/lockin",
    progress_bar: bool = True,
) -> LockinResult:
    """Slide each edit over flow time and measure how much of its effect the finished clip keeps.

    A run that was interrupted goes on in the same folder with the prompts that are missing.

    Args:
        edits: Edits, each on its own; the window sets their from, to and schedule.
        windows: Number of equal windows of flow time.
        alpha: Dose in place of the edits' own.
        out: Folder for lockin.csv (per edit and window), clips.csv, emergence.csv, states/ (classes of every prompt
            at every state), lockin.png and lockin.json.
        The others as in `tracer.steering.run_dose`.

    Raises:
        InputError: anything in the arguments that cannot work, before anything is generated.
    """
    specs = [(parse_edit(edit) if isinstance(edit, str) else edit).holding(hold) for edit in edits]
    specs = [spec if alpha is None else spec.at(alpha) for spec in specs]
    if not specs or any(spec.alpha == 0 for spec in specs):
        raise InputError("--when needs edits with an alpha other than 0")
    if any(spec.site != "endpoint" or spec.branch != "both" for spec in specs):
        raise InputError("--when slides edits of site=endpoint and branch=both: leave those options out")
    given = SteerOptions(
        generator=generator, prompts=prompts, n=n, weights=weights, readout=readout, steps=steps, seconds=seconds,
        guidance=guidance, seed=seed, batch_size=batch_size, device=device, dtype=dtype, balanced=balanced,
        options=options, crepe=crepe,
    )  # fmt: skip
    folder = result_folder(out)
    session = Session.open(given, pick_device(device), crepe)
    if not 2 <= windows < session.steps:
        raise InputError(f"--windows must lie between 2 and one less than the {session.steps} states, not {windows}")
    for spec in specs:
        check_edit(spec, session.readout, session.guided)
    about = run_identity(session) | {"edits": [str(spec) for spec in specs], "windows": windows}
    open_run(folder, "lockin.json", about)
    clips = read_csv(folder / "clips.csv")
    done = {row["prompt"] for row in clips}
    missing = [prompt for prompt in session.prompts if prompt.index not in done]
    done_count, total = len(session.prompts) - len(missing), len(session.prompts)
    with reporting(progress_bar) as report:
        report("prompts", done_count, total)
        for batch in session.batches(missing):
            finished, times = watch(session, batch, folder / "states")
            clips += lockin_batch(session, batch, specs, windows, finished, times)
            write_csv(folder / "clips.csv", clips)  # last: what it holds is done
            done_count += len(batch)
            report("prompts", done_count, total)
    clips = read_csv(folder / "clips.csv")  # as written, so that resuming changes no digit
    rows = [row for spec in specs for row in shares(clips, spec, windows)]
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
    finished: Tensor,
    times: Sequence[float],
) -> list[Row]:
    """One row per prompt, edit and window (and for the finished latent, window "end") of a batch."""
    _, before = session.listen(prompts, finished, MEASURED)
    read_before = read(session, finished)
    rows = []
    for spec in specs:
        note = target_note(spec, session.readout)
        displace = displacement(spec, session.readout)
        for window in range(windows + 1):
            if window == windows:
                latents = finished + displace(finished)
            else:
                latents = session.generate(prompts, [window_edit(spec, displace, window, windows, times)])
            _, after = session.listen(prompts, latents, MEASURED)
            read_after = read(session, latents)
            for k, prompt in enumerate(prompts):
                rows.append(
                    {
                        "prompt": prompt.index, "edit": spec.label, "window": "end" if window == windows else window,
                        "heard": heard(after[k], before[k], spec.attribute, note),
                        "read": float(read_after[spec.attribute][k] - read_before[spec.attribute][k]),
                    }
                )  # fmt: skip
    return rows


def file_name(prompt: Prompt) -> str:
    return f"{prompt.index:05d}.npz"


def watch(session: Session, prompts: Sequence[Prompt], folder: Path) -> tuple[Tensor, list[float]]:
    """Generate without edits: latents and time grid. The classes at every state go into a file per prompt."""
    times: list[float] = []
    states: dict[str, list[np.ndarray]] = {}

    def sink(event: Event) -> None:
        assert event.endpoint is not None
        times.append(event.t)
        for name, classes in (
            session.readout.read(event.endpoint, event.mask, only_trained=True).classes[TRAINED].items()
        ):
            states.setdefault(name, []).append(classes.cpu().numpy())

    latents = session.generate(prompts, sink=sink)
    folder.mkdir(exist_ok=True)
    for k, prompt in enumerate(prompts):
        own: dict[str, Any] = {name: np.stack([at[k] for at in classes]) for name, classes in states.items()}
        np.savez(folder / file_name(prompt), times=np.array(times), **own)
    return latents, times


def window_edit(spec: EditSpec, displace: Any, window: int, windows: int, times: Sequence[float]) -> Edit:
    """The edit in one of the windows, scaled so that its steps move the state by one displacement altogether."""
    start, stop = window / windows, (window + 1) / windows
    unscaled = Edit(displace, start=start, stop=stop)
    total = sum((after - t) / (1 - t) * unscaled.strength(t) for t, after in pairwise(times))
    if total == 0:
        raise InputError(f"no state lies in flow time {start:g} to {stop:g}: take fewer --windows or more --steps")
    return make_edit(
        replace(spec, start=start, stop=stop, schedule="constant"), lambda latent: displace(latent) / total
    )


def read(session: Session, latents: Tensor) -> dict[str, np.ndarray]:
    """Expected class index by attribute, mean over frames, [B]."""
    pooled = session.readout(latents)
    return {name: (p.cpu().numpy() @ np.arange(p.shape[1])) for name, p in pooled.items()}


def heard(after: Tracks, before: Tracks, attribute: str, note: float | None) -> float:
    """What an edit did to its attribute: change of the share of frames on a note, or the shift (see `Tracks`)."""
    if note is not None:
        return after.on_note(note) - before.on_note(note)
    return after.summary()[attribute] - before.summary()[attribute]


def shares(clips: Sequence[Mapping[str, Any]], spec: EditSpec, windows: int) -> list[dict[str, Any]]:
    """Per window: median effect over that of editing the finished latent, with a 95 % bootstrap interval."""
    rows = []
    generator = np.random.default_rng(0)
    own = {
        window: sorted((row for row in clips if row["edit"] == spec.label and row["window"] == window), key=_prompt)
        for window in [*range(windows), "end"]
    }
    draws = generator.integers(0, len(own["end"]), (RESAMPLES, len(own["end"])))
    for window in range(windows):
        row: dict[str, Any] = {
            "edit": spec.label, "attribute": spec.attribute, "from": window / windows, "to": (window + 1) / windows,
        }  # fmt: skip
        for how in ("heard", "read"):
            effect, whole = (np.array([entry[how] for entry in own[key]]) for key in (window, "end"))
            row[f"{how}_shift"] = float(np.nanmedian(effect))
            row[f"{how}_share"] = float(ratio(np.nanmedian(effect), np.nanmedian(whole)))
            resampled = ratio(np.nanmedian(effect[draws], 1), np.nanmedian(whole[draws], 1))
            known = resampled[np.isfinite(resampled)]
            row[f"{how}_low"], row[f"{how}_high"] = np.percentile(known, [2.5, 97.5]) if known.size else [np.nan] * 2
        rows.append(row)
    return rows


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole, NaN where the whole is 0: an edit without an effect on the finished latent has no share."""
    return part / np.where(whole == 0, np.nan, whole)


def emergence_rows(files: Sequence[Path]) -> list[Row]:
    """Agreement of the clean estimate with the finished clip, per attribute and state, mean over prompts."""
    with np.load(files[0]) as first:
        times, names = first["times"], [name for name in first.files if name != "times"]
    rows = []
    for name in names:
        prompts = [np.load(file)[name] for file in files]
        rows += [
            {"attribute": name, "t": float(t), "agreement": float(value)} for t, value in zip(times, agreement(prompts))
        ]
    return rows


def _prompt(row: Mapping[str, Any]) -> int:
    return int(row["prompt"])
