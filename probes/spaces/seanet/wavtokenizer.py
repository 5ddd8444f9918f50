"""WavTokenizer at 24 kHz (Ji et al. 2024): one codebook, 40 or 75 entries per second."""

from math import prod
from typing import Any

import torch
from torch import Tensor

from probes.errors import InputError
from probes.spaces.base import Space
from probes.spaces.seanet import long_inputs
from probes.spaces.seanet.wavtokenizer_network import WavTokenizerNetwork
from probes.spaces.weights import load_strict, number_among, weights_file
from probes.support.hub import pinned
from probes.support.tensors import read_torch

# Rate -> the released checkpoint trained on music as well as speech.
RELEASED = {
    40: ("novateur/WavTokenizer-large-unify-40token", "wavtokenizer_large_unify_600_24k.ckpt"),
    75: (
        "novateur/WavTokenizer-medium-music-audio-75token",
        "wavtokenizer_medium_music_audio_320_24k_v2.ckpt",
    ),
}
PARTS = ("feature_extractor.", "backbone.", "head.")
# Checkpoints carry the encodec decoder that the Vocos backbone replaced; nothing uses it.
UNUSED = "feature_extractor.encodec.decoder."
CODEC = "feature_extractor.encodec."


class WavTokenizerSpace(Space):
    """24 kHz mono, 512 channels at 40 or 75 frames per second: the codebook entry of each frame.

    Args:
        weights: A released `.ckpt`, a hub id, or None to download one. A checkpoint says itself which rate it has.
        device: Where it runs.
        tokens: Per second, 40 or 75: which checkpoint to download.
        revision: Revision of the hub repository.

    Raises:
        InputError: no such file, another rate, or keys that are missing or unexpected.
    """

    name = "wavtokenizer"
    channels = 512
    sample_rate = 24000
    audio_channels = 1
    hop = 600
    chunk_frames = 800

    def __init__(
        self,
        weights: str | None = None,
        device: str | torch.device = "cpu",
        tokens: int = 40,
        revision: str | None = None,
    ) -> None:
        super().__init__(weights, device)
        rate = number_among(tokens, RELEASED)
        if rate is None:
            raise InputError(f"WavTokenizer has no rate of {tokens} tokens a second: choose 40 or 75")
        repo, filename = RELEASED[int(rate)]
        if weights is not None:  # a released repository has its own file, whatever the rate asked for
            filename = dict(RELEASED.values()).get(pinned(weights, None)[0], filename)
        path, self.revision = weights_file(weights, repo, filename, revision)
        self.weights = weights or repo
        state = released_state(read_torch(path), self.weights)
        sizes = network_sizes(state, self.weights)
        network = WavTokenizerNetwork(**sizes)
        load_strict(network, state, self.weights)
        self.network = network.to(self.device).eval()
        self.channels, self.hop = sizes["dimension"], prod(sizes["ratios"])
        self.mean, self.std = long_inputs.codebook_statistics(self.network.codebook.layers)

    def _encode(self, audio: Tensor) -> Tensor:
        embedding = long_inputs.encode(self.network.encoder, audio, self.hop, self.chunk_frames)
        codebook = self.network.codebook
        latents: Tensor = codebook.decode(codebook.encode(embedding)).transpose(1, 2)
        return latents

    def _decode(self, latents: Tensor) -> Tensor:
        audio: Tensor = self.network.head(self.network.backbone(latents.transpose(1, 2)))
        return audio.unsqueeze(1)

    # long_inputs.encode cuts long inputs itself. The backbone's group norms and attention see the whole clip, so
    # the decoder takes it in one piece; it works at frame rate and needs little memory.
    _encode_long = _encode
    _decode_long = _decode


def released_state(checkpoint: Any, source: str) -> dict[str, Tensor]:
    """The tensors of a training checkpoint that make up the codec."""
    state = checkpoint.get("state_dict") if isinstance(checkpoint, dict) else None
    if not isinstance(state, dict):
        raise InputError(f"{source} has no state_dict: give a released WavTokenizer checkpoint (.ckpt)")
    return {key: value for key, value in state.items() if key.startswith(PARTS) and not key.startswith(UNUSED)}


def network_sizes(state: dict[str, Tensor], source: str) -> dict[str, Any]:
    """Arguments of `WavTokenizerNetwork`, read from the shapes of a checkpoint.

    Raises:
        InputError: names the key that is missing.
    """
    convolution = CODEC + "encoder.model.{}.conv.conv.weight_v"
    try:
        # Each stage is a residual block, an activation and a convolution with a kernel of twice its stride,
        # and SEANet takes the strides last first.
        stages = range(3, 1 + 3 * sum(key.endswith(".block.1.conv.conv.bias") for key in state), 3)
        ratios = tuple(state[convolution.format(layer)].shape[-1] // 2 for layer in reversed(stages))
        entries, dimension = state[CODEC + "quantizer.vq.layers.0._codebook.embed"].shape
        hidden, width = state["backbone.convnext.0.pwconv1.weight"].shape
        return {
            "ratios": ratios,
            "dimension": dimension,
            "entries": entries,
            "filters": state[convolution.format(0)].shape[0],
            "width": width,
            "hidden": hidden,
            "layers": sum(key.endswith(".pwconv1.weight") for key in state),
            "rows": state["backbone.norm.scale.weight"].shape[0],
        }
    except KeyError as error:
        raise InputError(f"{source} is not a WavTokenizer checkpoint: it has no {error.args[0]}") from error
