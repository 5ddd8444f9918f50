"""Run folders whose emergence is known, because it was planted."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tracer.prompts import Prompt
from tracer.shards import CONTROL, TRAINED, Curve, PromptTrace
from tracer.store import RunStore

STATES, FRAMES = 12, 40
CLASSES = {"pitch": 66, "timbre": 20, "loudness": 20}
# Flow time at which half of the frames have taken their final class.
MIDDLES = {"pitch": 0.3, "timbre": 0.5, "loudness": 0.8}
CONTROL_MIDDLE = 0.95
VIEWS = ("state", "endpoint")
OPTIONS = {"model": "planted", "seed": 0, "steps": STATES}


def prompts(n: int) -> list[Prompt]:
    return [Prompt(i, f"planted-{i}", f"caption {i}") for i in range(n)]


def trace(prompt: int, states: int = STATES, frames: int = FRAMES) -> PromptTrace:
    """One prompt whose frames take their final class around the flow times of MIDDLES, earlier at the endpoint."""
    rng = np.random.default_rng([7, prompt])
    t = np.linspace(0, 1, states)
    with np.errstate(divide="ignore"):
        logsnr = 2 * np.log(t / (1 - t))
    made = PromptTrace(prompt, t, logsnr)
    for view in VIEWS:
        made.fvu[view] = np.linspace(1.2, 0.1, states, dtype=np.float32)
        made.l0[view] = np.linspace(90, 40, states, dtype=np.float32)
        for probe in (TRAINED, CONTROL):
            for attribute, classes in CLASSES.items():
                middle = MIDDLES[attribute] if probe == TRAINED else CONTROL_MIDDLE
                middle *= 0.6 if view == "endpoint" else 1.0
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
                made.valid[curve] = np.ones(frames, dtype=bool)
                made.pooled[curve] = (first + share[:, None] * (last - first)).astype(np.float32)
    return made


def write(folder: Path, n: int, batch: int = 4, **options: object) -> Path:
    store = RunStore.open(folder, {**OPTIONS, **options}, prompts(n))
    for indices in store.pending_batches(batch):
        store.append([trace(i) for i in indices])
    return folder
