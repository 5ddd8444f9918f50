"""What `trace --stop-when-settled` saves and costs, over its threshold.

    python -m benchmarks.settling --out docs/settling

24 prompts of the demonstration model in full; for every threshold the endpoint at which each clip would have been held
is decoded too and compared with the full clip: log-mel distance, and the differences of pitch, level and centroid.
Beside it stands what stopping every clip at one fixed state would have cost.
"""

import argparse
import csv
from pathlib import Path

import numpy as np
from torch import Tensor

from hooks import Event
from tracer.clips import MEASURED, distortion
from tracer.options import SessionOptions
from tracer.prompts import load_prompts
from tracer.record.settling import Settling
from tracer.session import Session

FIRST, LAST = 64, 88
THRESHOLDS = (0.04, 0.02, 0.01, 0.005, 0.0025)
FIXED = (4, 6, 8, 12, 16, 20, 24)
STATES = 3


def measure(out: Path) -> list[dict[str, object]]:
    """A row per prompt and way of stopping."""
    captions = [prompt.caption for prompt in load_prompts("demo", LAST)[FIRST:]]
    session = Session.open(SessionOptions(prompts=captions, seed=16), "cpu", pitch_tracker="tiny")
    classes = {name: len(session.readout.bins[name]) for name in session.readout.attributes}
    rows: list[dict[str, object]] = []
    for prompt in session.prompts:
        watches = {f"{share:g}": Settling(classes, 1, STATES, share) for share in THRESHOLDS}
        kept: list[Tensor] = []

        def see(event: Event, kept: list[Tensor] = kept, watches: dict[str, Settling] = watches) -> None:
            assert event.endpoint is not None
            kept.append(event.endpoint.clone())
            reading = session.readout.read(event.endpoint, event.mask, only_trained=True)
            for watch in watches.values():
                watch.see(event, reading)

        latents = session.generate([prompt], (), see)
        last = len(kept) - 1
        stops = {name: int(watch.at[0]) if watch.at[0] >= 0 else last for name, watch in watches.items()}
        stops |= {f"state {state}": state for state in FIXED}
        audio, tracks = session.listen([prompt], latents, MEASURED)
        whole = tracks[0].summary()
        for name, state in stops.items():
            own, measured = session.listen([prompt], kept[state], MEASURED)
            after = measured[0].summary()
            rows.append(
                {
                    "prompt": prompt.index, "rule": name, "stopped_at": state, "saved": 1 - min(state + 1, last) / last,
                    "log_mel_db": distortion(own[0], audio[0], session.generator.sample_rate)["log_mel_db"],
                    **{name: abs(after[name] - whole[name]) for name in MEASURED},
                }
            )  # fmt: skip
        print(prompt.index, stops, flush=True)
    with open(out.with_suffix(".csv"), "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(
            {key: f"{value:.4f}" if isinstance(value, float) else value for key, value in row.items()} for row in rows
        )
    return rows


def draw(rows: list[dict[str, object]], out: Path) -> None:
    """Cost over saving, medians over prompts with quartiles, for the thresholds and for fixed states."""
    from tracer.figures.palette import CONTROL_COLOUR, Drawing, figure_style, looks

    titles = {
        "log_mel_db": "log-mel distance (dB)", "loudness": "level (dB)", "timbre": "centroid (octaves)",
        "pitch": "pitch (semitones)",
    }  # fmt: skip
    with figure_style():
        figure = Drawing(9.0, 2.8)
        panels = figure.subplots(1, 4, sharex=True)
        for panel, (column, title) in zip(panels, titles.items()):
            for fixed in (False, True):
                rules = [f"state {state}" for state in FIXED] if fixed else [f"{share:g}" for share in THRESHOLDS]
                colour = CONTROL_COLOUR if fixed else looks(["loudness"])["loudness"].colour
                saved, costs = [], []
                for rule in rules:
                    own = [row for row in rows if row["rule"] == rule]
                    saved.append(float(np.mean([row["saved"] for row in own])))
                    costs.append(np.nanpercentile([row[column] for row in own], [25, 50, 75]))
                low, middle, high = np.array(costs).T
                panel.fill_between(saved, low, high, color=colour, alpha=0.15, lw=0)
                panel.plot(saved, middle, "--s" if fixed else "-o", color=colour, markersize=4,
                           label="one state for all clips" if fixed else "when settled")  # fmt: skip
                for rule, x, y in zip(rules, saved, middle):
                    if not fixed:
                        panel.annotate(rule, (x, y), fontsize=5, xytext=(2, 4), textcoords="offset points")
            panel.set_title(title, fontsize=8)
            panel.set_xlabel("evaluations saved")
            panel.set_ylim(bottom=0)
        panels[0].legend(fontsize=6)
        figure.write(out.with_suffix(".png"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("docs/settling"), help="table and figure, without ending")
    options = parser.parse_args()
    draw(measure(options.out), options.out)


if __name__ == "__main__":
    main()
