"""Training linear probes: all attributes, their controls and ablations together, in one pass over the data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from probes.errors import InputError
from probes.fit.probe_metrics import Predictions
from probes.fit.sae_training import check_training_numbers
from probes.readout.inputs import Inputs
from probes.readout.linear import LinearProbes

FRAMES = 4096  # frames evaluated together


@dataclass(frozen=True)
class ProbeOptions:
    """How probes are trained."""

    epochs: int = 20
    """Most passes over the training split."""
    batch: int = 1024
    """Number of frames in a step."""
    learning_rate: float = 2e-3
    """Learning rate of Adam, on inputs scaled to rms 1; falls linearly to a tenth over the epochs."""
    patience: int = 3
    """Stop after so many epochs without a better validation loss of any attribute."""
    log_rms: bool = True
    """Give the probes log rms(h), the level that RMSNorm takes away, as one more input (relu only)."""
    baselines: bool = True
    """Also train probes on raw latents and on an untrained autoencoder, for the report."""
    precision: str = "fp32"
    """Number type of the matrix products: fp32 or bf16. Validation is fp32."""
    seed: int = 0
    """Seed of the order of the data and of the shuffled labels."""

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch < 1 or self.patience < 1:
            raise InputError(
                f"--epochs, --batch and --patience must be at least 1, not {self.epochs}, {self.batch}, {self.patience}"
            )
        check_training_numbers(self.learning_rate, self.seed, "--probe-lr")
        if self.precision not in ("fp32", "bf16"):
            raise InputError(f"precision must be fp32 or bf16, not {self.precision!r}")


@dataclass
class Block:
    """One set of probes, rows of a larger matrix.

    table: which label table it learns ("labels" or "shuffled"). level: whether it sees the last input, log rms(h).
    """

    name: str
    table: str = "labels"
    level: bool = False
    best: dict[str, float] = field(default_factory=dict)  # validation loss of each attribute's kept weights


class ProbeTrainer:
    """Blocks of probes on the same inputs, trained as one matrix.

    Each attribute of each block minimises its own mean cross-entropy over its labelled frames; rows of different
    attributes and blocks share nothing but the inputs and the steps, so each one's best weights on the validation
    data are kept by themselves. A block on shuffled labels is selected by shuffled validation labels.
    """

    def __init__(
        self, inputs: Inputs, classes: Mapping[str, int], blocks: Sequence[Block], sample: Tensor, options: ProbeOptions
    ) -> None:
        self.inputs, self.blocks, self.options = inputs, list(blocks), options
        self.classes = dict(classes)
        self.rows = sum(classes.values())
        device = sample.device
        with torch.no_grad():
            # one factor for all features, so that the learning rate means the same for every autoencoder
            body = inputs.features(sample)[:, : inputs.width - inputs.levels]
            self.scale = float(1 / body.square().mean().sqrt().clamp_min(1e-12))
        self.weight = torch.zeros(self.rows * len(self.blocks), inputs.width, device=device)
        self.bias = torch.zeros(self.rows * len(self.blocks), device=device)
        self.kept = (self.weight.clone(), self.bias.clone())
        self.optimiser = torch.optim.Adam([self.weight, self.bias], lr=options.learning_rate, fused=True)

    def start(self, block: str, weight: Tensor) -> None:
        """Start a block from weights [rows, inputs] on unscaled inputs instead of from zero."""
        index = [own.name for own in self.blocks].index(block)
        body = self.inputs.width - self.inputs.levels
        rows = self.weight[index * self.rows : (index + 1) * self.rows]
        rows.copy_(weight)
        rows[:, :body] /= self.scale

    def _scaled(self, x: Tensor) -> Tensor:
        features = self.inputs.features(x)
        features[:, : self.inputs.width - self.inputs.levels] *= self.scale
        return features

    def _parts(self, stacked: Tensor) -> list[tuple[Block, int, Tensor]]:
        """Columns [rows of all blocks] -> (block, attribute number, its columns)."""
        sizes = list(self.classes.values()) * len(self.blocks)
        parts = stacked.split(sizes, dim=-1)
        count = len(self.classes)
        return [(self.blocks[i // count], i % count, part) for i, part in enumerate(parts)]

    @torch.no_grad()
    def step(self, x: Tensor, tables: Mapping[str, Tensor], learning_rate: float) -> None:
        """One step on raw latents [N, C] with label tables {name: [N, attributes] int64, -1 where masked}."""
        features = self._scaled(x)
        if self.options.precision == "bf16":
            features = features.bfloat16()
        logits = (features @ self.weight.to(features.dtype).t()).float() + self.bias
        gradients = []
        for block, column, part in self._parts(logits):
            labels = tables[block.table][:, column]
            valid = labels >= 0
            slope = part.softmax(-1)
            slope[torch.arange(len(slope), device=slope.device), labels.clamp_min(0)] -= 1
            gradients.append(slope * (valid / valid.sum().clamp_min(1))[:, None])
        gradient = torch.cat(gradients, dim=-1)
        self.weight.grad = (gradient.to(features.dtype).t() @ features).float()
        if self.inputs.levels:
            for index, block in enumerate(self.blocks):
                if not block.level:
                    self.weight.grad[index * self.rows : (index + 1) * self.rows, -1] = 0
        self.bias.grad = gradient.sum(0)
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate
        self.optimiser.step()

    @torch.no_grad()
    def validate(self, chunks: Callable[[], Iterable[tuple[Tensor, dict[str, Tensor]]]]) -> bool:
        """Validation losses; keep the weights of each attribute that got better.

        Probes of shuffled labels are selected by shuffled validation labels, as the others are by theirs.

        Args:
            chunks: Gives raw latents [N, C] and for each table of labels [N, attributes].

        Returns:
            Whether a probe of true labels got better.
        """
        losses: dict[tuple[str, int], float] = {}
        counts: Counter[tuple[str, int]] = Counter()
        for x, labels in chunks():
            logits = self._scaled(x) @ self.weight.t() + self.bias
            for block, column, part in self._parts(logits):
                wanted = labels[block.table][:, column]
                loss = torch.nn.functional.cross_entropy(part, wanted, ignore_index=-1, reduction="sum")
                key = (block.name, column)
                losses[key] = losses.get(key, 0.0) + float(loss)
                counts[key] += int((wanted >= 0).sum())
        better = False
        start = 0
        for block in self.blocks:
            for column, (name, count) in enumerate(self.classes.items()):
                key = (block.name, column)
                mean = losses[key] / counts[key] if counts[key] else float("nan")
                improved = mean < block.best.get(name, float("inf"))
                # Without a validation loss the last weights are kept.
                if improved or not counts[key]:
                    for kept, now in zip(self.kept, (self.weight, self.bias)):
                        kept[start : start + count] = now[start : start + count]
                if improved:
                    block.best[name] = mean
                    better = better or block.table != "shuffled"
                start += count
        return better

    def probes(self, name: str) -> LinearProbes:
        """The kept weights of a block, on unscaled inputs; without the level's column where it does not see it."""
        index = [block.name for block in self.blocks].index(name)
        rows = slice(index * self.rows, (index + 1) * self.rows)
        weight = self.kept[0][rows].clone()
        body = self.inputs.width - self.inputs.levels
        weight[:, :body] *= self.scale
        if not self.blocks[index].level:
            weight = weight[:, :body]
        return LinearProbes.of_weights(self.classes, weight, self.kept[1][rows].clone())

    @torch.no_grad()
    def predict(self, arrays: Sequence[np.ndarray], labels: np.ndarray) -> dict[tuple[str, str], Predictions]:
        """Predictions of the kept weights on files: {(block, attribute): those with a label}.

        Args:
            arrays: Latents [frames, C] of each file.
            labels: [frames of all files, attributes], -1 where masked.
        """
        weight, bias = self.kept
        names = list(self.classes)
        lengths = [len(array) for array in arrays]
        found: dict[tuple[str, str], list[np.ndarray]] = {}
        for x in frame_chunks(arrays, weight.device):
            logits = self._scaled(x) @ weight.t() + bias
            for block, column, part in self._parts(logits):
                found.setdefault((block.name, names[column]), []).append(decide(part))
        return {
            (block, name): of_frames(parts, labels[:, names.index(name)], lengths)
            for (block, name), parts in found.items()
        }


def decide(logits: Tensor) -> np.ndarray:
    """Logits [N, K] -> [3, N]: class, confidence, and margin of the two largest logits."""
    confidence, classes = logits.softmax(-1).max(-1)
    best = logits.topk(min(2, logits.shape[-1]), dim=-1).values
    return torch.stack([classes.float(), confidence, best[:, 0] - best[:, -1]]).cpu().numpy()


def of_frames(parts: list[np.ndarray], truth: np.ndarray, lengths: Sequence[int]) -> Predictions:
    """Predictions of the frames with a label.

    Args:
        parts: [3, frames] each, as `decide` gives them, all files end to end.
        truth: [frames], -1 where there is no label.
        lengths: Frames of each file.
    """
    values = np.concatenate(parts, axis=1)
    files = np.repeat(np.arange(len(lengths)), lengths)
    finite = np.isfinite(values).all(0)
    if not finite.all():
        raise InputError(
            f"latents of file {int(files[~finite][0])} of the test split are beyond every scale: the corpus is damaged,"
            " encode it again"
        )
    valid = truth >= 0
    classes, confidence, margin = values
    return Predictions(
        truth[valid].astype(np.int64), classes[valid].astype(np.int64), confidence[valid], files[valid], margin[valid]
    )


def frame_chunks(arrays: Sequence[np.ndarray], device: torch.device) -> Iterator[Tensor]:
    """Frames [N, C] of files, a few thousand at a time."""
    for array in arrays:
        for start in range(0, len(array), FRAMES):
            yield torch.from_numpy(np.array(array[start : start + FRAMES], np.float32)).to(device)
