"""What the marks of a figure mean is said on it, beside what it shows and not over it."""

from pathlib import Path

import numpy as np
import pytest
from support import figure_data, planted

from tracer.clips import Tracks
from tracer.comparing import compare_runs
from tracer.figures.edit import draw_edit
from tracer.run import Run


def test_a_comparison_explains_its_hollow_marks(tmp_path: Path) -> None:
    figure = compare_runs([planted.write(tmp_path / name, 3) for name in ("one", "two")]).plot()
    said = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    assert "hollow: shuffled labels" in said


@pytest.mark.parametrize("centroid", [(500.0, 620.0), (400.0, 1500.0), (100.0, 6400.0)])
def test_a_centroid_axis_has_several_ticks(centroid: tuple[float, float]) -> None:
    versions, tracks, *rest = figure_data.edit()
    for name, track in tracks.items():
        values = track.values | {"timbre": np.linspace(*centroid, len(track.values["timbre"]))}
        tracks[name] = Tracks(values, track.valid)
    axis = draw_edit(versions, tracks, *rest).axes[6].yaxis
    low, high = axis.get_view_interval()
    ticks = [tick for tick in axis.get_majorticklocs() if low <= tick <= high]
    assert len(ticks) >= 3
    assert len({f"{tick:.0f}" for tick in ticks}) == len(ticks)


def test_what_a_progress_panel_leaves_out_is_said_below_it(tmp_path: Path) -> None:
    figure = Run(planted.write(tmp_path / "wild", 6, shape={"wander": 8})).plot_progress()
    panels = [panel for panel in figure.axes if panel.lines]
    assert any("bands reach" in panel.get_xlabel() for panel in panels)
    assert not [text for panel in panels for text in panel.texts]
