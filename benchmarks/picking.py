"""Is the take that is chosen early the take that one would have chosen in the end? Every take in full, measured.

    python -m benchmarks.picking collect --work FOLDER        (again in another terminal: the prompts are shared out)
    python -m benchmarks.picking report --work FOLDER --out docs/picking

`collect` generates 24 prompts of the demonstration model with 32 seeds each, to the end, and keeps what every state
read as, the accumulated difference of the guidance branches, and what was measured on the decoded audio (CREPE's small
model for pitch). `report` asks of each want and state: which share of the truly best 4 is among the 4 that the reading
picks, and how much of the gain of an oracle over a random choice do they bring. An oracle chooses by the measured
audio. Nothing was chosen on these prompts: `trace fit calibrate` took its figures from others.
"""

import argparse
import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from probes.errors import InputError
from probes.fit.probe_metrics import ratio_interval
from probes.support.files import lock_file, whole_file

if TYPE_CHECKING:
    from tracer.prompts import Prompt
    from tracer.session import Session

FIRST, LAST, SEEDS, KEEP, RUN_SEED = 64, 88, 32, 4, 16
STATES = (2, 4, 8, 12, 16)
WANTS = (
    ("pitch=low",), ("pitch=high",), ("loudness=quiet",), ("loudness=loud",), ("timbre=dark",), ("timbre=bright",),
    ("timbre=dark", "loudness=quiet"), ("timbre=bright", "loudness=loud"), ("pitch=low", "timbre=dark"),
)  # fmt: skip
RESAMPLES = 2000


def collect(work: Path) -> None:
    """Generate and measure the takes of every prompt that no other process has taken."""
    from tracer.options import SessionOptions
    from tracer.prompts import load_prompts
    from tracer.session import Session

    work.mkdir(parents=True, exist_ok=True)
    rows = load_prompts("demo", LAST)[FIRST:]
    session = Session.open(
        SessionOptions(prompts=[row.caption for row in rows], seed=RUN_SEED), "cpu", pitch_tracker="tiny"
    )
    for prompt, row in zip(session.prompts, rows):
        path = work / f"{row.id}.npz"
        with claimed(work / f".{row.id}") as mine:
            if mine and not path.exists():
                arrays = measure_takes(session, prompt)
                with whole_file(path) as temporary, open(temporary, "wb") as file:
                    np.savez_compressed(file, **arrays)
                print(row.id, flush=True)


@contextmanager
def claimed(path: Path) -> Iterator[bool]:
    """Whether no other process is in such a block with this path; a process that is killed leaves the block too."""
    with open(path, "w") as file:
        try:
            lock_file(file, f"another process has {path}")
        except InputError:
            yield False
        else:
            yield True


def measure_takes(session: "Session", prompt: "Prompt") -> dict[str, np.ndarray]:
    """What every state of all takes of a prompt read as, and what was measured on their audio, [takes, ...] each."""
    from hooks import Event
    from tracer.clips import MEASURED
    from tracer.picking.takes import song_readings

    parts: list[dict[str, np.ndarray]] = []
    for start in range(0, SEEDS, 8):
        clips = [replace(prompt, seed=seed) for seed in range(start, start + 8)]
        found: dict[str, list[np.ndarray]] = {"gap": []}
        times: list[float] = []

        def see(event: Event, found: dict[str, list[np.ndarray]] = found, times: list[float] = times) -> None:
            assert event.endpoint is not None
            times.append(event.t)
            for name, values in song_readings(session.readout, event.endpoint, event.mask).items():
                found.setdefault(name, []).append(values)
            if event.difference is not None:
                found["gap"].append(event.difference.square().mean((1, 2)).sqrt().numpy())

        latents = session.generate(clips, (), see)
        _, tracks = session.listen(clips, latents, MEASURED)
        measured = [track.summary() for track in tracks]
        parts.append(
            {name: np.stack(values, 1) for name, values in found.items()}
            | {f"measured_{name}": np.array([own[name] for own in measured]) for name in MEASURED}
        )
    arrays = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return {"t": np.array(times), "states": np.arange(len(times))} | arrays


def misses(goal_values: Sequence[float], spreads: Sequence[float], numbers: Sequence[np.ndarray]) -> np.ndarray:
    """How far takes are from all goals, in spreads over songs, mean over the goals: [takes].

    A take without a value (no voiced frame) is as far as the farthest.
    """
    total = np.zeros(len(numbers[0]))
    for value, spread, own in zip(goal_values, spreads, numbers):
        far = np.abs(own - value) / spread
        total += np.where(np.isnan(far), np.nanmax(far), far)
    return total / len(numbers)


def interval(top: np.ndarray, bottom: np.ndarray) -> tuple[float, float, float]:
    """Ratio of sums over prompts, and its 95 % interval: prompts are drawn anew."""
    low, high = ratio_interval(top, bottom, RESAMPLES)
    return float(top.sum() / bottom.sum()), float(low), float(high)


def table(work: Path) -> list[dict[str, object]]:
    """A row per want, state and way of choosing."""
    from scipy.stats import spearmanr

    from probes.readout import Readout
    from tracer.picking.wants import goals_of, parse_want

    readout = Readout.from_pretrained("mini")
    prompts = [dict(np.load(path)) for path in sorted(work.glob("demo-*.npz"))]
    rows: list[dict[str, object]] = []
    for wants in WANTS:
        goals = goals_of([parse_want(want) for want in wants], readout)
        values, spreads = [goal.value for goal in goals], [goal.spread for goal in goals]
        for state in STATES:
            ways: dict[str, list[tuple[float, ...]]] = {}
            for own in prompts:
                place = int(np.flatnonzero(own["states"] == state)[0])
                truth = misses(values, spreads, [own[f"measured_{goal.attribute}"] for goal in goals])
                read = misses(values, spreads, [own[goal.attribute][:, place] for goal in goals])
                last = misses(values, spreads, [own[goal.attribute][:, -1] for goal in goals])
                gap = own["gap"][:, : state + 1].sum(1)
                best = set(np.argsort(truth, kind="stable")[:KEEP])
                # Of one want, what was measured; of several, the distance.
                heard = own[f"measured_{goals[0].attribute}"] if len(goals) == 1 else truth
                scores = {"reading": read, "finished reading": last, "CFG-Rejection": -gap}
                for name, score in scores.items():
                    chosen = np.argsort(score, kind="stable")[:KEEP]
                    ways.setdefault(name, []).append(
                        (
                            len(best & set(chosen)) / KEEP, truth.mean() - truth[chosen].mean(),
                            truth.mean() - np.sort(truth)[:KEEP].mean(), float(spearmanr(score, truth).statistic),
                            float(np.nanmean(heard[chosen])), float(np.nanmean(heard)),
                            float(np.nanmean(heard[list(best)])),
                        )
                    )  # fmt: skip
            for name, found in ways.items():
                array = np.array(found)
                gain, low, high = interval(array[:, 1], array[:, 2])
                rows.append(
                    {
                        "wants": " ".join(wants), "state": state, "by": name, "prompts": len(array),
                        "best_kept": float(array[:, 0].mean()), "best_kept_random": KEEP / SEEDS, "gain": gain,
                        "gain_low": low, "gain_high": high, "rank_correlation": float(np.nanmean(array[:, 3])),
                        "heard_kept": float(np.nanmean(array[:, 4])), "heard_random": float(np.nanmean(array[:, 5])),
                        "heard_oracle": float(np.nanmean(array[:, 6])), "compute": compute(state),
                    }
                )  # fmt: skip
    return rows


def compute(state: int, last: int = 31) -> float:
    """Evaluations of the network over those of all takes in full, where the kept ones go on from the state."""
    return (state + 1 + KEEP / SEEDS * (last - state)) / last


def report(work: Path, out: Path) -> None:
    """Write the table and the figure."""
    rows = table(work)
    with open(out.with_suffix(".csv"), "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(
            {key: f"{value:.3f}" if isinstance(value, float) else value for key, value in row.items()} for row in rows
        )
    draw(rows, out)
    for row in rows:
        if row["state"] == 8:
            print(
                f"{row['wants']:32s} {row['by']:17s} best kept {row['best_kept']:.2f}  gain {row['gain']:.2f} "
                f"({row['gain_low']:.2f}-{row['gain_high']:.2f})  rank {row['rank_correlation']:.2f}"
            )


def draw(rows: list[dict[str, object]], out: Path) -> None:
    """Gain over the state at which is chosen, a panel per want."""
    from tracer.figures.palette import CONTROL_COLOUR, Drawing, figure_style, looks

    with figure_style():
        figure = Drawing(8.4, 6.6)
        panels = figure.subplots(3, 3, sharex=True, sharey=True).flat
        style = looks(["pitch", "loudness", "timbre"])
        for panel, wants in zip(panels, WANTS):
            name = " ".join(wants)
            colour = style[wants[0].split("=")[0]].colour
            for by, line, tint in (("reading", "-o", colour), ("CFG-Rejection", "--s", CONTROL_COLOUR)):
                own = [row for row in rows if row["wants"] == name and row["by"] == by]
                states = [row["state"] for row in own]
                panel.plot(states, [row["gain"] for row in own], line, color=tint, markersize=4, label=by)
                low, high = ([row[end] for row in own] for end in ("gain_low", "gain_high"))
                panel.fill_between(states, low, high, color=tint, alpha=0.15, lw=0)
            finished = next(row for row in rows if row["wants"] == name and row["by"] == "finished reading")
            panel.axhline(finished["gain"], color=colour, lw=0.8, ls=":", label="finished reading")
            panel.axhline(0, color="#999999", lw=0.6)
            panel.axhline(1, color="#999999", lw=0.6)
            panel.set_title(name.replace(" ", ", "), fontsize=8)
            panel.set_ylim(-0.4, 1.08)
        figure.axes[0].legend(fontsize=6, loc="lower right")
        for panel in figure.axes[6:]:
            panel.set_xlabel("state at which is chosen (of 31)")
        figure.axes[3].set_ylabel("share of the oracle's gain over a random choice")
        figure.write(out.with_suffix(".png"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("collect", "report"))
    parser.add_argument("--work", type=Path, required=True, help="folder for the measured takes; the same one resumes")
    parser.add_argument("--out", type=Path, default=Path("docs/picking"), help="table and figure, without ending")
    options = parser.parse_args()
    if options.what == "collect":
        collect(options.work)
    else:
        report(options.work, options.out)


if __name__ == "__main__":
    main()
