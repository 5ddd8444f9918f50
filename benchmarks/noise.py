"""The state view before and after probes that know the noise, against what the finished audio of the same clip has.

    python -m benchmarks.noise --work FOLDER [--n 32] [--seconds 12]

Generates built-in prompts with the bundled model and reads each state three ways: with the clean-trained probes, with
those that know the noise, and its endpoint. Pitch (CREPE's small model), loudness and centroid of the finished audio
are the truth. Writes docs/noise.csv and docs/noise.png, and prints the tables of docs/noise.md. Clips whose
states are in FOLDER are not made again.
"""

import argparse
import csv
import io
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from hooks import Event
from probes.fit.probe_metrics import ratio_interval
from probes.readout.kinds import TRAINED
from probes.support.files import whole_file, write_whole
from probes.support.intervals import interval
from tracer.figures.palette import GUIDE_COLOUR, Drawing, figure_style, looks
from tracer.measures import agreement
from tracer.measures.contrast import class_contrasts, reading_contrasts
from tracer.measures.paired import Song
from tracer.options import TraceOptions
from tracer.prompts import Prompt
from tracer.record.batches import measured_classes
from tracer.session import Session

DOCS = Path(__file__).resolve().parents[1] / "docs"
VIEWS = {
    "before": "state, clean-trained probes",
    "after": "state, noise-aware probes",
    "endpoint": "endpoint",
}
DRAWS = 1000


class Clip(NamedTuple):
    """What was read of one clip, by view and attribute, and what its audio has."""

    classes: dict[tuple[str, str], np.ndarray]  # uint8 [states, frames]
    values: dict[tuple[str, str], np.ndarray]  # float32 [states, frames], expected classes
    truth: dict[str, np.ndarray]  # int [frames], -1 where there is no value


def make_states(session: Session, prompt: Prompt) -> dict[str, np.ndarray]:
    """Generate a clip: its states [states, frames, C], their shares of data and noise, and the classes of its audio."""
    states: list[np.ndarray] = []
    endpoints: list[np.ndarray] = []
    levels: list[tuple[float, float, float]] = []

    def sink(event: Event) -> None:
        assert event.endpoint is not None
        states.append(event.state[0].numpy().copy())
        endpoints.append(event.endpoint[0].numpy().copy())
        levels.append((event.alpha, event.sigma, event.logsnr))

    finished = session.generate([prompt], sink=sink)
    _, tracks = session.listen([prompt], finished, session.readout.attributes)
    truth = {name: found[0] for name, found in measured_classes(session, tracks).items()}
    return {"state": np.stack(states), "endpoint": np.stack(endpoints), "levels": np.array(levels)} | truth


def read_clip(session: Session, made: dict[str, np.ndarray]) -> Clip:
    """Read the states of a clip before and after, and its endpoints."""
    readout = session.readout
    classes: dict[tuple[str, str], list[np.ndarray]] = {}
    values: dict[tuple[str, str], list[np.ndarray]] = {}
    for view in VIEWS:
        for latents, (alpha, sigma, _) in zip(made["endpoint" if view == "endpoint" else "state"], made["levels"]):
            noise = (float(alpha), float(sigma)) if view == "after" else None
            read = readout.read(torch.from_numpy(latents)[None], only_trained=True, noise=noise)
            for name in readout.attributes:
                classes.setdefault((view, name), []).append(read.classes[TRAINED][name][0].numpy())
                values.setdefault((view, name), []).append(read.values[TRAINED][name][0].numpy())
    stacked = ({key: np.stack(parts) for key, parts in of.items()} for of in (classes, values))
    return Clip(*stacked, {name: made[name] for name in readout.attributes})


def kept_states(session: Session, work: Path) -> Iterator[dict[str, np.ndarray]]:
    """Clips of all prompts, from files where they are there."""
    work.mkdir(parents=True, exist_ok=True)
    for prompt in session.prompts:
        path = work / f"{prompt.stem}.npz"
        if not path.exists():
            with whole_file(path) as temporary, open(temporary, "wb") as file:
                np.savez(file, **make_states(session, prompt))
        with np.load(path) as held:
            yield dict(held)


def shares(found: Sequence[Clip], view: str, name: str, slack: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Frames [prompts, states] whose class is the measured one, or within `slack` of it, and frames [prompts]."""
    hits, counts = [], []
    for clip in found:
        known = clip.truth[name] >= 0
        away = np.abs(clip.classes[view, name][:, known].astype(int) - clip.truth[name][known])
        hits.append((away <= slack).sum(1))
        counts.append(known.sum())
    return np.array(hits), np.array(counts)


def draws(prompts: int) -> np.ndarray:
    """How often each bootstrap replicate draws each prompt, [DRAWS, prompts]."""
    return np.random.default_rng(0).multinomial(prompts, np.full(prompts, 1 / prompts), size=DRAWS)


def with_interval(hits: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Share of frames and its 95 % interval over prompts, [3, states]."""
    return np.stack([hits.sum(0) / counts.sum(), *ratio_interval(hits, counts[:, None])])


def gain(found: Sequence[Clip], name: str) -> np.ndarray:
    """Accuracy of the noise-aware probes less that of the clean-trained ones, with the paired interval, [3, states]."""
    (after, counts), (before, _) = (shares(found, view, name) for view in ("after", "before"))
    return with_interval(after - before, counts)


def commonest(found: Sequence[Clip], name: str) -> float:
    """Share of frames whose measured class is the commonest one."""
    classes = np.concatenate([clip.truth[name][clip.truth[name] >= 0] for clip in found])
    return float(np.bincount(classes).max() / len(classes))


def settled_points(found: Sequence[Clip], view: str, name: str, measure: str) -> tuple[float, float, float]:
    """State from which a measure of a view stays within 0.1 of its end, and its 95 % interval over prompts."""
    valid = [clip.truth[name] >= 0 for clip in found]
    if measure == "agreement":
        contrasts = class_contrasts([clip.classes[view, name] for clip in found], valid)
    else:
        contrasts = reading_contrasts([clip.values[view, name] for clip in found], valid)
    song = Song(contrasts, measure)
    low, high = interval(song.settled(draws(len(found))), len(found))
    return song.value, float(low), float(high)


def rows(found: Sequence[Clip], logsnr: np.ndarray, attributes: Sequence[str]) -> list[dict[str, Any]]:
    """The table: per attribute, state and view accuracy against the audio, and agreement."""
    table = []
    for name in attributes:
        valid = [clip.truth[name] >= 0 for clip in found]
        for view in VIEWS:
            accuracy = with_interval(*shares(found, view, name))
            near = with_interval(*shares(found, view, name, 1))[0]
            agreed = agreement([clip.classes[view, name] for clip in found], valid)
            for state, level in enumerate(logsnr):
                table.append(
                    {
                        "attribute": name, "view": view, "state": state, "logsnr": f"{level:.3f}",
                        "accuracy": f"{accuracy[0, state]:.4f}", "low": f"{accuracy[1, state]:.4f}",
                        "high": f"{accuracy[2, state]:.4f}", "within_one": f"{near[state]:.4f}",
                        "agreement": f"{agreed[state]:.4f}",
                    }
                )  # fmt: skip
    return table


@figure_style()
def draw(found: Sequence[Clip], attributes: Sequence[str]) -> Drawing:
    """Decodability and agreement of the state view before and after, a panel for each attribute."""
    figure = Drawing(0.6 + 2.5 * len(attributes), 2.9)
    panels = figure.subplots(1, len(attributes), squeeze=False, sharey=True)[0]
    for panel, (name, look) in zip(panels, looks(attributes).items()):
        valid = [clip.truth[name] >= 0 for clip in found]
        for view, colour in (("before", "#8C8C8C"), ("after", look.colour), ("endpoint", "black")):
            mean, low, high = with_interval(*shares(found, view, name))
            states = np.arange(len(mean))
            width = 1.0 if view == "endpoint" else 1.4
            panel.plot(states, mean, color=colour, linewidth=width, label=f"right on the audio: {view}")
            panel.fill_between(states, low, high, color=colour, alpha=0.15, linewidth=0)
            if view != "endpoint":
                agreed = agreement([clip.classes[view, name] for clip in found], valid)
                panel.plot(
                    states, agreed, color=colour, linestyle=(0, (4, 1.5)), linewidth=1.0, label=f"agreement: {view}"
                )
        panel.axhline(commonest(found, name), color=GUIDE_COLOUR, linewidth=0.9, zorder=0, label="commonest class")
        panel.set_title(name)
        panel.set_xlabel("state index")
        panel.set_ylim(-0.05, 1.02)
    panels[0].set_ylabel("share of frames, or agreement")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles=handles, labels=labels, loc="outside lower center", ncols=3)
    return figure


def overhead(session: Session, rounds: int = 7) -> tuple[float, float]:
    """Milliseconds to read the states of four clips with the clean-trained and with the noise-aware probes."""
    latents = torch.randn(4, session.generator.frames(session.seconds), session.readout.sae.config.channels)
    best = []
    for noise in (None, (0.5, 0.5)):
        times = []
        for _ in range(rounds):
            start = time.process_time()
            session.readout.read(latents, noise=noise)
            times.append(time.process_time() - start)
        best.append(1e3 * min(times))
    return best[0], best[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for what was read; the same one resumes")
    parser.add_argument("--n", type=int, default=32, help="prompts")
    parser.add_argument("--seconds", type=float, default=12.0)
    parser.add_argument("--states-only", action="store_true", help="generate the clips and stop")
    options = parser.parse_args()
    session = Session.open(TraceOptions(n=options.n, seconds=options.seconds), "cpu", pitch_tracker="tiny")
    if options.states_only:
        for _ in kept_states(session, options.work):
            pass
        return
    assert session.readout.noise is not None
    clean, aware = overhead(session)
    print(f"reading the states of four clips, ms of processor time: {clean:.0f} before, {aware:.0f} after")
    found = []
    for made in kept_states(session, options.work):
        found.append(read_clip(session, made))
        logsnr = made["levels"][:, 2]
    attributes = session.readout.attributes
    table = rows(found, logsnr, attributes)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(table[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    write_whole(DOCS / "noise.csv", text.getvalue().encode())
    draw(found, attributes).write(DOCS / "noise.png")
    marked = [state for state in (3, 7, 11, 15, 19, 23, 27, 30) if state < len(logsnr)]
    for name in attributes:
        print(f"\n{name}: commonest class {commonest(found, name):.2f}")
        print("| state | log-SNR | " + " | ".join(VIEWS.values()) + " | gain |\n" + "|---" * 6 + "|")
        shown = {view: with_interval(*shares(found, view, name)) for view in VIEWS} | {"gain": gain(found, name)}
        for state in marked:
            cells = (f"{one[0, state]:.2f} ({one[1, state]:.2f} to {one[2, state]:.2f})" for one in shown.values())
            print(f"| {state} | {logsnr[state]:+.1f} | " + " | ".join(cells) + " |")
        for measure in ("agreement", "closeness"):
            for view in ("before", "after"):
                at, low, high = settled_points(found, view, name, measure)
                print(f"settled by {measure}, {view}: {at:.1f} ({low:.1f} to {high:.1f})")


if __name__ == "__main__":
    main()
