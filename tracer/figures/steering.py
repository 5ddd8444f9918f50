"""Figures of steering runs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from tracer.clips import MEASURED

LABELS = {"pitch": "pitch (semitones)", "loudness": "level (dB)", "timbre": "centroid (octaves)"}
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
COLOUR = {"pitch": "#0072b2", "loudness": "#d55e00", "timbre": "#009e73"}
DPI = 100


def draw_dose(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Dose-response: a column per target attribute, a row per measured one; quartiles shaded, random band in grey."""
    targets = list(dict.fromkeys(row["attribute"] for row in rows))
    figure = Figure(figsize=(3.4 * len(targets) + 0.6, 6.4), layout="constrained")
    axes = figure.subplots(len(MEASURED), len(targets), squeeze=False, sharex="col")
    for column, target in enumerate(targets):
        edits = list(dict.fromkeys(row["edit"] for row in rows if row["attribute"] == target))
        for line, name in enumerate(MEASURED):
            ax = axes[line, column]
            for k, edit in enumerate(edits):
                own = [row for row in rows if row["edit"] == edit]
                alphas = [row["alpha"] for row in own]
                ax.plot(alphas, [row[f"shift_{name}"] for row in own], "o-", ms=3, color=COLOURS[k % 6], label=edit)
                low, high = ([row[f"{side}_{name}"] for row in own] for side in ("low", "high"))
                ax.fill_between(alphas, low, high, color=COLOURS[k % 6], alpha=0.2, lw=0)
                for kind, width in (("band", 6), ("band_data", 1)):
                    band = np.array([row[f"{kind}_{name}"] for row in own])
                    ax.vlines(alphas, -band, band, color="0.5", alpha=0.3 if width > 1 else 0.9, lw=width, zorder=0)
            ax.axhline(0, color="0.4", lw=0.6)
            ax.set_xscale("log")
            ax.xaxis.set_minor_formatter(NullFormatter())  # doses within one decade would be labelled over each other
            if column == 0:
                ax.set_ylabel(f"shift of\n{LABELS[name]}")
            if line == 0:
                ax.set_title(f"steering {target}", fontsize=10)
                ax.legend(fontsize=7, frameon=False)
            if name == target:
                ax.set_facecolor("#f6f6ee")
        axes[-1, column].set_xlabel("alpha")
    figure.suptitle(
        "grey bars: band of random pushes of equal size (thin: shaped like the data); shaded: quartiles over prompts",
        fontsize=8,
    )
    figure.savefig(path, dpi=DPI)


def draw_leakage(matrix: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Leakage matrix: target attribute x measured attribute, standardised shifts at equal effect."""
    values = np.array([[row[name] for name in MEASURED] for row in matrix], dtype=float)
    figure = Figure(figsize=(4.4, 1.2 + 0.8 * len(matrix)), layout="constrained")
    ax = figure.subplots()
    ax.imshow(np.nan_to_num(values), cmap="Blues", vmin=0, vmax=max(1.0, float(np.nanmax(values, initial=1.0))))
    for (line, column), value in np.ndenumerate(values):
        ax.text(column, line, "never" if np.isnan(value) else f"{value:.2f}", ha="center", va="center", fontsize=9)
    ax.set_xticks(range(len(MEASURED)), MEASURED)
    ax.set_yticks(range(len(matrix)), [row["target"] for row in matrix])
    ax.set_xlabel("measured: |shift| / spread between prompts")
    ax.set_ylabel("steered")
    figure.savefig(path, dpi=DPI)


def draw_lockin(rows: Sequence[Mapping[str, Any]], emergence: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Lock-in curves over the emergence curves, a panel per edit."""
    edits = list(dict.fromkeys(row["edit"] for row in rows))
    figure = Figure(figsize=(3.6 * len(edits) + 0.4, 3.4), layout="constrained")
    for ax, edit in zip(figure.subplots(1, len(edits), squeeze=False)[0], edits):
        own = [row for row in rows if row["edit"] == edit]
        attribute = own[0]["attribute"]
        curve = [row for row in emergence if row["attribute"] == attribute]
        ax.plot([row["t"] for row in curve], [row["agreement"] for row in curve], color="0.45", lw=1.5,
                label="emergence (agreement)")  # fmt: skip
        middle = [(row["from"] + row["to"]) / 2 for row in own]
        colour = COLOUR.get(attribute, COLOURS[0])
        ax.fill_between(middle, [row["heard_low"] for row in own], [row["heard_high"] for row in own], color=colour,
                        alpha=0.2, lw=0)  # fmt: skip
        ax.plot(middle, [row["heard_share"] for row in own], "o-", ms=3, color=colour, label="lock-in, heard")
        ax.plot(middle, [row["read_share"] for row in own], "--", lw=1, color=colour, label="lock-in, read")
        ax.axhline(1, color="0.7", lw=0.6, zorder=0)
        ax.axhline(0, color="0.7", lw=0.6, zorder=0)
        ax.set_xlim(0, 1)
        # The read share and the interval's ends may divide by next to nothing; they must not flatten the rest.
        ax.set_ylim(-0.1, 1.6 * max([1.0, *(row["heard_share"] for row in own if np.isfinite(row["heard_share"]))]))
        ax.set_title(edit, fontsize=10)
        ax.set_xlabel("flow time of the window")
        ax.legend(fontsize=7, frameon=False)
    figure.axes[0].set_ylabel("share of the effect that survives")
    figure.savefig(path, dpi=DPI)
