"""The probes beside the audio: plain arithmetic on mean curves."""

import numpy as np
import pandas as pd
import pytest

from tracer.measures.truth import against_audio


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
