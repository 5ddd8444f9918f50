"""What a readout's tempo is worth: of every window of the held-out files, beside that of the controls' onsets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from probes.attributes.tempo import near
from probes.attributes.windows import window_slices
from probes.corpus import Corpus
from probes.corpus.folder import CorpusFile
from probes.corpus.labels import Labels, class_labels, clip_labels
from probes.corpus.noising import noised, straight_shares
from probes.fit.noise import score_level
from probes.fit.probe_fit import report_of
from probes.fit.probe_metrics import Predictions, bootstrap_interval, of_clips
from probes.readout.kinds import SHUFFLED, TRAINED

if TYPE_CHECKING:
    from probes.readout import Reading, Readout

BASELINES = {"raw": "raw_latents", "untrained": "untrained_sae"}
"""Kind of reading -> name of its accuracy in a report."""


class WindowsRead(NamedTuple):
    """What is read of the test split's windows, end to end."""

    predicted: dict[str, Predictions]
    """For each kind of reading, of the labelled windows."""
    tempos: np.ndarray
    """[windows] in BPM, by the trained probe."""
    classes: np.ndarray
    """[windows] their classes."""
    wanted: np.ndarray
    """[windows] in BPM, as labelled."""


def score_tempo(corpus: Corpus, readout: Readout) -> dict[str, Any]:
    """Figures of tempo on the test split, as those of a probe, and the share of windows within 4 %, octaves apart."""
    baselines = tuple(BASELINES) if readout.baselines is not None else ()
    train, test = (window_labels(corpus, readout, split) for split in ("train", "test"))

    def clean(file: CorpusFile) -> Reading:
        latents = np.array(corpus.latents(file), dtype=np.float32)
        return readout.read(torch.from_numpy(latents)[None], keep=("tempo",), baselines=baselines)

    found = read_windows(corpus, readout, test, (TRAINED, SHUFFLED, *baselines), clean)
    blocks = {TRAINED: "probes", SHUFFLED: "controls"}
    predicted = {(blocks.get(kind, kind), "tempo"): own for kind, own in found.predicted.items()}
    report = report_of("tempo", readout.bins["tempo"], predicted, train, test, BASELINES)
    known = test >= 0
    right = near(found.tempos[known], found.wanted[known])
    report["within_4_percent"] = float(right.mean())
    report["within_4_percent_interval"] = bootstrap_interval(right, found.predicted[TRAINED].files)
    return report


def score_noisy_tempo(
    corpus: Corpus,
    readout: Readout,
    levels: Sequence[float],
    seed: int,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, list[Any]]:
    """Accuracies of tempo on the noised test split, a value for each log-SNR, as `fit_noise` has them of the probes."""
    train, test = (window_labels(corpus, readout, split) for split in ("train", "test"))
    rows = []
    for level in levels:
        way = partial(read_noised, corpus, readout, level, seed)
        knowing = read_windows(corpus, readout, test, (TRAINED, SHUFFLED), partial(way, True))
        blind = read_windows(corpus, readout, test, (TRAINED,), partial(way, False))
        pair = knowing.predicted[TRAINED], knowing.predicted[SHUFFLED]
        rows.append(score_level(*pair, blind.classes, (train, test)))
        if progress:
            progress(len(rows), len(levels))
    return {figure: [row[figure] for row in rows] for figure in rows[0]}


def read_noised(corpus: Corpus, readout: Readout, level: float, seed: int, knowing: bool, file: CorpusFile) -> Reading:
    """What is read of a file noised to a log-SNR, by the probes that know the noise or by the clean ones."""
    latents = torch.from_numpy(noised(corpus.latents(file), file.name, level, seed))[None]
    shares = straight_shares(level) if knowing else None
    return readout.read(latents, keep=("tempo",), only_trained=not knowing, noise=shares)


def read_windows(
    corpus: Corpus, readout: Readout, labels: Labels, kinds: Sequence[str], read: Callable[[CorpusFile], Reading]
) -> WindowsRead:
    """What `read`, which keeps distributions of tempo, reads of the test split's windows, whose labels are given."""
    bins = readout.bins["tempo"]
    shares: dict[str, list[np.ndarray]] = {kind: [] for kind in kinds}
    values, wanted, numbers = [], [], []
    for number, file in enumerate(corpus.files("test")):
        reading = read(file)
        starts = [window.start for window in window_slices(file.frames, corpus.frame_rate)]
        for kind, parts in shares.items():
            parts.append(reading.distributions[kind]["tempo"][0, starts].cpu().double().numpy())
        values.append(reading.values[TRAINED]["tempo"][0, starts].cpu().numpy())
        wanted.append(corpus.labels(file, "tempo")[0][starts])
        numbers.append(np.full(len(starts), number))
    files = np.concatenate(numbers)
    predicted = {}
    for kind, own in shares.items():
        found = of_clips(labels.astype(np.int64), np.concatenate(own))
        predicted[kind] = found._replace(files=files[found.files])
    tempos = bins.values_at(np.concatenate(values))
    return WindowsRead(predicted, tempos, bins.classes(tempos), np.concatenate(wanted))


def window_labels(corpus: Corpus, readout: Readout, split: str) -> Labels:
    """[windows] class of tempo of every window of a split's files, end to end; -1 where there is none."""
    labels = class_labels(corpus, split, {"tempo": readout.bins["tempo"]})[:, 0]
    windows = [window for file in corpus.files(split) for window in window_slices(file.frames, corpus.frame_rate)]
    return clip_labels(labels, [window.stop - window.start for window in windows])
