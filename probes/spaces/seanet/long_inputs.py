"""Long inputs through the encodec package's SEANet, exactly.

Its convolutions see a few frames, but its LSTM sees everything before, so overlapping pieces alone would not
join. Here the convolutions at audio rate, which hold nearly all the memory, run in pieces, and the LSTM with
what follows or precedes it runs on the whole at frame rate.
"""

from typing import Any

import torch
from torch import Tensor, nn

from probes.spaces.base import in_pieces

# Frames of context: the convolutions of the released networks reach less than two frames to either side.
CONTEXT = 4


def lstm_index(network: nn.Sequential) -> int:
    """Position of the LSTM in a SEANet encoder or decoder."""
    return next(index for index, layer in enumerate(network) if hasattr(layer, "lstm"))


def encode(network: nn.Sequential, audio: Tensor, hop: int, chunk: int) -> Tensor:
    """`[B, 1, F * hop]` -> `[B, channels, F]`, in pieces of `chunk` frames."""
    split = lstm_index(network)
    convolutions, rest = network[:split], network[split:]

    def window(first: int, last: int) -> Tensor:
        return convolutions(audio[..., first * hop : last * hop])

    features = in_pieces(window, audio.shape[-1] // hop, chunk, CONTEXT, dim=-1)
    result: Tensor = rest(features)
    return result


def decode(network: nn.Sequential, latents: Tensor, hop: int, chunk: int) -> Tensor:
    """`[B, channels, F]` -> `[B, 1, F * hop]`, in pieces of `chunk` frames."""
    split = lstm_index(network) + 1
    features, convolutions = network[:split](latents), network[split:]

    def window(first: int, last: int) -> Tensor:
        return convolutions(features[..., first:last])

    return in_pieces(window, latents.shape[-1], chunk, CONTEXT, dim=-1, stride=hop)


def codebook_statistics(layers: nn.ModuleList) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation per channel of the quantised embedding over the codec's own training data.

    Each codebook keeps how often its entries were used (the moving average `cluster_size`). Residual
    codebooks are summed, taken as independent. Entries count alike where no usage is stored.
    """
    mean, variance = torch.zeros(1), torch.zeros(1)
    for layer in layers:
        book: Any = layer._codebook
        usage = book.cluster_size if book.cluster_size.sum() > 0 else torch.ones_like(book.cluster_size)
        share = (usage / usage.sum()).unsqueeze(1)
        center = (share * book.embed).sum(0)
        mean = mean + center.cpu()
        variance = variance + (share * (book.embed - center) ** 2).sum(0).cpu()
    return mean, variance.sqrt()
