"""The network's shape, in the keys of upstream's `config/diffrhythm-1b.json`."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from probes.errors import InputError

# Keys that upstream's constructor takes and the network does not use: the Llama blocks run with 32 heads whatever
# `heads` says, and dropout is off when sampling.
IGNORED = {"heads", "dim_head", "dropout"}


MOST = 10**6
"""Largest number that a key may have."""


@dataclass(frozen=True)
class DiTConfig:
    """Shape of the diffusion transformer. The defaults are the released 1.1-billion-parameter model."""

    dim: int = 2048
    """Width of the transformer."""
    depth: int = 16
    """Number of Llama blocks; the text is added after each of the first half."""
    ff_mult: int = 4
    """Width of the feed-forward layers over `dim`."""
    text_dim: int = 512
    """Width of the lyrics branch."""
    conv_layers: int = 4
    """ConvNeXt V2 blocks of the lyrics branch; 0 leaves the token embedding alone."""
    mel_dim: int = 64
    """Latent channels (upstream's name; there are no mel bands)."""
    text_num_embeds: int = 363
    """Phoneme vocabulary; id 0, the filler, is one more row."""
    max_frames: int = 2048
    """2048 frames are 95 s; 6144 are 285 s and bring the song-duration embedding."""
    causal: bool = False
    """Causal attention: the v1.0 checkpoints (`-base`, `-full`) were trained and published with it."""
    attention_heads: int = 32
    """Heads of the Llama blocks. Upstream always has 32; the bundled small model has fewer."""

    @property
    def has_duration(self) -> bool:
        """Whether the song-duration embedding exists: 6144 frames, and not in v1.0."""
        return self.max_frames == 6144 and not self.causal

    @property
    def text_positions(self) -> int:
        """Rows of the lyrics position table; frames beyond share the last one. v1.0 had 4096."""
        return 4096 if self.causal else self.max_frames

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name == "causal":
                if not isinstance(value, bool):
                    raise InputError(f"config key 'causal' must be true or false, got {value!r}")
                continue
            lowest = 0 if field.name == "conv_layers" else 1
            if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= MOST:
                raise InputError(
                    f"config key '{field.name}' must be a whole number from {lowest} to {MOST}, got {str(value)[:20]}"
                )
        if self.dim % (2 * self.attention_heads):
            raise InputError(
                f"config: dim {self.dim} must be a multiple of {2 * self.attention_heads} (2 x attention_heads)"
            )


def read_config(
    source: "DiTConfig | Mapping[str, Any] | str | Path | None",
    max_frames: int | None = None,
    implied: Mapping[str, Any] | None = None,
) -> DiTConfig:
    """A config from upstream's dictionary or JSON file.

    Args:
        source: keys of `DiTConfig`, bare or under "model" (upstream's file) or "model_config"; None is the released
            model. Upstream's keys without effect (`heads`, `dim_head`, `dropout`) are accepted.
        max_frames: sets the key of the same name; None leaves what the source says (2048 where it is silent).
        implied: keys that hold where the source is silent, such as what a hub id tells.

    Raises:
        InputError: the file cannot be read, or a key is unknown or out of range.
    """
    if isinstance(source, DiTConfig):
        return source if max_frames is None else dataclasses.replace(source, max_frames=max_frames)
    if isinstance(source, str | Path):
        try:
            values: Any = json.loads(Path(source).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise InputError(f"cannot read the model config {source}: {error}") from None
    else:
        values = {} if source is None else source
    if not isinstance(values, Mapping):
        raise InputError("the model config must be a dictionary of upstream's keys (dim, depth, ...)")
    for nested in ("model", "model_config"):
        if isinstance(values.get(nested), Mapping):
            values = values[nested]
    values = {key: value for key, value in values.items() if key not in IGNORED}
    if values.pop("long_skip_connection", None):
        raise InputError("config key 'long_skip_connection' is not supported: no released checkpoint has it")
    unknown = sorted(set(values) - {field.name for field in dataclasses.fields(DiTConfig)})
    if unknown:
        raise InputError(f"unknown keys in the model config: {', '.join(unknown)}")
    if max_frames is not None:
        values["max_frames"] = max_frames
    return DiTConfig(**{**(implied or {}), **values})
