"""The probes beside the audio: plain arithmetic on mean curves."""

import numpy as np
import pandas as pd
import pytest

from tracer.measures.truth import Validity, against_audio
from tracer.truth_files import load_validity


def curve(probe, values):
    return pd.DataFrame(
        {
            "view": "endpoint",
            "attribute": "pitch",
            "measure": "agreement",
            "probe": probe,
            "index": range(4),
            "mean": values,
        }
    )


def test_curves_are_compared_where_both_have_a_value():
    tables = [
        curve("trained", [0.1, 0.3, 0.5, 1]),
        curve("shuffled", [1, 1, 1, 1]),
        curve("measured", [np.nan, 0.2, 0.4, 0.9]),
    ]
    trained, control = against_audio(pd.concat(tables))
    assert (trained["probe"], trained["states"], control["probe"]) == ("trained", 3, "shuffled")
    assert trained["correlation"] == pytest.approx(1)
    assert trained["difference"] == pytest.approx(0.1)
    assert control["correlation"] is None
    assert control["difference"] == pytest.approx(0.5)


def test_no_row_without_audio():
    assert against_audio(curve("trained", [0, 0, 0, 1])) == []


def test_scores_of_planted_classes():
    """Half of the frames right, a quarter one class too high, a quarter an octave too low."""
    measured = np.full((2, 8), 20, np.uint8)
    read = np.array([[20, 20, 20, 20, 21, 21, 8, 8]] * 2, np.uint8)
    found = Validity(3)
    for _ in range(3):
        found.add(read, measured)
    scores = found.scores()
    assert scores["accuracy"][0].tolist() == [0.5, 0.5]
    assert scores["within_one"][0].tolist() == [0.75, 0.75]
    assert scores["octave_folded"][0].tolist() == [0.75, 0.75]
    assert scores["bias"][0] == pytest.approx([(0.25 - 12 * 0.25)] * 2)
    assert scores["accuracy"][1].tolist() == scores["accuracy"][2].tolist() == [0.5, 0.5]  # all prompts are alike
    assert found.majority.tolist() == [1, 1]
    assert found.n_frames.tolist() == [24, 24]


def test_frames_without_a_measured_class_do_not_count():
    read = np.zeros((2, 4), np.uint8)
    measured = np.array([[0, 255, 1, 0], [255] * 4], np.uint8)
    found = Validity(2)
    found.add(read, measured, np.array([True, True, True, False]))
    found.add(read, np.array([[0, 0, 0, 0], [255] * 4], np.uint8))
    scores = found.scores()
    assert found.n_frames.tolist() == [6, 0]
    assert scores["accuracy"][0, 0] == pytest.approx(5 / 6)
    assert np.isnan(scores["accuracy"][:, 1]).all()
    assert found.n.tolist() == [2, 0]


def test_one_prompt_has_no_interval_and_order_does_not_matter():
    rng = np.random.default_rng(0)
    prompts = [(rng.integers(0, 5, (3, 20)).astype(np.uint8),) * 1 + (rng.integers(0, 5, (3, 20)).astype(np.uint8),)
               for _ in range(6)]  # fmt: skip
    alone = Validity(1)
    alone.add(*prompts[0])
    assert np.isnan(alone.scores()["accuracy"][1:]).all()
    forward, backward = Validity(6), Validity(6)
    for one, two in zip(prompts, reversed(prompts), strict=True):
        forward.add(*one)
        backward.add(*two)
    for score in ("accuracy", "bias"):
        np.testing.assert_allclose(forward.scores()[score][0], backward.scores()[score][0])
    low, high = forward.scores()["accuracy"][1:]
    assert (low < forward.scores()["accuracy"][0]).all()
    assert (forward.scores()["accuracy"][0] < high).all()


def test_a_run_with_ground_truth_says_whether_its_probes_are_right(tmp_path):
    from support import planted

    from tracer.run import finish_run

    run = finish_run(planted.write(tmp_path / "run", 4, measured=True))
    table = load_validity(run).set_index(["attribute", "probe", "index"])
    for attribute in planted.CLASSES:
        row = table.loc[attribute, "trained", planted.STATES - 1]
        assert row["accuracy"] == 1
        assert row["n_frames"] == 4 * planted.FRAMES
        assert table.loc[attribute, "trained", 0]["n_frames"] == 0  # nothing to be measured in noise
        assert table.loc[attribute, "shuffled", planted.STATES - 1]["accuracy"] < 0.5
    assert (run.path / "validity.png").exists()
    assert load_validity(finish_run(planted.write(tmp_path / "without", 2))).empty


def test_classes_without_an_order_have_no_neighbours_and_no_bias(tmp_path, capsys):
    from support import planted

    from tracer.commands.truth_tables import print_validity
    from tracer.run import finish_run

    store = planted.open_run(tmp_path, 4)
    traces = [planted.add_measured(planted.trace(i)) for i in range(4)]
    for trace in traces:
        trace.values = {curve: own for curve, own in trace.values.items() if curve.attribute != "timbre"}
    store.append(traces)
    run = finish_run(tmp_path)
    table = load_validity(run).set_index("attribute")
    known = table.loc["pitch"].iloc[1:]
    assert np.isfinite(known[known["n"] > 0][["accuracy", "within_one", "bias"]]).all().all()
    assert table.loc["timbre", ["within_one", "within_one_low", "bias", "bias_high"]].isna().all().all()
    assert table.loc["timbre", "accuracy"].notna().any()
    print_validity(run)
    assert "nan" not in capsys.readouterr().out
