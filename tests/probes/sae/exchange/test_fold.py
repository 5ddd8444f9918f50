"""Folding the standardisation into the weights, and taking folded weights back."""

import pytest
import torch
from support.sae import random_sae

from probes.sae import architectures
from probes.sae.exchange.fold import LOG_ZERO, Folded, fold_statistics, unfold

SOURCE = {"library": "saelens", "origin": "someone/sae", "revision": "abc"}


@pytest.mark.parametrize("architecture", architectures())
@pytest.mark.parametrize("standardise", [True, False])
def test_folded_weights_read_raw_latents(architecture, standardise):
    """h and the reconstruction by the formulas, with features of any architecture, the norm's too."""
    sae = random_sae(architecture, standardise=standardise).double()
    x = torch.randn(9, 12, dtype=torch.float64) * 3 + 1
    folded = fold_statistics(sae)
    torch.testing.assert_close(sae.activate(x @ folded.encoder.T + folded.encoder_bias), sae.hidden(x))
    f = sae.encode(x)
    torch.testing.assert_close(f @ folded.dictionary + folded.decoder_bias, sae.decode(f))
    torch.testing.assert_close(
        sae.activate((x - folded.decoder_bias) @ folded.encoder.T + folded.centred_bias), sae.hidden(x)
    )


@pytest.mark.parametrize("architecture", ["topk", "batchtopk", "jumprelu"])
def test_unfolded_is_the_same_function_and_says_whose_it_is(architecture):
    sae = random_sae(architecture, space="mini", revision="v1")
    x = torch.randn(9, 12) * 3 + 1
    again = unfold(fold_statistics(sae), "mini", SOURCE)
    assert type(again) is type(sae)
    torch.testing.assert_close(again.encode(x), sae.encode(x), rtol=0, atol=1e-5)
    torch.testing.assert_close(again(x), sae(x), rtol=1e-6, atol=1e-5)
    assert again.config.source == SOURCE
    assert not again.config.standardise
    assert "imported from saelens, someone/sae at abc" in repr(again)


def test_a_threshold_of_zero_is_a_relu():
    weights = torch.randn(5, 3, dtype=torch.float64)
    threshold = torch.tensor([0.0, 0.0, 0.5, 0.0, 2.0], dtype=torch.float64)
    folded = Folded("jumprelu", weights, torch.zeros(5), weights, torch.zeros(3), threshold=threshold)
    sae = unfold(folded, "mini", SOURCE)
    assert sae.log_threshold[0] == LOG_ZERO
    x = torch.randn(400, 3)
    pre = x @ weights.float().T
    expected = pre.relu() * (pre > threshold)
    torch.testing.assert_close(sae.encode(x), expected)
    assert (expected[:, 0] > 0).any()
    assert torch.equal(fold_statistics(sae).threshold[:2], torch.zeros(2, dtype=torch.float64))
