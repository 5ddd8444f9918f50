"""The state view of a run whose readout knows the noise: which level reads a state, and that the run says so."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from probes import Readout
from probes.errors import InputError
from probes.readout.noise import NoiseAware, NoisyInputs
from tracer import Run, trace
from tracer.curves import LINEAR_FLOW, SHUFFLED, TRAINED, Curve
from tracer.record.store import RunReader

LEVELS = (-3.0, 0.0, 3.0)
READ_BY = (0, 0, 1, 1, 2, 2)
"""Of six states at flow times 0, 0.2, ... with log-SNR -inf, -2.8, -0.8, 0.8, 2.8, +inf: the level that weighs most."""


def telling_readout() -> Readout:
    """The bundled readout whose probes of noise say which level they are: class n, of shuffled labels class n + 10."""
    readout = Readout.from_pretrained("mini")
    assert readout.covariance is not None
    inputs = NoisyInputs(readout.sae.mean, readout.covariance, readout.probes.classes)
    total = len(readout.probes.bias)
    bias = torch.zeros(len(LEVELS), 2 * total)
    for name in readout.attributes:
        first = readout.probes.rows(name).start
        for level in range(len(LEVELS)):
            bias[level, first + level] = bias[level, total + first + level + 10] = 30.0
    readout.noise = NoiseAware(inputs, torch.tensor(LEVELS), torch.zeros(len(LEVELS), 2 * total, inputs.width), bias)
    return readout


def bare_readout() -> Readout:
    readout = Readout.from_pretrained("mini")
    readout.noise = None
    return readout


def traced(out: Path, readout: Readout, **options: Any) -> Run:
    small: dict[str, Any] = {"n": 3, "steps": 6, "seconds": 1.0, "save_audio": False, "batch_size": 3}
    run = trace("mini", out=out, readout=readout, progress_bar=False, **(small | options))
    assert run is not None
    return run


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return traced(tmp_path_factory.mktemp("noise") / "known", telling_readout()).path


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return traced(tmp_path_factory.mktemp("noise") / "bare", bare_readout()).path


def test_each_state_is_read_by_the_level_of_its_log_snr(known: Path, bare: Path) -> None:
    for found, without in zip(RunReader(known).traces(), RunReader(bare).traces()):
        for attribute in ("pitch", "loudness", "timbre"):
            for probe, shift in ((TRAINED, 0), (SHUFFLED, 10), (LINEAR_FLOW, 0)):
                curve = Curve("state", probe, attribute)
                told = found.classes[curve]
                assert [set(row) for row in told] == [{level + shift} for level in READ_BY]
            for probe in (TRAINED, SHUFFLED, LINEAR_FLOW):
                curve = Curve("endpoint", probe, attribute)
                np.testing.assert_array_equal(found.classes[curve], without.classes[curve])
        np.testing.assert_allclose(found.fvu["state"], without.fvu["state"], rtol=1e-5)


def test_generic_directions_are_read_in_the_clean_estimate(known: Path, bare: Path) -> None:
    """Of pure noise it is the mean latent, whatever the noise."""
    found, without = next(RunReader(known).traces()), next(RunReader(bare).traces())
    curve = Curve("state", "generic-1", "timbre")
    assert np.ptp(found.values[curve][0]) == 0
    assert np.ptp(without.values[curve][0]) > 0.1
    np.testing.assert_array_equal(found.values[curve][-1], without.values[curve][-1])


def test_the_run_says_so_and_is_not_continued_by_another_reading(known: Path, bare: Path) -> None:
    options = json.loads((known / "run.json").read_text())["options"]
    assert options["state_probes"].startswith("noise-aware ")
    assert "state_probes" not in json.loads((bare / "run.json").read_text())["options"]
    with pytest.raises(InputError, match="state_probes") as caught:
        traced(known, bare_readout())
    assert "\n" not in str(caught.value)


def test_runs_of_the_endpoint_alone_are_what_they_were(tmp_path: Path) -> None:
    traced(tmp_path / "run", bare_readout(), views=["endpoint"])
    traced(tmp_path / "run", telling_readout(), views=["endpoint"])  # goes on without a word


def test_batches_have_no_say(known: Path, tmp_path: Path) -> None:
    alone = traced(tmp_path / "run", telling_readout(), batch_size=1).path
    for one, other in zip(RunReader(alone).traces(), RunReader(known).traces()):
        for curve in one.classes:
            assert np.mean(one.classes[curve] == other.classes[curve]) > 0.99, curve
