"""The smallest change of a latent that moves one reading and keeps others."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from probes.readout import Readout

CHUNK = 512  # frames at a time; the backward passes keep several [CHUNK, hidden] arrays
STEPS = 3
"""Gauss-Newton steps."""
DAMPING = 1e-3
"""Added to J J^T, as a share of its mean diagonal: frames without a gradient stay where they are."""
REACH = 0.5
"""Longest Gauss-Newton step, as a share of sqrt(C), the length of a standardised latent: where a reading saturates its
slope vanishes, and the solution would be far outside everything the model knows."""
Raise = tuple[str, int | str, float]
"""(attribute, class or direction, by how much)"""


def pull(readout: Readout, x: Tensor, start: Tensor, raise_by: Raise | None = None, hold: Sequence[str] = ()) -> Tensor:
    """`start` with the smallest addition after which the readings are as wanted.

    Args:
        x: latents [B, F, C].
        start: displacement [B, F, C] to begin with.
        raise_by: this reading is to rise by so much over that of x.
        hold: the readings of these attributes are to be those of x.

    Returns:
        displacement [B, F, C]. Distances are in standardised units, x over the training data's std.
    """

    def solve(frames: Tensor, moved: Tensor) -> Tensor:
        read = readings(readout, frames, raise_by, hold)
        with torch.no_grad():
            wanted = read(frames)
        if raise_by is not None:
            wanted[:, 0] += raise_by[2]
        scale = readout.sae.std
        for _ in range(STEPS):
            value, slope = jacobian(read, frames + moved)
            slope = slope * scale
            gram = slope @ slope.transpose(1, 2)
            mean = gram.diagonal(dim1=1, dim2=2).mean(1)[:, None, None]
            gram = gram + (DAMPING * mean + 1e-12) * torch.eye(gram.shape[1]).to(gram)
            step = (slope.transpose(1, 2) @ torch.linalg.solve(gram, (wanted - value)[..., None]))[..., 0]
            longest = REACH * step.shape[-1] ** 0.5
            step = step * (longest / step.norm(dim=-1, keepdim=True).clamp_min(longest))
            moved = moved + step * scale
        return moved

    return chunked(solve, x, start)


def readings(readout: Readout, x: Tensor, raise_by: Raise | None, hold: Sequence[str]) -> Callable[[Tensor], Tensor]:
    """Function frames [N, C] -> [N, m]: what is to be raised first, then what is to be held.

    To be raised: the margin of a class's logit over the mean logit, or the expected class for a direction. To be held:
    the expected class, and for pitch and chroma, whose classes are no scale, also the log probability of the class that
    is most probable at x.
    """
    with torch.no_grad():
        at_x = logits(readout, x)
        top = {name: at_x[name].argmax(-1, keepdim=True) for name in hold if name in ("pitch", "chroma")}

    def read(frames: Tensor) -> Tensor:
        values = []
        current = logits(readout, frames)
        if raise_by is not None:
            attribute, target, _ = raise_by
            own = current[attribute]
            values.append(expected(own) if isinstance(target, str) else own[:, target] - own.mean(-1))
        for name in hold:
            values.append(expected(current[name]))
            if name in top:
                values.append(current[name].log_softmax(-1).gather(-1, top[name])[:, 0])
        return torch.stack(values, 1)

    return read


def logits(readout: Readout, frames: Tensor) -> dict[str, Tensor]:
    """Raw latents [N, C] -> {attribute: [N, K]}, differentiable with respect to the latents."""
    sae = readout.sae
    h = sae.hidden(frames)
    f = sae.normalise(h)
    if readout.log_rms is not None:
        mean, std = readout.log_rms
        level = (h.square().mean(-1, keepdim=True) + sae.config.eps).sqrt().log()
        f = torch.cat([f, (level - mean) / std], -1)
    return readout.probes.split(readout.probes(f))


def expected(logits: Tensor) -> Tensor:
    """Mean class index under the softmax, [N, K] -> [N]."""
    return logits.softmax(-1) @ torch.arange(logits.shape[-1]).to(logits)


def jacobian(read: Callable[[Tensor], Tensor], frames: Tensor) -> tuple[Tensor, Tensor]:
    """Values [N, m] and their gradients [N, m, C] at frames [N, C]; a frame's values depend on that frame alone."""
    with torch.enable_grad():
        frames = frames.detach().requires_grad_()
        values = read(frames)
        rows = [
            torch.autograd.grad(values[:, k].sum(), frames, retain_graph=k + 1 < values.shape[1])[0]
            for k in range(values.shape[1])
        ]
    return values.detach(), torch.stack(rows, 1)


def chunked(function: Callable[[Tensor, Tensor], Tensor], x: Tensor, other: Tensor) -> Tensor:
    """function([n, C], [n, C]) -> [n, C] over the frames of two [B, F, C], a chunk at a time."""
    pairs = zip(x.flatten(0, 1).split(CHUNK), other.flatten(0, 1).split(CHUNK))
    return torch.cat([function(*pair) for pair in pairs]).view_as(x)
