"""Sparse autoencoders: formulas, the fused gradients, files."""

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.sae import random_sae

from probes.errors import InputError
from probes.sae import ReluConfig, SparseAutoencoder, architectures, load_config, make_config, make_sae
from probes.sae.auxiliary import auxiliary_error
from probes.sae.metrics import evaluate
from probes.sae.streaming import LinearReader


def test_relu_is_the_papers_formula():
    sae = random_sae(standardise=False)
    x = torch.randn(7, 12)
    h = torch.clamp(x @ sae.encoder_weight.T + sae.encoder_bias, min=0)
    f = sae.gain * h / torch.sqrt((h**2).mean(1, keepdim=True) + sae.config.eps)
    torch.testing.assert_close(sae.hidden(x), h)
    torch.testing.assert_close(sae.encode(x), f)
    torch.testing.assert_close(sae.decode(f), f @ sae.dictionary + sae.decoder_bias)
    # Eq. 1 with sums, averaged over frames
    loss = ((x - sae(x)) ** 2).sum(1) + sae.config.lam * h.abs().sum(1)
    torch.testing.assert_close(sae.loss(x).total, loss.mean())


def test_reduction_mean_divides_error_by_channels_and_penalty_by_features():
    x = torch.randn(7, 12)
    total, mean = (random_sae(reduction=kind) for kind in ("sum", "mean"))
    mean.load_state_dict(total.state_dict())
    torch.testing.assert_close(mean.loss(x).error * 12, total.loss(x).error)
    torch.testing.assert_close(mean.loss(x).penalty * 150, total.loss(x).penalty)


def test_pre_norm_penalty_falls_with_the_encoders_scale_and_post_norm_does_not():
    """The trap of the paper's Eq. 2: the decoder is blind to the scale of h."""
    x = torch.randn(7, 12)
    for penalty, expected in (("pre_norm", 0.01), ("post_norm", 1.0)):
        sae = random_sae(penalty=penalty, eps=0.0)
        before = sae.loss(x)
        with torch.no_grad():
            sae.encoder_weight *= 0.01
            sae.encoder_bias *= 0.01
        after = sae.loss(x)
        torch.testing.assert_close(after.error, before.error, rtol=1e-4, atol=1e-4)
        assert float((after.penalty / before.penalty).detach()) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("architecture", architectures())
def test_input_is_raw_and_standardised_inside(architecture):
    """Scaling and shifting the data with its statistics leaves features alone and scales the reconstruction."""
    sae = random_sae(architecture)
    x = torch.randn(9, 12)
    shift, scale = torch.randn(12), torch.rand(12) + 0.5
    moved = random_sae(architecture)
    moved.load_state_dict(sae.state_dict())
    moved.set_statistics(sae.mean * scale + shift, sae.std * scale)
    torch.testing.assert_close(moved.encode(x * scale + shift), sae.encode(x), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(moved(x * scale + shift), sae(x) * scale + shift, rtol=1e-4, atol=1e-4)


def test_a_constant_channel_does_not_divide_by_zero():
    sae = make_sae(ReluConfig(channels=3, hidden=8))
    sae.set_statistics(torch.zeros(3), torch.tensor([1.0, 0.0, 2.0]))
    assert torch.isfinite(sae(torch.ones(2, 3))).all()


@settings(max_examples=25, deadline=None)
@given(
    penalty=st.sampled_from(["pre_norm", "post_norm"]),
    reduction=st.sampled_from(["sum", "mean"]),
    lam=st.floats(0, 2),
    frames=st.integers(1, 40),
    hidden=st.integers(1, 200),
    standardise=st.booleans(),
)
def test_fused_gradients_are_autograds(penalty, reduction, lam, frames, hidden, standardise):
    sae = random_sae(hidden=hidden, penalty=penalty, reduction=reduction, lam=lam, standardise=standardise).double()
    x = torch.randn(frames, 12, dtype=torch.float64)
    fused = sae.backward(x)
    found = {name: parameter.grad for name, parameter in sae.named_parameters()}
    sae.zero_grad(set_to_none=True)
    plain = sae.loss(x)
    plain.total.backward()
    torch.testing.assert_close(fused.total, plain.total.detach())
    assert torch.equal(fused.fired, plain.fired)
    for name, parameter in sae.named_parameters():
        torch.testing.assert_close(found[name], parameter.grad, msg=lambda text, name=name: f"{name}: {text}")


def test_fused_gradients_over_several_blocks(monkeypatch):
    monkeypatch.setattr("probes.sae.fused.CPU_BLOCK", 64)
    test_fused_gradients_are_autograds.hypothesis.inner_test("post_norm", "sum", 0.3, 33, 200, True)


def test_bf16_step_is_close_to_fp32():
    sae = random_sae(hidden=400)
    x = torch.randn(256, 12)
    exact = {}
    sae.backward(x)
    exact = {name: parameter.grad.clone() for name, parameter in sae.named_parameters()}
    sae.backward(x, precision="bf16")
    for name, parameter in sae.named_parameters():
        assert torch.nn.functional.cosine_similarity(parameter.grad.flatten(), exact[name].flatten(), dim=0) > 0.999


def test_dictionary_gradient_loses_its_part_along_the_atoms():
    sae = random_sae()
    sae.backward(torch.randn(20, 12))
    sae.remove_parallel_gradient()
    along = (sae.dictionary.grad * sae.dictionary).sum(1)
    assert along.abs().max() < 1e-4 * sae.dictionary.grad.norm(dim=1).max()


def test_topk_keeps_k_of_each_frame_and_batchtopk_k_on_average():
    x = torch.randn(50, 12)
    top = random_sae("topk")
    assert ((top.encode(x) > 0).sum(1) <= 9).all()
    pre = top.standardise(x) @ top.encoder_weight.T + top.encoder_bias
    assert torch.equal(top.encode(x).max(1).values, pre.max(1).values)
    batch = random_sae("batchtopk")
    active = (batch.training_activations(pre) > 0).sum(1)
    assert active.sum() == 9 * 50
    assert active.min() < active.max()


def test_batchtopk_features_do_not_depend_on_the_company_of_a_frame():
    sae = random_sae("batchtopk")
    x = torch.randn(30, 12)
    torch.testing.assert_close(sae.encode(x)[4:5], sae.encode(x[4:5]))


def test_jumprelu_threshold_gradient_pulls_the_right_way():
    """With no reconstruction to lose, a larger L0 penalty raises thresholds: the gradient on log theta is negative."""
    sae = random_sae("jumprelu", lam=50.0, bandwidth=1.0)
    with torch.no_grad():
        sae.dictionary.zero_()
    sae.backward(torch.randn(500, 12))
    assert (sae.log_threshold.grad <= 0).all()
    assert (sae.log_threshold.grad < 0).any()


def test_auxiliary_error_has_the_right_sign():
    """Dead features whose atoms explain the residual lower it; the same atoms with the opposite sign raise it."""
    residual = torch.randn(40, 6)
    atoms = torch.eye(6)
    dead = torch.ones(6, dtype=torch.bool)
    helps = auxiliary_error(residual, residual, atoms, dead)
    hurts = auxiliary_error(-residual, residual, atoms, dead)
    assert helps < 1 < hurts
    assert auxiliary_error(residual, residual, atoms, None) == 0


@pytest.mark.parametrize("architecture", architectures())
def test_saved_and_loaded_is_the_same(architecture, tmp_path):
    sae = random_sae(architecture, space="mini", revision="abc")
    sae.save_pretrained(tmp_path)
    again = SparseAutoencoder.from_pretrained(tmp_path)
    x = torch.randn(5, 12)
    assert type(again) is type(sae)
    assert again.config == sae.config
    assert torch.equal(again.encode(x), sae.encode(x))
    assert torch.equal(again(x), sae(x))
    config = json.loads((tmp_path / "config.json").read_text())
    assert (config["space"], config["revision"]) == ("mini", "abc")
    assert "raw values" in config["input"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"penalty": "both"}, "penalty"),
        ({"architecture": "gated"}, "architecture"),
        ({"architecture": "topk", "k": 0}, "k must lie"),
        ({"lam": math.nan}, "lambda"),
        ({"hidden": 0}, "hidden"),
        ({"hidden": 10**400}, "channels and hidden must be 1 to 16777216, not 4, 1000"),
    ],
)
def test_wrong_configurations_are_told(change, message):
    with pytest.raises(InputError, match=message):
        make_config(**({"architecture": "relu", "channels": 4, "hidden": 8} | change))


@pytest.mark.parametrize(
    ("architecture", "foreign"), [("relu", "k"), ("topk", "lam"), ("batchtopk", "penalty"), ("jumprelu", "eps")]
)
def test_a_field_of_another_architecture_is_refused(architecture, foreign):
    with pytest.raises(InputError, match=f"{foreign} belongs to .*, not to {architecture}"):
        make_config(architecture, channels=4, hidden=8, **{foreign: 1})


@pytest.mark.parametrize("architecture", architectures())
def test_configs_of_version_0_1_0_are_read(architecture):
    """They held the fields of every architecture."""
    written = {
        "channels": 12, "hidden": 64, "architecture": architecture, "space": "mini", "revision": None, "lam": 0.02,
        "penalty": "post_norm", "reduction": "sum", "decoder": "unit", "standardise": True, "k": 9, "bandwidth": 0.2,
        "eps": 1e-8, "input": "[..., channels] float32",
    }  # fmt: skip
    config = load_config(written)
    assert config.architecture == architecture
    now = config.to_dict()
    assert {name: value for name, value in now.items() if name != "input"}.items() <= written.items()
    assert load_config(now) == config
    own = {"relu": {"lam", "penalty", "eps"}, "jumprelu": {"lam", "bandwidth"}}.get(architecture, {"k"})
    assert own == now.keys() & {"lam", "penalty", "eps", "k", "bandwidth"}


def test_a_damaged_file_is_told(tmp_path):
    random_sae().save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"rubbish")
    with pytest.raises(InputError, match="does not hold the weights"):
        SparseAutoencoder.from_pretrained(tmp_path)
    with pytest.raises(InputError, match=r"has no config\.json"):
        SparseAutoencoder.from_pretrained(tmp_path / "..")


@pytest.mark.parametrize("architecture", architectures())
def test_streamed_linear_functions_equal_the_plain_formula(architecture, monkeypatch):
    monkeypatch.setattr("probes.sae.fused.CPU_BLOCK", 3000)
    sae = random_sae(architecture, hidden=700)
    weights, x = torch.randn(5, 700) / 30, torch.randn(33, 12)
    fired = torch.zeros(700, dtype=torch.int64)
    read = LinearReader(sae, weights)(x, count=True, fired=fired)
    active = sae.hidden(x) > 0
    torch.testing.assert_close(read.values, sae.encode(x) @ weights.T, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(read.active, active.sum(1).float())
    torch.testing.assert_close(fired, active.sum(0))


@pytest.mark.parametrize("architecture", ["relu", "topk"])
def test_metrics_are_ratios_of_sums_over_the_data_set(architecture):
    sae = random_sae(architecture)
    arrays = [np.float32(np.random.default_rng(i).normal(size=(n, 12)) * (1 + 5 * i)) for i, n in enumerate((40, 7))]
    found = evaluate(sae, arrays)
    x = torch.from_numpy(np.concatenate(arrays))
    rebuilt, centre = sae(x).detach(), x.mean(0)
    active = sae.hidden(x) > 0
    assert found["frames"] == 47
    assert found["fvu"] == pytest.approx(float(((x - rebuilt) ** 2).sum() / ((x - centre) ** 2).sum()), rel=1e-4)
    assert found["l0"] == pytest.approx(float(active.sum(1).float().mean()))
    assert found["sparsity"] == pytest.approx(1 - float(active.float().mean()))
    assert found["silent"] == pytest.approx(float((~active.any(0)).float().mean()))
    assert sum(found["density"]["counts"]) + found["density"]["never"] == 150


def test_perfect_reconstruction_has_no_error():
    """Two one-sided atoms per channel, on standardised data of constant rms, rebuild the latent exactly."""
    sae = make_sae(ReluConfig(channels=4, hidden=8, standardise=False, eps=0.0))
    with torch.no_grad():
        sae.encoder_weight.copy_(torch.cat([torch.eye(4), -torch.eye(4)]))
        sae.dictionary.copy_(sae.encoder_weight)
        sae.gain.fill_(0.5**0.5)
    signs = np.float32(np.random.default_rng(0).choice([-1.0, 1.0], size=(64, 4)))
    found = evaluate(sae, [signs])
    assert found["fvu"] == pytest.approx(0, abs=1e-10)
    assert (found["sparsity"], found["l0"]) == (0.5, 4)
    assert found["shrinkage"] == pytest.approx(1)
    assert found["cosine"] == pytest.approx(1)
