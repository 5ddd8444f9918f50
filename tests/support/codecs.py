"""Small random codecs in the released formats."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from probes.spaces.seanet.wavtokenizer_network import WavTokenizerNetwork


class ScriptedVae(nn.Module):
    """The two exported methods of DiffRhythm's `vae_model.pt`, with convolutions that see two frames each way."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv1d(2, 8, 2048, stride=2048)
        self.mix = nn.Conv1d(8, 128, 5, padding=2)
        self.up = nn.ConvTranspose1d(64, 2, 2048, stride=2048)

    @torch.jit.export
    def encode_export(self, audio: Tensor) -> Tensor:
        return self.mix(self.down(audio))

    @torch.jit.export
    def decode_export(self, latents: Tensor) -> Tensor:
        return torch.tanh(self.up(latents))

    def forward(self, audio: Tensor) -> Tensor:
        return self.encode_export(audio)


class Rave(nn.Module):
    """The exported methods of a variational RAVE."""

    def __init__(self, rate: int = 44100) -> None:
        super().__init__()
        self.down = nn.Conv1d(1, 4, 64, stride=64)
        self.up = nn.ConvTranspose1d(6, 1, 64, stride=64)
        self.register_buffer("encode_params", torch.tensor([1, 1, 4, 64]))
        self.register_buffer("decode_params", torch.tensor([4, 64, 1, 1]))
        self.sr: int = rate

    @torch.jit.export
    def encode(self, x: Tensor) -> Tensor:
        mean = self.down(x)
        return mean + 0.1 * torch.randn_like(mean)

    @torch.jit.export
    def decode(self, z: Tensor) -> Tensor:
        missing = torch.randn(z.shape[0], 2, z.shape[2])
        return torch.tanh(self.up(torch.cat([z, missing], 1)))

    def forward(self, x: Tensor) -> Tensor:
        return self.decode(self.encode(x))


def wavtokenizer_checkpoint(path: Path, ratios: tuple[int, ...]) -> WavTokenizerNetwork:
    """Write a training checkpoint: the codec, the decoder it no longer uses, discriminators, an epoch."""
    torch.manual_seed(0)
    network = WavTokenizerNetwork(ratios, dimension=16, entries=32, filters=4, width=32, hidden=48, layers=2).eval()
    book = network.codebook.layers[0]._codebook
    book.embed.normal_(0, 0.2)
    book.inited.fill_(1)
    state = {
        **network.state_dict(),
        "feature_extractor.encodec.decoder.model.0.conv.conv.bias": torch.zeros(3),
        "multiperioddisc.discriminators.0.bias": torch.zeros(3),
    }
    torch.save({"state_dict": state, "epoch": 3}, path)
    return network


def encodec_model() -> Any:
    """The encodec package's model with a codebook of which every entry is used."""
    from probes.support.torchaudio_stub import ensure_torchaudio

    ensure_torchaudio()
    from encodec import EncodecModel

    torch.manual_seed(0)
    model = EncodecModel.encodec_model_24khz(pretrained=False).eval()
    for layer in model.quantizer.vq.layers:
        layer._codebook.embed.normal_(0, 0.1)
        layer._codebook.cluster_size.uniform_(1, 50)
        layer._codebook.inited.fill_(1)
    return model
