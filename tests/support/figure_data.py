"""Small tables and tracks for the figures that are not drawn from a run folder."""

import numpy as np
from support import planted

from tracer.clips import Tracks
from tracer.record.store import RunStore
from tracer.results import Results, compute_progress

EDITS = {
    "pitch=+": "pitch", "pitch=C5": "pitch", "pitch=C3": "pitch", "loudness=+": "loudness", "timbre=-": "timbre"
}  # fmt: skip
MEASURED = ("pitch", "loudness", "timbre")


def dose():
    """Rows of dose.csv: every edit moves its own attribute most."""
    rows = []
    for place, (edit, attribute) in enumerate(EDITS.items()):
        for alpha in (0.01, 0.02, 0.05):
            row = {"edit": edit, "attribute": attribute, "alpha": alpha}
            for name in MEASURED:
                shift = alpha * (100 if name == attribute else 20) * (1 - 0.3 * place)
                row |= {f"shift_{name}": shift, f"low_{name}": shift - 0.5, f"high_{name}": shift + 0.5}
                row |= {f"band_{name}": 20 * alpha, f"band_data_{name}": 30 * alpha}
            rows.append(row)
    return rows


def leakage():
    """Rows of leakage.csv, one of them without an effect."""
    return [
        {"target": "pitch", "pitch": 1.4, "loudness": 0.3, "timbre": 0.1},
        {"target": "loudness", "pitch": 0.2, "loudness": 2.1, "timbre": float("nan")},
    ]


def lockin():
    """Rows of lockin.csv and of emergence.csv."""
    windows = np.linspace(0, 1, 6)
    rows = [
        {
            "edit": edit, "attribute": attribute, "from": start, "to": start + 0.2, "heard_share": share,
            "heard_low": share - 0.2, "heard_high": share + 0.2, "read_share": share + 0.1,
        }
        for edit, attribute in (("pitch=C5", "pitch"), ("timbre=+", "timbre"))
        for start, share in zip(windows[:-1], (2.0, 1.5, 1.2, 1.0, 0.9))
    ]  # fmt: skip
    emergence = [{"attribute": name, "t": t, "agreement": t**2} for name in MEASURED for t in windows]
    return rows, emergence


def edit():
    """Arguments of `draw_edit`: one second of a tone that gets louder and higher."""
    rate, frames = 16000, 20
    times = np.arange(rate) / rate
    versions, tracks = {}, {}
    for place, name in enumerate(("original", "alpha 0", "alpha 0.1")):
        hertz = 440.0 * (1 + 0.2 * place)
        versions[name] = (0.1 + 0.1 * place) * np.sin(2 * np.pi * hertz * times)[None].astype(np.float32)
        values = {
            "pitch": np.full(frames, 69 + 12 * np.log2(hertz / 440)), "loudness": np.full(frames, 0.07 * (1 + place)),
            "timbre": np.full(frames, hertz),
        }  # fmt: skip
        valid = dict.fromkeys(values, np.arange(frames) % 5 > 0)
        tracks[name] = Tracks(values, valid)
    return versions, tracks, rate, 1 / frames, "loudness=2"


def sweeps():
    """Rows of two sweeps: one with probes, one without."""
    bare = [
        {"hidden": hidden, "lambda": lam, "sparsity": 0.5 + 4 * lam - 1 / hidden, "fvu": 0.1 + lam + 1 / hidden}
        for hidden in (16, 24, 32)
        for lam in (0.005, 0.05, 0.1)
    ]
    judged = []
    for row in bare:
        figures = {}
        for place, name in enumerate(MEASURED):
            accuracy = 0.9 - 0.2 * place - 0.5 * row["lambda"]
            figures |= {f"{name}_accuracy": accuracy, f"{name}_low": accuracy - 0.05, f"{name}_high": accuracy + 0.05}
            figures[f"{name}_majority"] = 0.1
        judged.append(row | figures)
    return {"with labels": judged, "without": bare}


def seeded(folder) -> Results:
    """A run of three prompts with two seeds each."""
    store = RunStore.open(folder, {**planted.OPTIONS, "seeds": 2}, planted.prompts(3))
    traces = [planted.trace(clip) for clip in range(6)]
    for clip, made in enumerate(traces):
        made.prompt, made.seed = divmod(clip, 2)
    store.append(traces)
    return compute_progress(folder)
