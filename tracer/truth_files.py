"""What a run with `--ground-truth` says about its probes: `ground-truth.csv`, `validity.csv` and their figures.

- `ground-truth.csv`: how well the mean curves of the probes follow that of the audio, as
  `tracer.measures.truth.against_audio` has it.
- `validity.csv`: whether the probes read the class that was measured on the decoded audio, at every state. Columns
  attribute, view, probe (`trained`, or `shuffled` as the yardstick), index, t, logsnr, n (prompts with a frame to
  compare), n_frames, then accuracy, within_one, octave_folded (pitch alone) and bias, each with the low and high of its
  95 % bootstrap interval over prompts, and majority, the share of the commonest measured class. Classes without an
  order, such as chords, have no within_one and no bias.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from probes.support.files import write_whole
from tracer.curves import MEASURED, SHUFFLED, TRAINED, Curve
from tracer.measures.truth import SCORES, Validity, against_audio

if TYPE_CHECKING:
    import pandas as pd

    from tracer.record.shards import PromptTrace
    from tracer.record.store import RunReader
    from tracer.run import Run

_CIRCLES = {"chroma": 12}
"""Attributes whose last class is a neighbour of the first, with their number of classes."""


def write_truth(run: Run) -> None:
    """Write the files of the module's docstring, if the run's attributes were measured on audio."""
    rows = against_audio(run.results.progress)
    if not rows:
        return
    import pandas as pd

    from tracer.figures.truth import draw_truth
    from tracer.figures.validity import draw_validity

    _write_table(run, "ground-truth", pd.DataFrame(rows))
    draw_truth(run.results, rows).write(run.path / "ground-truth")
    table = validity(run.reader)
    if not table.empty:
        _write_table(run, "validity", table)
        draw_validity(table, run.attributes).write(run.path / "validity")


def _write_table(run: Run, name: str, table: pd.DataFrame) -> None:
    text = table.to_csv(index=False, float_format="%.6g", lineterminator="\n")
    write_whole(run.path / f"{name}.csv", text.encode())


def load_validity(run: Run) -> pd.DataFrame:
    """The table of `validity.csv`: read where it was written, computed where it was not; empty without ground truth."""
    import pandas as pd

    path = run.path / "validity.csv"
    if path.exists():
        return pd.read_csv(path)
    measured = MEASURED in set(run.results.progress["probe"])
    return validity(run.reader) if measured else pd.DataFrame()


def validity(reader: RunReader) -> pd.DataFrame:
    """Compare the classes that the probes read with those that were measured, at every state.

    Returns:
        The table of `validity.csv`. It is empty in a run without ground truth, and in one without classes per frame.
    """
    import pandas as pd

    found: dict[Curve, Validity] = {}
    for clips in reader.by_prompt(pooled=False):
        for measured in [curve for curve in clips[0].classes if curve.probe == MEASURED]:
            for probe in (TRAINED, SHUFFLED):
                curve = measured._replace(probe=probe)
                gathered = found.setdefault(curve, Validity(reader.finished, _CIRCLES.get(curve.attribute)))
                read, heard = (np.concatenate([clip.classes[one] for clip in clips], 1) for one in (curve, measured))
                gathered.add(read, heard, np.concatenate([clip.valid[curve] for clip in clips]))
    first = reader.trace(int(reader.indices[0]))  # with the times of the states
    ordered = sorted(found, key=lambda curve: (curve.attribute, curve.view, curve.probe))
    return pd.DataFrame([row for curve in ordered for row in _rows(curve, found[curve], first)])


def _rows(curve: Curve, gathered: Validity, first: PromptTrace) -> Iterator[dict[str, Any]]:
    scores = gathered.scores()
    without = [] if curve.attribute == "pitch" else ["octave_folded"]  # whose classes are semitones
    if first.values and curve not in first.values and curve.attribute not in _CIRCLES:
        without += ["within_one", "bias"]
    for score in without:
        scores[score] = np.full_like(scores[score], np.nan)
    for i, (n, n_frames, majority) in enumerate(zip(gathered.n, gathered.n_frames, gathered.majority)):
        row: dict[str, Any] = {"attribute": curve.attribute, "view": curve.view, "probe": curve.probe}
        row |= {"index": i, "t": first.t[i], "logsnr": first.logsnr[i], "n": n, "n_frames": n_frames}
        for score in SCORES:
            row |= dict(zip((score, f"{score}_low", f"{score}_high"), scores[score][:, i]))
        yield row | {"majority": majority}
