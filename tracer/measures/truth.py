"""How well the probes' curves follow what was measured on the decoded audio of the same states (`--ground-truth`)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tracer.figures.palette import GREY, figure_style, looks, save
from tracer.record.shards import CONTROL, MEASURED, TRAINED

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from tracer.run import Run

MEASURES = ("agreement", "paper", "l1", "js")


def against_audio(progress: pd.DataFrame) -> list[dict[str, Any]]:
    """Mean curves of the probes beside the mean curve measured on audio, over the states where both exist.

    Args:
        progress: The table of `Results.progress`: view, probe, attribute, measure, index, mean.

    Returns:
        A row per view, attribute, measure and probe (trained, or control as the yardstick): states (how many were
        compared), correlation (Pearson's, over states; None where a curve is flat) and difference (mean absolute
        difference of the two curves; None where no state has both).
    """
    rows = []
    table = progress[progress["measure"].isin(MEASURES)]
    kinds = table.groupby(["view", "attribute", "measure", "probe"])
    curves = {key: part.set_index("index")["mean"] for key, part in kinds}
    for (view, attribute, measure, probe), audio in curves.items():
        if probe != MEASURED:
            continue
        for reader in (TRAINED, CONTROL):
            if (view, attribute, measure, reader) not in curves:
                continue
            read, heard = curves[view, attribute, measure, reader].align(audio, join="inner")
            both = np.isfinite(read) & np.isfinite(heard)
            pair = read[both].to_numpy(), heard[both].to_numpy()
            flat = both.sum() < 3 or min(np.ptp(pair[0]), np.ptp(pair[1])) == 0
            rows.append(
                {
                    "view": view,
                    "attribute": attribute,
                    "measure": measure,
                    "probe": reader,
                    "states": int(both.sum()),
                    "correlation": None if flat else float(np.corrcoef(*pair)[0, 1]),
                    "difference": float(np.abs(pair[0] - pair[1]).mean()) if both.any() else None,
                }
            )
    return rows


def write_truth(run: Run) -> None:
    """`ground-truth.csv`, .png and .svg in a run's folder, if its attributes were measured on audio."""
    import pandas as pd

    rows = against_audio(run.results.progress)
    if rows:
        pd.DataFrame(rows).to_csv(run.path / "ground-truth.csv", index=False, float_format="%.6g")
        plot_truth(run, rows, run.path / "ground-truth")


def plot_truth(run: Run, rows: list[dict[str, Any]], stem: Path) -> list[Path]:
    """Agreement as the probes read it, as the audio has it, and as the control probes read it; a panel an attribute."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = [row for row in rows if row["measure"] == rows[0]["measure"]]
    attributes = [name for name in run.attributes if any(row["attribute"] == name for row in shown)]
    with figure_style():
        figure = Figure(figsize=(0.6 + 2.5 * len(attributes), 2.75), layout="constrained")
        FigureCanvasAgg(figure)
        panels = figure.subplots(1, len(attributes), squeeze=False, sharey=True)[0]
        for panel, attribute in zip(panels, attributes):
            found = {row["probe"]: row for row in shown if row["attribute"] == attribute}
            _draw(panel, run, found[TRAINED], looks(attributes)[attribute].colour)
            panel.set_title(attribute)
            panel.text(
                0.97, 0.05, "\n".join(_figures(probe, row) for probe, row in found.items()), transform=panel.transAxes,
                ha="right", fontsize=6.5, color="#333333",
            )  # fmt: skip
            panel.set_xlabel("state index")
        panels[0].set_ylabel(f"{shown[0]['measure']}, mean over prompts")
        handles, _ = panels[0].get_legend_handles_labels()
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
        return save(figure, stem)


def _draw(panel: Axes, run: Run, row: dict[str, Any], colour: str) -> None:
    table = run.results.progress
    table = table[
        (table["view"] == row["view"]) & (table["attribute"] == row["attribute"]) & (table["measure"] == row["measure"])
    ]
    for probe, look in (
        (CONTROL, {"color": GREY, "lw": 1.0, "label": "shuffled labels (control)"}),
        (MEASURED, {"color": "black", "ls": (0, (4, 1.5)), "label": "measured on the decoded endpoint"}),
        (TRAINED, {"color": colour, "label": "read by the probe"}),
    ):
        line = table[table["probe"] == probe]
        panel.plot(line["index"], line["mean"], **look)
    for level in (0, 1):
        panel.axhline(level, color="#D0D0D0", linewidth=0.6, zorder=0)


def _figures(probe: str, row: dict[str, Any]) -> str:
    return f"{probe}: r {brief(row['correlation'])}, |difference| {brief(row['difference'])}"


def brief(value: float | None) -> str:
    """Two decimals, or a dash for what could not be computed."""
    return "-" if value is None else f"{value:.2f}"
