"""`trace fit calibrate`: a run with several seeds in, the readout with its calibration out."""

import json
from pathlib import Path
from typing import Annotated

import typer

from tracer.commands.from_options import AsJson
from tracer.commands.tables import print_rows

SHOWN = (0, 1, 2, 3, 4, 6, 8, 12, 16, 24)
"""States of the printed table."""


def calibrate_command(
    run: Annotated[Path, typer.Argument(help="Run folder of [b]trace --seeds 8[/b] with the readout.")],
    readout: Annotated[str, typer.Option(help="Folder, hub id or shipped name of the readout that the run used.")],
    out: Annotated[Path, typer.Option(help="New folder for the readout with its calibration.")],
    as_json: AsJson = False,
) -> None:
    """Find out from which state on takes of a model can be ranked, for `trace pick --at auto`.

    For each attribute: the rank correlation, over the seeds of a prompt, between the reading of the endpoint at a state
    and that of the finished clip; mean and interval over prompts. It is written into the readout's report.
    """
    from tracer.picking.calibration import TRUSTED, calibrate, calibration_of

    made = calibrate(run, readout, out)
    table = calibration_of(made, json.loads((run / "run.json").read_text(encoding="utf-8"))["options"]["model"])
    assert table is not None
    if as_json:
        typer.echo(json.dumps({"out": str(out), "t": table.t, "attributes": table.attributes, "about": table.about}))
        return
    shown = [state for state in SHOWN if state < len(table.t)]
    rows = [
        [f"{state}", f"{table.t[state]:.2f}"]
        + [
            f"{one['rho'][state]:.2f} ({one['low'][state]:.2f}-{one['high'][state]:.2f})"
            for one in table.attributes.values()
        ]
        for state in shown
    ]
    print_rows(
        f"rank correlation with the finished reading over the seeds of a prompt, {table.about['prompts']} prompts "
        f"(95 % interval); trusted from {TRUSTED:g}",
        ["state", "flow time", *table.attributes],
        rows,
    )
    typer.echo(f"readout with its calibration: {out}")
