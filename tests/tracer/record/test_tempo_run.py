"""A run whose readout reads onsets says the tempo of every window, with all of its controls."""

import numpy as np
import pytest

from probes.attributes.windows import window_slices
from tracer import Run, trace
from tracer.curves import GENERIC, LINEAR_FLOW, MEASURED, SHUFFLED, TRAINED, Curve


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = tmp_path_factory.mktemp("tempo") / "run"
    made = trace(
        "mini", out=out, readout="mini-music", n=3, steps=6, seconds=12, ground_truth=True, progress_bar=False
    )  # fmt: skip
    assert made is not None
    return made


def test_every_state_has_one_tempo_in_each_window(run: Run) -> None:
    for clip in run.reader.traces():
        for probe in (TRAINED, SHUFFLED, f"{GENERIC}-1", LINEAR_FLOW):
            for view in ("state", "endpoint"):
                curve = Curve(view, probe, "tempo")
                read, values = clip.classes[curve], clip.values[curve]
                windows = window_slices(read.shape[1], run.reader.about["frame_rate"])
                assert len(windows) == 2
                for window in windows:
                    assert (np.ptp(read[:, window], axis=1) == 0).all()
                    assert (np.ptp(values[:, window], axis=1) == 0).all()
        np.testing.assert_allclose(clip.pooled[Curve("endpoint", TRAINED, "tempo")].sum(1), 1, rtol=1e-4)


def test_tables_have_its_measures_and_its_nulls(run: Run) -> None:
    assert "tempo" in run.attributes
    for measure in ("agreement", "closeness"):
        for probe in (TRAINED, SHUFFLED, GENERIC, LINEAR_FLOW):
            table = run.progress("endpoint", measure, probe)
            mine = table[table["attribute"] == "tempo"]
            assert len(mine) == 6
            assert mine["n"].iloc[-1] == 3
            if probe == TRAINED:
                assert mine["mean"].iloc[-1] == 1


def test_it_is_measured_on_what_is_heard(run: Run) -> None:
    for clip in run.reader.traces():
        assert clip.classes[Curve("endpoint", MEASURED, "tempo")].shape[0] == 6
    truth = (run.path / "validity.csv").read_text()
    assert "tempo" in truth
