"""Effect of guidance on an edit that acts on one branch."""

from dataclasses import dataclass
from typing import Literal

Branch = Literal["both", "cond", "null"]
"""Guidance branch that an edit acts on: both, the conditional one, or the null one."""

NULL_NEEDS_GUIDANCE = "an edit of the null branch needs guidance: raise the guidance scale, or edit branch both"
"""Reason for refusing an edit of the null branch in a generation without guidance."""


class EditRefused(ValueError):
    """The running generation has no place for this edit. The message says why, and what to do."""


@dataclass(frozen=True)
class Gains:
    """How far a push of one branch moves the guided output at one state, as a multiple of the push.

    A push of both branches moves it once. The defaults describe a generation without guidance.
    """

    cond: float | str = 1.0
    """Gain of the conditional branch; a text says why its edits are refused."""
    null: float | str = NULL_NEEDS_GUIDANCE
    """Gain of the null branch; a text says why its edits are refused."""

    def of(self, branch: Branch) -> float:
        """Gain of a branch.

        Raises:
            EditRefused: this state has no known gain for the branch.
        """
        if branch == "both":
            return 1.0
        gain = self.cond if branch == "cond" else self.null
        if isinstance(gain, str):
            raise EditRefused(gain)
        return gain


UNGUIDED = Gains()
"""Generation without guidance: the conditional branch is the output."""
SKIPPED = Gains(cond=1.0, null=0.0)
"""State at which a guided generation leaves guidance out: nothing that the null branch says counts."""


def around_cond(scale: float) -> Gains:
    """Gains of v = c + w (c - n), the convention of DiffRhythm: 1 + w and -w. A scale of 0 is no guidance."""
    return UNGUIDED if scale == 0 else Gains(cond=1 + scale, null=-scale)


def around_null(scale: float) -> Gains:
    """Gains of v = n + g (c - n), the convention of diffusers: g and 1 - g."""
    return Gains(cond=scale, null=1 - scale)


def refused(reason: str) -> Gains:
    """Gains that refuse an edit of either branch for this reason."""
    return Gains(cond=reason, null=reason)
