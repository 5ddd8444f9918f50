"""The curves that a terminal shows while a run goes on."""

import numpy as np
from support import planted

from tracer.curves import Curve
from tracer.record.curves_so_far import CurvesSoFar, spark


def test_every_attribute_has_its_line_and_the_measure_is_named() -> None:
    curves = CurvesSoFar()
    assert curves.text() == ""
    curves.add([planted.trace(0), planted.trace(1)])
    curves.add([planted.trace(2)])
    heading, *lines = curves.text().splitlines()
    assert "3 clips" in heading
    assert [line.split()[0] for line in lines] == list(planted.CLASSES)
    assert "l1 progress" in heading
    assert "settled" not in curves.text()  # that is said by other measures
    # The middles are planted: pitch first, loudness last.
    risen = [line.count("█") for line in lines]
    assert planted.STATES > risen[0] > risen[1] > risen[2] > 0


def test_clips_without_a_voiced_frame_do_not_lower_a_curve() -> None:
    curves, voiced = CurvesSoFar(), CurvesSoFar()
    for prompt in range(4):
        made = planted.trace(prompt)
        if prompt % 2:
            made.pooled[Curve("endpoint", "trained", "pitch")][:] = np.nan
        else:
            voiced.add([planted.trace(prompt)])
        curves.add([made])
    pitch, *_ = curves.text().splitlines()[1:]
    assert pitch == voiced.text().splitlines()[1]
    assert pitch.endswith("█")


def test_a_line_of_blocks_follows_the_values() -> None:
    assert spark(np.array([0.0, 1.0])) == "▁█"
    assert spark(np.array([-1.0, 2.0])) == "▁█"
    assert len(spark(np.linspace(0, 1, 100))) == 32
    assert spark(np.linspace(0, 1, 8)) == "▁▂▃▄▅▆▇█"
