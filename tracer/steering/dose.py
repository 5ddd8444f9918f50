"""`trace steer`: what each edit does to the sound at each dose, beside a random push of equal size."""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from probes.errors import InputError
from tracer.bars import prompt_bar
from tracer.generators import prompt_seed
from tracer.prompts import Prompt

from .build import displacement, make_edit, resolve_target
from .dose_tables import equal_effects, leakage, table
from .measure import Tracks, distortion
from .paired import Setting, Weighed, generate_weighed
from .setup import open_setting
from .spec import EditSpec, parse_edit
from .vectors import RandomDisplacement

if TYPE_CHECKING:
    from probes.readout import Readout
    from tracer.generators import Generator

ALPHAS = (0.002, 0.005, 0.01, 0.03)
RANDOM = ("all", "strongest")
EDITS = ("pitch=C5", "pitch=C3", "loudness=+", "loudness=0", "timbre=+", "timbre=-")


def run_dose(
    generator: "str | Generator" = "mini",
    prompts: str | Sequence[str] = "demo",
    n: int = 32,
    *,
    edits: Sequence[str | EditSpec] = EDITS,
    alphas: Sequence[float] = ALPHAS,
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
    random: str = "all",
    save_audio: bool = True,
    options: Mapping[str, str] | None = None,
    out: str | Path = "runs/steer",
    progress_bar: bool = True,
) -> Path:
    """Generate every prompt plain, with each edit at each dose, and with a random push of equal size; measure all.

    Args:
        generator, prompts, n, weights, readout, steps, seconds, guidance, seed, batch_size, device, dtype, balanced,
            options: as in `tracer.run.trace`.
        edits: one after the other, each on its own; their alpha is replaced by each of `alphas`.
        alphas: doses, above 0.
        hold: attributes to hold in every edit that does not aim at them, on top of the edits' own hold=.
        crepe: CREPE's size for measuring pitch, full or tiny.
        random: doses that get a random push beside them: "all", or "strongest", which halves the work.
        save_audio: keep every clip.
        out: folder for clips.csv (one row per clip), dose.csv (per edit and dose), equal-effect.csv, leakage.csv,
            steps.csv (||dx|| / ||x|| per state), dose.png, leakage.png, steer.json and audio/.

    Returns:
        The folder.

    Raises:
        InputError: anything in the arguments that cannot work, before anything is generated.
    """
    specs = [with_hold(parse_edit(edit) if isinstance(edit, str) else edit, hold) for edit in edits]
    alphas = sorted(set(alphas))
    if not specs or not alphas or not all(np.isfinite(alphas)) or alphas[0] <= 0:
        raise InputError("give at least one edit and one finite alpha above 0, such as --alpha 0.005,0.01,0.03")
    if random not in RANDOM:
        raise InputError(f"--random must be one of {', '.join(RANDOM)}, not {random!r}")
    controlled = alphas if random == "all" else alphas[-1:]
    setting, chosen = open_setting(
        generator, prompts, n, weights=weights, readout=readout, steps=steps, seconds=seconds, guidance=guidance,
        seed=seed, batch_size=batch_size, device=device, dtype=dtype, balanced=balanced, crepe=crepe, options=options,
        branches=[spec.branch for spec in specs],
    )  # fmt: skip
    for spec in specs:
        displacement(spec, setting.readout)  # refuses unknown targets before anything is generated
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    clips: list[dict[str, Any]] = []
    steps_rows: list[dict[str, Any]] = []
    batches = [chosen[start : start + batch_size] for start in range(0, len(chosen), batch_size)]
    with prompt_bar(len(chosen)) if progress_bar else nullcontext() as advance:
        for batch in batches:
            for clip_rows, step_rows in dose_batch(
                setting, batch, specs, alphas, controlled, folder if save_audio else None
            ):
                clips += clip_rows
                steps_rows += step_rows
            write_csv(folder / "clips.csv", clips)
            if advance is not None:
                advance(len(batch))
    about = {
        "model": setting.generator.name, "generator": setting.generator.fingerprint(),
        "readout": setting.readout.fingerprint(), "prompts": [prompt.caption for prompt in chosen],
        "edits": [str(spec) for spec in specs], "alphas": alphas, "seed": seed, "steps": setting.steps,
        "seconds": setting.seconds, "cfg": setting.guidance, "crepe": crepe, "random": random,
    }  # fmt: skip
    (folder / "steer.json").write_text(json.dumps(about, indent=2) + "\n")
    write_csv(folder / "steps.csv", steps_rows)
    report(folder, clips, specs)
    return folder


def report(folder: Path, clips: list[dict[str, Any]], specs: Sequence[EditSpec]) -> None:
    """Tables and figures from the rows of clips.csv."""
    from .figures import draw_dose, draw_leakage

    rows = table(clips)
    effects = equal_effects(clips, specs)
    matrix = leakage(effects, clips)
    write_csv(folder / "dose.csv", rows)
    write_csv(folder / "equal-effect.csv", effects)
    write_csv(folder / "leakage.csv", matrix)
    draw_dose(rows, folder / "dose.png")
    draw_leakage(matrix, folder / "leakage.png")


def with_hold(spec: EditSpec, hold: Sequence[str]) -> EditSpec:
    """The edit, holding these attributes too, its own apart."""
    more = tuple(name for name in hold if name != spec.attribute and name not in spec.hold)
    return replace(spec, hold=spec.hold + more)


def dose_batch(
    setting: Setting,
    prompts: Sequence[Prompt],
    specs: Sequence[EditSpec],
    alphas: Sequence[float],
    controlled: Sequence[float],
    folder: Path | None,
) -> Iterator[tuple[list[dict[str, Any]], list[dict[str, Any]]]]:
    """Rows of clips.csv and of steps.csv for each version of a batch of prompts, the plain one first."""
    plain_audio, plain = setting.listen(setting.generate(prompts))
    keep_audio(folder, setting, prompts, "plain", plain_audio)
    yield [clip_row(prompt, None, 0.0, "plain", tracks) for prompt, tracks in zip(prompts, plain)], []
    directions = [prompt_seed(setting.seed + 1, prompt.index) for prompt in prompts]
    for spec in specs:
        note = target_note(spec, setting)
        for alpha in alphas:
            own = displacement(spec.at(alpha), setting.readout)
            for kind in ("steered", "random") if alpha in controlled else ("steered",):
                displace = own if kind == "steered" else RandomDisplacement(setting.readout, own, directions)
                weighed = Weighed(displace)
                latents = generate_weighed(setting, prompts, make_edit(spec.at(alpha), weighed), weighed)
                check_finite(latents, spec, alpha)
                audio, measured = setting.listen(latents)
                keep_audio(folder, setting, prompts, f"{spec.label}-{kind}-{alpha:g}", audio)
                rows = [
                    clip_row(prompt, spec, alpha, kind, tracks, before, note)
                    | distortion(after, untouched, setting.generator.sample_rate)
                    for prompt, tracks, before, after, untouched in zip(prompts, measured, plain, audio, plain_audio)
                ]
                yield (
                    rows,
                    [
                        {
                            "edit": spec.label,
                            "alpha": alpha,
                            "kind": kind,
                            "prompt": prompts[0].index,
                            "t": t,
                            "ratio": ratio,
                        }
                        for t, ratio in weighed.ratios
                    ],
                )


def check_finite(latents: Tensor, spec: EditSpec, alpha: float) -> None:
    """InputError when a dose has blown the generation up."""
    if not torch.isfinite(latents).all():
        raise InputError(f"{spec.label} at alpha {alpha:g} drives the latent to infinity: take a smaller alpha")


def target_note(spec: EditSpec, setting: Setting) -> float | None:
    """MIDI number that a pitch edit aims at; None for directions and other attributes."""
    target = resolve_target(spec, setting.readout)
    if spec.attribute != "pitch" or isinstance(target, str):
        return None
    return float(setting.readout.bins["pitch"].centers[target])


def clip_row(
    prompt: Prompt,
    spec: EditSpec | None,
    alpha: float,
    kind: str,
    tracks: Tracks,
    before: Tracks | None = None,
    note: float | None = None,
) -> dict[str, Any]:
    """What was measured on one clip, and its difference to the plain version."""
    row: dict[str, Any] = {
        "prompt": prompt.index, "edit": spec.label if spec else "", "attribute": spec.attribute if spec else "",
        "alpha": alpha, "kind": kind, **tracks.summary(), "voiced": tracks.voiced(),
    }  # fmt: skip
    if before is not None:
        row |= {f"shift_{name}": row[name] - value for name, value in before.summary().items()}
    if note is not None:
        assert before is not None
        row |= {"on_target": tracks.on_note(note), "on_target_plain": before.on_note(note)}
    return row


def keep_audio(folder: Path | None, setting: Setting, prompts: Sequence[Prompt], name: str, audio: np.ndarray) -> None:
    """One 24-bit WAV per clip, at the level the model made it."""
    if folder is None:
        return
    import soundfile

    (folder / "audio").mkdir(exist_ok=True)
    for prompt, clip in zip(prompts, audio):
        path = folder / "audio" / f"{prompt.index:05d}-{name}.wav"
        soundfile.write(path, np.clip(clip, -1, 1).T, setting.generator.sample_rate, subtype="PCM_24")


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Rows with the union of their columns, in order of appearance."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        for row in rows:
            writer.writerow({key: f"{value:.6g}" if isinstance(value, float) else value for key, value in row.items()})
