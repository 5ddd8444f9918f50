"""Readouts on one autoencoder become one, and each attribute is read as before."""

from collections.abc import Sequence
from copy import deepcopy

import numpy as np
import pytest
import torch
from support.readout import tiny_readout
from support.sae import random_sae
from torch import Tensor

from probes.errors import InputError
from probes.readout import Readout
from probes.readout.generic import GenericDirections
from probes.readout.joining import join_readouts
from probes.readout.linear import LinearProbes
from probes.readout.noise import NoiseAware, NoisyInputs

LEVELS = torch.tensor([-2.0, 2.0])
FIGURES = {key: [0.5, 0.5] for key in ("accuracy", "interval", "clean", "majority", "shuffled")}


def part_of(whole: Readout, names: Sequence[str], log_rms: tuple[float, float]) -> Readout:
    """A readout of some attributes of another, which measures the level otherwise, with directions and noise of its
    own."""
    assert whole.log_rms is not None
    assert whole.covariance is not None
    classes = {name: whole.probes.classes[name] for name in names}
    both = []
    for source in (whole.probes, whole.controls):
        rises = source.on_rises()
        probes = LinearProbes(classes, source.weight.shape[1], [name for name in names if name in rises])
        probes.weight.data = torch.cat([source.weight.data[source.rows(name)] for name in names])
        probes.bias.data = torch.cat([source.bias.data[source.rows(name)] for name in names])
        level = probes.weight.data[:, -1].clone()
        probes.weight.data[:, -1] = level * log_rms[1] / whole.log_rms[1]
        probes.bias.data += level * (log_rms[0] - whole.log_rms[0]) / whole.log_rms[1]
        for name, own in probes.on_rises().items():
            own.data[:] = rises[name]
            own.data[:, -1] *= log_rms[1] / whole.log_rms[1]
        both.append(probes)
    random = torch.Generator().manual_seed(len(names))
    total, channels = sum(classes.values()), whole.sae.config.channels
    inputs = NoisyInputs(whole.sae.mean, whole.covariance, classes)
    weight = torch.randn(2, 2 * total, inputs.width, generator=random) * 0.3
    noise = NoiseAware(inputs, LEVELS, weight, torch.randn(2, 2 * total, generator=random))
    edges = torch.sort(torch.randn(len(names), 3, max(classes.values()) - 1, generator=random)).values
    drawn = torch.randn(len(names), 3, channels, generator=random)
    generic = GenericDirections(names, drawn, edges, torch.zeros(len(names), 3), torch.ones(len(names), 3))
    bins = {name: whole.bins[name] for name in names}
    report = {"probes": {name: {"accuracy": 0.5} for name in names}, "training": {"corpus": names[0]}}
    report["noise"] = {"levels": LEVELS.tolist(), "attributes": dict.fromkeys(names, FIGURES)}
    return Readout(
        whole.sae, *both, bins, whole.spaces, log_rms, report, whole.covariance, generic, noise=noise
    )  # fmt: skip


@pytest.fixture
def latents() -> Tensor:
    return torch.randn(2, 80, 64, generator=torch.Generator().manual_seed(7))


@pytest.fixture
def whole() -> Readout:
    return tiny_readout(log_rms=True, covariance=torch.eye(64) * 2, named=["drums"])


def test_each_attribute_is_read_as_before(whole: Readout, latents: Tensor) -> None:
    parts = [part_of(whole, ("timbre", "drums"), (0.3, 0.2)), part_of(whole, ("pitch", "loudness"), (-2.0, 1.5))]
    joined = join_readouts(parts)
    assert joined.attributes == ("timbre", "drums", "pitch", "loudness")
    for noise in (None, (0.5, 0.5), (1.0, 0.0)):
        mine = joined.read(latents, noise=noise)
        for part in parts:
            own = part.read(latents, noise=noise)
            for probe, by_name in own.classes.items():
                for name, classes in by_name.items():
                    # A class may flip where two logits are equal to the last bits.
                    assert (mine.classes[probe][name] == classes).float().mean() > 0.98
                    torch.testing.assert_close(
                        mine.values[probe][name], own.values[probe][name], rtol=1e-3, atol=1e-3
                    )  # fmt: skip
    clean = whole(latents)
    for name, shares in joined(latents).items():
        torch.testing.assert_close(shares, clean[name], rtol=1e-4, atol=1e-5)
    assert list(joined.report["probes"]) == list(joined.report["noise"]["attributes"]) == list(joined.attributes)
    assert [one["corpus"] for one in joined.report["training"]] == ["timbre", "pitch"]


def test_what_was_joined_is_joined_further(whole: Readout, latents: Tensor) -> None:
    one, two, three = (part_of(whole, (name,), (0.1, 0.7)) for name in ("pitch", "drums", "timbre"))
    joined = join_readouts([one, join_readouts([two, three])])
    at_once = join_readouts([one, two, three])
    assert joined.fingerprint() == at_once.fingerprint()
    assert joined.report == at_once.report
    for name, shares in joined(latents).items():
        torch.testing.assert_close(shares, at_once(latents)[name])


def test_a_joined_readout_comes_back_from_its_folder(whole: Readout, latents: Tensor, tmp_path) -> None:
    joined = join_readouts([part_of(whole, ("pitch",), (0.0, 1.0)), part_of(whole, ("loudness",), (0.0, 1.0))])
    joined.save_pretrained(tmp_path / "readout")
    again = Readout.from_pretrained(tmp_path / "readout")
    assert again.fingerprint() == joined.fingerprint()
    assert again.noise is not None
    assert joined.noise is not None
    assert again.noise.fingerprint() == joined.noise.fingerprint()
    np.testing.assert_array_equal(again(latents)["loudness"], joined(latents)["loudness"])


def test_what_does_not_fit_is_refused(whole: Readout) -> None:
    pitch = part_of(whole, ("pitch",), (0.0, 1.0))
    with pytest.raises(InputError, match="different attributes"):
        join_readouts([pitch, part_of(whole, ("loudness", "pitch"), (0.0, 1.0))])
    other = tiny_readout(log_rms=True, covariance=torch.eye(64) * 2, seed=1)
    with pytest.raises(InputError, match="same autoencoder"):
        join_readouts([pitch, part_of(other, ("loudness",), (0.0, 1.0))])
    loudness = part_of(whole, ("loudness",), (0.0, 1.0))
    loudness.covariance = torch.eye(64)
    with pytest.raises(InputError, match="same covariance"):
        join_readouts([pitch, loudness])
    loudness.covariance, loudness.own_mean = whole.covariance, torch.ones(64)
    with pytest.raises(InputError, match="same covariance and mean"):
        join_readouts([pitch, loudness])
    loudness.generic = None
    with pytest.raises(InputError, match="only one of the readouts that are joined has generic"):
        join_readouts([pitch, loudness])


def test_an_autoencoder_that_does_not_standardise_is_one_whatever_its_data() -> None:
    sae = random_sae("topk", channels=64, hidden=128, standardise=False)
    whole = tiny_readout(named=["drums"])
    parts = []
    for name, shift in (("pitch", 0.0), ("loudness", 3.0)):
        sae.set_statistics(torch.full((64,), shift), torch.ones(64))
        probes = LinearProbes({name: len(whole.bins[name])}, 128)
        probes.weight.data.normal_()
        parts.append(Readout(deepcopy(sae), probes, probes, {name: whole.bins[name]}, whole.spaces))
    latents = torch.randn(1, 30, 64)
    joined = join_readouts(parts)(latents)
    for part in parts:
        for name, own in part(latents).items():
            torch.testing.assert_close(joined[name], own)
