"""Probes that know the noise for a fitted readout: clean latents are noised, and each log-SNR has its own training."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from probes.corpus import Corpus
from probes.corpus.labels import Labels, check_enough, check_judged, class_labels
from probes.corpus.noising import noised, straight_shares
from probes.corpus.sampling import FrameSampler
from probes.errors import InputError
from probes.fit.clip_probes import ClipProbe, fit_blocks, mean, predict_clips
from probes.fit.probe_fit import (
    SAMPLE,
    clip_data,
    counted,
    label_tables,
    labelled_chunks,
    of_columns,
    train_together,
    with_clips,
)
from probes.fit.probe_metrics import Predictions, accuracy, bootstrap_interval
from probes.fit.probe_training import Block, ProbeOptions, ProbeTrainer
from probes.readout.inputs import Inputs
from probes.readout.kinds import TRAINED
from probes.readout.linear import LinearProbes
from probes.readout.noise import SCALE, NoiseAware, NoisyInputs

if TYPE_CHECKING:
    from probes.readout import Readout


STARTED, FROM_ZERO = "started", "probes"
"""Blocks of probes that are trained side by side: one from the clean probes on the linear clean estimate, which suits
little noise, one from zero, which suits much noise."""


class NoisySplit(NamedTuple):
    """One split of a corpus at one log-SNR."""

    inputs: list[np.ndarray]
    """float32 [frames, inputs] of each file, parts of one scratch file on disk."""
    clean: dict[str, np.ndarray]
    """Class that the clean probes read in the noisy latents themselves, uint8 [all frames], by attribute; [files] where
    a clip has one value."""
    names: list[str]
    """The files'."""


def fit_noise(
    corpus: Corpus,
    readout: Readout,
    levels: Sequence[float],
    options: ProbeOptions,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[NoiseAware, dict[str, Any]]:
    """Train probes and controls for each log-SNR on the train split, stop by the val split, score on the test split.

    Each attribute is trained from the clean probes on the linear clean estimate and from zero; what is better on the
    val split is kept.

    Args:
        corpus: With labels of every attribute of the readout.
        readout: With clean probes and the covariance of its latents; it is not changed.
        levels: Log-SNRs, all different.
        options: How each level is trained; the seed is that of the noise too.
        progress: Called with epochs done over all levels, and epochs at most.

    Returns:
        The probes, and what they are worth: the levels, and for each of the attributes lists over them.

    Raises:
        InputError: The readout knows no covariance, or a split has no labelled frame of an attribute.
    """
    if readout.covariance is None:
        raise InputError("probes that know the noise take a readout that knows the covariance of its latents")
    classes, bins = readout.probes.classes, {name: readout.bins[name] for name in readout.attributes}
    inputs = NoisyInputs(readout.mean, readout.covariance, classes)
    labels = {split: class_labels(corpus, split, bins) for split in ("train", "val", "test")}
    check_enough(labels["train"], bins, [file.frames for file in corpus.files("train")])
    check_judged(labels["test"], bins)
    tables = label_tables(corpus, labels, options.seed)
    fitted, rows = {}, []
    for number, level in enumerate(sorted(levels)):
        begun = number * options.epochs

        def epochs(done: int, _: int, begun: int = begun) -> None:
            if progress:
                progress(begun + done, len(levels) * options.epochs)

        splits = {
            split: noisy_split(corpus, split, readout, inputs, level, options.seed)
            for split in ("train", "val", "test")
        }
        probes, controls, found = train_level(readout, splits, tables, options, epochs)
        epochs(options.epochs, options.epochs)  # without an attribute of frames, or stopped early, fewer were told
        fitted[level] = probes, controls
        rows.append(
            {
                name: score_level(
                    found["probes", name],
                    found["controls", name],
                    splits["test"].clean[name],
                    counted(corpus, name in readout.clips, labels, column),
                )
                for column, name in enumerate(bins)
            }
        )
    by_name = {name: {figure: [row[name][figure] for row in rows] for figure in rows[0][name]} for name in bins}
    report = {"levels": sorted(levels), "attributes": by_name}
    return NoiseAware.of_probes(inputs, fitted), report


def train_level(
    readout: Readout,
    splits: Mapping[str, NoisySplit],
    tables: Mapping[str, Mapping[str, Labels]],
    options: ProbeOptions,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[LinearProbes, LinearProbes, dict[tuple[str, str], Predictions]]:
    """Train probes and controls at one log-SNR.

    Returns:
        Both, and what they predict of the test split, by "probes" or "controls" and attribute.
    """
    device = readout.sae.decoder_bias.device
    classes, names = readout.probes.classes, list(readout.attributes)
    arrays = {split: own.inputs for split, own in splits.items()}
    # A copy, since the trainer scales what it is given in place.
    seen = Inputs(torch.clone, arrays["train"][0].shape[1])
    frames = [name for name in names if name not in readout.clips]
    by_block: dict[str, LinearProbes] = {}
    found: dict[tuple[str, str], Predictions] = {}
    if frames:
        columns = [names.index(name) for name in frames]
        picked = of_columns(tables, columns)
        sampler = FrameSampler(arrays["train"], options.batch, options.seed, splits["train"].names)
        trainer = train_frames(readout, frames, seen, sampler, arrays["val"], picked, options, progress)
        kept = better_blocks(trainer)
        predicted = trainer.predict(arrays["test"], picked["test"]["labels"])
        for name in frames:
            found["probes", name], found["controls", name] = predicted[kept[name], name], predicted["controls", name]
        by_block = {"probes": joined(trainer, kept), "controls": trainer.probes("controls")}
    clips: dict[tuple[str, str], ClipProbe] = {}
    if readout.clips:
        columns = [names.index(name) for name in readout.clips]
        data = clip_data(seen, arrays, of_columns(tables, columns), device, mean)
        blocks = [Block("probes"), Block("controls", "shuffled")]
        counts = {name: classes[name] for name in readout.clips}
        clips = fit_blocks(data["train"], data["val"], blocks, counts, seen.levels)
        found |= predict_clips(data["test"], clips, readout.clips)
    probes, controls = (with_clips(classes, by_block.get(block), clips, block) for block in ("probes", "controls"))
    return probes, controls, found


def train_frames(
    readout: Readout,
    names: Sequence[str],
    seen: Inputs,
    sampler: FrameSampler,
    val: Sequence[np.ndarray],
    tables: Mapping[str, Mapping[str, Labels]],
    options: ProbeOptions,
    progress: Callable[[int, int], None] | None = None,
) -> ProbeTrainer:
    """Train probes of single frames from both starts, and controls."""
    device = readout.sae.decoder_bias.device
    sample = torch.cat([sampler.at(step)[0] for step in range(min(SAMPLE, sampler.batches_per_epoch))]).to(device)
    blocks = [Block(STARTED), Block(FROM_ZERO), Block("controls", "shuffled")]
    own = {name: readout.probes.classes[name] for name in names}
    trainer = ProbeTrainer(seen, own, blocks, sample, options)
    same = torch.eye(len(readout.probes.bias), seen.width) / SCALE
    trainer.start(STARTED, torch.cat([same[readout.probes.rows(name)] for name in names]))

    def validation() -> Iterator[tuple[Tensor, dict[str, Tensor]]]:
        return labelled_chunks(val, tables["val"], device)

    trainer.validate(validation)
    learned = {name: torch.from_numpy(table).long().to(device) for name, table in tables["train"].items()}
    train_together([trainer], sampler, learned, validation, options, progress)
    return trainer


@torch.no_grad()
def noisy_split(
    corpus: Corpus, split: str, readout: Readout, inputs: NoisyInputs, level: float, seed: int
) -> NoisySplit:
    """What probes see of a split at a log-SNR, on disk, and what the clean probes read there."""
    files = corpus.files(split)
    alpha, sigma = straight_shares(level)
    device = readout.sae.decoder_bias.device
    with tempfile.TemporaryFile() as held:  # goes with the map
        # One row at least: numpy before 2.2 makes no empty map of a split without files.
        scratch = np.memmap(held, np.float32, "w+", shape=(max(1, corpus.frames(split)), inputs.width))
    clean: dict[str, list[np.ndarray]] = {name: [] for name in readout.attributes}
    arrays: list[np.ndarray] = []
    names = [file.name for file in files]
    row = 0
    for file in files:
        x = torch.from_numpy(noised(corpus.latents(file), file.name, level, seed)).to(device)
        logits = readout.clip_logits(inputs.estimate(x, alpha, sigma))
        scratch[row : row + len(x)] = inputs(logits, x, alpha, sigma).cpu().numpy()
        arrays.append(scratch[row : row + len(x)])
        row += len(x)
        if split == "test":
            read = readout.read(x[None], only_trained=True)
            for name, parts in clean.items():
                whole = read.classes[TRAINED][name][0].cpu().numpy()
                parts.append(whole[:1] if name in readout.clips else whole)
    return NoisySplit(arrays, {name: np.concatenate(parts) for name, parts in clean.items() if parts}, names)


def better_blocks(trainer: ProbeTrainer) -> dict[str, str]:
    """For each attribute the start that is better on the val split."""
    losses = {block.name: block.best for block in trainer.blocks}
    return {
        name: min((STARTED, FROM_ZERO), key=lambda block: losses[block].get(name, float("inf")))
        for name in trainer.classes
    }


def joined(trainer: ProbeTrainer, kept: Mapping[str, str]) -> LinearProbes:
    """Probes whose attributes come from the blocks that `kept` names."""
    whole = trainer.probes(FROM_ZERO)
    started = trainer.probes(STARTED)
    for name, block in kept.items():
        if block == STARTED:
            rows = whole.rows(name)
            whole.weight.data[rows], whole.bias.data[rows] = started.weight.data[rows], started.bias.data[rows]
    return whole


def score_level(
    main: Predictions, controls: Predictions, clean: np.ndarray, counted: tuple[Labels, Labels]
) -> dict[str, Any]:
    """Accuracies of an attribute on the test split.

    Args:
        main: Predictions of the probes.
        controls: Those of probes of shuffled labels.
        clean: Classes that the clean probes read, of all frames, or clips where each has one value.
        counted: Labels of the train and the test split, likewise.
    """
    train, test = counted
    commonest = int(np.bincount(train[train >= 0]).argmax())
    return {
        "accuracy": accuracy(main.labels, main.classes),
        "interval": bootstrap_interval(main.labels == main.classes, main.files),
        "clean": accuracy(main.labels, clean[test >= 0]),
        "shuffled": accuracy(controls.labels, controls.classes),
        "majority": accuracy(main.labels, np.full_like(main.labels, commonest)),
    }
