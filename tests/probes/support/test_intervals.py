"""Intervals over few files or prompts: by hand on known distributions, and as wide as they must be in simulations."""

import numpy as np
import pytest
from scipy import stats

from probes.support.intervals import difference, interval, tail


@pytest.mark.parametrize("units", [3, 8, 64])
def test_on_a_normal_distribution_the_ends_are_student_s(units):
    spread = np.sqrt((units - 1) / units)  # what a bootstrap of a mean has of its standard error
    drawn = stats.norm.ppf((np.arange(200_000) + 0.5) / 200_000) * spread
    low, high = interval(drawn, units)
    assert -low == pytest.approx(high)
    if units > 3:  # at 3 the ends lie beyond what so many replicates resolve
        assert high == pytest.approx(stats.t.ppf(0.975, units - 1), rel=1e-3)


def test_many_units_have_plain_percentiles():
    assert tail(100_000) == pytest.approx(0.025, rel=1e-3)
    drawn = np.random.default_rng(0).normal(size=(5000, 3))
    assert interval(drawn, 10**6) == pytest.approx(np.percentile(drawn, [2.5, 97.5], axis=0), abs=1e-3)


def test_each_value_has_the_interval_of_its_own_units():
    drawn = np.random.default_rng(0).normal(size=(2000, 4))
    drawn[:, 3] = np.nan
    drawn[:500, 2] = np.nan
    found = interval(drawn, [1, 8, 30, 30])
    assert np.isnan(found[:, [0, 3]]).all()
    assert found[:, 1].tolist() == interval(drawn[:, 1], 8).tolist()
    assert found[:, 2].tolist() == interval(drawn[500:, 2], 30).tolist()


@pytest.mark.parametrize("units", [4, 8, 16])
def test_means_of_few_units_are_held_as_often_as_said(units):
    """Plain percentiles hold 85 to 92 % of the means of so few."""
    held, told = [], []
    for seed in range(400):
        rng = np.random.default_rng([seed, units])
        values = rng.normal(size=units)
        drawn = values[rng.integers(0, units, (1000, units))].mean(1)
        low, high, p = difference(drawn, units)
        held.append(low <= 0 <= high)
        told.append(p < 0.05)
    assert np.mean(held) == pytest.approx(0.95, abs=0.03)
    assert np.mean(told) <= 0.08


def test_p_says_of_zero_what_the_interval_says():
    rng = np.random.default_rng(0)
    for middle in np.linspace(0, 4, 41):
        low, _, p = difference(middle + rng.normal(size=2000), 12)
        assert (low > 0) == (p < 0.05) or p == pytest.approx(0.05, rel=0.1)


def test_what_no_replicate_crosses_is_told_by_their_spread():
    drawn = np.random.default_rng(0).normal(size=2000)
    assert difference(drawn + 100, 8).p < 1e-6
    assert difference(drawn + 4, 8).p < 0.02
    assert difference(np.full(100, 2.0), 8).p == 0
    assert difference(np.zeros(100), 8).p == 1


def test_what_is_not_known_is_not_told():
    drawn = np.random.default_rng(0).normal(size=2000) + 100
    assert np.isnan(difference(drawn, 1)).all()
    low, high, p = difference(drawn, 2)
    assert np.isnan([low, high]).all()
    assert p == 1
    drawn[:201] = np.nan
    assert np.isnan(difference(drawn, 8)).all()
    drawn[:2] = 100
    assert not np.isnan(difference(drawn, 8)).any()
