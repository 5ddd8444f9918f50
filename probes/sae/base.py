"""The interface every sparse autoencoder here shares, and its files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch
from huggingface_hub import ModelHubMixin
from torch import Tensor, nn

from probes.errors import InputError
from probes.sae.config import SAEConfig
from probes.support.devices import in_float32
from probes.support.files import read_json, write_json, write_whole
from probes.support.hub import fetch_files
from probes.support.tensors import require_described, require_finite_weights


class StepLoss(NamedTuple):
    """Loss of one batch, in standardised units, averaged over the batch's frames."""

    total: Tensor  # scalar, the one whose gradient is taken
    error: Tensor  # scalar, squared error (summed or averaged over channels as config.reduction says)
    penalty: Tensor  # scalar, the sparsity term with its weight
    fired: Tensor  # [H] bool, features active in at least one frame of the batch


_CLASSES: dict[str, tuple[type[SparseAutoencoder], type[SAEConfig]]] = {}

Class = TypeVar("Class", bound="type[SparseAutoencoder]")


def register(config: type[SAEConfig]) -> Callable[[Class], Class]:
    """Decorator of a subclass: the architecture that `config` names is made of it from then on."""

    def add(kind: Class) -> Class:
        _CLASSES[config.architecture] = kind, config
        return kind

    return add


def architectures() -> tuple[str, ...]:
    """Names of the architectures."""
    return tuple(sorted(_CLASSES))


def config_class(architecture: str) -> type[SAEConfig]:
    """Config class of an architecture. Raises InputError when there is none of that name."""
    if architecture not in _CLASSES:
        raise InputError(f"architecture must be one of {', '.join(architectures())}, not {architecture!r}")
    return _CLASSES[architecture][1]


def make_config(architecture: str, **values: Any) -> SAEConfig:
    """A config of an architecture.

    Raises:
        InputError: No such architecture, or a field that has no meaning or belongs to another architecture.
    """
    kind = config_class(architecture)
    known = {field.name for field in fields(kind)}
    for name in sorted(values.keys() - known):
        owners = [one for one, (_, other) in sorted(_CLASSES.items()) if name in {own.name for own in fields(other)}]
        told = f"belongs to {' and '.join(owners)}, not to {architecture}" if owners else "is no field of a config"
        raise InputError(f"{name} {told}: leave it out")
    return kind(**values)


def load_config(values: Mapping[str, Any]) -> SAEConfig:
    """The config in a config.json; fields of other architectures, which version 0.1.0 wrote too, are left out.

    Raises:
        InputError: It is not that of an autoencoder.
    """
    missing = {"channels", "hidden"} - set(values)
    if missing:
        raise InputError(f"this is not the config.json of a sparse autoencoder: {sorted(missing)} missing")
    kind = config_class(str(values.get("architecture", "relu")))
    known = {field.name for field in fields(kind)}
    return kind(**{name: value for name, value in values.items() if name in known})


class SparseAutoencoder(
    nn.Module,
    ModelHubMixin,
    library_name="generation-tracer",
    tags=["sparse-autoencoder", "audio", "interpretability"],
):
    """x -> features -> x^, on raw latents of one space.

    Subclasses give `activate`, `loss` and `sparsity`, and register with a config class of their own; `relu` adds its
    RMSNorm. Parameters, with H features and C channels: encoder_weight [H, C], encoder_bias [H], dictionary [H, C]
    (row j is the atom of feature j), decoder_bias [C]; buffers mean [C] and std [C] of the training data, in raw units.
    """

    elementwise = True
    """Whether `activate` looks at one pre-activation at a time, so that features can be taken in blocks."""
    eps = 0.0
    """What is added to the mean square of h under the norm; 0 without one."""
    normed = False
    """Whether a frame's features are divided by rms(h): f_j = feature_gain_j * h_j / rms(h)."""

    def __init__(self, config: SAEConfig) -> None:
        super().__init__()
        self.config = config
        hidden, channels = config.hidden, config.channels
        self.encoder_weight = nn.Parameter(torch.zeros(hidden, channels))
        self.encoder_bias = nn.Parameter(torch.zeros(hidden))
        self.dictionary = nn.Parameter(torch.zeros(hidden, channels))
        self.decoder_bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("std", torch.ones(channels))
        self.mean: Tensor
        self.std: Tensor

    def __repr__(self) -> str:
        config = self.config
        revision = f" (revision {config.revision})" if config.revision else ""
        return (
            f"{config.architecture} autoencoder of {config.space or 'unnamed'} latents{revision}: "
            f"{config.channels} channels to {config.hidden} features, {self.sparsity}"
        ) + (f", {config.owner}" if config.owner else "")

    @property
    def sparsity(self) -> str:
        """What makes the features sparse, in a few words."""
        raise NotImplementedError

    @property
    def feature_gain(self) -> Tensor:
        """Factor of each feature [H]: f = feature_gain * h / rms(h). Ones without a norm."""
        return torch.ones_like(self.encoder_bias)

    def rms(self, h: Tensor) -> Tensor:
        """What each frame's features are divided by, [..., H] -> [..., 1]. Ones without a norm."""
        return torch.ones_like(h[..., :1])

    @torch.no_grad()
    def initialise(self, seed: int) -> None:
        """Random unit atoms, the encoder their transpose."""
        generator = torch.Generator().manual_seed(seed)
        atoms = torch.randn(self.dictionary.shape, generator=generator)
        atoms /= atoms.norm(dim=1, keepdim=True)
        self.dictionary.copy_(atoms)
        self.encoder_weight.copy_(atoms)

    @torch.no_grad()
    def set_statistics(self, mean: Tensor, std: Tensor) -> None:
        """Per-channel mean [C] and std [C] of the training data, raw units. A constant channel gets std 1."""
        self.mean.copy_(mean)
        self.std.copy_(torch.where(std > 0, std, torch.ones_like(std)))

    def deciding(self) -> dict[str, Tensor]:
        """The tensors that its features depend on, by name: mean and std too where it standardises."""
        tensors: dict[str, Tensor] = self.state_dict()
        return {name: own for name, own in tensors.items() if self.config.standardise or name not in ("mean", "std")}

    def standardise(self, x: Tensor) -> Tensor:
        """Raw latent [..., C] -> what the encoder sees."""
        return (x - self.mean) / self.std if self.config.standardise else x

    def restore(self, z: Tensor) -> Tensor:
        """The inverse of `standardise`."""
        return z * self.std + self.mean if self.config.standardise else z

    def activate(self, pre: Tensor) -> Tensor:
        """Pre-activations [..., H] -> non-negative activations [..., H]."""
        raise NotImplementedError

    def activate_block(self, pre: Tensor, part: slice) -> Tensor:
        """`activate` for the features in `part` alone; only where `elementwise`. May write over `pre`."""
        return self.activate(pre)

    def normalise(self, h: Tensor) -> Tensor:
        """h [..., H] -> features [..., H]; the identity except where an architecture has a norm."""
        return h

    def hidden(self, x: Tensor) -> Tensor:
        """Raw latent [..., C] -> h [..., H], before any norm."""
        return self.activate(nn.functional.linear(self.standardise(x), self.encoder_weight, self.encoder_bias))

    def encode(self, x: Tensor) -> Tensor:
        """Raw latent [..., C] -> features f [..., H]."""
        return self.normalise(self.hidden(x))

    def decode(self, f: Tensor) -> Tensor:
        """Features [..., H] -> raw latent [..., C]."""
        return self.restore(f @ self.dictionary + self.decoder_bias)

    def forward(self, x: Tensor) -> Tensor:
        """Raw latent [..., C] -> its reconstruction [..., C]."""
        return self.decode(self.encode(x))

    def loss(self, x: Tensor, dead: Tensor | None = None, lam: float | None = None) -> StepLoss:
        """Training loss of raw latents [N, C].

        dead: [H] bool, features for an auxiliary loss. lam: instead of config.penalty_weight, while it is warmed up.
        """
        raise NotImplementedError

    def backward(
        self, x: Tensor, dead: Tensor | None = None, lam: float | None = None, precision: str = "fp32"
    ) -> StepLoss:
        """Loss as in `loss`, with its gradients left in `.grad`. precision of the matmuls: fp32 or bf16."""
        self.zero_grad(set_to_none=True)
        with torch.autocast(x.device.type, torch.bfloat16, enabled=precision == "bf16"):
            step = self.loss(x, dead, lam)
        step.total.backward()  # type: ignore[no-untyped-call]
        return StepLoss(step.total.detach(), step.error.detach(), step.penalty.detach(), step.fired)

    @torch.no_grad()
    def remove_parallel_gradient(self) -> None:
        """Take out of the dictionary's gradient its part along each atom; before the optimiser's step."""
        if self.dictionary.grad is not None:
            along = (self.dictionary.grad * self.dictionary).sum(1, keepdim=True)
            self.dictionary.grad.sub_(along * self.dictionary)

    @torch.no_grad()
    def normalise_dictionary(self) -> None:
        """Give every atom norm 1 again; after the optimiser's step."""
        self.dictionary.div_(self.dictionary.norm(dim=1, keepdim=True).clamp_min(1e-12))

    def _save_pretrained(self, save_directory: Path) -> None:
        from safetensors.torch import save

        tensors = {name: value.detach().cpu().contiguous() for name, value in self.state_dict().items()}
        write_whole(save_directory / "model.safetensors", save(tensors))
        write_json(save_directory / "config.json", self.config.to_dict())

    @classmethod
    def from_pretrained(  # type: ignore[override]  # the mixin's would feed config.json to __init__
        cls, pretrained_model_name_or_path: str | Path, *, revision: str | None = None, **download: Any
    ) -> SparseAutoencoder:
        """A saved autoencoder of any architecture, from a folder or a hub id (at `revision`).

        download: cache_dir, force_download, local_files_only, token, as for huggingface_hub.hf_hub_download.
        Raises InputError when there is none or it is damaged.
        """
        source = str(pretrained_model_name_or_path)
        files = fetch_files(source, ("config.json", "model.safetensors"), revision=revision, **download)
        sae = load_sae(load_config(read_json(files["config.json"])), files["model.safetensors"])
        if not isinstance(sae, cls):
            raise InputError(f"{source} holds a {sae.config.architecture} autoencoder, not a {cls.__name__}")
        return sae


@in_float32
def make_sae(config: SAEConfig, seed: int | None = 0) -> SparseAutoencoder:
    """A new autoencoder of `config.architecture`; random from `seed`, or all zeros for None."""
    sae = _CLASSES[config.architecture][0](config)
    if seed is not None:
        sae.initialise(seed)
    return sae


def load_sae(config: SAEConfig, path: Path) -> SparseAutoencoder:
    """The autoencoder of `config` with the weights in the safetensors file at `path`.

    Raises:
        InputError: The file does not hold them.
    """
    from safetensors.torch import load_file

    sae = make_sae(config, seed=None)
    with require_described(path):
        tensors = load_file(path)
        sae.load_state_dict(tensors)
    require_finite_weights(path, tensors)
    return sae
