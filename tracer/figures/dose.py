"""Dose-response of steering: what each edit does to each attribute, beside random pushes of equal size."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.ticker import NullLocator

from tracer.figures.palette import LINES, Drawing, figure_style, lighter, literal, looks

LABELS = {"pitch": "pitch (semitones)", "loudness": "level (dB)", "timbre": "centroid (octaves)"}
BAND_COLOUR = "#7F7F7F"
_FADING = (0.0, 0.35, 0.6)
"""How far the colour of an attribute is moved towards white for its first, second, ... edit."""


@figure_style()
def draw_dose(rows: Sequence[Mapping[str, Any]]) -> Drawing:
    """Draw median shifts against the dose: a column per steered attribute, a row per measured one.

    Quartiles over prompts are shaded, and the band of random pushes of equal size is grey.

    Args:
        rows: Rows of `tracer.steering.dose_tables.table`, one at least.
    """
    measured = [key.removeprefix("shift_") for key in rows[0] if key.startswith("shift_")]
    style = looks(dict.fromkeys(row["attribute"] for row in rows))
    figure = Drawing(3.2 * len(style) + 0.6, 0.6 + 1.9 * len(measured))
    panels = figure.subplots(len(measured), len(style), squeeze=False, sharex="col")
    for column, (target, look) in enumerate(style.items()):
        edits = list(dict.fromkeys(row["edit"] for row in rows if row["attribute"] == target))
        doses = sorted({row["alpha"] for row in rows if row["attribute"] == target})
        for line, name in enumerate(measured):
            panel = panels[line, column]
            for number, edit in enumerate(edits):
                own = [row for row in rows if row["edit"] == edit]
                alphas = [row["alpha"] for row in own]
                colour = lighter(look.colour, _FADING[number % len(_FADING)])
                panel.plot(
                    alphas, [row[f"shift_{name}"] for row in own], marker=look.marker, ms=3.5, color=colour,
                    linestyle=LINES[number % len(LINES)], label=literal(edit),
                )  # fmt: skip
                low, high = ([row[f"{side}_{name}"] for row in own] for side in ("low", "high"))
                panel.fill_between(alphas, low, high, color=colour, alpha=0.2, lw=0)
                for kind, width in (("band", 6), ("band_data", 1)):
                    band = np.array([row[f"{kind}_{name}"] for row in own])
                    panel.vlines(
                        alphas, -band, band, color=BAND_COLOUR, alpha=0.3 if width > 1 else 0.9, lw=width, zorder=0
                    )
            panel.axhline(0, color=BAND_COLOUR, lw=0.6)
            panel.set_xscale("log")
            panel.xaxis.set_minor_locator(NullLocator())
            panel.set_xticks(doses, [f"{dose:g}" for dose in doses])
            if column == 0:
                panel.set_ylabel(f"shift of\n{LABELS.get(name, name)}")
            if line == 0:
                panel.set_title(f"steering {target}")
                panel.legend(fontsize=6, loc="upper left")
            if name == target:
                panel.set_facecolor("#F6F6EE")
        panels[-1, column].set_xlabel("alpha")
    counts = {int(row["prompts"]) for row in rows if "prompts" in row}
    n = f"{max(counts)} prompts; " if counts else ""
    figure.suptitle(
        f"{n}measured on the decoded audio\ngrey bars: random pushes of equal size (thin: shaped like the data)\n"
        "shaded: quartiles over prompts",
        fontsize=7,
    )
    return figure
