"""The smallest change of a latent that moves one reading and keeps others."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from probes.readout import Readout
from tracer.steering.readings import Features, Raise, expected_class, no_scale, values, wanted_readings

CHUNK = 512
"""Frames at a time: a few [CHUNK, hidden] arrays are held."""
ITERATIONS = 40
"""Steps at most, each with the slopes where it begins."""
LANDED = 0.005
"""A frame is done when every reading is this near to where it should be, in classes or nats; for an amount below 1, in
units of it."""
OVERSHOOT = 0.02
"""Share of the amount by which the raised reading may go too far."""
DAMPING = 1e-5
"""Added to J S J^T at first, as a share of its mean diagonal; four times as much after a step that is taken back."""
WORSE = 1.5
"""Growth of the squared miss at which a step is taken back. A little growth is let through: readings are curved, and a
held one often strays before it comes home."""
REACH = 0.05
"""Longest step, as a share of sqrt(C), the length of a latent in units of its spread. Where a reading saturates its
slope vanishes, and the solution would be far outside everything the model knows. Short steps follow the slopes as they
turn: with 0.5 the change that lands is up to a third longer, and a difference of rounding moves several times as many
frames."""
FLAT = 1e-8
"""Share of what counts as landed by which a step must promise to move the raised reading: below, it is saturated."""
GIVEN_UP = 1e4
"""Damping at which a frame stays where it is: no step along the slopes makes it better."""
SOLVER = {"iterations": ITERATIONS, "landed": LANDED, "reach": REACH}
"""What a solution depends on; a run that was begun with others is not gone on with."""


@torch.no_grad()
def pull(
    readout: Readout,
    x: Tensor,
    start: Tensor,
    raised: Raise | None = None,
    hold: Sequence[str] = (),
    goal: Tensor | None = None,
) -> Tensor:
    """`start` with the smallest addition after which the readings are as wanted.

    Levenberg-Marquardt: every step takes the slopes J where it begins and is S J^T (J S J^T + damping)^-1 (wanted -
    read). A step that leads astray is taken back and damped more, and the nearest point counts
    that is not beyond what was asked for. "Smallest" is by the
    spread of the training latents: with their covariance S the length is dx^T S^-1 dx (Mahalanobis), so that the change
    keeps to directions in which music differs; many directions of a latent space hardly occur, and there a reading
    rises without any change that is heard. A readout that does not know S has its channels' variances alone.

    A reading that saturates has no slope: it moves as far as it can, up to what was asked for.

    Args:
        x: latents [B, F, C].
        start: displacement [B, F, C] to begin with.
        raised: this reading is to move from where it is at x.
        hold: the readings of these attributes are to be those of x. Of pitch, and of attributes whose classes have no
            order, also the log probability of the class that is most probable at x.
        goal: [B, F]; the raised reading is to move by the share `raised.amount` of the way to this, in each frame.

    Returns:
        displacement [B, F, C].
    """
    covariance = readout.covariance if readout.covariance is not None else readout.sae.std.square().diag()
    frames, starts = x.flatten(0, 1).split(CHUNK), start.flatten(0, 1).split(CHUNK)
    goals = [None] * len(frames) if goal is None else goal.flatten().split(CHUNK)
    solved = [_solve(readout, covariance, *parts, raised, hold) for parts in zip(frames, starts, goals)]
    return torch.cat(solved).view_as(x)


def _solve(
    readout: Readout,
    covariance: Tensor,
    frames: Tensor,
    start: Tensor,
    goal: Tensor | None,
    raised: Raise | None,
    hold: Sequence[str],
) -> Tensor:
    """`pull` for frames [N, C]; those that have landed are left out of further steps."""
    before = Features(readout, frames)
    found = {name: before.logits(name).argmax(-1) for name in no_scale(readout, hold)}
    wanted = values(wanted_readings(raised, hold, found), before)
    amount = torch.zeros(len(frames)).to(frames)  # by which the raised reading is to move, with its sign
    if raised is not None:
        amount += raised.signed if goal is None else raised.amount * (goal - wanted[:, 0])
        wanted[:, 0] += amount
    moved, damping = start.clone(), torch.full((len(frames),), DAMPING).to(frames)
    rows = torch.arange(len(frames), device=frames.device)
    here = Features(readout, frames + moved) if start.any() else before
    missing = wanted - values(wanted_readings(raised, hold, found), here)
    near = torch.full_like(amount, LANDED)
    if raised is not None:
        near *= amount.abs().clamp_max(1.0) if goal is None else 1.0
    best, least = moved.clone(), missing.square().sum(1)
    for _ in range(ITERATIONS):
        open_ = (missing[rows].abs() > near[rows, None]).any(1) & (damping[rows] < GIVEN_UP)
        if not open_.any():
            break
        here, rows = here.of(open_), rows[open_]
        readings = wanted_readings(raised, hold, {name: classes[rows] for name, classes in found.items()})
        slope = here.slopes(readings)
        step = _step(slope, covariance, missing[rows], damping[rows])
        there = Features(readout, frames[rows] + moved[rows] + step)
        left = wanted[rows] - values(readings, there)
        miss = left.square().sum(1)
        taken = miss < WORSE * missing[rows].square().sum(1)
        moved[rows[taken]] += step[taken]
        missing[rows[taken]] = left[taken]
        damping[rows] = torch.where(taken, (damping[rows] / 4).clamp_min(DAMPING), damping[rows] * 4)
        nearer = taken & (miss < least[rows])
        if raised is not None:  # never further than was asked for
            nearer &= left[:, 0] * amount[rows].sign() >= -OVERSHOOT * amount[rows].abs()
        best[rows[nearer]], least[rows[nearer]] = moved[rows[nearer]], miss[nearer]
        if raised is not None:
            moves = (slope[:, 0] * step).sum(1).abs()
            damping[rows[(moves < FLAT * near[rows]) & (missing[rows, 0].abs() > near[rows])]] = GIVEN_UP
        here = there.where(taken, here)
    return best


def _step(slope: Tensor, covariance: Tensor, missing: Tensor, damping: Tensor) -> Tensor:
    """S J^T (J S J^T + damping)^-1 missing, no longer than `REACH`: slope J [N, m, C], missing [N, m] -> [N, C]."""
    given, slope, missing = slope, slope.to(covariance), missing.to(covariance)
    ways = slope @ covariance
    gram = ways @ slope.transpose(1, 2)
    scale = gram.diagonal(dim1=1, dim2=2).mean(1)
    damped = gram + (damping * scale + 1e-12)[:, None, None] * torch.eye(gram.shape[1]).to(gram)
    shares = torch.linalg.solve(damped, missing[..., None])  # of the ways, [N, m, 1]
    length = (shares.transpose(1, 2) @ gram @ shares).clamp_min(0).sqrt()[..., 0]
    longest = REACH * slope.shape[-1] ** 0.5
    return ((ways.transpose(1, 2) @ shares)[..., 0] * (longest / length.clamp_min(longest))).to(given)


class Realised(NamedTuple):
    """What a displacement did to the readings of frames."""

    change: Tensor
    """[N] change of the raised reading, in nats or classes; positive towards the target."""
    wanted: float
    """Change that was asked for."""
    held: dict[str, Tensor]
    """Attribute -> [N] absolute change of its expected class, in classes, or where its classes have no order 1 in the
    frames whose class is another one; empty where nothing is held."""

    @property
    def held_most(self) -> Tensor:
        """[N] largest change over the held attributes, in classes; 0 where nothing is held."""
        return torch.stack([torch.zeros_like(self.change), *self.held.values()]).amax(0)


@torch.no_grad()
def realised(readout: Readout, x: Tensor, moved: Tensor, raised: Raise, hold: Sequence[str] = ()) -> Realised:
    """What a displacement `moved` of latents `x` [B, F, C] did to the reading that was to rise and to the held ones."""
    readings = wanted_readings(raised, (), {}) + [expected_class(name) for name in hold]
    parts = []
    for frames, displaced in zip(x.flatten(0, 1).split(CHUNK), moved.flatten(0, 1).split(CHUNK)):
        before, after = Features(readout, frames), Features(readout, frames + displaced)
        moves = values(readings, after) - values(readings, before)
        for place, name in enumerate(hold, 1):
            if name not in readout.ordered:
                moves[:, place] = (after.logits(name).argmax(-1) != before.logits(name).argmax(-1)).to(moves)
        parts.append(moves)
    change, *kept = torch.cat(parts).unbind(1)
    sign = -1 if raised.target == "-" else 1
    return Realised(sign * change, raised.amount, {name: own.abs() for name, own in zip(hold, kept)})
