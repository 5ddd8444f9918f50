"""What all figures share: looks, files, and the user's matplotlib, which stays as it is."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from probes.attributes import ATTRIBUTES
from probes.errors import InputError
from tracer.figures.palette import Drawing, lighter, literal, looks

ROOT = Path(__file__).parents[3]


def test_every_attribute_has_a_look_of_its_own_in_every_figure():
    together = looks(ATTRIBUTES)
    assert len({look.colour for look in together.values()}) == len(ATTRIBUTES)
    assert len({look.marker for look in together.values()}) == len(ATTRIBUTES)
    for name, look in together.items():
        assert looks([name, "swing"])[name] == look
    assert looks(["swing"])["swing"].colour not in {look.colour for look in together.values()}


def test_lighter_ends_at_white():
    assert lighter("#0072B2", 0).upper() == "#0072B2"
    assert lighter("#0072B2", 1).upper() == "#FFFFFF"


@pytest.mark.parametrize(
    ("name", "files"),
    [("a", ["a.png", "a.svg"]), ("a.v2", ["a.v2.png", "a.v2.svg"]), ("a.png", ["a.png"]), ("a.pdf", ["a.pdf"])],
)
def test_an_ending_names_one_file_and_none_names_two(tmp_path, name, files):
    figure = Drawing(1, 1)
    assert [path.name for path in figure.write(tmp_path / "new" / name)] == files
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == files


def test_a_figure_shows_itself_in_a_notebook():
    assert Drawing(1, 1)._repr_png_().startswith(b"\x89PNG")


def test_nowhere_to_write(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        Drawing(1, 1).write(tmp_path / "file" / "emergence")


EVERY_FIGURE = """
    import sys
    import matplotlib
    import matplotlib.pyplot as plt

    matplotlib.use("svg")
    settings = dict(matplotlib.rcParams)
    import numpy as np
    import tracer.steering
    from support import figure_data, planted
    from tracer.comparing import compare_runs, plot_runs
    from tracer.figures.dose import draw_dose
    from tracer.figures.edit import draw_edit
    from tracer.figures.leakage import draw_leakage
    from tracer.figures.lockin import draw_lockin
    from tracer.figures.parts import draw_parts
    from tracer.figures.sweep import draw_sweeps
    from tracer.figures.truth import draw_truth
    from tracer.figures.validity import draw_validity
    from tracer.measures.truth import against_audio
    from tracer.run import finish_run
    from tracer.truth_files import load_validity

    runs = [finish_run(planted.write(f"{sys.argv[1]}/{i}", 2, measured=True)) for i in range(2)]
    results = runs[0].results
    figures = {
        "emergence": runs[0].plot(),
        "progress": runs[0].plot_progress(),
        "parts": draw_parts(figure_data.seeded(f"{sys.argv[1]}/seeded")),
        "overlay": plot_runs(runs),
        "comparison": compare_runs(runs).plot(),
        "commitment": runs[0].plot_commitment(),
        "autoencoder": runs[0].plot_autoencoder(),
        "truth": draw_truth(results, against_audio(results.progress)),
        "validity": draw_validity(load_validity(runs[0]), results.attributes),
        "dose": draw_dose(figure_data.dose()),
        "leakage": draw_leakage(figure_data.leakage(), 5),
        "lockin": draw_lockin(*figure_data.lockin()),
        "edit": draw_edit(*figure_data.edit()),
        "sweep": draw_sweeps(figure_data.sweeps()),
    }
    for name, figure in figures.items():
        figure.write(f"{sys.argv[1]}/{name}.png")
    for name in tracer.steering.__all__:
        getattr(tracer.steering, name)
    assert matplotlib.get_backend() == "svg", matplotlib.get_backend()
    assert dict(matplotlib.rcParams) == settings
    assert plt.get_fignums() == []
    print(*figures)
"""


def test_every_figure_leaves_the_backend_and_pyplot_alone(tmp_path):
    drawn = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(EVERY_FIGURE), str(tmp_path)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert drawn.returncode == 0, drawn.stderr
    modules = {path.stem for path in (ROOT / "tracer" / "figures").glob("*.py")} - {"__init__", "palette", "maps"}
    assert modules <= set(drawn.stdout.split())
    for name in drawn.stdout.split():
        assert (tmp_path / f"{name}.png").stat().st_size > 5000


def test_no_module_asks_for_pyplot_or_a_backend():
    sources = [path for room in ("tracer", "probes", "hooks") for path in (ROOT / room).rglob("*.py")]
    assert not [path for path in sources if "pyplot as" in path.read_text() or "matplotlib.use" in path.read_text()]


def widths(name):
    """Pixels of a name in a legend, and of the widest number on a log axis."""
    figure = Drawing(3, 2)
    panel = figure.subplots()
    panel.plot([1, 1000], [1, 1000], label=literal(name))
    panel.set_yscale("log")
    panel.legend()
    figure.canvas.draw()
    (text,) = panel.get_legend().get_texts()
    return text.get_window_extent().width, max(label.get_window_extent().width for label in panel.get_yticklabels())


def test_a_name_is_text_and_numbers_on_a_log_axis_are_no_tex():
    # As TeX this name would be a mistake, and "$x$" a single letter.
    name, number = widths(r"c$\frac$")
    assert name > widths("cfrac")[0]
    assert widths("$x$")[0] > widths("x")[0]
    assert number < widths("1,000")[0]
