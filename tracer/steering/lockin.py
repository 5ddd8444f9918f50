"""`trace steer --when`: until when does the model undo an edit, and from when does it stay?

The same edit acts in a window that slides over flow time, always with the same total push: the strength is divided by
what the window's steps would add up to, so that the state is moved by one displacement altogether. Its effect on the
finished clip is compared with that of the same displacement of the finished latent, which nobody can undo. A share of 0
means that the model washed the edit out, 1 that it let it stand, more than 1 that it took it up and went further.
"""

import json
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from hooks import Edit, Event, capture
from probes.errors import InputError
from tracer.agreement import Finals, agreement
from tracer.bars import prompt_bar
from tracer.prompts import Prompt

from .build import displacement, make_edit
from .dose import target_note, with_hold, write_csv
from .measure import Tracks
from .paired import Setting
from .setup import open_setting
from .spec import EditSpec, parse_edit

if TYPE_CHECKING:
    from probes.readout import Readout
    from tracer.generators import Generator

EDITS = ("pitch=C5", "loudness=+", "timbre=+")
RESAMPLES = 1000


@dataclass
class Plain:
    """Of the unedited generations: the time grid, and the class of every frame at every state by attribute."""

    times: list[float] = field(default_factory=list)
    classes: dict[str, list[np.ndarray]] = field(default_factory=dict)
    """attribute -> per prompt uint8 [states, frames], clean estimates"""


def run_lockin(
    generator: "str | Generator" = "mini",
    prompts: str | Sequence[str] = "demo",
    n: int = 32,
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
    batch_size: int = 8,
    device: str = "auto",
    dtype: str = "auto",
    balanced: bool = False,
    crepe: str = "full",
    options: Mapping[str, str] | None = None,
    out: str | Path = "runs/lockin",
    progress_bar: bool = True,
) -> Path:
    """Slide each edit over flow time and measure how much of its effect the finished clip keeps.

    Args:
        edits: each on its own; from, to and schedule are the window's affair here.
        windows: number of equal windows of flow time.
        alpha: dose in place of the edits' own.
        out: folder for lockin.csv (per edit and window), clips.csv, emergence.csv, lockin.png and lockin.json.
        The others as in `tracer.steering.run_dose`.

    Returns:
        The folder.

    Raises:
        InputError: anything in the arguments that cannot work, before anything is generated.
    """
    specs = [with_hold(parse_edit(edit) if isinstance(edit, str) else edit, hold) for edit in edits]
    specs = [spec if alpha is None else spec.at(alpha) for spec in specs]
    if not specs or any(spec.alpha == 0 for spec in specs):
        raise InputError("--when needs edits with an alpha other than 0")
    if any(spec.site != "endpoint" or spec.branch != "both" for spec in specs):
        raise InputError("--when slides edits of site=endpoint and branch=both: leave those options out")
    setting, chosen = open_setting(
        generator, prompts, n, weights=weights, readout=readout, steps=steps, seconds=seconds, guidance=guidance,
        seed=seed, batch_size=batch_size, device=device, dtype=dtype, balanced=balanced, crepe=crepe, options=options,
    )  # fmt: skip
    if not 2 <= windows < setting.steps:
        raise InputError(f"--windows must lie between 2 and one less than the {setting.steps} states, not {windows}")
    for spec in specs:
        displacement(spec, setting.readout)
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    plain, clips = Plain(), []
    batches = [chosen[start : start + batch_size] for start in range(0, len(chosen), batch_size)]
    with prompt_bar(len(chosen)) if progress_bar else nullcontext() as advance:
        for batch in batches:
            clips += lockin_batch(setting, batch, specs, windows, plain)
            if advance is not None:
                advance(len(batch))
    write_csv(folder / "clips.csv", clips)
    rows = [row for spec in specs for row in shares(clips, spec, windows)]
    write_csv(folder / "lockin.csv", rows)
    emergence = emergence_rows(plain)
    write_csv(folder / "emergence.csv", emergence)
    about = {
        "model": setting.generator.name, "generator": setting.generator.fingerprint(),
        "readout": setting.readout.fingerprint(), "prompts": [prompt.caption for prompt in chosen],
        "edits": [str(spec) for spec in specs], "windows": windows, "seed": seed, "steps": setting.steps,
        "seconds": setting.seconds, "cfg": setting.guidance, "crepe": crepe,
    }  # fmt: skip
    (folder / "lockin.json").write_text(json.dumps(about, indent=2) + "\n")
    from .figures import draw_lockin

    draw_lockin(rows, emergence, folder / "lockin.png")
    return folder


def lockin_batch(
    setting: Setting, prompts: Sequence[Prompt], specs: Sequence[EditSpec], windows: int, plain: Plain
) -> list[dict[str, Any]]:
    """One row per prompt, edit and window (and for the finished latent, window "end") of a batch."""
    finished = watch(setting, prompts, plain)
    _, before = setting.listen(finished)
    read_before = read(setting, finished)
    rows = []
    for spec in specs:
        note = target_note(spec, setting)
        displace = displacement(spec, setting.readout)
        for window in range(windows + 1):
            if window == windows:
                latents = finished + displace(finished)
            else:
                latents = setting.generate(prompts, [window_edit(spec, displace, window, windows, plain.times)])
            _, after = setting.listen(latents)
            read_after = read(setting, latents)
            for k, prompt in enumerate(prompts):
                rows.append(
                    {
                        "prompt": prompt.index, "edit": spec.label, "window": "end" if window == windows else window,
                        "heard": heard(after[k], before[k], spec.attribute, note),
                        "read": float(read_after[spec.attribute][k] - read_before[spec.attribute][k]),
                    }
                )  # fmt: skip
    return rows


def watch(setting: Setting, prompts: Sequence[Prompt], plain: Plain) -> Tensor:
    """Generate without edits; time grid and classes go into `plain`."""
    times: list[float] = []
    states: dict[str, list[np.ndarray]] = {}

    def sink(event: Event) -> None:
        assert event.endpoint is not None
        times.append(event.t)
        for name, classes in setting.readout.read(event.endpoint, event.mask).classes.items():
            states.setdefault(name, []).append(classes.cpu().numpy())

    with capture(setting.generator.sampler, sink):
        latents = setting.generate(prompts)
    plain.times = times
    for name, rows in states.items():
        plain.classes.setdefault(name, []).extend(np.stack(rows, 1))
    return latents


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


def read(setting: Setting, latents: Tensor) -> dict[str, np.ndarray]:
    """Expected class index by attribute, mean over frames, [B]."""
    pooled = setting.readout(latents)
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
            row[f"{how}_low"], row[f"{how}_high"] = (float(v) for v in np.nanpercentile(resampled, [2.5, 97.5]))
        rows.append(row)
    return rows


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole, NaN where the whole is 0: an edit without an effect on the finished latent has no share."""
    return part / np.where(whole == 0, np.nan, whole)


def emergence_rows(plain: Plain) -> list[dict[str, Any]]:
    """Agreement of the clean estimate with the finished clip, per attribute and state, mean over prompts."""
    rows = []
    for name, prompts in plain.classes.items():
        finals = Finals()
        for classes in prompts:
            finals.add(classes[-1])
        curves = np.stack([agreement(classes, finals).values for classes in prompts])
        rows += [
            {"attribute": name, "t": t, "agreement": float(value)}
            for t, value in zip(plain.times, np.nanmean(curves, 0))
        ]
    return rows


def _prompt(row: Mapping[str, Any]) -> int:
    return int(row["prompt"])
