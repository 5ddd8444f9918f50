"""Probe metrics against counts by hand."""

import numpy as np
import pytest

from probes.fit.probe_metrics import (
    Predictions,
    bootstrap_interval,
    calibration_error,
    macro_f1,
    octave_folded,
    of_clips,
    score,
    within_one,
)

LABELS = np.array([0, 0, 1, 1, 2, 5])
CLASSES = np.array([0, 1, 1, 1, 5, 5])


def test_counts_by_hand():
    assert within_one(LABELS, CLASSES) == pytest.approx(5 / 6)
    # F1: class 0: 2/3, class 1: 4/5, class 2: 0, class 5: 2/3
    assert macro_f1(LABELS, CLASSES) == pytest.approx((2 / 3 + 4 / 5 + 0 + 2 / 3) / 4)


def test_octave_folding_forgives_octaves_alone():
    notes = np.arange(40.0, 80.0)
    labels = np.array([0, 12, 5, 7])
    assert octave_folded(labels, np.array([12, 0, 5, 8]), notes) == 0.75


def test_calibration_error_is_the_gap_between_confidence_and_accuracy():
    labels, classes = np.zeros(1000, int), np.r_[np.zeros(700, int), np.ones(300, int)]
    assert calibration_error(labels, classes, np.full(1000, 0.7)) == pytest.approx(0, abs=1e-9)
    assert calibration_error(labels, classes, np.full(1000, 0.95)) == pytest.approx(0.25)
    assert calibration_error(labels, labels, np.ones(1000)) == 0


def test_the_interval_is_over_files_not_frames():
    """Ten files, all right or all wrong: a thousand frames each make the interval no narrower."""
    files = np.repeat(np.arange(10), 1000)
    right = files < 5
    low, high = bootstrap_interval(right, files)
    assert low < 0.3 < 0.7 < high
    assert bootstrap_interval(np.ones(30, bool), np.arange(30)) == [1.0, 1.0]
    assert bootstrap_interval(right[:1000], files[:1000]) is None  # one file says nothing of others


def test_score_of_a_perfect_probe():
    files = np.array([0, 0, 1, 1, 2, 2])
    found = score(Predictions(LABELS, LABELS, np.ones(6), files), np.arange(60.0, 66.0))
    assert [found[key] for key in ("accuracy", "macro_f1", "within_one", "octave_folded")] == [1, 1, 1, 1]
    assert (found["frames"], found["files"], found["calibration_error"]) == (6, 3, 0)


def test_a_clip_counts_once_and_by_its_pooled_distribution():
    """Three clips, the second without a label: two values, however many frames there were."""
    pooled = np.array([[0.2, 0.5, 0.3], [1.0, 0.0, 0.0], [0.4, 0.35, 0.25]])
    found = of_clips(np.array([1, -1, 2]), pooled)
    assert found.labels.tolist() == [1, 2]
    assert found.classes.tolist() == [1, 0]
    assert found.files.tolist() == [0, 2]
    assert found.confidence.tolist() == [0.5, 0.4]
    assert found.margin == pytest.approx(np.log([0.5 / 0.3, 0.4 / 0.35]))
    scored = score(found, ordered=False)
    assert (scored["frames"], scored["files"], scored["accuracy"]) == (2, 2, 0.5)
    assert "within_one" not in scored
