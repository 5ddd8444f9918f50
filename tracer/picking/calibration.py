"""From which state on takes can be ranked: rank correlation between the reading at a state and the finished one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from probes.attributes.songs import UNITS, song_value
from probes.errors import InputError
from probes.readout import Readout
from probes.support.files import plain_errors
from probes.support.intervals import interval
from probes.support.paths import result_folder
from tracer.curves import TRAINED, Curve
from tracer.picking.takes import At
from tracer.record.store import RunReader

TRUSTED = 0.9
"""Rank correlation from which on a ranking is trusted."""
FEWEST_PROMPTS, FEWEST_SEEDS = 8, 4
RESAMPLES = 1000


@dataclass(frozen=True)
class Calibration:
    """How well the readings at each state rank the takes of a prompt, for one generator."""

    t: list[float]
    """Flow time of every state."""
    attributes: dict[str, dict[str, list[float]]]
    """For each attribute `rho`, the mean over prompts of the rank correlation with the finished reading at every state,
    and `low` and `high`, its 95 % interval over prompts."""
    about: dict[str, Any]
    """The generator's name and fingerprint, prompts, seeds, states and guidance of the run it was taken from."""

    def deciding(self, attributes: Sequence[str]) -> At:
        """The first state from which on the ranking by each of these attributes is trusted, as a flow time.

        Raises:
            InputError: an attribute is never trusted before the end.
        """
        found = 0.0
        for name in attributes:
            trusted = np.array(self.attributes[name]["rho"]) >= TRUSTED
            first = len(trusted) - int(np.argmin(trusted[::-1])) if not trusted.all() else 0
            if first >= len(trusted) - 1:
                raise InputError(
                    f"the ranking by {name} is trusted at the end alone (rank correlation {TRUSTED:g}): choose a state "
                    "with --at"
                )
            found = max(found, self.t[first])
        return At(t=found)


def calibrate(run: str | Path, readout: str | Path, out: str | Path) -> Readout:
    """Take the calibration from a run with several seeds of each prompt, and write the readout with it.

    Args:
        run: Run folder; traced with the readout, the endpoint view and the frames kept.
        readout: Folder, hub id or shipped name of that readout.
        out: New folder for the readout with the calibration; weights and fingerprint are the same.

    Raises:
        InputError: The run has another readout, too few prompts or seeds, was steered or ended early, or lacks what is
            needed.
    """
    folder = result_folder(out)
    if folder.exists() and any(folder.iterdir()):
        raise InputError(f"{folder} holds something: choose a new folder for --out")
    opened, reader = RunReader(run), Readout.from_pretrained(str(readout))
    options = opened.options
    if options["readout"] != reader.fingerprint():
        raise InputError(f"{run} was read with another readout than {readout}: give the one it was traced with")
    if options["steer"]:
        raise InputError(f"{run} was steered: calibrate with a run without --steer")
    if options.get("stop_when_settled") is not None:  # a take that was ended early agrees with its end by construction
        raise InputError(f"{run} ended its takes early: calibrate with a run without --stop-when-settled")
    if not options["frames"] or "endpoint" not in options["views"]:
        raise InputError(f"{run} did not keep the frames of the endpoint: trace without --no-frames and --views state")
    table = Calibration(*correlations(opened, reader), about_of(opened))
    made = dict(reader.report.get("calibration", {}))
    made[options["model"]] = {"t": table.t, "attributes": table.attributes, "about": table.about}
    reader.report["calibration"] = made
    with plain_errors(folder):
        reader.save_pretrained(folder)
    return reader


def about_of(run: RunReader) -> dict[str, Any]:
    """What the calibration was taken from."""
    kept = ("model", "generator", "steps", "seconds", "guidance", "seeds")
    return {name: run.options[name] for name in kept} | {"prompts": run.finished}


def correlations(run: RunReader, readout: Readout) -> tuple[list[float], dict[str, dict[str, list[float]]]]:
    """Flow times of the states, and the figures of `Calibration` for each attribute with a scale."""
    from scipy.stats import spearmanr

    by_prompt: dict[str, list[np.ndarray]] = {name: [] for name, bins in readout.bins.items() if bins.unit in UNITS}
    times: list[float] = []
    for clips in run.by_prompt():
        if len(clips) < FEWEST_SEEDS:
            continue
        times = [float(t) for t in clips[0].t]
        for name, kept in by_prompt.items():
            bins, curve = readout.bins[name], Curve("endpoint", TRAINED, name)
            songs = np.empty((len(clips), len(times)))
            for row, clip in enumerate(clips):
                values = bins.values_at(clip.values[curve])
                # Pitch counts on the frames that the finished audio voices; here no audio is known yet.
                inside = np.logical_or.reduce(
                    [valid for other, valid in clip.valid.items() if other.view == curve.view]
                )
                songs[row] = [song_value(bins.unit, frames, inside) for frames in values]
            if np.ptp(songs[:, -1]) > 0:
                rho = [spearmanr(songs[:, state], songs[:, -1]).statistic for state in range(len(times))]
                kept.append(np.nan_to_num(np.array(rho)))  # takes that all read alike are not ranked: 0
    fewest = min(map(len, by_prompt.values()), default=0)
    if fewest < FEWEST_PROMPTS:
        raise InputError(
            f"{run.path} has {fewest} prompts with {FEWEST_SEEDS} seeds or more: trace at least {FEWEST_PROMPTS} with "
            f"--seeds 8"
        )
    return times, {name: mean_with_interval(np.stack(rows)) for name, rows in by_prompt.items()}


def mean_with_interval(rho: np.ndarray) -> dict[str, list[float]]:
    """Mean of correlations [prompts, states] and its 95 % interval, bootstrap over prompts."""
    rng = np.random.default_rng(0)
    drawn = rho[rng.integers(len(rho), size=(RESAMPLES, len(rho)))].mean(1)
    low, high = interval(drawn, len(rho))
    return {
        name: [round(float(value), 4) for value in values]
        for name, values in (("rho", rho.mean(0)), ("low", low), ("high", high))
    }


def calibration_of(readout: Readout, generator: str) -> Calibration | None:
    """The calibration that a readout brings for a generator; None without one."""
    found = readout.report.get("calibration", {}).get(generator)
    return None if found is None else Calibration(found["t"], found["attributes"], found["about"])
