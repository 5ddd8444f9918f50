"""Edits in a window of the song, and along a curve: what is heard inside, outside, and beside the target.

    python -m benchmarks.song_time --work FOLDER --out docs/song-time

12 prompts of the demonstration model. Windows: `trace steer` with `during=4s-8s`, at the doses that are usual; the
table has the shift inside, the shift outside, and their ratio with its interval over prompts. Curve: the level that
was asked for by `loudness=ramp(-32dB,-14dB)` beside the level that is heard, and the level of the plain clips.
"""

import argparse
import csv
from pathlib import Path

import numpy as np

from probes.support.intervals import interval
from tracer.options import SteerOptions
from tracer.prompts import load_prompts
from tracer.session import Session
from tracer.steering import make_edits, parse_edit, run_dose
from tracer.steering.song_time import goal_of

FIRST, LAST, SEED = 64, 76, 16
WINDOWED = {
    "loudness=+,during=4s-8s,hold=pitch+timbre": (1.0, 2.0, 3.0),
    "loudness=-,during=4s-8s,hold=pitch+timbre": (1.0, 2.0, 3.0),
    "timbre=+,from=0,to=0.5,during=4s-8s,hold=pitch+loudness": (1.0, 2.0, 3.0),
    "timbre=-,from=0,to=0.5,during=4s-8s,hold=pitch+loudness": (1.0, 2.0, 3.0),
}
RAMP = "loudness=ramp(-32dB,-14dB),hold=pitch+timbre,from=0,to=1"
SMOOTH = 11
"""Frames (half a second) over which levels are averaged for the figure."""


def captions() -> list[str]:
    """The prompts."""
    return [prompt.caption for prompt in load_prompts("demo", LAST)[FIRST:]]


def leaks(folder: Path) -> list[dict[str, object]]:
    """A row per edit and dose: shift inside and outside, and the share of the one in the other with its interval."""
    with open(folder / "clips.csv", newline="") as file:
        clips = [row for row in csv.DictReader(file) if row["kind"] == "steered"]
    rows: list[dict[str, object]] = []
    for edit, alpha in dict.fromkeys((row["edit"], row["alpha"]) for row in clips):
        own = [row for row in clips if (row["edit"], row["alpha"]) == (edit, alpha)]
        name = own[0]["attribute"]
        inside, outside = (np.array([float(row[f"{place}_{name}"]) for row in own]) for place in ("shift", "outside"))
        draws = np.random.default_rng(0).integers(0, len(own), (2000, len(own)))
        ratios = np.abs(np.median(outside[draws], 1)) / np.abs(np.median(inside[draws], 1))
        low, high = interval(ratios, len(own))
        rows.append(
            {
                "edit": edit, "alpha": float(alpha), "prompts": len(own), "inside": float(np.median(inside)),
                "outside": float(np.median(outside)), "leak": abs(float(np.median(outside) / np.median(inside))),
                "leak_low": float(low), "leak_high": float(high),
            }
        )  # fmt: skip
    return rows


def levels(seed: int = SEED) -> dict[str, np.ndarray]:
    """Level of every frame in dB [prompts, frames]: plain, steered along the ramp; and the level that was asked for."""
    session = Session.open(SteerOptions(prompts=captions(), seed=seed, n=None), "cpu", "tiny")
    spec, song = parse_edit(RAMP), session.song()
    edits = make_edits([spec], session.readout, session.guided, song)
    found: dict[str, list[np.ndarray]] = {"plain": [], "steered": []}
    for start in range(0, len(session.prompts), 4):
        batch = session.prompts[start : start + 4]
        for name, own in (("plain", ()), ("steered", edits)):
            _, tracks = session.listen(batch, session.generate(batch, own), ["loudness"])
            found[name] += [track.values["loudness"] for track in tracks]
    frames = len(found["plain"][0])
    goal = goal_of(spec, song, frames, session.readout)
    assert goal is not None
    target = 20 * np.log10(session.readout.bins["loudness"].values_at(goal))
    kernel = np.ones(SMOOTH)
    covered = np.convolve(np.ones(frames), kernel, "same")
    smoothed = {
        name: np.array([10 * np.log10(np.convolve(np.square(one), kernel, "same") / covered + 1e-10) for one in values])
        for name, values in found.items()
    }
    return smoothed | {"target": target, "seconds": (np.arange(frames) + 0.5) / session.generator.frame_rate}


def draw(rows: list[dict[str, object]], heard: dict[str, np.ndarray], out: Path) -> None:
    """Left the level along the ramp, right the shifts inside and outside the window."""
    from tracer.figures.palette import CONTROL_COLOUR, Drawing, figure_style, looks

    style = looks(["pitch", "loudness", "timbre"])
    with figure_style():
        figure = Drawing(8.6, 3.2)
        left, right = figure.subplots(1, 2, width_ratios=(1.2, 1))
        for name, colour in (("plain", CONTROL_COLOUR), ("steered", style["loudness"].colour)):
            low, middle, high = np.percentile(heard[name], [25, 50, 75], axis=0)
            left.fill_between(heard["seconds"], low, high, color=colour, alpha=0.2, lw=0)
            left.plot(heard["seconds"], middle, color=colour, label=f"{name}, heard (median, quartiles)")
        left.plot(heard["seconds"], heard["target"], "k--", lw=1, label="asked for")
        left.set_xlabel("seconds")
        left.set_ylabel("level (dB)")
        left.set_ylim(-60, -5)
        left.set_title("loudness=ramp(-32dB,-14dB)", fontsize=8)
        left.legend(fontsize=6, loc="lower right")
        for row in rows:
            name = str(row["edit"]).split("=")[0]
            effect = {"loudness": 6.0, "timbre": np.log2(1.5)}[name]
            x, y = abs(float(str(row["inside"]))) / effect, abs(float(str(row["outside"]))) / effect
            fill = "full" if "=+" in str(row["edit"]) else "none"
            right.plot(x, y, style[name].marker, color=style[name].colour, markersize=5, fillstyle=fill)
        for name in ("loudness", "timbre"):
            right.plot([], [], style[name].marker, color=style[name].colour, markersize=5, label=name)
        most = max(right.get_xlim()[1], 1.1)
        right.plot([0, most], [0, most / 4], "k--", lw=0.8, label="a quarter")
        right.axvline(1, color="#999999", lw=0.6)
        right.set_xlabel("shift inside the window (of 6 dB, of a factor 1.5)")
        right.set_ylabel("shift outside")
        right.set_ylim(bottom=0)
        right.set_title("during=4s-8s, three doses (filled +, hollow -)", fontsize=8)
        right.legend(fontsize=6, loc="upper left")
        figure.write(out.with_suffix(".png"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for the steering run; the same one resumes")
    parser.add_argument("--out", type=Path, default=Path("docs/song-time"), help="table and figure, without ending")
    options = parser.parse_args()
    run_dose(
        prompts=captions(), n=None, edits=list(WINDOWED), alphas=list(WINDOWED.values()), random="strongest",
        save_audio=False, seed=SEED, pitch_tracker="tiny", out=options.work,
    )  # fmt: skip
    rows = leaks(options.work)
    with open(options.out.with_suffix(".csv"), "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(
            {key: f"{value:.3f}" if isinstance(value, float) else value for key, value in row.items()} for row in rows
        )
    draw(rows, levels(), options.out)
    for row in rows:
        figures = "inside {inside:.2f}, outside {outside:.2f}, leak {leak:.2f} ({leak_low:.2f}-{leak_high:.2f})"
        print(row["edit"], "alpha", row["alpha"], figures.format(**row))


if __name__ == "__main__":
    main()
