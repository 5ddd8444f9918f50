"""Run folders whose emergence is known, because it was planted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tracer.curves import GENERIC, LINEAR_FLOW, MEASURED, NO_CLASS, SHUFFLED, TRAINED, Curve
from tracer.prompts import Prompt
from tracer.record.shards import PromptTrace
from tracer.record.store import RunStore

STATES, FRAMES = 12, 40
CLASSES = {"pitch": 66, "timbre": 20, "loudness": 20}
# Flow time at which half of the frames have taken their final class.
MIDDLES = {"pitch": 0.3, "timbre": 0.5, "loudness": 0.8}
CONTROL_MIDDLE = 0.95
VIEWS = ("state", "endpoint")
OPTIONS = {"model": "planted", "seed": 0, "steps": STATES}


def prompts(n: int) -> list[Prompt]:
    return [Prompt(i, f"planted-{i}", f"caption {i}") for i in range(n)]


def trace(prompt: int, states: int = STATES, frames: int = FRAMES, wander: float = 0.0) -> PromptTrace:
    """One prompt whose frames take their final class around the flow times of MIDDLES, earlier at the endpoint.

    Distributions move in step with them; `wander` sends them off the straight path in between.
    """
    rng = np.random.default_rng([7, prompt])
    t = np.linspace(0, 1, states)
    with np.errstate(divide="ignore"):
        logsnr = 2 * np.log(t / (1 - t))
    made = PromptTrace(prompt, t, logsnr)
    for view in VIEWS:
        made.fvu[view] = np.linspace(1.2, 0.1, states, dtype=np.float32)
        made.l0[view] = np.linspace(90, 40, states, dtype=np.float32)
        for probe in (TRAINED, SHUFFLED):
            for attribute, classes in CLASSES.items():
                middle = MIDDLES[attribute] if probe == TRAINED else CONTROL_MIDDLE
                middle *= 0.6 if view == "endpoint" else 1.0
                middle += rng.normal(0, 0.03)
                final = rng.integers(0, classes, frames)
                commit = rng.normal(middle, 0.08, frames).clip(0.01, 1.0)
                settled = t[:, None] >= commit[None, :]
                settled[-1] = True
                read = np.where(settled, final, rng.integers(0, classes, (states, frames)))
                first, last = rng.dirichlet(np.ones(classes), 2)
                share = 1 / (1 + np.exp(-(t - middle) / 0.06))
                share = (share - share[0]) / (share[-1] - share[0])
                curve = Curve(view, probe, attribute)
                made.classes[curve] = read.astype(np.uint8)
                made.values[curve] = read.astype(np.float32)
                made.valid[curve] = np.ones(frames, dtype=bool)
                path = first + share[:, None] * (last - first)
                # Off the straight path in between: classes that end where they began make Eq. 4 large there.
                detour = wander * (t * (1 - t))[:, None] * rng.dirichlet(np.ones(classes), states)
                path = (path + detour) / (path + detour).sum(axis=1, keepdims=True)
                made.pooled[curve] = path.astype(np.float32)
    return made


def add_nulls(made: PromptTrace, delay: float = 0.2, directions: int = 4) -> PromptTrace:
    """Add generic directions and a linear flow whose frames are settled later than those of the trained probes."""
    rng = np.random.default_rng([8, made.prompt])
    for curve in [curve for curve in made.classes if curve.probe == TRAINED]:
        final = made.classes[curve][-1]
        for k, probe in enumerate([LINEAR_FLOW, *(f"{GENERIC}-{n + 1}" for n in range(directions))]):
            middle = MIDDLES[curve.attribute] * (0.6 if curve.view == "endpoint" else 1.0) + delay + 0.01 * k
            commit = rng.normal(min(middle, 0.95), 0.05, len(final)).clip(0.01, 1.0)
            settled = made.t[:, None] >= commit[None, :]
            settled[-1] = True
            end = final if probe == LINEAR_FLOW else rng.permutation(final)
            read = np.where(settled, end, rng.integers(0, CLASSES[curve.attribute], settled.shape))
            null = curve._replace(probe=probe)
            made.classes[null], made.values[null] = read.astype(np.uint8), read.astype(np.float32)
            made.valid[null] = made.valid[curve]
    return made


def add_measured(made: PromptTrace) -> PromptTrace:
    """Add what the audio would say: the same as the trained probes at the endpoint, and nothing at the first state."""
    for curve in [curve for curve in made.classes if curve.view == "endpoint" and curve.probe == TRAINED]:
        measured = curve._replace(probe=MEASURED)
        made.classes[measured] = made.classes[curve].copy()
        made.classes[measured][0] = NO_CLASS  # nothing to be measured in noise
        made.pooled[measured] = made.pooled[curve].copy()
        made.pooled[measured][0] = np.nan
        made.valid[measured] = made.valid[curve]
    return made


def write(
    folder: Path | str, n: int, batch: int = 4, shape: dict[str, Any] | None = None, measured: bool = False,
    nulls: bool = False, **options: object,
) -> Path:  # fmt: skip
    """A run folder of n planted prompts; `shape` goes to `trace`, `measured` and `nulls` add what their names say."""
    store = RunStore.open(folder, {**OPTIONS, **options}, prompts(n))
    for indices in store.pending_batches(batch):
        traces = [trace(i, **(shape or {})) for i in indices]
        if measured:
            traces = [add_measured(made) for made in traces]
        store.append([add_nulls(made) for made in traces] if nulls else traces)
    return Path(folder)


def open_run(folder: Path, n: int = 8, **rest: Any) -> RunStore:
    """The store of a run folder of n planted prompts."""
    return RunStore.open(folder, OPTIONS, prompts(n), **rest)


def same_trace(one: PromptTrace, other: PromptTrace) -> None:
    """Fail unless two traces hold the same."""
    assert one.prompt == other.prompt
    np.testing.assert_array_equal(one.t, other.t)
    np.testing.assert_array_equal(one.logsnr, other.logsnr)
    for name in ("pooled", "classes", "values", "valid", "fvu", "l0"):
        mine, theirs = getattr(one, name), getattr(other, name)
        assert mine.keys() == theirs.keys()
        for key in mine:
            np.testing.assert_array_equal(mine[key], theirs[key])
