"""Probes that know the noise: what they see, which level reads, their file, and readouts without them."""

import math

import pytest
import torch
from support.apple import OnAppleGPU
from support.readout import tiny_readout

from probes import Readout
from probes.errors import InputError
from probes.readout.noise import FLOOR, SCALE, NoiseAware, NoisyInputs

ATTRIBUTES = ("pitch", "loudness", "timbre")
LEVELS = (-4.0, 0.0, 4.0)


def covariance(channels: int) -> torch.Tensor:
    root = torch.randn(channels, channels, generator=torch.Generator().manual_seed(5))
    return root @ root.t() / channels + 0.1 * torch.eye(channels)


def noisy_readout(channels: int = 8, hidden: int = 40) -> Readout:
    """A readout whose probes of noise have random weights."""
    readout = tiny_readout(channels, hidden, covariance=covariance(channels))
    inputs = NoisyInputs(readout.sae.mean, readout.covariance, readout.probes.classes)
    generator = torch.Generator().manual_seed(1)
    rows = 2 * len(readout.probes.bias)
    weight = torch.randn(len(LEVELS), rows, inputs.width, generator=generator)
    readout.noise = NoiseAware(
        inputs, torch.tensor(LEVELS), weight, torch.randn(len(LEVELS), rows, generator=generator)
    )
    return readout


def shares(logsnr: float) -> tuple[float, float]:
    alpha = 1 / (1 + math.exp(-logsnr / 2))
    return alpha, 1 - alpha


def plain(readout: Readout, x: torch.Tensor, noise: tuple[float, float], level: float) -> torch.Tensor:
    """Stacked logits of probes and controls by the formulas, frame by frame; level 1.25 lies between 1 and 2."""
    alpha, sigma = noise
    mean, spread = readout.sae.mean, readout.covariance
    whole = alpha**2 * spread + sigma**2 * torch.eye(len(mean))
    guess = mean + alpha * (x - alpha * mean) @ torch.linalg.inv(whole) @ spread
    read = torch.cat(list(readout.frames(guess).values()), -1)
    standard = (x - alpha * mean) / whole.diagonal().sqrt()
    seen = torch.cat([read.log().clamp_min(FLOOR) * SCALE, standard], -1)
    low, high, share = math.floor(level), math.ceil(level), level % 1
    weight, bias = ((1 - share) * part[low] + share * part[high] for part in (readout.noise.weight, readout.noise.bias))
    return seen @ weight.t() + bias


@pytest.mark.parametrize(
    ("logsnr", "level"), [(-math.inf, 0), (-9, 0), (-3, 0.25), (-1, 0.75), (0, 1), (1, 1.25), (4, 2), (30, 2)]
)
def test_neighbouring_levels_read_by_the_plain_formula(logsnr, level):
    readout = noisy_readout()
    noise = (0.0, 1.0) if logsnr == -math.inf else shares(logsnr)
    x = torch.randn(2, 30, 8)
    mask = torch.rand(2, 30) > 0.3
    reading = readout.read(x, mask, keep=ATTRIBUTES, noise=noise)
    for side, logits in zip(("trained", "shuffled"), plain(readout, x, noise, level).chunk(2, -1)):
        for name, own in readout.probes.split(logits).items():
            torch.testing.assert_close(reading.distributions[side][name], own.softmax(-1), rtol=0, atol=2e-3)
            pooled = (own.softmax(-1) * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
            torch.testing.assert_close(reading.pooled[side][name], pooled, rtol=0, atol=2e-3)
    alone = readout.read(x, mask, only_trained=True, noise=noise)
    assert (list(alone.classes), alone.fvu) == (["trained"], None)
    torch.testing.assert_close(alone.values["trained"]["timbre"], reading.values["trained"]["timbre"])
    # What the autoencoder makes of the state is that of the state as it is.
    clean = readout.read(x, mask)
    torch.testing.assert_close(reading.fvu, clean.fvu)
    torch.testing.assert_close(reading.l0, clean.l0)


def test_states_are_read_alike_on_every_path_of_one_log_snr():
    """A sampler that keeps the variance holds the state of a straight flow, scaled."""
    readout, x, (alpha, sigma) = noisy_readout(), torch.randn(1, 20, 8), shares(1.0)
    straight = readout.read(x, noise=(alpha, sigma))
    scaled = readout.read(1.3 * x, noise=(1.3 * alpha, 1.3 * sigma))
    torch.testing.assert_close(scaled.values["trained"], straight.values["trained"], rtol=1e-3, atol=1e-3)


def test_a_finished_state_is_read_as_what_comes_before_it():
    """Otherwise a curve of the state view would jump to its end."""
    readout, x = noisy_readout(), torch.randn(2, 20, 8)
    finished, before = readout.read(x, noise=(1.0, 0.0)), readout.read(x, noise=shares(30))
    for name in ATTRIBUTES:
        torch.testing.assert_close(finished.values["trained"][name], before.values["trained"][name], atol=1e-2, rtol=0)


def test_readouts_without_levels_are_read_as_ever():
    x = torch.randn(2, 20, 8)
    without = tiny_readout(8, 40, covariance=covariance(8))
    clean, found = without.read(x), without.read(x, noise=shares(0))
    for name in ATTRIBUTES:
        assert torch.equal(found.values["trained"][name], clean.values["trained"][name])
        assert torch.equal(found.pooled["shuffled"][name], clean.pooled["shuffled"][name])


def test_company_has_no_say():
    readout, x = noisy_readout(), torch.randn(3, 50, 8)
    whole = readout.read(x, noise=shares(0.3))
    for row in range(3):
        alone = readout.read(x[row : row + 1], noise=shares(0.3))
        for name in ATTRIBUTES:
            torch.testing.assert_close(alone.pooled["trained"][name][0], whole.pooled["trained"][name][row])


def test_the_estimate_is_the_regression_of_data_on_the_state():
    alpha, sigma = shares(0.5)
    spread, mean = covariance(4).double(), torch.arange(4.0).double()
    generator = torch.Generator().manual_seed(0)
    data = mean + torch.randn(200_000, 4, generator=generator).double() @ torch.linalg.cholesky(spread).t()
    state = alpha * data + sigma * torch.randn(200_000, 4, generator=generator)
    found = NoisyInputs(mean, spread, {"pitch": 2}).estimate(state, alpha, sigma)
    assert ((found - data).mean(0)).abs().max() < 0.01
    error = data - found
    assert (error.t() @ (state - state.mean(0)) / len(data)).abs().max() < 0.01  # nothing linear is left


def test_files_bring_the_levels_back_and_the_fingerprint_stays(tmp_path):
    readout, x = noisy_readout(), torch.randn(1, 20, 8)
    without = tiny_readout(8, 40, covariance=covariance(8))
    readout.save_pretrained(tmp_path / "with")
    without.save_pretrained(tmp_path / "without")
    assert sorted(path.name for path in (tmp_path / "without").iterdir()) == [
        "README.md", "config.json", "covariance.safetensors", "model.safetensors",
    ]  # fmt: skip
    same = ("model.safetensors", "covariance.safetensors")
    assert all((tmp_path / "with" / n).read_bytes() == (tmp_path / "without" / n).read_bytes() for n in same)
    loaded, bare = Readout.from_pretrained(tmp_path / "with"), Readout.from_pretrained(tmp_path / "without")
    assert bare.noise is None
    assert repr(loaded).splitlines()[-1] == "  noisy latents: probes at 3 log-SNRs from -4.00 to +4.00"
    assert "noisy" not in repr(bare)
    assert loaded.fingerprint() == bare.fingerprint() == without.fingerprint()
    assert loaded.noise.fingerprint() == readout.noise.fingerprint()
    found, wanted = (one.read(x, noise=shares(-3)).values["trained"] for one in (loaded, readout))
    assert all(torch.equal(found[name], wanted[name]) for name in ATTRIBUTES)
    loaded.noise.weight[0, 0, 0] += 1
    assert loaded.noise.fingerprint() != readout.noise.fingerprint()


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda t: t | {"levels": t["levels"].flip(0)}, "must ascend"),
        (lambda t: t | {"weight": t["weight"][:, :-1]}, "do not fit"),
        (lambda t: {"levels": t["levels"]}, "does not hold the probes"),
        (lambda t: t | {"bias": t["bias"] * math.nan}, "finite"),
    ],
)
def test_damaged_levels_are_told_in_one_line(spoil, told, tmp_path):
    from safetensors.torch import load_file, save_file

    noisy_readout().save_pretrained(tmp_path)
    path = tmp_path / "noise.safetensors"
    save_file({name: value.contiguous() for name, value in spoil(load_file(path)).items()}, path)
    with pytest.raises(InputError, match=told) as caught:
        Readout.from_pretrained(tmp_path)
    assert "\n" not in str(caught.value)


def test_the_readout_moves_with_its_levels():
    readout = noisy_readout().to(torch.float64)
    assert readout.noise.weight.dtype == readout.noise.inputs.axes.dtype == torch.float64
    found = readout.read(torch.randn(1, 5, 8), noise=shares(0))
    assert found.pooled["trained"]["pitch"].dtype == torch.float64


def test_the_inputs_are_made_where_there_is_no_float64():
    there = NoisyInputs(torch.zeros(8), covariance(8).as_subclass(OnAppleGPU), {"pitch": 2})
    here = NoisyInputs(torch.zeros(8), covariance(8), {"pitch": 2})
    assert torch.equal(there.axes, here.axes)


def test_a_finished_state_with_a_constant_channel_is_read():
    spread = covariance(4)
    spread[3], spread[:, 3] = 0, 0
    inputs = NoisyInputs(torch.zeros(4), spread, {"pitch": 2})
    assert inputs(torch.zeros(5, 2), torch.zeros(5, 4), 1.0, 0.0).isfinite().all()
