"""What a readout's tempo is worth: of every window of the held-out files, beside that of the controls' onsets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from probes.attributes.tempo import near
from probes.attributes.windows import window_of_frames
from probes.corpus import Corpus
from probes.corpus.labels import Labels, class_labels, clip_labels
from probes.fit.probe_fit import report_of
from probes.fit.probe_metrics import Predictions, bootstrap_interval, of_clips
from probes.readout.kinds import SHUFFLED, TRAINED

if TYPE_CHECKING:
    from probes.readout import Readout

BASELINES = {"raw": "raw_latents", "untrained": "untrained_sae"}
"""Kind of reading -> name of its accuracy in a report."""


def score_tempo(corpus: Corpus, readout: Readout) -> dict[str, Any]:
    """Figures of tempo on the test split, as those of a probe, and the share of windows within 4 %, octaves apart."""
    baselines = tuple(BASELINES) if readout.baselines is not None else ()
    kinds = {TRAINED: "probes", SHUFFLED: "controls"} | {name: name for name in baselines}
    train, test = (window_labels(corpus, readout, split) for split in ("train", "test"))
    shares: dict[str, list[np.ndarray]] = {kind: [] for kind in kinds}
    found: list[np.ndarray] = []
    wanted: list[np.ndarray] = []
    numbers: list[np.ndarray] = []
    for number, file in enumerate(corpus.files("test")):
        latents = torch.from_numpy(np.array(corpus.latents(file), dtype=np.float32))[None]
        read = readout.read(latents, keep=("tempo",), baselines=baselines)
        starts = np.unique(window_of_frames(file.frames, corpus.frame_rate), return_index=True)[1]
        for kind, parts in shares.items():
            parts.append(read.distributions[kind]["tempo"][0, starts].double().cpu().numpy())
        found.append(readout.bins["tempo"].values_at(read.values[TRAINED]["tempo"][0, starts].cpu().numpy()))
        wanted.append(corpus.labels(file, "tempo")[0][starts])
        numbers.append(np.full(len(starts), number))
    files = np.concatenate(numbers)
    predicted: dict[tuple[str, str], Predictions] = {}
    for kind, block in kinds.items():
        own = of_clips(test.astype(np.int64), np.concatenate(shares[kind]))
        predicted[block, "tempo"] = own._replace(files=files[own.files])
    report = report_of(
        "tempo", readout.bins["tempo"], predicted, train, test, {name: BASELINES[name] for name in baselines}
    )
    known = test >= 0
    right = near(np.concatenate(found)[known], np.concatenate(wanted)[known])
    report["within_4_percent"] = float(right.mean())
    report["within_4_percent_interval"] = bootstrap_interval(right, files[known])
    return report


def window_labels(corpus: Corpus, readout: Readout, split: str) -> Labels:
    """[windows] class of tempo of every window of a split's files, end to end; -1 where there is none."""
    labels = class_labels(corpus, split, {"tempo": readout.bins["tempo"]})[:, 0]
    lengths = [np.bincount(window_of_frames(file.frames, corpus.frame_rate)) for file in corpus.files(split)]
    return clip_labels(labels, np.concatenate(lengths).tolist())
