"""What the page of several runs shows: their curves on one axis, their order, and the paired table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tracer.comparing import compare_runs, run_axes, run_names
from tracer.curves import TRAINED
from tracer.figures.emergence import MEASURE_LABELS
from tracer.figures.palette import VIEW_TITLES
from tracer.page.run_page import curves, rounded, summary, table

if TYPE_CHECKING:
    from tracer.run import Run


def compare_data(runs: Sequence[Run], pages: Sequence[str]) -> dict[str, Any]:
    """The content of data/compare.js.

    Args:
        runs: Two runs or more.
        pages: Address of the page of each.
    """
    compared = compare_runs(runs)
    shown = []
    for name, run, page in zip(run_names(runs), runs, pages):
        t, logsnr = run_axes(run)
        own = [curve for curve in curves(run) if curve["probe"] == TRAINED]
        shown.append(
            {
                "name": name, "page": page, "summary": summary(run), "t": rounded(t),
                "logsnr": rounded(logsnr), "curves": own,
            }
        )  # fmt: skip
    views = {view for run in runs for view in run.views}
    return {
        "runs": shown,
        "attributes": list(dict.fromkeys(name for run in runs for name in run.attributes)),
        "views": [view for view in ("endpoint", "state") if view in views],
        "labels": {"measure": MEASURE_LABELS, "view": VIEW_TITLES},
        "main_measure": runs[0].results.main_measure,
        "orders": table(compared.told_orders()),
        "left_out": list(compared.left_out),
        "pairs": table(compared.pairs[compared.pairs["kind"] == "runs"]),
    }
