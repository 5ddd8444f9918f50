"""Put a wrapper in the place of an object's method for a while, and take exactly that off again."""

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


def wrapped(original: Callable[..., Any], wrapper: Callable[..., Any]) -> Callable[..., Any]:
    """Function that calls `wrapper(original, ...)` and shows the signature of `original`."""

    @functools.wraps(original)
    def method(*args: Any, **kwargs: Any) -> Any:
        return wrapper(original, *args, **kwargs)

    return method


@contextmanager
def replaced(owner: Any, name: str, wrapper: Callable[..., Any]) -> Iterator[None]:
    """Put `wrapper(original, *args, **kwargs)` in the place of a method of an object or class, signature kept."""
    shadowed, saved = name in vars(owner), vars(owner).get(name)
    setattr(owner, name, wrapped(getattr(owner, name), wrapper))
    try:
        yield
    finally:
        if shadowed:
            setattr(owner, name, saved)
        else:
            delattr(owner, name)


@contextmanager
def call_replaced(owner: Any, wrapper: Callable[..., Any]) -> Iterator[None]:
    """Put `wrapper(original, owner, *args, **kwargs)` in the place of what calling an object does.

    Python looks `__call__` up on the class. So the object gets a subclass of its own, as in
    `torch.nn.utils.parametrize`; other objects of the class stay as they are.
    """
    own = type(owner)
    names = {"__module__": own.__module__, "__qualname__": own.__qualname__, "__doc__": own.__doc__}
    owner.__class__ = type(own.__name__, (own,), {**names, "__call__": wrapped(own.__call__, wrapper)})
    try:
        yield
    finally:
        owner.__class__ = own


def argument(function: Callable[..., Any], name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Value that an argument has in a call `function(*args, **kwargs)`, its default included; None without it."""
    bound = inspect.signature(function).bind(*args, **kwargs)
    bound.apply_defaults()
    return bound.arguments.get(name, kwargs.get(name))
