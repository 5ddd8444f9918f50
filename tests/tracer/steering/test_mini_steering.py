"""Steering the bundled model with the readout that comes with it, heard on the decoded audio."""

import numpy as np
import pytest
import torch

from hooks import steer
from probes import Readout
from probes.attributes import get_attribute
from tracer.generators import load_generator, prompt_seed
from tracer.generators.base import Generator
from tracer.prompts import load_prompts
from tracer.steering import edits_from_specs
from tracer.steering.hold import pull, realised
from tracer.steering.readings import Features, Raise, expected_class

CAPTIONS = ["a piano melody", "a flute melody", "strings playing chords", "an acoustic guitar solo"]


@pytest.fixture(scope="module")
def mini() -> Generator:
    return load_generator("mini")


@pytest.fixture(scope="module")
def readout() -> Readout:
    return Readout.from_pretrained("mini")


def heard(mini: Generator, readout: Readout, edit: str) -> tuple[float, float]:
    """Level in dB and median centroid in octaves over all clips, generated with one edit."""
    seeds = [prompt_seed(8, i) for i in range(len(CAPTIONS))]
    with steer(mini.sampler, edits_from_specs([edit], readout)):
        latents = mini.generate(CAPTIONS, seeds, steps=12, seconds=2.0, guidance=3.0)
    audio = mini.decode(latents)[:, 0]
    centroids = [get_attribute("timbre").measure(clip, 22050, latents.shape[1], 1024) for clip in audio]
    levels = 10 * np.log10(np.mean(audio**2, axis=1) + 1e-10)
    return float(np.mean(levels)), float(np.mean([np.log2(np.median(c[valid])) for c, valid in centroids]))


def test_the_covariance_is_of_the_autoencoders_own_data(readout: Readout) -> None:
    assert readout.covariance is not None
    torch.testing.assert_close(readout.covariance.diagonal().sqrt(), readout.sae.std, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("attribute", "held", "column"), [("loudness", "timbre", 0), ("timbre", "loudness", 1)])
def test_an_edit_in_the_closed_form_moves_what_it_aims_at_and_holds_the_other(
    mini: Generator, readout: Readout, attribute: str, held: str, column: int
) -> None:
    up, down = (
        heard(mini, readout, f"{attribute}={sign},alpha=2,from=0,vector=closed,hold=pitch+{held}") for sign in "+-"
    )
    moved = [up[0] - down[0], up[1] - down[1]]  # dB, octaves
    least = (6.0, 0.8)
    assert moved[column] > least[column]
    # Per effect: an edit that moves its own attribute further may move the other in proportion.
    effect = moved[column] / least[column]
    assert abs(moved[1 - column]) < effect * least[1 - column] / 2


@pytest.fixture(scope="module")
def songs(mini: Generator) -> torch.Tensor:
    """Every second frame of the finished latents of six built-in prompts, [B, F, C]."""
    prompts = load_prompts("demo")[:6]
    seeds = [prompt_seed(0, prompt.index) for prompt in prompts]
    captions = [prompt.caption for prompt in prompts]
    return mini.generate(captions, seeds, steps=32, seconds=12.0, guidance=3.0)[:, ::2].contiguous()


@pytest.mark.parametrize(("attribute", "held"), [("loudness", "timbre"), ("timbre", "loudness")])
@pytest.mark.parametrize("target", ["+", "-"])
def test_the_closed_form_lands(readout: Readout, songs: torch.Tensor, attribute: str, held: str, target: str) -> None:
    """95 % of the frames that can move land within a tenth of alpha, none goes further, and the others are held."""
    alpha, sign = 2.0, 1 if target == "+" else -1
    raised = Raise(attribute, target, alpha)
    moved = pull(readout, songs, torch.zeros_like(songs), raised, ("pitch", held))
    found = realised(readout, songs, moved, raised, ("pitch", held))
    before = expected_class(attribute).value(Features(readout, songs.flatten(0, 1)).logits(attribute))
    last = len(readout.bins[attribute]) - 1
    room = (last - before if sign > 0 else before) > alpha + 0.5
    slope = Features(readout, songs.flatten(0, 1)).slopes([expected_class(attribute)])[:, 0]
    # A reading that moves by less than a tenth of a class over one spread of the data is saturated.
    free = room & (((slope @ readout.covariance) * slope).sum(1).sqrt() > 0.1)
    assert free.float().mean() > 0.2
    assert ((found.change[free] - alpha).abs() <= 0.1 * alpha).float().mean() >= 0.95
    assert found.change.max() < 1.05 * alpha
    assert (found.held_most <= 0.25).float().mean() >= 0.9
