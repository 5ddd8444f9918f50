"""Measures on class distributions: known answers and properties."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tracer.measures.progress import Accumulator, Bootstrap, js, l1, paper, settled, settled_interval

PATH = np.array([[0.5, 0.3, 0.2], [0.4, 0.5, 0.1], [0.1, 0.5, 0.4]])


@st.composite
def paths(draw):
    states, classes = draw(st.integers(2, 8)), draw(st.integers(2, 7))
    raw = draw(arrays.arrays(np.float64, (states, classes), elements=st.floats(0.01, 1.0)))
    return raw / raw.sum(axis=1, keepdims=True)


def test_paper_by_hand():
    # |p_1 - p_0| / |p_T - p_0|: 0.1 / 0.4, 0.2 / 0.2, 0.1 / 0.2
    found = paper(PATH)
    np.testing.assert_allclose(found.values, [0, (0.25 + 1.0 + 0.5) / 3, 1], atol=1e-12)
    assert found.share == 0
    assert not found.excluded.any()


def test_l1_by_hand():
    np.testing.assert_allclose(l1(PATH), [0, 0.4 / 0.8, 1], atol=1e-12)


def test_js_by_hand():
    # Disjoint distributions are one bit apart, a half overlap has a divergence of 0.311 bits.
    np.testing.assert_allclose(js([[1, 0], [0.5, 0.5], [0, 1]]), [1, np.sqrt(0.3112781), 0], atol=1e-7)


def test_paper_names_what_it_cannot_divide_by():
    p = np.array([[0.5, 0.25, 0.25], [0.3, 0.45, 0.25], [0.4, 0.35, 0.25]])
    found = paper(p)
    assert found.excluded.tolist() == [False, False, True]
    assert found.share == pytest.approx(1 / 3)
    np.testing.assert_allclose(found.values, [0, 2, 1])  # over the other two, past 1 and not clipped


def test_paper_explodes_where_l1_does_not():
    p = np.array([[0.5, 0.3, 0.2], [0.3, 0.5, 0.2], [0.2, 0.3001, 0.4999]])
    assert paper(p).values[1] > 100
    assert l1(p)[1] < 1
    assert paper(p, epsilon=1e-3).values[1] < 1


@given(paths(), st.integers(2, 9))
@settings(deadline=None)
def test_straight_path_is_time(ends, states):
    t = np.linspace(0, 1, states)[:, None]
    p = (1 - t) * ends[0] + t * ends[-1]
    moved = np.abs(ends[0] - ends[-1]).max()
    if moved > 1e-6:
        np.testing.assert_allclose(l1(p), t[:, 0], atol=1e-8)
    if moved > 2e-4:  # classes that move less than epsilon are left out
        np.testing.assert_allclose(paper(p, epsilon=1e-4).values, t[:, 0], atol=1e-8)


@given(paths())
@settings(deadline=None)
def test_ends(p):
    moved = np.abs(p[-1] - p[0]).max() > 1e-6
    for values in (paper(p).values, l1(p)):
        assert np.isfinite(values).all()
        assert values[-1] == pytest.approx(1)
        if moved:
            assert values[0] == pytest.approx(0, abs=1e-9)
    distance = js(p)
    assert distance[-1] == 0
    assert ((distance >= 0) & (distance <= 1)).all()


@given(paths(), st.randoms(use_true_random=False))
@settings(deadline=None)
def test_class_order_does_not_matter(p, random):
    order = list(range(p.shape[1]))
    random.shuffle(order)
    np.testing.assert_allclose(paper(p).values, paper(p[:, order]).values, rtol=1e-9)
    np.testing.assert_allclose(l1(p), l1(p[:, order]), rtol=1e-9)
    np.testing.assert_allclose(js(p), js(p[:, order]), atol=1e-7)
    np.testing.assert_array_equal(paper(p).excluded[order], paper(p[:, order]).excluded)


def test_equal_ends_are_defined():
    p = np.array([[0.5, 0.5], [0.9, 0.1], [0.5, 0.5]])
    assert paper(p).values.tolist() == [1, 1, 1]
    assert paper(p).share == 1
    assert l1(p).tolist() == [1, 1, 1]
    assert js(p)[0] == js(p)[2] == 0
    assert js(p)[1] > 0


def test_float32_is_measured_in_float64():
    p = PATH.astype(np.float32)
    for values in (paper(p).values, l1(p), js(p)):
        assert values.dtype == np.float64


@pytest.mark.parametrize(
    ("curve", "index"),
    [
        ([0.0, 0.5, 0.95, 1.0], 2),
        ([0.0, 0.95, 0.5, 1.0], 3),  # it left again
        ([1.0, 1.0, 1.0, 1.0], 0),
        ([0.0, 0.0, 0.0, 1.0], 3),
        ([0.0, 1.05, 1.2, 1.0], 3),  # above counts as away too
        ([1.0, 0.5, 0.05, 0.0], 2),  # a distance, whose end is 0
    ],
)
def test_settled(curve, index):
    assert settled(np.array(curve)) == index


def interval_of(curves, seed=0):
    bootstrap = Bootstrap(len(curves), seed=seed)
    for curve in curves:
        bootstrap.add(curve[None])
    return settled_interval(bootstrap.means()[:, 0], len(curves))


def test_the_interval_holds_the_settled_point_and_widens_with_spread():
    t = np.linspace(0, 1, 33)
    rng = np.random.default_rng(0)

    def curves(spread):
        middles = rng.normal(0.5, spread, 40)[:, None]
        return 1 / (1 + np.exp(-(t - middles) / 0.02)).clip(max=1e9)

    widths = []
    for made in (curves(0.005), curves(0.15)):
        low, high = interval_of(made)
        assert low <= settled(made.mean(axis=0)) <= high
        widths.append(high - low)
    assert widths[0] < widths[1]
    alone = curves(0.1)[:1]
    assert interval_of(alone) == (settled(alone[0]), settled(alone[0]))


def test_the_bootstrap_is_reproducible_and_passes_over_prompts_without_a_value():
    curves = np.random.default_rng(1).random((20, 9)).cumsum(axis=1)
    curves /= curves[:, -1:]
    assert interval_of(curves, seed=3) == interval_of(curves, seed=3)
    bootstrap = Bootstrap(3, replicates=50)
    for curve in (curves[0], np.full(9, np.nan), curves[0]):
        bootstrap.add(curve[None])
    means = bootstrap.means()[:, 0]
    drawn = ~np.isnan(means).any(axis=1)
    np.testing.assert_allclose(means[drawn], np.broadcast_to(curves[0], (drawn.sum(), 9)))


def test_a_prompt_without_a_value_at_one_state_counts_at_the_others():
    curves = np.tile([[0.0, 1.0]], (40, 1))
    curves[::2] = np.nan, 3.0
    bootstrap = Bootstrap(len(curves), replicates=2000)
    for curve in curves:
        bootstrap.add(curve[None])
    means = bootstrap.means()[:, 0]
    assert (means[:, 0] == 0).all()
    assert means[:, 1].mean() == pytest.approx(2, abs=0.02)


def test_streamed_bootstrap_has_the_spread_of_the_mean():
    values = np.random.default_rng(2).normal(3.0, 2.0, 400)
    bootstrap = Bootstrap(len(values), replicates=4000)
    for value in values:
        bootstrap.add(np.array([[value]]))
    means = bootstrap.means()[:, 0, 0]
    assert means.mean() == pytest.approx(values.mean(), abs=0.01)
    assert means.std() == pytest.approx(values.std() / 20, rel=0.05)


def test_bootstrap_draws_as_many_prompts_as_there_are():
    bootstrap = Bootstrap(7, replicates=50)
    for i in range(7):
        bootstrap.add(np.eye(7)[i][None] * 7)
    counts = bootstrap.means()[:, 0]
    np.testing.assert_allclose(counts.sum(axis=1), 7)
    np.testing.assert_allclose(counts, counts.round(), atol=1e-9)
    with pytest.raises(ValueError, match="announced"):
        bootstrap.add(np.zeros((1, 7)))


def test_interval_leaves_out_replicates_without_a_value():
    means = np.array([[0.0, 1.0, 1.0], [np.nan, np.nan, np.nan], [0.0, 0.0, 1.0]])
    assert settled_interval(means, 2) == (1, 2)


@given(arrays.arrays(np.float64, st.tuples(st.integers(1, 30), st.integers(1, 3)), elements=st.floats(-1e6, 1e6)))
@settings(deadline=None)
def test_adding_one_by_one_gives_mean_and_deviation(values):
    made = Accumulator((values.shape[1],))
    for row in values:
        made.add(row)
    scale = np.abs(values).max() + 1e-12
    assert (made.n == len(values)).all()
    np.testing.assert_allclose(made.mean, values.mean(axis=0), rtol=1e-9, atol=1e-10 * scale)
    np.testing.assert_allclose(made.std, values.std(axis=0), rtol=1e-6, atol=1e-7 * scale)


def test_accumulator_is_stable_far_from_zero():
    values = 1e9 + np.array([4.0, 7.0, 13.0, 16.0])
    made = Accumulator()
    for value in values:
        made.add(value)
    assert made.std == pytest.approx(np.sqrt(22.5), rel=1e-9)


def test_accumulator_counts_what_is_there():
    made = Accumulator((3,))
    made.add(np.array([1.0, np.nan, np.nan]))
    made.add(np.array([3.0, 5.0, np.nan]))
    assert made.n.tolist() == [2, 1, 0]
    np.testing.assert_array_equal(made.mean, [2, 5, np.nan])
    np.testing.assert_array_equal(made.std, [1, 0, np.nan])
