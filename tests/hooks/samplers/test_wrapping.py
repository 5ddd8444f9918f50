"""Wrappers on objects: signature kept, exactly removed, other objects untouched."""

import copy
import inspect
import itertools
import pickle
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest

from hooks.samplers.wrapping import argument, call_replaced, replaced


class Sampler:
    """What is wrapped."""

    def __call__(self, prompt: str, guidance: float = 3.0, **rest: Any) -> str:
        return f"{prompt} {guidance}"

    def step(self, x: int, generator: object = None) -> int:
        return x + 1


def louder(original: Callable[..., str], *args: Any, **kwargs: Any) -> str:
    return original(*args, **kwargs).upper()


def doubled(original: Callable[..., int], *args: Any, **kwargs: Any) -> int:
    return 2 * original(*args, **kwargs)


def test_a_method_is_replaced_for_a_while_and_keeps_its_signature() -> None:
    sampler, other = Sampler(), Sampler()
    signature = inspect.signature(sampler.step)
    with replaced(sampler, "step", doubled):
        assert inspect.signature(sampler.step) == signature
        assert (sampler.step(1), other.step(1)) == (4, 2)
        with replaced(sampler, "step", doubled):
            assert sampler.step(1) == 8
        assert sampler.step(1) == 4
    assert vars(sampler) == {}
    assert sampler.step(1) == 2


def test_somebody_else_s_wrapper_on_the_object_stays() -> None:
    sampler = Sampler()
    theirs = lambda x: -x  # noqa: E731
    sampler.step = theirs  # type: ignore[method-assign]
    with pytest.raises(ZeroDivisionError), replaced(sampler, "step", doubled):
        sampler.step(1 // 0)
    assert vars(sampler) == {"step": theirs}


@pytest.mark.parametrize("order", itertools.permutations(range(3)))
@pytest.mark.parametrize("kind", ["object", "wrapped object", "class"])
def test_blocks_may_end_in_any_order(kind: str, order: tuple[int, ...]) -> None:
    class Own(Sampler):
        """A class of which nothing else is known."""

    sampler = Own()
    owner: Any = Own if kind == "class" else sampler
    if kind == "wrapped object":
        sampler.step = lambda x: -x  # type: ignore[method-assign]
    before, plain = dict(vars(owner)), sampler.step(1)
    blocks = [ExitStack() for _ in range(3)]
    for block in blocks:
        block.enter_context(replaced(owner, "step", doubled))
    for left, block in zip((3, 2, 1), order):
        assert sampler.step(1) == plain * 2**left
        blocks[block].close()
    assert dict(vars(owner)) == before
    assert sampler.step(1) == plain


def test_what_somebody_puts_on_a_wrapper_stays_and_reaches_the_original() -> None:
    sampler = Sampler()
    with replaced(sampler, "step", doubled):
        ours = sampler.step
        theirs = lambda x: -ours(x)  # noqa: E731
        sampler.step = theirs  # type: ignore[method-assign]
        assert sampler.step(1) == -4
    assert sampler.step(1) == -2
    with replaced(sampler, "step", doubled):
        assert sampler.step(1) == -4
    assert vars(sampler) == {"step": theirs}


def test_calling_an_object_is_replaced_for_this_object_alone() -> None:
    sampler, other = Sampler(), Sampler()
    with call_replaced(sampler, louder):
        assert (sampler("a"), other("a")) == ("A 3.0", "a 3.0")
        assert isinstance(sampler, Sampler)
        own = type(sampler)
        assert (own.__name__, own.__qualname__, own.__module__, own.__doc__) == (
            Sampler.__name__, Sampler.__qualname__, Sampler.__module__, Sampler.__doc__
        )  # fmt: skip
        assert inspect.signature(sampler) == inspect.signature(other)
    assert type(sampler) is Sampler
    assert sampler("a") == "a 3.0"
    with pytest.raises(TypeError), call_replaced(sampler, louder):
        sampler()
    assert type(sampler) is Sampler


def test_blocks_on_the_call_of_an_object_may_end_in_any_order() -> None:
    sampler = Sampler()
    first, second = call_replaced(sampler, louder), call_replaced(sampler, louder)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert sampler("a") == "A 3.0"
    second.__exit__(None, None, None)
    assert type(sampler) is Sampler


def test_a_class_that_somebody_gives_an_object_meanwhile_stays() -> None:
    sampler = Sampler()
    with call_replaced(sampler, louder):
        theirs = type("Theirs", (type(sampler),), {})
        sampler.__class__ = theirs
    assert type(sampler) is theirs
    assert sampler("a") == "a 3.0"


class Counting(Sampler):
    """Counts its own steps."""

    steps = 0

    def step(self, x: int, generator: object = None) -> int:
        self.steps += 1
        return x + 1


@pytest.mark.parametrize("blocks", [1, 2])
def test_a_deep_copy_has_the_methods_of_its_own_class(blocks: int) -> None:
    sampler = Counting()
    with ExitStack() as stack:
        for _ in range(blocks):
            stack.enter_context(replaced(sampler, "step", doubled))
            stack.enter_context(call_replaced(sampler, louder))
        copies = [copy.deepcopy(sampler), copy.deepcopy(copy.deepcopy(sampler)), copy.deepcopy([sampler, sampler])[1]]
        for copied in copies:
            assert (type(copied), copied("a"), copied.step(1)) == (Counting, "a 3.0", 2)
    assert (sampler.steps, [copied.steps for copied in copies]) == (0, [1, 1, 1])
    with replaced(copies[0], "step", doubled):
        assert copies[0].step(1) == 4
    assert (type(sampler), vars(sampler)) == (Counting, {})


def test_a_deep_copy_keeps_what_somebody_else_put_on_the_object() -> None:
    sampler = Sampler()
    sampler.step = lambda x: -x  # type: ignore[method-assign,misc]
    with replaced(sampler, "step", doubled):
        assert copy.deepcopy(sampler).step(1) == -1


def test_a_pickle_of_what_is_replaced_says_when_to_pickle() -> None:
    sampler = Sampler()
    with replaced(sampler, "step", doubled):
        with pytest.raises(pickle.PicklingError, match="after the `with` block") as raised:
            pickle.dumps(sampler)
        assert "\n" not in str(raised.value)
    with call_replaced(sampler, louder):
        restored = pickle.loads(pickle.dumps(sampler))
    assert (type(restored), restored("a")) == (Sampler, "a 3.0")


@pytest.mark.parametrize(
    ("args", "kwargs", "value"),
    [(("a",), {}, 3.0), (("a", 5.0), {}, 5.0), (("a",), {"guidance": 7.0}, 7.0)],
)
def test_an_argument_is_found_wherever_it_is_given(args: tuple[Any, ...], kwargs: dict[str, Any], value: float) -> None:
    assert argument(Sampler(), "guidance", args, kwargs) == value


def test_an_argument_among_the_rest_or_nowhere() -> None:
    assert argument(Sampler(), "scale", ("a",), {"scale": 2.0}) == 2.0
    assert argument(Sampler(), "scale", ("a",), {}) is None
