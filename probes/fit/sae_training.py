"""Training sparse autoencoders: steps, schedule, dead features, checkpoints."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from probes.corpus.sampling import FrameSampler
from probes.errors import InputError
from probes.fit.sae_starts import geometric_median, resample
from probes.sae import SAEConfig, SparseAutoencoder, load_config, make_sae
from probes.sae.base import StepLoss
from probes.support.files import write_whole
from probes.support.identity import require_same
from probes.support.interrupts import stop_request
from probes.support.tensors import checksum

CHECKPOINT = "checkpoint.safetensors"
LOG_EVERY = 100  # steps


@dataclass(frozen=True)
class TrainingOptions:
    """How an autoencoder is trained."""

    steps: int = 4000
    batch: int = 1024
    """Number of frames in a step."""
    learning_rate: float = 1e-3
    """Learning rate of Adam, with betas 0.9 and 0.999."""
    warmup: float = 0.05
    """Share of the steps over which lambda rises linearly from 0 to its value."""
    decay: float = 0.2
    """Share of the steps, the last ones, over which the learning rate falls linearly to 0."""
    decoder_bias: str = "zeros"
    """Where the decoder's bias starts: zeros, or geometric-median of a sample of the data."""
    resample_every: int = 0
    """Give dead features a new start every so many steps, until the decay begins; 0 for never."""
    dead_frames: tuple[int, int] = (100_000, 1_000_000)
    """The two horizons: a feature is dead at one when it has not fired in that many training frames. The
    first decides about resampling and AuxK."""
    precision: str = "fp32"
    """Number type of the matrix products: fp32 or bf16. Weights, sums and optimiser are fp32 either way."""
    seed: int = 0
    """Seed of the initial weights, of the order of the data and of resampling."""
    checkpoint_every: int = 500
    """Steps between checkpoints; 0 for none but the one on SIGTERM or Ctrl-C."""

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch < 1:
            raise InputError(f"--steps and --batch must be at least 1, not {self.steps} and {self.batch}")
        check_training_numbers(self.learning_rate, self.seed)
        for name, share in (("warmup", self.warmup), ("decay", self.decay)):
            if not 0 <= share <= 1:
                raise InputError(f"--{name} is a share of the steps from 0 to 1, not {share}")
        if self.resample_every < 0 or self.checkpoint_every < 0:
            raise InputError(f"--resample-every must be 0 (never) or positive, not {self.resample_every}")
        if self.decoder_bias not in ("zeros", "geometric-median"):
            raise InputError(f"decoder_bias must be zeros or geometric-median, not {self.decoder_bias!r}")
        if self.precision not in ("fp32", "bf16"):
            raise InputError(f"precision must be fp32 or bf16, not {self.precision!r}")

    def learning_rate_at(self, step: int) -> float:
        left = (self.steps - step) / max(1.0, self.decay * self.steps)
        return self.learning_rate * min(1.0, left)

    def lam_at(self, step: int, lam: float) -> float:
        rise = self.warmup * self.steps
        return lam if step >= rise else lam * (step + 1) / (rise + 1)


def check_training_numbers(learning_rate: float, seed: int, option: str = "--lr") -> None:
    """Raise InputError for a learning rate or a seed that no training could take."""
    if not 0 < learning_rate < math.inf:
        raise InputError(f"{option} must be a positive number, not {learning_rate}")
    if not 0 <= seed < 2**63:
        raise InputError(f"--seed must be zero or positive and below 2^63, not {seed}")


class SAETrainer:
    """One autoencoder with its optimiser, firing counts and random state.

    Args:
        config, options: What to train and how.
        mean, std: Per-channel statistics of the training data [C], raw units.
        sample: Some frames [N, C] for the geometric median; needed only for that start.
        device: Where it trains.
    """

    def __init__(
        self,
        config: SAEConfig,
        options: TrainingOptions,
        mean: Tensor,
        std: Tensor,
        sample: Tensor | None = None,
        device: str | torch.device = "cpu",
        data: str = "",
    ) -> None:
        self.options, self.data = options, data
        self.sae: SparseAutoencoder = make_sae(config, options.seed)
        self.sae.set_statistics(mean.float(), std.float())
        if options.decoder_bias == "geometric-median":
            if sample is None:
                raise InputError("a start from the geometric median needs a sample of the data")
            with torch.no_grad():
                self.sae.decoder_bias.copy_(geometric_median(self.sae.standardise(sample.float())))
        self.sae.to(device)
        self.optimiser = torch.optim.Adam(
            self.sae.parameters(), lr=options.learning_rate, betas=(0.9, 0.999), fused=True
        )
        self.since_fired = torch.zeros(config.hidden, dtype=torch.int64, device=device)
        self.generator = torch.Generator().manual_seed(options.seed)
        self.steps_done = 0
        self.history: list[dict[str, float]] = []

    @property
    def finished(self) -> bool:
        return self.steps_done >= self.options.steps

    def dead(self, horizon: int = 0) -> Tensor:
        """[H] bool: silent for the options' first (0) or second (1) horizon of frames."""
        return self.since_fired >= self.options.dead_frames[horizon]

    def step(self, x: Tensor) -> StepLoss:
        """One optimiser step on raw latents [N, C]. Raises InputError when the loss is no longer finite."""
        options, config = self.options, self.sae.config
        x = x.to(self.since_fired.device, torch.float32)
        lam = options.lam_at(self.steps_done, config.penalty_weight)
        loss = self.sae.backward(x, self.dead(), lam, options.precision)
        if not torch.isfinite(loss.total):
            raise InputError(
                f"the loss is not finite at step {self.steps_done}: lower the learning rate "
                f"(now {options.learning_rate:g}) or look for extreme values in the latents"
            )
        if config.decoder == "unit":
            self.sae.remove_parallel_gradient()
        for group in self.optimiser.param_groups:
            group["lr"] = options.learning_rate_at(self.steps_done)
        self.optimiser.step()
        if config.decoder == "unit":
            self.sae.normalise_dictionary()
        self.since_fired += len(x)
        self.since_fired[loss.fired] = 0
        self.steps_done += 1
        if self.steps_done % LOG_EVERY == 0 or self.finished:
            self.history.append(self._record(loss))
        if self._resampling_due():
            self.since_fired[resample(self.sae, self.optimiser, x, self.dead(), self.generator)] = 0
        return loss

    def _record(self, loss: StepLoss) -> dict[str, float]:
        horizons = self.options.dead_frames
        dead = {f"dead_{horizon}": float(self.dead(i).float().mean()) for i, horizon in enumerate(horizons)}
        return {
            "step": self.steps_done,
            "loss": float(loss.total),
            "error": float(loss.error),
            "penalty": float(loss.penalty),
        } | dead

    def _resampling_due(self) -> bool:
        options = self.options
        return (
            options.resample_every > 0
            and self.steps_done % options.resample_every == 0
            and self.steps_done < options.steps * (1 - options.decay)
        )

    def save(self, folder: Path) -> None:
        """Write everything a resumed training needs to one file, replacing the last one in one go."""
        from safetensors.torch import save

        tensors = {f"sae.{name}": value for name, value in self.sae.state_dict().items()}
        for name, parameter in self.sae.named_parameters():
            for part, value in self.optimiser.state.get(parameter, {}).items():
                tensors[f"adam.{name}.{part}"] = value
        tensors["since_fired"] = self.since_fired
        tensors["generator"] = self.generator.get_state()
        held = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
        record = self.made_with() | {
            "steps_done": self.steps_done, "history": self.history, "checksum": checksum(held)
        }  # fmt: skip
        data = save(held, {"record": json.dumps(record)})
        write_whole(folder / CHECKPOINT, data)

    def resume(self, folder: Path) -> bool:
        """Continue from the checkpoint in `folder`; False when there is none.

        Raises InputError when it is of another configuration.
        """
        from safetensors import SafetensorError, safe_open

        path = folder / CHECKPOINT
        if not path.exists():
            return False
        try:
            with safe_open(path, framework="pt") as file:
                record = json.loads((file.metadata() or {})["record"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            if record.get("checksum", checksum(tensors)) != checksum(tensors):
                raise ValueError("its tensors are not those that were written")
            mine = self.made_with()
            made = {key: dict(record[key]) for key in mine}
            self._check_record(record, tensors)
        except (SafetensorError, KeyError, ValueError, TypeError, OSError, RecursionError, AttributeError) as error:
            raise InputError(f"{path} is not a readable checkpoint: delete it to start again") from error
        there = load_config(made["config"]).to_dict() | made["options"]
        require_same(path, "a checkpoint", there, mine["config"] | mine["options"])
        own = {name.removeprefix("sae."): value for name, value in tensors.items() if name.startswith("sae.")}
        try:
            self.sae.load_state_dict(own)
        except RuntimeError as error:
            raise InputError(f"{path} does not fit its own configuration: delete it to start again") from error
        for name, parameter in self.sae.named_parameters():
            prefix = f"adam.{name}."
            self.optimiser.state[parameter] = {
                key.removeprefix(prefix): value.to(parameter.device)
                for key, value in tensors.items()
                if key.startswith(prefix)
            }
        self.since_fired.copy_(tensors["since_fired"])
        self.generator.set_state(tensors["generator"])
        self.steps_done = record["steps_done"]
        self.history = record["history"]
        return True

    def _check_record(self, record: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        """Raise ValueError for counts that no training reaches, or optimiser states that are not its parameters'."""
        steps, history = record["steps_done"], record["history"]
        if type(steps) is not int or not 0 <= steps <= record["options"]["steps"] or not isinstance(history, list):
            raise ValueError("its record of steps is none")
        for name, value in tensors.items():
            if name.startswith("adam."):
                parameter = tensors["sae." + name.removeprefix("adam.").rpartition(".")[0]]
                if value.ndim and value.shape != parameter.shape:
                    raise ValueError(f"{name} has another shape than its parameter")

    def made_with(self) -> dict[str, Any]:
        return made_with(self.sae.config, self.options, self.data)


def made_with(config: SAEConfig, options: TrainingOptions, data: str) -> dict[str, Any]:
    """What an autoencoder is made with, as files keep it: its config, the options, and the fingerprint of the data."""
    own = {name: value for name, value in asdict(options).items() if name != "checkpoint_every"}
    return dict(json.loads(json.dumps({"config": config.to_dict(), "options": own | {"corpus": data}})))


def train(
    trainers: Sequence[SAETrainer],
    sampler: FrameSampler,
    folders: Sequence[Path] | None = None,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Train several autoencoders on one pass over the data: each sees the batches it would see alone.

    Args:
        trainers: At the same step or not; each takes up the data at its own.
        sampler: Where the batches come from.
        folders: One per trainer, for checkpoints: every `checkpoint_every` steps, at the end, and on SIGTERM or
            Ctrl-C, after which KeyboardInterrupt is raised.
        progress: Called with the number of steps done.
    """
    places = list(folders or [])
    waiting = [trainer for trainer in trainers if not trainer.finished]
    if not waiting:
        return
    first = min(t.steps_done for t in waiting)
    last = max(t.options.steps for t in waiting)
    with stop_request() as stop:
        for step in range(first, last):
            x, _ = sampler.at(step)
            for index, trainer in enumerate(trainers):
                if trainer.steps_done == step and not trainer.finished:
                    trainer.step(x)
                    every = trainer.options.checkpoint_every
                    if places and (trainer.finished or (every and trainer.steps_done % every == 0)):
                        trainer.save(places[index])
            if progress:
                progress(step + 1)
            if stop:
                for trainer, folder in zip(trainers, places):
                    trainer.save(folder)
                break
