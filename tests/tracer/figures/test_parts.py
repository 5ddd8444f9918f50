"""The figure of parts: what is negative is seen too."""

from dataclasses import replace

import numpy as np
import pytest
from support import figure_data

from tracer.figures.parts import draw_parts


@pytest.fixture(scope="module")
def seeded(tmp_path_factory):
    return figure_data.seeded(tmp_path_factory.mktemp("parts") / "run")


def planted(results, **means):
    """The results with the same means of the parts everywhere."""
    table = results.parts.copy()
    table["mean"] = table["part"].map(means)
    return replace(results, parts=table)


def areas(figure):
    """Lowest and highest point of each area of the first panel that is not empty, in the order of drawing."""
    found = []
    for area in figure.axes[0].collections:
        heights = np.concatenate([np.asarray(path.vertices)[:, 1] for path in area.get_paths()])
        if np.ptp(heights) > 0:
            found.append((heights.min(), heights.max()))
    return found


def labels(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_a_negative_part_is_stacked_below_zero_and_none_hides_another(seeded):
    figure = draw_parts(planted(seeded, prompt=-0.5, song=1.25, frame=-0.25))
    assert areas(figure) == [(-0.5, 0), (0, 1.25), (-0.75, -0.5)]
    bottom, top = figure.axes[0].get_ylim()
    assert bottom <= -0.75
    assert top >= 1.25
    np.testing.assert_allclose(figure.axes[0].get_lines()[0].get_ydata(), 0.5)
    assert "their sum" in labels(figure)


def test_positive_parts_are_stacked_up_to_their_sum(seeded):
    figure = draw_parts(planted(seeded, prompt=0.25, song=0.125, frame=0.5))
    assert areas(figure) == [(0, 0.25), (0.25, 0.375), (0.375, 0.875)]
    assert figure.axes[0].get_ylim() == pytest.approx((-0.15, 1.08))
    assert "their sum" not in labels(figure)
