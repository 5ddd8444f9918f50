"""When tempo is settled: the tempo of the onset curve that each state of a run reads, against that of its end.

    trace --readout mini-music --n 64 --seeds 2 --out RUN
    python -m benchmarks.rhythm.emergence --run RUN

No readout of single frames or of means over frames can read a tempo. The onset probabilities of a clip's frames, taken
as an onset curve, have one (librosa). At each state of the endpoint that tempo is compared with the one of the last
state, within 4 % and octaves apart: own, and as chance level the last states of other prompts. Their agreement is
(own - other) / (1 - other), as for classes. Beside it the same of the linear flow, and of the generic directions that
travel with the onset probe, each against its own end. Intervals are 95 %, by bootstrap over prompts.
"""

import argparse
from pathlib import Path

import numpy as np

from benchmarks.rhythm.labels import near_tempo
from tracer import Run
from tracer.commands.tables import Column, print_columns
from tracer.curves import GENERIC, LINEAR_FLOW, TRAINED, kind
from tracer.measures.progress import interval, settled

OTHERS = 16  # other prompts that a clip is compared with
REPLICATES = 1000
SHOWN = (0, 2, 4, 8, 12, 16, 20, 24, 28)


def tempi(curves: np.ndarray, frame_rate: float) -> np.ndarray:
    """Tempo of each onset curve [states, frames], in BPM."""
    import librosa

    hop = 1024
    rate = round(frame_rate * hop)
    return np.array([librosa.feature.tempo(onset_envelope=one, sr=rate, hop_length=hop)[0] for one in curves])


def read_run(run: Run) -> dict[str, list[tuple[int, np.ndarray]]]:
    """For each probe the prompt and the tempo at every state [states], of every clip."""
    found: dict[str, list[tuple[int, np.ndarray]]] = {}
    for trace in run.reader.traces(pooled=False):
        for curve, values in trace.values.items():
            if (curve.attribute, curve.view) == ("onset", "endpoint"):
                # A generic direction is a projection, and an onset curve is not negative.
                shown = np.maximum(values, 0) if curve.probe in (TRAINED, LINEAR_FLOW) else values - values.min()
                found.setdefault(curve.probe, []).append((trace.prompt, tempi(shown, run.reader.about["frame_rate"])))
    return found


def own_and_other(clips: list[tuple[int, np.ndarray]], ends: dict[int, float]) -> dict[int, np.ndarray]:
    """For each prompt, shares near the own end and near those of other prompts [2, states], mean over its clips."""
    random = np.random.default_rng(0)
    parts: dict[int, list[np.ndarray]] = {}
    for prompt, path in clips:
        rest = np.array([end for other, end in ends.items() if other != prompt])
        others = random.choice(rest, min(OTHERS, len(rest)), replace=False)
        own = [near_tempo(value, path[-1], True) for value in path]
        other = [np.mean([near_tempo(value, end, True) for end in others]) for value in path]
        parts.setdefault(prompt, []).append(np.array([own, other], dtype=float))
    return {prompt: np.mean(pairs, axis=0) for prompt, pairs in parts.items()}


def curve_of(pairs: np.ndarray) -> np.ndarray:
    """Agreement [states] from pairs [..., prompts, 2, states]."""
    own, other = pairs[..., 0, :], pairs[..., 1, :]
    return np.asarray((own - other).sum(-2) / (1 - other).sum(-2))


def row(pairs: np.ndarray) -> list[str]:
    """Settled state with its interval, and the agreement at some states."""
    mean = curve_of(pairs)
    drawn = np.random.default_rng(0).integers(0, len(pairs), (REPLICATES, len(pairs)))
    low, high = interval(curve_of(pairs[drawn]))
    return [f"{settled(mean)} ({low}-{high})", *(f"{mean[state]:.2f}" for state in SHOWN if state < len(mean))]


def main() -> None:
    """Read and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="folder of a run whose readout reads onsets")
    found = read_run(Run(parser.parse_args().run))
    lines: dict[str, np.ndarray] = {}
    for probe, clips in found.items():
        ends = {prompt: float(path[-1]) for prompt, path in found[TRAINED if probe == LINEAR_FLOW else probe]}
        pairs = own_and_other(clips, ends)
        stacked = np.stack([pairs[prompt] for prompt in sorted(pairs)])
        # The directions of one probe are one line: the mean over them of what each prompt says.
        name = kind(probe)
        lines[name] = np.concatenate([lines[name], stacked[None]]) if name in lines else stacked[None]
    columns = [Column("probe"), Column("settled"), *(Column(f"state {state}") for state in SHOWN)]
    for name in (TRAINED, LINEAR_FLOW, GENERIC):
        if name in lines:
            for column, cell in zip(columns, [name, *row(lines[name].mean(0))]):
                column.cells.append(cell)
    print_columns("tempo of the onset curve, endpoint: agreement with its end", columns)


if __name__ == "__main__":
    main()
