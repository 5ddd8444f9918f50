"""Commitment maps and the autoencoder along the trace."""

import numpy as np
import pytest
from support import planted

from probes.errors import InputError
from tracer.run import Run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return Run(planted.write(tmp_path_factory.mktemp("maps") / "run", 6))


def images(figure):
    return [image for axes in figure.axes for image in axes.get_images()]


def test_all_attributes_and_views_are_drawn(run, tmp_path):
    figure = run.plot_commitment(path=tmp_path / "map")
    assert len(images(figure)) == 3 * 2
    assert all((tmp_path / f"map.{kind}").stat().st_size > 5000 for kind in ("png", "svg"))


def test_one_attribute_in_one_view_is_the_map_itself(run):
    (image,) = images(run.plot_commitment("timbre", "state"))
    np.testing.assert_array_equal(image.get_array(), run.commitment("timbre", "state"))


def test_one_prompt_alone_is_committed_or_not(run, tmp_path):
    figure = run.plot_commitment("pitch", prompt=2, path=tmp_path / "one.svg")
    assert set(np.unique(images(figure)[0].get_array())) == {0, 1}
    assert "prompt 2" in (tmp_path / "one.svg").read_text()


def test_what_was_not_kept_is_told(run):
    with pytest.raises(InputError, match="no classes per frame of melody"):
        run.plot_commitment("melody")


def test_autoencoder_shows_each_view(run, tmp_path):
    figure = run.plot_autoencoder(tmp_path / "sae.png")
    assert [text.get_text() for text in figure.axes[1].get_legend().get_texts()] == ["state", "endpoint"]
    assert (tmp_path / "sae.png").stat().st_size > 5000
