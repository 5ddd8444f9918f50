"""The guidance branches of one generation, evaluated together or one by one."""

import logging

import torch
from torch import Tensor

from tracer.generators.diffrhythm.network import DiT, Prompt

log = logging.getLogger(__name__)


class Branches:
    """The velocity of each guidance branch: both in one batch, or one by one where memory does not allow that."""

    def __init__(self, network: DiT, prompts: list[Prompt], batch: int) -> None:
        """`prompts` is the conditional branch's, then the null branch's where there is guidance."""
        self.network, self.batch = network, batch
        self.joined: Prompt | None = None
        self.prompts = prompts
        if len(prompts) == 2:
            try:
                self.joined = join(prompts, batch)
                # Views from now on: the two prompts and their joint form need not stand side by side.
                self.prompts = split(self.joined, batch)
            except torch.cuda.OutOfMemoryError:
                self._part()

    def __call__(self, x: Tensor, t: float) -> tuple[Tensor, Tensor | None]:
        """Velocities [B, L, C], float32, at state x and flow time t; the second is None without guidance."""
        dtype = self.network.proj_out.weight.dtype
        state, times = x.to(dtype), torch.full((self.batch,), t, dtype=torch.float32, device=x.device)
        if self.joined is not None:
            try:
                both = self.network(state.repeat(2, 1, 1), times.repeat(2), self.joined).float()
                return both[: self.batch], both[self.batch :]
            except torch.cuda.OutOfMemoryError:
                self._part()
        velocities = [self.network(state, times, prompt).float() for prompt in self.prompts]
        return velocities[0], velocities[1] if len(velocities) == 2 else None

    def _part(self) -> None:
        self.joined = None
        log.info("guidance branches run one by one: together they do not fit into memory")


def join(prompts: list[Prompt], batch: int) -> Prompt:
    """The branches' prompts as one prompt of twice the batch; equal residuals of instrumental prompts stay shared."""
    first, second = prompts

    def both(one: Tensor, other: Tensor) -> Tensor:
        return torch.cat([one.expand(batch, *one.shape[1:]), other.expand(batch, *other.shape[1:])])

    shared = all(one.shape[0] == 1 and torch.equal(one, other) for one, other in zip(first.residuals, second.residuals))
    return Prompt(
        projected=both(first.projected, second.projected),
        residuals=first.residuals if shared else tuple(map(both, first.residuals, second.residuals)),
        clock=both(first.clock, second.clock),
        rotary=first.rotary,
    )


def split(joined: Prompt, batch: int) -> list[Prompt]:
    """The two branches of a joint prompt again, as views."""

    def rows(tensor: Tensor, part: slice) -> Tensor:
        return tensor if tensor.shape[0] == 1 else tensor[part]

    return [
        Prompt(
            projected=joined.projected[part],
            residuals=tuple(rows(residual, part) for residual in joined.residuals),
            clock=joined.clock[part],
            rotary=joined.rotary,
        )
        for part in (slice(0, batch), slice(batch, 2 * batch))
    ]
