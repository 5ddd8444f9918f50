"""Displacements: known answers on a linear toy space, definitions on a random readout."""

import pytest
import torch
from support.apple import OnAppleGPU
from support.readout import tiny_readout
from support.steering_toys import CHANNELS, linear_readout
from torch import Tensor

from hooks import Edit, steer
from probes.readout import Readout
from tracer.steering.edits import displacement
from tracer.steering.readings import Features, expected_class, log_odds, log_probability
from tracer.steering.spec import parse_edit
from tracer.steering.vectors import ClosedDisplacement, RandomDisplacement, control_vector, square_root


def latents(channels: int = 64, frames: int = 5) -> Tensor:
    return torch.randn(2, frames, channels, generator=torch.Generator().manual_seed(3))


def class_of(readout: Readout, x: Tensor, attribute: str) -> Tensor:
    return expected_class(attribute).value(Features(readout, x.flatten(0, 1)).logits(attribute))


def nats(readout: Readout, x: Tensor, attribute: str, k: int) -> Tensor:
    return log_odds(attribute, k).value(Features(readout, x.flatten(0, 1)).logits(attribute))


FORMS = [
    "pitch=C5,vector=centred",
    "pitch=C5,vector=centred,hold=loudness",
    "pitch=3,vector=centred,unit=std",
    "pitch=+",
    "timbre=4,hold=loudness",
]


def some_covariance(channels: int = CHANNELS, rank: int = 3) -> Tensor:
    """Of latents that differ in a few directions alone."""
    factor = torch.randn(channels, rank, generator=torch.Generator().manual_seed(5))
    return factor @ factor.T


def test_linear_space_moves_by_alpha_times_the_decoded_vector():
    readout, x = linear_readout(), latents(CHANNELS)
    change = displacement(parse_edit("pitch=C5,alpha=2.5,vector=centred"), readout)(x)
    k = readout.bins["pitch"].parse("C5")
    weights = readout.probes.weight[readout.probes.rows("pitch")]
    centred = weights[k] - weights.mean(0)
    torch.testing.assert_close(change, (2.5 * (centred[:CHANNELS] - centred[CHANNELS:])).expand_as(x))


@pytest.mark.parametrize("known", [False, True])
def test_linear_space_closed_form_is_the_shortest_way_by_the_spread_of_the_data(known):
    """Logits are linear in x here, so a small dose is a step along one slope g: d = S g alpha / (g S g)."""
    covariance = some_covariance() if known else torch.eye(CHANNELS)
    readout = linear_readout(covariance=covariance if known else None)
    x, alpha = 0.1 * latents(CHANNELS), 0.01
    change = displacement(parse_edit(f"loudness=+,alpha={alpha},vector=closed"), readout)(x)
    weights = readout.probes.weight[readout.probes.rows("loudness")]
    half = weights[:, :CHANNELS]
    p = (x @ half.T + readout.probes.bias[readout.probes.rows("loudness")]).softmax(-1)
    classes = torch.arange(20.0)
    slope = (p * (classes - (p @ classes)[..., None])) @ half
    towards = slope @ covariance
    wanted = alpha * towards / (slope * towards).sum(-1, keepdim=True)
    torch.testing.assert_close(change, wanted, atol=1e-5, rtol=2e-2)


@pytest.mark.parametrize("text", ["loudness=+,alpha=1", "pitch=12,alpha=2", "timbre=4,alpha=3"])
def test_closed_form_and_hold_stay_where_the_data_is(text):
    covariance = some_covariance(64)
    readout = tiny_readout(covariance=covariance)
    change = displacement(parse_edit(f"{text},vector=closed"), readout)(latents())
    basis = torch.linalg.eigh(covariance).eigenvectors[:, -3:]
    assert change.norm() > 0.1
    torch.testing.assert_close(change @ basis @ basis.T, change, atol=1e-3, rtol=1e-2)


@pytest.mark.parametrize("vector", ["centred", "plain"])
@pytest.mark.parametrize("architecture", ["relu", "topk", "jumprelu"])
def test_displacement_is_the_difference_of_two_decodings(vector, architecture):
    readout, x = tiny_readout(architecture=architecture), latents()
    f = readout.sae.encode(x)
    w = readout.class_vector("timbre", 4, centred=vector == "centred")
    moved = f + 3 * w
    if architecture == "relu":
        moved = moved * f.norm(dim=-1, keepdim=True) / moved.norm(dim=-1, keepdim=True)
    expected_change = readout.sae.decode(moved) - readout.sae.decode(f)
    change = displacement(parse_edit(f"timbre=4,alpha=3,vector={vector}"), readout)(x)
    torch.testing.assert_close(change, expected_change, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("frames", [400, 2500])
def test_std_unit_moves_each_feature_by_its_own_deviation(frames):
    readout, x = linear_readout(), latents(CHANNELS, frames=frames)
    x = x + 3 * torch.linspace(0, 1, frames)[:, None]  # its parts differ in their means
    vector = readout.class_vector("loudness", 3)
    spread = readout.sae.encode(x).std(1, correction=0)
    expected_change = (spread * vector / vector.abs().max()) @ readout.sae.dictionary
    change = displacement(parse_edit("loudness=3,alpha=1,vector=centred,unit=std"), readout)(x)
    torch.testing.assert_close(change, expected_change[:, None].expand_as(x), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("log_rms", [False, True])
@pytest.mark.parametrize("target", ["12", "+", "-"])
def test_closed_form_moves_the_reading_and_holds_the_others(target, log_rms, known):
    readout = tiny_readout(log_rms=log_rms, covariance=some_covariance(64, rank=64) if known else None)
    x, alpha = latents(), 1.0
    change = displacement(parse_edit(f"loudness={target},alpha={alpha},vector=closed,hold=timbre+pitch"), readout)(x)
    before, after = class_of(readout, x, "loudness"), class_of(readout, x + change, "loudness")
    if target == "12":
        rise = nats(readout, x + change, "loudness", 12) - nats(readout, x, "loudness", 12)
        assert (rise - alpha).abs().median() < 0.1
    else:
        assert (after - before - (alpha if target == "+" else -alpha)).abs().median() < 0.1
    for held in ("timbre", "pitch"):
        drift = class_of(readout, x + change, held) - class_of(readout, x, held)
        free = displacement(parse_edit(f"loudness={target},alpha={alpha},vector=closed"), readout)(x)
        loose = class_of(readout, x + free, held) - class_of(readout, x, held)
        assert drift.abs().median() < 0.15 * loose.abs().median()


def test_the_class_itself_is_held_where_classes_have_no_order():
    readout = tiny_readout(named=["chord", "drums"])
    x = latents(frames=200)

    def changed(change: Tensor) -> float:
        before, after = (Features(readout, at.flatten(0, 1)).logits("chord").argmax(-1) for at in (x, x + change))
        return float((before != after).float().mean())

    free = displacement(parse_edit("loudness=+,alpha=5"), readout)(x)
    edit = displacement(parse_edit("loudness=+,alpha=5,hold=chord"), readout)
    held = edit(x)
    assert changed(free) > 0.2
    assert changed(held) < 0.05
    assert isinstance(edit, ClosedDisplacement)
    for change in (free, held):
        assert float(edit.realised(x, change).held["chord"].mean()) == pytest.approx(changed(change))
    rise = class_of(readout, x + held, "loudness") - class_of(readout, x, "loudness")
    assert float(rise.median()) == pytest.approx(5, abs=0.1)


def test_closed_form_towards_a_class_raises_its_odds():
    readout, x = tiny_readout(), latents()
    p = readout.frames(x)["pitch"][..., 12].flatten()
    torch.testing.assert_close(nats(readout, x, "pitch", 12), torch.logit(p), atol=1e-3, rtol=1e-3)
    for alpha in (0.5, 1.0):
        change = displacement(parse_edit(f"pitch=12,alpha={alpha},vector=closed"), readout)(x)
        rise = nats(readout, x + change, "pitch", 12) - nats(readout, x, "pitch", 12)
        torch.testing.assert_close(rise, torch.full_like(rise, alpha), atol=0.15 * alpha, rtol=0)


@pytest.mark.parametrize(
    ("architecture", "log_rms"),
    [("relu", False), ("relu", True), ("topk", False), ("batchtopk", False), ("jumprelu", False)],
)
def test_readings_and_their_slopes_are_those_of_the_readout(architecture, log_rms):
    """Against the readout's own distributions, and against autograd through the autoencoder."""
    readout = tiny_readout(architecture=architecture, log_rms=log_rms)
    x = latents(frames=3).flatten(0, 1).requires_grad_()
    h = readout.sae.hidden(x)
    inputs = readout.sae.normalise(h)
    if log_rms:
        level = (h.square().mean(-1, keepdim=True) + readout.sae.config.eps).sqrt().log()
        inputs = torch.cat([inputs, (level - readout.log_rms[0]) / readout.log_rms[1]], -1)
    logits = readout.probes.split(readout.probes(inputs))
    features = Features(readout, x.detach())
    for name, p in readout.frames(x.detach()[None]).items():
        torch.testing.assert_close(features.logits(name).softmax(-1), p[0], atol=1e-4, rtol=1e-3)
    top = logits["pitch"].argmax(-1)
    readings = [expected_class("loudness"), log_odds("timbre", 3), log_probability("pitch", top)]
    slopes = features.slopes(readings)
    for k, reading in enumerate(readings):
        value = reading.value(logits[reading.attribute])
        gradient = torch.autograd.grad(value.sum(), x, retain_graph=True)[0]
        torch.testing.assert_close(slopes[:, k], gradient, atol=1e-4, rtol=1e-3)


def test_hold_brings_the_held_reading_back_and_keeps_the_target_moving():
    readout, x = tiny_readout(), latents()
    shifts = {}
    for text in ("timbre=+,alpha=4,vector=centred", "timbre=+,alpha=4,vector=centred,hold=loudness"):
        change = displacement(parse_edit(text), readout)(x)
        shifts[text] = [
            class_of(readout, x + change, name) - class_of(readout, x, name) for name in ("timbre", "loudness")
        ]
    (free_target, free_held), (target, held) = shifts.values()
    assert held.abs().mean() < 0.1 * free_held.abs().mean()
    assert target.mean() > 0.5 * free_target.mean() > 0


@pytest.mark.parametrize("target", ["+", "-"])
def test_what_came_of_an_edit_is_told_of_each_held_attribute(target):
    readout, x = linear_readout(), latents(CHANNELS, frames=400)  # more frames than go at a time
    moved = 0.2 * x.flip(1)
    changes = {
        name: class_of(readout, x + moved, name) - class_of(readout, x, name)
        for name in ("loudness", "pitch", "timbre")
    }
    found = ClosedDisplacement(readout, "loudness", target, 1.0, ("timbre", "pitch")).realised(x, moved)
    torch.testing.assert_close(found.change, changes["loudness"] * (1 if target == "+" else -1))
    assert list(found.held) == ["timbre", "pitch"]
    for name, own in found.held.items():
        torch.testing.assert_close(own, changes[name].abs())
    torch.testing.assert_close(found.held_most, torch.maximum(changes["timbre"].abs(), changes["pitch"].abs()))
    free = ClosedDisplacement(readout, "loudness", target, 1.0).realised(x, moved)
    assert free.held == {}
    torch.testing.assert_close(free.held_most, torch.zeros(800))


def test_plus_and_minus_are_opposite_directions_along_the_classes():
    readout = linear_readout()
    up, down = (control_vector(readout, "loudness", sign) for sign in ("+", "-"))
    torch.testing.assert_close(up, -down)
    lengths = torch.stack([readout.class_vector("loudness", k) for k in range(20)]).square().sum(1)
    torch.testing.assert_close(up.square().sum(), lengths.mean())


@pytest.mark.parametrize("text", FORMS)
def test_alpha_zero_displaces_nothing_at_all(text):
    readout, x = tiny_readout(), latents()
    assert torch.count_nonzero(displacement(parse_edit(f"{text},alpha=0"), readout)(x)) == 0


@pytest.mark.parametrize("text", FORMS)
def test_an_item_is_displaced_the_same_in_every_batch(text):
    readout, x = tiny_readout(), latents(frames=700)  # more than one chunk
    displace = displacement(parse_edit(f"{text},alpha=2"), readout)
    torch.testing.assert_close(displace(x)[1:], displace(x[1:]), atol=1e-4, rtol=1e-4)


def test_random_push_is_as_long_in_a_direction_of_its_own():
    readout, x = tiny_readout(), latents()
    own = displacement(parse_edit("pitch=C5,alpha=5,vector=centred"), readout)
    seeds = [11, 12]
    change, again = (RandomDisplacement(readout, own, seeds)(x) for _ in range(2))
    assert torch.equal(change, again)
    std = readout.sae.std
    torch.testing.assert_close((change / std).norm(dim=-1), (own(x) / std).norm(dim=-1))
    direction = (change / std) / (change / std).norm(dim=-1, keepdim=True)
    torch.testing.assert_close(direction, direction[:, :1].expand_as(direction))
    assert (direction[0, 0] @ direction[1, 0]).abs() < 0.5


def test_square_root_times_itself_is_the_covariance():
    for rank in (3, 64):
        covariance = some_covariance(64, rank)
        root = square_root(covariance)
        torch.testing.assert_close(root @ root, covariance, atol=1e-3, rtol=1e-3)
        there = square_root(covariance.as_subclass(OnAppleGPU))  # which has no float64
        assert isinstance(there, OnAppleGPU)
        assert torch.equal(there.cpu(), root)


def test_random_push_like_the_data_keeps_to_its_directions():
    covariance = some_covariance(64)
    readout, x = tiny_readout(covariance=covariance), latents()
    own = displacement(parse_edit("pitch=C5,alpha=5,vector=centred"), readout)
    change = RandomDisplacement(readout, own, [11, 12], like="data")(x)
    std = readout.sae.std
    torch.testing.assert_close((change / std).norm(dim=-1), (own(x) / std).norm(dim=-1))
    basis = torch.linalg.eigh(covariance).eigenvectors[:, -3:]
    torch.testing.assert_close(change @ basis @ basis.T, change, atol=1e-3, rtol=1e-2)
    with pytest.raises(ValueError, match="covariance"):
        RandomDisplacement(tiny_readout(), own, [11, 12], like="data")(x)


def test_half_precision_latents_come_back_in_half_precision():
    readout, x = tiny_readout(), latents().half()
    for text in FORMS:
        change = displacement(parse_edit(text), readout)(x)
        assert change.dtype == torch.float16
        assert torch.isfinite(change).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_readout_in_half_precision_steers(dtype):
    x = latents()
    half = tiny_readout(covariance=some_covariance(64)).to(dtype)
    change = displacement(parse_edit("timbre=+,alpha=1,hold=loudness"), half)(x.to(dtype))
    wanted = displacement(parse_edit("timbre=+,alpha=1,hold=loudness"), tiny_readout(covariance=some_covariance(64)))(x)
    assert change.dtype == dtype
    assert torch.nn.functional.cosine_similarity(change.float().flatten(), wanted.flatten(), dim=0) > 0.8


def test_silent_frames_stay_finite():
    readout = tiny_readout()
    x = torch.zeros(1, 3, 64)
    for text in (*FORMS, "pitch=C5,alpha=30,hold=loudness+timbre"):
        assert torch.isfinite(displacement(parse_edit(text), readout)(x)).all()


def test_steering_works_under_the_sampler_as_on_a_latent():
    """One state edit of the finished latent, through the hooks, is the displacement itself."""
    from support.steering_toys import SineGenerator

    model, readout = SineGenerator(), linear_readout()
    options = {"steps": 9, "seconds": 0.5, "guidance": 1.0}
    plain = model.generate(["a"], [1], **options)
    displace = displacement(parse_edit("pitch=C5,alpha=2,vector=centred"), readout)
    with steer(model.sampler, [Edit(displace, site="state", start=0.95, stop=1.0)]):
        steered = model.generate(["a"], [1], **options)
    torch.testing.assert_close(steered, plain + displace(plain))
