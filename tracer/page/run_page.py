"""What the page of a run shows of the whole run: curves, settled points, verdicts, and how it was made."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import numpy as np

from probes.attributes.bins import Bins
from probes.support.files import Fields, require_fields
from tracer.comparing import run_axes
from tracer.curves import TRAINED
from tracer.figures.emergence import MEASURE_LABELS
from tracer.figures.palette import NULL_LABELS, VIEW_TITLES, looks
from tracer.measures.progress import THRESHOLD

if TYPE_CHECKING:
    from tracer.run import Run

PROBE_LABELS = {TRAINED: "this run", "measured": "decoded audio", "raw": "latents alone", "untrained": "untrained SAE"}
DIGITS = 4
OPTIONS: Fields = {
    "model": str,
    "seconds": float,
    "views": list,
    "probes": list,
    "steer": list,
    "save_audio": bool,
    "frames": bool,
}


def run_data(run: Run) -> dict[str, Any]:
    """The content of data/run.js."""
    require_fields(run.path / "run.json", run.options, OPTIONS)
    require_fields(run.path / "run.json", run.reader.about, {"prompts": str})
    results = run.results
    t, logsnr = run_axes(run)
    return {
        "name": run.path.resolve().name,
        "summary": summary(run),
        "command": command(run),
        "t": rounded(t),
        "logsnr": rounded(logsnr),
        "attributes": attributes(run),
        "views": [view for view in ("endpoint", "state") if view in results.views],
        "labels": {"measure": MEASURE_LABELS, "probe": NULL_LABELS | PROBE_LABELS, "view": VIEW_TITLES},
        "main_measure": results.main_measure,
        "curves": curves(run),
        "settled": settled(run),
        "verdicts": verdicts(run),
        "missing": results.missing,
        "made": made(run),
    }


def summary(run: Run) -> str:
    """One sentence: what was run."""
    options = run.options
    seeds = f", {run.reader.seeds} seeds each" if run.reader.seeds > 1 else ""
    prompts = f"{run.n} prompt" + ("s" if run.n != 1 else "")
    return f"{options['model']}: {prompts}{seeds}, {options['seconds']:g} s each, {run.results.states} states."


def attributes(run: Run) -> list[dict[str, Any]]:
    """Name, colour, unit and names of the classes of each attribute."""
    bins = run.reader.about.get("bins", {})
    found = []
    for name, look in looks(run.attributes).items():
        about: dict[str, Any] = {"name": name, "colour": look.colour}
        if name in bins:
            own = Bins.from_dict(bins[name])
            about |= {"unit": own.unit, "labels": [own.label(k) for k in range(len(own))]}
        found.append(about)
    return found


def curves(run: Run) -> list[dict[str, Any]]:
    """Mean curve and bounds of each attribute, view, probe and measure."""
    table = run.results.progress
    table = table[(table["attribute"] != "sae") & table["measure"].isin(list(MEASURE_LABELS))]
    keys = ["attribute", "view", "probe", "measure"]
    return [
        dict(zip(keys, key)) | {name: rounded(rows[name]) for name in ("mean", "low", "high")}
        for key, rows in table.sort_values("index").groupby(keys, sort=False)
    ]


def verdicts(run: Run) -> list[dict[str, Any]]:
    """The table of verdicts, closeness and the endpoint first."""
    rows = table(run.results.verdicts)
    order = run.attributes
    return sorted(rows, key=lambda row: (row["measure"] != "closeness", row["view"], order.index(row["attribute"])))


def settled(run: Run) -> list[dict[str, Any]]:
    """Settled points by the usual threshold, of the trained probes."""
    table_ = run.results.settled
    table_ = table_[(table_["probe"] == TRAINED) & (table_["threshold"] == THRESHOLD)]
    return table(table_.drop(columns=["probe", "threshold"]))


def made(run: Run) -> list[list[str]]:
    """Names and values of the options that a run was made with, and the versions."""
    about = run.reader.about
    options = {name: value for name, value in run.options.items() if value not in ("", [], None)}
    kept = ("prompts", "structure", "weights", "readout", "device", "dtype")
    rows = {name: ", ".join(map(str, value)) if isinstance(value, list) else value for name, value in options.items()}
    rows |= {name: about[name] for name in kept if about.get(name) and name not in rows}
    return [[name, str(value)] for name, value in (rows | about.get("versions", {})).items()]


VALUES = (
    "steps", "seconds", "guidance", "seed", "seeds", "listen", "stop_when_settled", "settled_states", "settled_within",
)  # fmt: skip
SWITCHES = ("listen_state", "ground_truth", "save_latents")
OFF = ("save_audio", "frames")
"""Options that the command repeats: with their values, where they are on, where they are off."""


def command(run: Run) -> str:
    """The command that makes the run again, on this or another machine.

    Captions that were handed over in Python are read from the run's own prompts.csv.
    """
    options, about = run.options, run.reader.about
    prompts = about["prompts"] if about["prompts"] != "captions" else run.path / "prompts.csv"
    words = ["trace", "--model", options["model"], "--prompts", prompts, "--n", run.reader.planned // run.reader.seeds]
    given = {name: value for name, value in options.items() if (name, value) != ("seeds", 1)}
    for name in VALUES:
        words += [f"--{name.replace('_', '-')}", given[name]] if given.get(name) is not None else []
    for name in ("weights", "readout", "structure"):
        words += [f"--{name}", about[name]] if about.get(name) else []
    words += ["--dtype", about["dtype"]] if about.get("dtype", "auto") != "auto" else []
    words += [word for key, value in about.get("set", {}).items() for word in ("--set", f"{key}={value}")]
    words += [word for spec in options["steer"] for word in ("--steer", spec)]
    words += ["--views", ",".join(options["views"])] if len(options["views"]) == 1 else []
    words += ["--probes", ",".join(options["probes"])] if len(options["probes"]) > 1 else []
    words += [f"--{name.replace('_', '-')}" for name in SWITCHES if options.get(name)]
    words += ["--balanced"] if about.get("balanced") else []
    words += [f"--no-{name.replace('_', '-')}" for name in OFF if not options[name]]
    return shlex.join(str(word).removesuffix(".0") if isinstance(word, float) else str(word) for word in words)


def table(rows: Any) -> list[dict[str, Any]]:
    """Rows of a table, with numbers to a few digits."""
    return [
        {name: round(value, DIGITS) if isinstance(value, float) else value for name, value in row.items()}
        for row in rows.to_dict("records")
    ]


def rounded(values: Any, digits: int = DIGITS) -> list[float]:
    """Numbers to a few digits."""
    return [float(value) for value in np.round(np.asarray(values, dtype=np.float64), digits)]
