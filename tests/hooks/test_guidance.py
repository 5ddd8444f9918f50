"""What guidance makes of a push of one branch: the two conventions, and the refusals."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from hooks import NULL_NEEDS_GUIDANCE, EditRefused
from hooks.guidance import SKIPPED, UNGUIDED, Gains, around_cond, around_null, refused

Guide = Callable[[Tensor, Tensor, float], Tensor]


@pytest.mark.parametrize(
    ("gains", "guide"),
    [(around_cond, lambda c, n, w: c + w * (c - n)), (around_null, lambda c, n, g: n + g * (c - n))],
)
@given(scale=st.floats(0.1, 20), push=st.floats(-5, 5))
def test_the_gains_are_the_derivatives_of_the_guided_output(
    gains: Callable[[float], Gains], guide: Guide, scale: float, push: float
) -> None:
    cond, null = torch.tensor([0.3, -1.0], dtype=torch.float64), torch.tensor([2.0, 0.5], dtype=torch.float64)
    plain, found = guide(cond, null, scale), gains(scale)
    for branch, moved in (
        ("cond", guide(cond + push, null, scale)),
        ("null", guide(cond, null + push, scale)),
        ("both", guide(cond + push, null + push, scale)),
    ):
        torch.testing.assert_close(moved - plain, torch.full_like(plain, found.of(branch) * push))


def test_without_guidance_the_conditional_branch_is_the_output() -> None:
    assert around_cond(0.0) == UNGUIDED
    assert (UNGUIDED.of("both"), UNGUIDED.of("cond")) == (1, 1)
    with pytest.raises(EditRefused) as raised:
        UNGUIDED.of("null")
    assert str(raised.value) == NULL_NEEDS_GUIDANCE
    assert isinstance(raised.value, ValueError)


def test_where_guidance_is_left_out_the_null_branch_moves_nothing() -> None:
    assert [SKIPPED.of(branch) for branch in ("both", "cond", "null")] == [1, 1, 0]


def test_a_refusal_spares_the_edit_of_both_branches() -> None:
    gains = refused("not linear")
    assert gains.of("both") == 1
    for branch in ("cond", "null"):
        with pytest.raises(EditRefused, match="not linear"):
            gains.of(branch)
