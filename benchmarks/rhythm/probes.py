"""What the probes of rhythm, harmony and instruments are worth on held-out pieces.

    python -m benchmarks.rhythm.probes --work FOLDER --larger LARGER

The folders are those of `benchmarks.mini_training.music`. The figures go to FOLDER/figures.json. Beside the accuracies
that `trace fit probes` reports stand those that music is judged by: F1 of onsets at 50 ms (peaks of the onset
probability, threshold chosen on the validation pieces), tempo within 4 %, octave-folded, over windows and over clips as
a whole, key by MIREX's score. Pitch is that of the shipped readout, against the notes of frames in which one sounds
alone. The place in the beat has a probe of its own, which no readout brings.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.mini_training.music import PROBES
from benchmarks.rhythm.labels import mirex_key, onset_f1
from benchmarks.rhythm.pieces import FIRST_SEEDS, SECONDS, TEXTURES, texture_of
from probes.attributes.chord import NONE
from probes.attributes.onset import score_onsets
from probes.attributes.score import Score
from probes.attributes.tempo import near
from probes.corpus import Corpus
from probes.corpus.folder import CorpusFile
from probes.corpus.labels import clip_labels
from probes.fit.pipeline import fit_bins, fit_probes, open_sae
from probes.fit.probe_metrics import bootstrap_interval, ratio_interval
from probes.readout import Readout
from probes.rendering.scoring import score_example
from probes.support.files import write_json

KINDS = ("trained", "shuffled", "raw", "untrained")
THRESHOLDS = np.arange(0.02, 0.7, 0.02)
DRAWN = 20_000
"""Pieces whose textures say how frequent each is."""


def read(
    readout: Readout, corpus: Corpus, split: str, baselines: Sequence[str] = ("raw", "untrained")
) -> list[tuple[CorpusFile, Any]]:
    """What the probes, their controls and those of some baselines read in the pieces of a split."""
    found = []
    keep = [name for name in readout.attributes if name == "onset"]
    for file in corpus.files(split):
        latents = torch.from_numpy(np.array(corpus.latents(file), dtype=np.float32))[None]
        found.append((file, readout.read(latents, keep=keep, baselines=baselines)))
    return found


def peak_times(curve: np.ndarray, threshold: float, frame_rate: float) -> np.ndarray:
    """Times of frames [F] that reach a threshold and are above the frame before and not below the one after."""
    padded = np.pad(curve, 1, constant_values=-1)
    high = (curve >= threshold) & (curve > padded[:-2]) & (curve >= padded[2:])
    return (np.flatnonzero(high) + 0.5) / frame_rate


def onset_curves(pieces: Sequence[tuple[CorpusFile, Any]], kind: str) -> list[np.ndarray]:
    """Probability of an onset in every frame, of each piece."""
    return [reading.distributions[kind]["onset"][0, :, 1].numpy() for _, reading in pieces]


def mean_f1(curves: Sequence[np.ndarray], starts: Sequence[np.ndarray], threshold: float, rate: float) -> np.ndarray:
    """F1 at 50 ms of each piece."""
    return np.array([onset_f1(start, peak_times(curve, threshold, rate)) for curve, start in zip(curves, starts)])


def seed_of(file: CorpusFile) -> int:
    """The seed of a piece."""
    return int(file.name.split("-")[1])


def mean_interval(values: np.ndarray) -> list[float]:
    """95 % interval of a mean, resampling pieces."""
    return [float(edge) for edge in ratio_interval(values, np.ones(len(values)))]


def tempo_hits(readout: Readout, pieces: Sequence[tuple[CorpusFile, Any]], kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Of each piece the share of windows within 4 %, octaves apart, and whether the class of their mean is."""
    bins, wanted = readout.bins["tempo"], [score(file).tempo for file, _ in pieces]
    by_frame = [bins.values_at(reading.values[kind]["tempo"][0].numpy()) for _, reading in pieces]
    of_clip = np.array([bins.centers[int(reading.pooled[kind]["tempo"][0].argmax())] for _, reading in pieces])
    # Windows are equally long to a frame, so that frames weigh them alike.
    windows = np.array([near(own, np.float64(one)).mean() for own, one in zip(by_frame, wanted)])
    return windows, near(of_clip, np.array(wanted, dtype=float)).astype(float)


def figures(folder: Path) -> dict[str, Any]:
    """What the readout of a folder was reported to be worth, and the figures of every kind of its probes."""
    corpus, readout = Corpus.open(folder / "corpus"), Readout.from_pretrained(folder / "readout")
    val, test = read(readout, corpus, "val"), read(readout, corpus, "test")
    by_kind: dict[str, Any] = {}
    for kind in KINDS:
        clips = {name: clip_hits(readout, corpus, test, kind, name) for name in readout.clips}
        found: dict[str, Any] = {}
        if readout.tempo is not None:
            clips["tempo"], of_clips = tempo_hits(readout, test, kind)
            found["tempo, windows"] = [float(clips["tempo"].mean()), *mean_interval(clips["tempo"])]
            found["tempo, clips"] = [float(of_clips.mean()), *mean_interval(of_clips)]
        if "onset" in readout.attributes:
            found["onset F1"] = onset_figure(val, test, kind, corpus.frame_rate)
        if "chord" in readout.attributes:
            found["chord"] = chord_figure(readout, corpus, test, kind)
        if "key" in readout.attributes:
            keys = [(int(reading.classes[kind]["key"][0, 0]), score(file).key) for file, reading in test]
            found["key MIREX"] = float(np.mean([mirex_key(one, key[0] + 12 * key[1]) for one, key in keys if key]))
        found["by texture"] = {name: by_texture(hits, test) for name, hits in clips.items()}
        found["as composed"] = {name: as_composed(hits, test) for name, hits in clips.items()}
        by_kind[kind] = found
    files = {split: len(corpus.files(split)) for split in ("train", "val", "test")}
    return {"files": files, "probes": readout.report["probes"], "music": by_kind}


@cache
def score(file: CorpusFile) -> Score:
    """The notes of a piece."""
    return score_example(seed_of(file), SECONDS)


def onset_figure(
    val: Sequence[tuple[CorpusFile, Any]], test: Sequence[tuple[CorpusFile, Any]], kind: str, rate: float
) -> list[float]:
    """F1 of onsets on test pieces, its interval, and the threshold that is the best on validation pieces."""
    starts, checked = ([score_onsets(score(file)) for file, _ in pieces] for pieces in (test, val))
    curves = onset_curves(val, kind)
    best = float(max(THRESHOLDS, key=lambda threshold: mean_f1(curves, checked, threshold, rate).mean()))
    f1 = mean_f1(onset_curves(test, kind), starts, best, rate)
    return [float(f1.mean()), *mean_interval(f1), best]


def chord_figure(readout: Readout, corpus: Corpus, pieces: Sequence[tuple[CorpusFile, Any]], kind: str) -> list[float]:
    """Accuracy over frames with a triad, and its interval."""
    truth = [readout.bins["chord"].classes(*corpus.labels(file, "chord")) for file, _ in pieces]
    classes = np.concatenate([reading.classes[kind]["chord"][0].numpy() for _, reading in pieces]).astype(int)
    files = np.repeat(np.arange(len(truth)), [len(one) for one in truth])
    wanted = np.concatenate(truth)
    counted = (wanted >= 0) & (wanted < NONE)
    right = (classes == wanted)[counted]
    return [float(right.mean()), *bootstrap_interval(right, files[counted])]


def clip_hits(
    readout: Readout, corpus: Corpus, pieces: Sequence[tuple[CorpusFile, Any]], kind: str, name: str
) -> np.ndarray:
    """Whether an attribute of clips is right, 0 or 1 for each piece."""
    right = []
    for file, reading in pieces:
        (truth,) = clip_labels(readout.bins[name].classes(*corpus.labels(file, name)), [file.frames])
        right.append(reading.classes[kind][name][0, 0] == truth)
    return np.array(right, float)


def split_by_texture(hits: np.ndarray, pieces: Sequence[tuple[CorpusFile, Any]]) -> dict[str, np.ndarray]:
    """Those of solos, duos, trios and bands apart."""
    textures = np.array([texture_of(seed_of(file)) for file, _ in pieces])
    return {texture: hits[textures == texture] for texture in TEXTURES}


def by_texture(hits: np.ndarray, pieces: Sequence[tuple[CorpusFile, Any]]) -> dict[str, list[float]]:
    """Mean, and its interval, of each texture."""
    parts = split_by_texture(hits, pieces)
    return {texture: [float(own.mean()), *mean_interval(own)] for texture, own in parts.items()}


def as_composed(hits: np.ndarray, pieces: Sequence[tuple[CorpusFile, Any]]) -> list[float]:
    """Mean, and its interval, were the textures as frequent as in pieces as they are composed."""
    shares, random, parts = texture_shares(), np.random.default_rng(0), split_by_texture(hits, pieces)
    draws = sum(
        shares[texture] * own[random.integers(0, len(own), (1000, len(own)))].mean(1) for texture, own in parts.items()
    )
    mean = sum(shares[texture] * float(own.mean()) for texture, own in parts.items())
    return [mean, *(float(edge) for edge in np.percentile(draws, [2.5, 97.5]))]


@cache
def texture_shares() -> dict[str, float]:
    """How frequent each texture is among pieces as they are composed."""
    drawn = [texture_of(seed) for seed in range(FIRST_SEEDS["test"], FIRST_SEEDS["test"] + DRAWN)]
    return {texture: drawn.count(texture) / DRAWN for texture in TEXTURES}


def pitch_figures(corpus: Corpus) -> dict[str, list[float]]:
    """Accuracy of the shipped readout's pitch on the notes, and octave-folded."""
    mini = Readout.from_pretrained("mini")
    right, folded, files = [], [], []
    for number, file in enumerate(corpus.files("test")):
        wanted = mini.bins["pitch"].classes(*corpus.labels(file, "pitch"))
        latents = torch.from_numpy(np.array(corpus.latents(file), dtype=np.float32))[None]
        classes = mini.read(latents, only_trained=True).classes["trained"]["pitch"][0].numpy().astype(int)
        known = wanted >= 0
        right.append((classes == wanted)[known])
        folded.append(((classes - wanted) % 12 == 0)[known])
        files.append(np.full(known.sum(), number))
    where = np.concatenate(files)
    found = {"accuracy": np.concatenate(right), "octave_folded": np.concatenate(folded)}
    return {name: [float(values.mean()), *bootstrap_interval(values, where)] for name, values in found.items()}


def main() -> None:
    """Fit and judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder of the pieces and the probes on them")
    parser.add_argument("--larger", type=Path, required=True, help="folder of the larger set and the probes on it")
    options = parser.parse_args()
    corpus = Corpus.open(options.work / "corpus")
    place = options.work / "beat"
    if not (place / "config.json").exists():
        # One pass is enough to see whether a frame says where in the beat it lies.
        fit_probes(corpus, open_sae("mini"), place, fit_bins(corpus, ("beat",)), replace(PROBES, epochs=1))
    beat = Readout.from_pretrained(place).report["probes"]
    parts = {"of the set": figures(options.work), "of the larger set": figures(options.larger)}
    write_json(options.work / "figures.json", parts | {"beat": beat, "pitch": pitch_figures(corpus)})


if __name__ == "__main__":
    main()
