"""Probes of attributes with one value for a clip: softmax regression on what is taken together of its frames' inputs.

That is their peaks (`probes.readout.pooling`); for probes that know the noise, which are told what is read in peaks, it
is their mean. A clip counts once, however long it is. There are few of them, so the loss has a ridge penalty, which
makes its minimum a single one; how strong it is is chosen on the val split, whose clips are then learned from too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from probes.corpus.labels import Labels, clip_labels
from probes.fit.probe_metrics import Predictions, of_clips
from probes.fit.probe_training import Block
from probes.readout.inputs import Inputs
from probes.readout.pooling import peaks, stretches

PENALTIES = tuple(10 ** (-half / 2) for half in range(-2, 9))
"""Strengths of the penalty on weights of standardised inputs, strongest first."""
NO_VALIDATION = PENALTIES[6]
"""The strength where no clip of the val split has a label."""
ITERATIONS = 60


class ClipProbe(NamedTuple):
    """Weights [K, parts, inputs] and biases [K] of one attribute."""

    weight: Tensor
    bias: Tensor


class ClipData(NamedTuple):
    """The files of one split."""

    inputs: Tensor
    """[files, parts, inputs] what probes see of each."""
    labels: Mapping[str, Labels]
    """For each table of labels, [files, attributes], -1 where a file has none."""

    def labelled(self, table: str, column: int) -> tuple[Tensor, Tensor]:
        """Inputs of the files that have a label of an attribute, and these labels."""
        labels = torch.from_numpy(self.labels[table][:, column].astype(np.int64)).to(self.inputs.device)
        known = labels >= 0
        return self.inputs[known], labels[known]


Pool = Callable[[Callable[[Tensor], Tensor], Tensor], Tensor]
"""From what is seen of frames, a function [n, C] -> [n, D], and latents [F, C] of a clip: what is taken of it
[parts, D]."""


def mean(see: Callable[[Tensor], Tensor], latents: Tensor) -> Tensor:
    """Mean [1, D] of the inputs `see(frames)` [n, D] of latents [F, C]."""
    total: Tensor = sum(see(part).sum(0) for part in stretches(latents))  # type: ignore[assignment]
    return total[None] / len(latents)


@torch.no_grad()
def clip_inputs(inputs: Inputs, arrays: Sequence[np.ndarray], device: torch.device, pool: Pool = peaks) -> Tensor:
    """What is taken together of the inputs of each file's frames, [files, parts, inputs].

    Args:
        inputs: What probes see of frames.
        arrays: Latents [frames, C] of each file.
        device: Where to compute.
        pool: How the frames are taken together.
    """
    found = torch.empty(0, 1, inputs.width, device=device)
    for row, array in enumerate(arrays):
        own = pool(inputs.features, torch.from_numpy(np.array(array, np.float32)).to(device))
        found = found if row else own.new_empty(len(arrays), *own.shape)
        found[row] = own
    return found


def clip_table(labels: Labels, lengths: Sequence[int]) -> Labels:
    """Labels of frames [frames, attributes] -> of files [files, attributes]."""
    columns = [clip_labels(labels[:, column], lengths) for column in range(labels.shape[1])]
    return np.stack(columns, axis=1) if columns else np.zeros((len(lengths), 0), np.int16)


def fit_blocks(
    train: ClipData,
    val: ClipData,
    blocks: Sequence[Block],
    classes: Mapping[str, int],
    levels: int,
    on_probe: Callable[[], None] = lambda: None,
) -> dict[tuple[str, str], ClipProbe]:
    """The probe of every block and attribute.

    Args:
        train: What is learned, with the tables that the blocks name.
        val: What decides on the penalty, and is learned then.
        blocks: Which table each learns, and whether it sees the last `levels` inputs.
        classes: Number of classes of each attribute, in the order of the labels' columns.
        levels: Number of inputs at the end that not every block sees.
        on_probe: Called after each probe.
    """
    found = {}
    body = train.inputs.shape[-1] - levels
    for block in blocks:
        seen = slice(None) if block.level else slice(body)
        for column, (name, count) in enumerate(classes.items()):
            learned, checked = (data.labelled(block.table, column) for data in (train, val))
            parts = learned[0].shape[1]
            learned, checked = ((x[..., seen].flatten(1), y) for x, y in (learned, checked))
            weight, bias = fit_softmax(learned, checked, count)
            found[block.name, name] = ClipProbe(weight.unflatten(1, (parts, -1)), bias)
            on_probe()
    return found


def predict_clips(
    test: ClipData,
    probes: Mapping[tuple[str, str], ClipProbe],
    attributes: Sequence[str],
) -> dict[tuple[str, str], Predictions]:
    """Predictions of true labels by the probe of each block and attribute."""
    found = {}
    for (block, name), probe in probes.items():
        seen = test.inputs[..., : probe.weight.shape[-1]]
        logits = seen.flatten(1) @ probe.weight.flatten(1).t() + probe.bias
        shares = logits.cpu().double().softmax(-1).numpy()
        found[block, name] = of_clips(test.labels["labels"][:, attributes.index(name)].astype(np.int64), shares)
    return found


def fit_softmax(train: tuple[Tensor, Tensor], val: tuple[Tensor, Tensor], count: int) -> tuple[Tensor, Tensor]:
    """Minimise mean cross-entropy + penalty / 2 ||W||^2 on standardised inputs of both splits, with the penalty whose
    solution on `train` suits `val`.

    Args:
        train: Inputs [N, D] and classes [N].
        val: Likewise, or none.
        count: Number of classes; one that does not occur is hardly ever read.

    Returns:
        Weights [K, D] and biases [K] on the inputs as they are.
    """
    x, y = train
    mean, std = x.mean(0), x.std(0, correction=0)
    varied = std > 1e-6 * std.max().clamp_min(1e-12)
    scale = torch.where(varied, 1 / std.clamp_min(1e-12), 0.0)
    learned, penalty = (x - mean) * scale, NO_VALIDATION
    solution = x.new_zeros(count, x.shape[1] + 1)
    if len(val[1]):
        checked, least = (val[0] - mean) * scale, float("inf")
        for weaker in PENALTIES:
            found = _minimise(learned, y, weaker, solution)
            loss = _loss(found, checked, val[1])
            if loss >= least:
                break
            least, penalty, solution = loss, weaker, found
        learned, y = torch.cat([learned, checked]), torch.cat([y, val[1]])
    solution = _minimise(learned, y, penalty, solution)
    weight = solution[:, :-1] * scale
    return weight, solution[:, -1] - weight @ mean


def _minimise(x: Tensor, y: Tensor, penalty: float, start: Tensor) -> Tensor:
    """The solution [K, D + 1] under a penalty, found from `start`."""
    solution = start.clone().requires_grad_(True)
    optimiser = torch.optim.LBFGS([solution], max_iter=ITERATIONS, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        # Contiguous: the gradient of a view is taken by a product that is ten times slower for two classes.
        logits = torch.nn.functional.linear(x, solution[:, :-1].contiguous(), solution[:, -1])
        # A trace of a penalty on biases too, so that a class that does not occur has a finite one.
        ridge = solution[:, :-1].square().sum() * penalty + solution[:, -1].square().sum() * 1e-4
        loss = torch.nn.functional.cross_entropy(logits, y) + ridge / 2
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimiser.step(closure)  # type: ignore[no-untyped-call,arg-type]
    return solution.detach()


def _loss(solution: Tensor, x: Tensor, y: Tensor) -> float:
    logits = torch.nn.functional.linear(x, solution[:, :-1], solution[:, -1])
    return float(torch.nn.functional.cross_entropy(logits, y))
