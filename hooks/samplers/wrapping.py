"""Put a wrapper in the place of an object's method for a while, and take exactly that off again.

Blocks may end in any order, as those of two threads do on one class. When a block ends while something else lies on its
wrapper, the wrapper stays and only passes calls on. It is taken off together with the wrapper of ours that lies on it.
"""

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FunctionType
from typing import Any

NOTHING = object()
"""Stands for an attribute that the owner has not itself."""
LIES_ON = "_lies_on"
"""Attribute of a wrapper, or of a class, that stays behind when its block has ended: what it lies on."""


def wrapped(original: Callable[..., Any], wrapper: Callable[..., Any]) -> Callable[..., Any]:
    """Function that calls `wrapper(original, ...)` and shows the signature of `original`."""

    @functools.wraps(original)
    def method(*args: Any, **kwargs: Any) -> Any:
        return wrapper(original, *args, **kwargs)

    return method


@contextmanager
def replaced(owner: Any, name: str, wrapper: Callable[..., Any]) -> Iterator[None]:
    """Put `wrapper(original, *args, **kwargs)` in the place of a method of an object or class, signature kept."""
    ended = False

    def until_ended(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return original(*args, **kwargs) if ended else wrapper(original, *args, **kwargs)

    below, method = vars(owner).get(name, NOTHING), wrapped(getattr(owner, name), until_ended)
    setattr(owner, name, method)
    try:
        yield
    finally:
        ended = True
        if getattr(owner, name, None) is not method:
            setattr(method, LIES_ON, below)
        else:
            while isinstance(below, FunctionType) and LIES_ON in vars(below):
                below = vars(below)[LIES_ON]
            if below is NOTHING:
                delattr(owner, name)
            else:
                setattr(owner, name, below)


@contextmanager
def call_replaced(owner: Any, wrapper: Callable[..., Any]) -> Iterator[None]:
    """Put `wrapper(original, owner, *args, **kwargs)` in the place of what calling an object does.

    Python looks `__call__` up on the class. So the object gets a subclass of its own, as in
    `torch.nn.utils.parametrize`; other objects of the class stay as they are.
    """
    ended = False

    def until_ended(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return original(*args, **kwargs) if ended else wrapper(original, *args, **kwargs)

    own = type(owner)
    names = {"__module__": own.__module__, "__qualname__": own.__qualname__, "__doc__": own.__doc__}
    ours = type(own.__name__, (own,), {**names, "__call__": wrapped(own.__call__, until_ended)})
    owner.__class__ = ours
    try:
        yield
    finally:
        ended = True
        if type(owner) is not ours:
            setattr(ours, LIES_ON, own)
        else:
            while LIES_ON in vars(own):
                own = vars(own)[LIES_ON]
            owner.__class__ = own


def argument(function: Callable[..., Any], name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Value that an argument has in a call `function(*args, **kwargs)`, its default included; None without it."""
    bound = inspect.signature(function).bind(*args, **kwargs)
    bound.apply_defaults()
    return bound.arguments.get(name, kwargs.get(name))
