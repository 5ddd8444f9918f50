"""Put a wrapper in the place of an object's method for a while, and take exactly that off again.

Blocks may end in any order, as those of two threads do on one class. When a block ends while something else lies on its
wrapper, the wrapper stays and only passes calls on. It is taken off together with the wrapper of ours that lies on it.

A deep copy that is made inside a block has the copied object's own methods, and no hook acts on it.
"""

import copy
import functools
import inspect
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FunctionType
from typing import Any

NOTHING = object()
"""Stands for an attribute that the owner has not itself."""
LIES_ON = "_lies_on"
"""Attribute of a wrapper, or of a class, that stays behind when its block has ended: what it lies on."""
STANDS_FOR = "_stands_for"
"""Attribute of a class that `call_replaced` gives an object: the class that copies of the object have."""


class Lent:
    """A function that is lent to an object for the length of a block. It shows the function's signature.

    Args:
        function: what a call of it does.
        in_copies: memo of a deep copy -> what stands in its place on the copied object.
    """

    def __init__(self, function: Callable[..., Any], in_copies: Callable[[dict[int, Any]], Any]) -> None:
        self.function, self.in_copies = function, in_copies
        functools.update_wrapper(self, function, updated=())

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return self.in_copies(memo)

    def __reduce__(self) -> Any:
        raise pickle.PicklingError("hooks are on this object: pickle or save it after the `with` block")


def made(kind: type, *args: Any) -> Any:
    """Object of a class, without its `__init__`. Pickle lets `copyreg.__newobj__` make no object of another class."""
    return kind.__new__(kind, *args)


def idle(*_: Any) -> None:
    """Stands on a copied module in the place of a hook, and changes nothing."""


def uncopied(hook: Callable[..., Any]) -> Lent:
    """The same forward hook, which does not go over to copies of its module."""
    return Lent(hook, lambda memo: idle)


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

    def in_copies(memo: dict[int, Any]) -> Any:
        return getattr(copy.deepcopy(owner, memo), name) if below is NOTHING else copy.deepcopy(below, memo)

    below = vars(owner).get(name, NOTHING)
    method: Any = wrapped(getattr(owner, name), until_ended)
    if not inspect.isclass(owner):
        method = Lent(method, in_copies)
    setattr(owner, name, method)
    try:
        yield
    finally:
        ended = True
        if getattr(owner, name, None) is not method:
            setattr(method, LIES_ON, below)
        else:
            while isinstance(below, (FunctionType, Lent)) and LIES_ON in vars(below):
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

    def reduced(self: Any, protocol: Any) -> Any:
        reduce: Any = own.__reduce_ex__
        rebuild, arguments, *state = reduce(self, protocol)
        rebuild = made if getattr(rebuild, "__name__", "") == "__newobj__" else rebuild
        return rebuild, tuple(plain if given is ours else given for given in arguments), *state

    own = type(owner)
    plain = vars(own).get(STANDS_FOR, own)
    names = {"__module__": own.__module__, "__qualname__": own.__qualname__, "__doc__": own.__doc__}
    methods = {"__call__": wrapped(own.__call__, until_ended), "__reduce_ex__": reduced}
    ours = type(own.__name__, (own,), {**names, **methods, STANDS_FOR: plain})
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
