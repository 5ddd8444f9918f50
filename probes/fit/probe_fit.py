"""From a corpus and an autoencoder to probes, their controls and what they are worth."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from probes.corpus import Corpus
from probes.corpus.labels import Labels, check_enough, check_judged, class_labels, clip_labels, shuffled_labels
from probes.corpus.sampling import FrameSampler
from probes.fit.clip_probes import ClipData, ClipProbe, Pool, clip_inputs, clip_table, fit_blocks, predict_clips
from probes.fit.probe_metrics import Predictions, accuracy, score
from probes.fit.probe_training import FRAMES, Block, ProbeOptions, ProbeTrainer, frame_chunks
from probes.readout.baselines import Baselines
from probes.readout.inputs import Inputs, raw_inputs, sae_inputs
from probes.readout.linear import LinearProbes
from probes.readout.pooling import peaks
from probes.sae import SparseAutoencoder, make_sae

if TYPE_CHECKING:
    from probes.attributes import Bins

SAMPLE = 16  # batches looked at for scales, before training


class FittedProbes(NamedTuple):
    probes: LinearProbes
    controls: LinearProbes
    log_rms: tuple[float, float] | None
    baselines: Baselines | None
    """Probes on raw latents and on an untrained autoencoder, where the options ask for baselines."""
    report: dict[str, dict[str, Any]]
    """Per attribute: the figures of `probe_metrics.score` on the test split, and the baselines' accuracies."""


def fit_linear_probes(
    corpus: Corpus,
    sae: SparseAutoencoder,
    bins: Mapping[str, Bins],
    options: ProbeOptions,
    progress: Callable[[int, int], None] | None = None,
) -> FittedProbes:
    """Train probes of all attributes on the train split, stop by the val split, score on the test split.

    Args:
        corpus: With labels of every attribute in `bins`.
        sae: Frozen; on the device where the probes train.
        bins: Classes of each attribute, from training data alone; none with one value for a window.
        progress: Called with steps done and steps at most: epochs, and probes of attributes with one value for a clip.

    Raises:
        InputError: a split without files, an attribute with more classes than labelled frames, or latents that
            are not finite.
    """
    sae.requires_grad_(False)
    device = sae.decoder_bias.device
    classes = {name: len(edges) for name, edges in bins.items()}
    labels = {split: class_labels(corpus, split, bins) for split in ("train", "val", "test")}
    check_enough(labels["train"], bins, [file.frames for file in corpus.files("train")])
    check_judged(labels["test"], bins)
    frames, clips = ([name for name in bins if (bins[name].grid == "clip") == whole] for whole in (False, True))
    sampler = FrameSampler.of_corpus(corpus, "train", options.batch, options.seed)
    sample = torch.cat([sampler.at(step)[0] for step in range(min(SAMPLE, sampler.batches_per_epoch))]).to(device)
    log_rms = level_statistics(sae, sample)
    kinds = input_kinds(sae, log_rms, options, device)
    unchecked = [name for column, name in enumerate(bins) if not (labels["val"][:, column] >= 0).any()]
    if unchecked:
        warnings.warn(
            f"no labelled frame of {', '.join(unchecked)} in the validation split: its probes keep their last weights",
            stacklevel=2,
        )
    arrays = {split: [corpus.latents(file) for file in corpus.files(split)] for split in labels}
    tables = label_tables(corpus, labels, options.seed)
    begun = options.epochs if frames else 0
    most = begun + len(clips) * sum(len(blocks) for _, blocks in kinds)

    def tell(done: int, _: int = 0) -> None:
        if progress:
            progress(done, most)

    probes: dict[str, LinearProbes] = {}
    found: dict[tuple[str, str], Predictions] = {}
    if frames:
        picked = of_columns(tables, [list(bins).index(name) for name in frames])
        own = {name: classes[name] for name in frames}
        probes, found = fit_frames(kinds, own, sampler, sample, arrays, picked, options, tell)
    if clips:
        picked = of_columns(tables, [list(bins).index(name) for name in clips])
        own = {name: classes[name] for name in clips}
        fitted, of_test = fit_clips(kinds, own, arrays, picked, device, lambda done: tell(begun + done))
        found |= of_test
        names = [block.name for _, blocks in kinds for block in blocks]
        probes = {block: with_clips(classes, probes.get(block), fitted, block) for block in names}

    titles = {
        "raw_latents": "raw_latents",
        "untrained_sae": "untrained_sae",
        "ablation": "without_log_rms" if options.log_rms else "with_log_rms",
    }
    report = {
        name: report_of(name, edges, found, *counted(corpus, name in clips, labels, column), titles)
        for column, (name, edges) in enumerate(bins.items())
    }
    used = log_rms if options.log_rms else None
    baselines = None
    if options.baselines:
        raw, untrained = probes["raw_latents"].cpu(), probes["untrained_sae"].cpu()
        baselines = Baselines(sae.cpu(), raw, untrained, options.seed + 1)
    return FittedProbes(probes["probes"], probes["controls"], used, baselines, report)


def fit_frames(
    kinds: Sequence[tuple[Inputs, list[Block]]],
    classes: Mapping[str, int],
    sampler: FrameSampler,
    sample: Tensor,
    arrays: Mapping[str, Sequence[np.ndarray]],
    tables: Mapping[str, Mapping[str, Labels]],
    options: ProbeOptions,
    progress: Callable[[int, int], None],
) -> tuple[dict[str, LinearProbes], dict[tuple[str, str], Predictions]]:
    """Each block's probes of attributes with a value for a frame, and what they predict of the test split.

    Args:
        kinds: What probes see, with the blocks on it.
        classes: Number of classes of each attribute, in the order of the tables' columns.
        sampler: Gives the batches of the train split.
        sample: Some of its frames [N, C], on the device where the probes train.
        arrays: Latents of the files of each split.
        tables: Label tables of each split.
        options: How the probes are trained.
        progress: Called with epochs done and epochs at most.
    """
    device = sample.device
    trainers = [ProbeTrainer(inputs, classes, blocks, sample, options) for inputs, blocks in kinds]
    learned = {name: torch.from_numpy(table).long().to(device) for name, table in tables["train"].items()}

    def validation() -> Iterator[tuple[Tensor, dict[str, Tensor]]]:
        return labelled_chunks(arrays["val"], tables["val"], device)

    train_together(trainers, sampler, learned, validation, options, progress)
    probes: dict[str, LinearProbes] = {}
    found: dict[tuple[str, str], Predictions] = {}
    for trainer in trainers:
        found |= trainer.predict(arrays["test"], tables["test"]["labels"])
        probes |= {block.name: trainer.probes(block.name) for block in trainer.blocks}
    return probes, found


def fit_clips(
    kinds: Sequence[tuple[Inputs, list[Block]]],
    classes: Mapping[str, int],
    arrays: Mapping[str, Sequence[np.ndarray]],
    tables: Mapping[str, Mapping[str, Labels]],
    device: torch.device,
    progress: Callable[[int], None],
) -> tuple[dict[tuple[str, str], ClipProbe], dict[tuple[str, str], Predictions]]:
    """Each block's probes of attributes with one value for a clip, and what they predict of the test split.

    Arguments are those of `fit_frames`; `progress` is called with the number of probes that are done.
    """
    steps = itertools.count(1)
    fitted: dict[tuple[str, str], ClipProbe] = {}
    found: dict[tuple[str, str], Predictions] = {}
    for inputs, blocks in kinds:
        data = clip_data(inputs, arrays, tables, device)
        pair = data["train"], data["val"]
        one = fit_blocks(*pair, blocks, classes, inputs.levels, lambda: progress(next(steps)))
        found |= predict_clips(data["test"], one, list(classes))
        fitted |= one
    return fitted, found


def label_tables(corpus: Corpus, labels: Mapping[str, Labels], seed: int) -> dict[str, dict[str, Labels]]:
    """For each split its labels, and those of other files for the controls; a split of one file keeps its own."""
    tables = {}
    for split, own in labels.items():
        lengths = [file.frames for file in corpus.files(split)]
        alone = split != "train" and len(lengths) < 2
        tables[split] = {"labels": own, "shuffled": own if alone else shuffled_labels(own, lengths, seed)}
    return tables


def of_columns(tables: Mapping[str, Mapping[str, Labels]], columns: Sequence[int]) -> dict[str, dict[str, Labels]]:
    """Some attributes of the label tables of each split."""
    return {split: {name: table[:, columns] for name, table in own.items()} for split, own in tables.items()}


def clip_data(
    inputs: Inputs,
    arrays: Mapping[str, Sequence[np.ndarray]],
    tables: Mapping[str, Mapping[str, Labels]],
    device: torch.device,
    pool: Pool = peaks,
) -> dict[str, ClipData]:
    """What clip probes see of the files of each split, with their labels, those of frames being given.

    `pool` is that of `clip_inputs`.
    """
    found = {}
    for split, own in arrays.items():
        lengths = [len(array) for array in own]
        by_name = {name: clip_table(table, lengths) for name, table in tables[split].items()}
        found[split] = ClipData(clip_inputs(inputs, own, device, pool), by_name)
    return found


def with_clips(
    classes: Mapping[str, int], frames: LinearProbes | None, clips: Mapping[tuple[str, str], ClipProbe], block: str
) -> LinearProbes:
    """A block's probes of all attributes in order: those of frames, and those of clips."""
    weights, biases, rises = [], [], {}
    for name in classes:
        if (block, name) in clips:
            parts, bias = clips[block, name]
            weight = parts[:, 0]
            if parts.shape[1] > 1:
                rises[name] = parts[:, 1]
        else:
            assert frames is not None
            rows = frames.rows(name)
            weight, bias = frames.weight.data[rows], frames.bias.data[rows]
        weights.append(weight)
        biases.append(bias)
    return LinearProbes.of_weights(classes, torch.cat(weights), torch.cat(biases), rises)


def counted(corpus: Corpus, of_clips: bool, labels: Mapping[str, Labels], column: int) -> tuple[Labels, Labels]:
    """Labels of an attribute in the train and the test split: [frames], or [files] where a clip has one value."""
    columns = {split: labels[split][:, column] for split in ("train", "test")}
    if of_clips:
        lengths = {split: [file.frames for file in corpus.files(split)] for split in columns}
        columns = {split: clip_labels(own, lengths[split]) for split, own in columns.items()}
    return columns["train"], columns["test"]


def level_statistics(sae: SparseAutoencoder, sample: Tensor) -> tuple[float, float] | None:
    """Mean and std of log rms(h) over frames [N, C]; None for an architecture without a norm."""
    if not sae.normed:
        return None
    with torch.no_grad():
        level = torch.cat([sae.rms(sae.hidden(part)).log() for part in sample.split(FRAMES)])
    return float(level.mean()), max(float(level.std(correction=0)), 1e-6)


def input_kinds(
    sae: SparseAutoencoder, log_rms: tuple[float, float] | None, options: ProbeOptions, device: torch.device
) -> list[tuple[Inputs, list[Block]]]:
    """What probes see, with the blocks on it: the probes with their controls and the log-rms ablation, and one of each
    baseline."""
    level = options.log_rms and log_rms is not None
    blocks = [Block("probes", level=level), Block("controls", "shuffled", level=level)]
    if log_rms is not None and options.baselines:
        blocks.append(Block("ablation", level=not level))
    seen = log_rms if level or len(blocks) > 2 else None
    kinds = [(sae_inputs(sae, seen), blocks)]
    if options.baselines:
        untrained = make_sae(sae.config, options.seed + 1)
        untrained.set_statistics(sae.mean, sae.std)
        untrained.to(device).requires_grad_(False)
        kinds.append((raw_inputs(sae), [Block("raw_latents")]))
        kinds.append((sae_inputs(untrained, None), [Block("untrained_sae")]))
    return kinds


def train_together(
    trainers: list[ProbeTrainer],
    sampler: FrameSampler,
    tables: Mapping[str, Tensor],
    validation: Callable[[], Iterator[tuple[Tensor, dict[str, Tensor]]]],
    options: ProbeOptions,
    progress: Callable[[int, int], None] | None,
) -> None:
    """Train on the same batches until no trainer gets better on the validation chunks, or the epochs are over.

    Args:
        trainers: What to train.
        sampler: Gives the batches.
        tables: Label tables of the train split, int64 [frames, attributes].
        validation: Gives the validation chunks, as `labelled_chunks` does.
        options: Epochs, patience and learning rate.
        progress: Called with epochs done and epochs at most.
    """
    per_epoch = sampler.batches_per_epoch
    total = options.epochs * per_epoch
    stale = 0
    for epoch in range(options.epochs):
        for step in range(epoch * per_epoch, (epoch + 1) * per_epoch):
            x, rows = sampler.at(step)
            device = tables["labels"].device
            picked = {name: table[rows.to(device)] for name, table in tables.items()}
            rate = options.learning_rate * (1 - 0.9 * step / total)
            for trainer in trainers:
                trainer.step(x.to(device), picked, rate)
        better = [trainer.validate(validation) for trainer in trainers]
        # Where no attribute can be validated, nothing says that training should stop.
        stale = (
            0 if any(better) or not any(block.best for trainer in trainers for block in trainer.blocks) else stale + 1
        )
        if progress:
            progress(epoch + 1, options.epochs)
        if stale >= options.patience:
            break


def labelled_chunks(
    arrays: Sequence[np.ndarray], tables: Mapping[str, np.ndarray], device: torch.device
) -> Iterator[tuple[Tensor, dict[str, Tensor]]]:
    """Frames [N, C] of files, a few thousand at a time, each with its rows of the label tables."""
    row = 0
    for x in frame_chunks(arrays, device):
        part = slice(row, row + len(x))
        yield x, {name: torch.from_numpy(table[part]).long().to(device) for name, table in tables.items()}
        row += len(x)


def report_of(
    name: str,
    edges: Bins,
    found: Mapping[tuple[str, str], Predictions],
    train: np.ndarray,
    test: np.ndarray,
    baselines: Mapping[str, str],
) -> dict[str, Any]:
    """Figures of an attribute's probe, of that of shuffled labels, and of always the class that is commonest.

    Args:
        name: The attribute.
        edges: Its classes.
        found: What the blocks "probes" and "controls", and those of `baselines`, predict of the test split.
        train: Labels among which a class is the commonest, -1 where there is none.
        test: Labels of the test split, likewise.
        baselines: Block -> name of its accuracy in the report.
    """
    main = found["probes", name]
    result = score(main, edges.centers if edges.scale == "midi" else None, ordered=edges.ordered and len(edges) > 2)
    if edges.grid != "frame":
        result[f"{edges.grid}s"] = result.pop("frames")
    commonest = int(np.bincount(train[train >= 0]).argmax())
    result["majority"] = accuracy(main.labels, np.full_like(main.labels, commonest))
    result["unlabelled"] = float(np.mean(test < 0))
    controls = found["controls", name]
    result["shuffled"] = accuracy(controls.labels, controls.classes)
    for name_of, predictions in (("margin", main), ("shuffled_margin", controls)):
        assert predictions.margin is not None
        result[name_of] = float(np.median(predictions.margin))
    result["shuffled_commonest_share"] = float(np.bincount(controls.classes).max() / len(controls.classes))
    for block, title in baselines.items():
        if (block, name) in found:
            other = found[block, name]
            result[title] = accuracy(other.labels, other.classes)
    return result
