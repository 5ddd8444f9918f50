"""Steering the bundled model with the readout that comes with it, heard on the decoded audio."""

import numpy as np
import pytest
import torch

from hooks import steer
from probes import Readout
from probes.attributes import get_attribute
from tracer.generators import load_generator, prompt_seed
from tracer.generators.base import Generator
from tracer.steering import edits_from_specs

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
    assert abs(moved[1 - column]) < least[1 - column] / 2
