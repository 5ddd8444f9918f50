"""Linear probes: one matrix for all attributes."""

import pytest
import torch

from probes.readout.linear import LinearProbes


@pytest.fixture
def probes() -> LinearProbes:
    made = LinearProbes({"pitch": 4, "loudness": 3}, 5)
    torch.nn.init.normal_(made.weight)
    torch.nn.init.normal_(made.bias)
    return made


def test_probabilities_are_softmaxed_within_each_attribute(probes):
    x = torch.randn(6, 5)
    shares = probes.split(probes.probabilities(probes(x)))
    torch.testing.assert_close(shares["pitch"], torch.softmax(x @ probes.weight[:4].T + probes.bias[:4], -1))
    torch.testing.assert_close(shares["loudness"], torch.softmax(x @ probes.weight[4:].T + probes.bias[4:], -1))


def test_rows_of_an_unknown_attribute(probes):
    assert probes.rows("loudness") == slice(4, 7)
    with pytest.raises(KeyError):
        probes.rows("tempo")
