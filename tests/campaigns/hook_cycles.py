"""Attach and detach hooks thousands of times, half of the blocks ended by an exception: nothing may stay behind.

Checked: no forward hook on any module, an empty list from `attached`, a result equal to the one before, no model kept
alive once it is let go, and a resident memory that does not grow after a warm-up.

    python -m tests.campaigns.hook_cycles --cycles 10000
"""

import argparse
import gc
import random
import sys
import weakref
from pathlib import Path

import psutil
import torch
from torch import nn

from hooks import Event, attach
from hooks.attaching import attached
from tests.campaigns.report import Report
from tracer.generators.diffrhythm import DiffRhythm, DiTConfig

TINY = DiTConfig(dim=16, depth=1, ff_mult=1, text_dim=8, conv_layers=1, mel_dim=4, max_frames=8, attention_heads=2)
NEW_MODEL_EVERY = 50
GROWTH = 16 * 2**20
STOP_AT = ("sink", "state", "endpoint", "block", None, None, None, None)


class Stop(Exception):
    """Raised by a callback, as a user's would."""


def sample(model: DiffRhythm) -> torch.Tensor:
    """A short generation from fixed noise."""
    noise = torch.ones(1, 4, 4)
    style, text = torch.ones(1, 512), torch.zeros(1, 4, dtype=torch.long)
    return model.sample(noise=noise, text=text, style=style, negative_style=style, steps=3, cfg_strength=2.0)


def hooks_on(model: nn.Module) -> int:
    """Number of forward hooks on a model and its parts."""
    return sum(len(part._forward_hooks) + len(part._forward_pre_hooks) for part in model.modules())


def cycle(model: DiffRhythm, source: random.Random) -> str:
    """One to three nested blocks around a generation; returns where it was broken off."""
    stop_at = source.choice(STOP_AT)

    def sink(event: Event) -> None:
        if stop_at == "sink" and event.index == 1:
            raise Stop

    def edit(kind: str) -> object:
        def change(latent: torch.Tensor, *_: object) -> torch.Tensor:
            if stop_at == kind:
                raise Stop
            return latent + 0.1

        return change

    given = {"observe": sink, "edit_state": edit("state"), "edit_endpoint": edit("endpoint")}

    def nested(depth: int) -> None:
        with attach(model, **given):
            if depth > 1:
                nested(depth - 1)
            else:
                sample(model)
                if stop_at == "block":
                    raise Stop

    try:
        nested(source.randint(1, 3))
    except Stop:
        return f"broken off in the {stop_at}"
    return "ended" if stop_at is None else f"not broken off in the {stop_at}"


@torch.no_grad()
def run(report: Report, cycles: int, seed: int = 0) -> None:
    """All cycles, with a new model every fifty."""
    torch.set_num_threads(1)
    source = random.Random(seed)
    process, kept, start = psutil.Process(), [], 0
    model, before = None, torch.empty(0)
    for number in range(cycles):
        if number % NEW_MODEL_EVERY == 0:
            if model is not None:
                kept.append(weakref.ref(model))
            gc.collect()  # a caught exception and its frames are a circle: what counts is what a collection leaves
            torch.manual_seed(number)
            model = DiffRhythm(TINY).eval()
            before = sample(model)
        outcome = cycle(model, source)
        report.count(outcome)
        if outcome.startswith("not broken off"):
            report.finding("an exception was swallowed", cycle=number, outcome=outcome)
        if hooks_on(model) or attached(model):
            report.finding("hooks left", cycle=number, outcome=outcome, hooks=hooks_on(model))
        if number % NEW_MODEL_EVERY == NEW_MODEL_EVERY - 1 and not torch.equal(sample(model), before):
            report.finding("another result afterwards", cycle=number)
        if number == cycles // 5:
            gc.collect()
            start = process.memory_info().rss
        report.advance()
    kept.append(weakref.ref(model))
    del model
    gc.collect()
    alive = sum(reference() is not None for reference in kept)
    grown = process.memory_info().rss - start
    report.about |= {"models": len(kept), "alive": alive, "memory grown after a fifth, bytes": grown}
    if alive:
        report.finding("models kept alive", number=alive)
    if grown > GROWTH:
        report.finding("memory grows", bytes=grown)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cycles", type=int, default=10_000, help="number of cycles (default: 10000)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the exceptions (default: 0)")
    parser.add_argument("--summary", type=Path, default=Path("campaign-hooks.json"), help="where the summary goes")
    given = parser.parse_args()
    report = Report("hook cycles", given.cycles, {"seed": given.seed})
    run(report, given.cycles, given.seed)
    return report.finish(given.summary)


if __name__ == "__main__":
    sys.exit(main())
