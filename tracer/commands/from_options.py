"""Commands whose flags are the fields of an options class, so that a flag, its help and its default stand once."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import Field, fields
from typing import Annotated, Any

import typer

from probes.support.pairs import key_values
from tracer.options import PromptOptions, SteerOptions, TraceOptions, flags_of

AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON, for machines.")]


def help_of(name: str) -> str:
    """The help of an option that other commands have too."""
    return next(str(entry.metadata["help"]) for entry in fields(SteerOptions) if entry.name == name)


def with_flags(body: Callable[..., None]) -> Callable[..., None]:
    """Make a command of a function that takes an options class as its parameter `given`.

    In the command that parameter is replaced by one flag per field; every other parameter of the function stays what
    it is. The docstring is the command's help.
    """
    own = inspect.signature(body, eval_str=True).parameters
    options: type[PromptOptions] = own["given"].annotation
    names = [entry.name for entry in fields(options)]
    parameters: list[inspect.Parameter] = []
    for parameter in own.values():
        own_flags = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)]
        parameters += [flag(entry) for entry in fields(options)] if parameter.name == "given" else own_flags

    def command(**values: Any) -> None:
        given = options(**{name: parsed(name, values.pop(name)) for name in names})
        body(given=given, **values)

    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    command.__doc__, command.__name__ = body.__doc__, body.__name__
    return command


def flag(entry: "Field[Any]") -> inspect.Parameter:
    """One field as typer takes an option."""
    about = entry.metadata
    default = entry.default
    kind = about["typed"] or type(default)
    if kind is str and isinstance(default, tuple):
        default = ",".join(default)
    elif kind is str and isinstance(default, int):
        default = str(default)
    if default is None or default == ():
        default, kind = None, kind | None
    names = flags_of(entry)
    shown = about["shown"]
    info = typer.Option(*names, help=about["help"], show_default=shown or (shown is None and default is not None))
    annotation: Any = Annotated[kind, info]
    return inspect.Parameter(entry.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def with_bare_values(arguments: Sequence[str]) -> list[str]:
    """Command line arguments, with the value that a flag stands for where it is given without one.

    Only flags that may stand alone are looked at, such as --listen: one that is last or is followed by another flag has
    no value.
    """
    may_stand_alone = [entry for entry in fields(TraceOptions) if entry.metadata["bare"]]
    bare = {flags_of(entry)[0]: entry.metadata["bare"] for entry in may_stand_alone}
    filled = []
    for argument, following in zip(arguments, [*arguments[1:], ""]):
        alone = argument in bare and (not following or following.startswith("-")) and not following[1:].isdigit()
        filled.append(f"{argument}={bare[argument]}" if alone else argument)
    return filled


def parsed(name: str, value: Any) -> Any:
    """What the options class takes, from what the command line gave."""
    if name == "options":
        return key_values(value)
    if name == "batch_size" and value.lstrip("-").isdecimal():
        return int(value)
    return tuple(value or ()) if name in ("steer", "wants") else value
