"""The exceptions that end in one line: something that cannot work was given, or memory ran out."""

import re

# Where an option and the argument of the Python function bear different names.
_ARGUMENTS = {
    "model": "generator",
    "set": "options",
    "cfg": "guidance",
    "alpha": "alphas",
    "from": "start",
    "to": "stop",
    "edit": "edits",
    "lr": "learning_rate",
    "probe-lr": "learning_rate",
}
LONGEST = 1000  # characters of a message
_OPTION = re.compile(r"(?<![\w-])--(?P<name>[a-z][a-z-]*[a-z]|n)\b( (?P<value>[A-Z0-9][\w.]*))?")


class InputError(ValueError):
    """A mistake in what the user gave, with one line that says what to do.

    Messages name options as the command line does (`--batch-size 4`) and put whole commands into backticks. `str()`
    names the arguments of the Python functions instead (`batch_size=4`). The command line prints `on_command_line` and
    ends with exit code 2.
    """

    @property
    def on_command_line(self) -> str:
        """The message with the names of options."""
        message = str(self.args[0]) if self.args else ""
        # What was given may be long: its beginning, and the end, which says what to do.
        return message if len(message) <= LONGEST else f"{message[:300]} ... {message[-300:]}"

    def __str__(self) -> str:
        parts = self.on_command_line.split("`")
        parts[::2] = [_OPTION.sub(_argument, part) for part in parts[::2]]
        return "`".join(parts)


class OutOfMemory(InputError):
    """Memory ran out; one line that says what to take less of. The command line ends with exit code 1."""


def memory_ran_out(error: BaseException) -> bool:
    """Whether the system or the GPU had no memory left, as Python, numpy, torch, oneDNN and loaders say it."""
    text = str(error).lower()
    told = ("allocate memory", "not enough memory", "out of memory", "failed to map segment", "bad_alloc")
    onednn = text == "could not create a primitive"  # more words name an operation that it does not have
    return isinstance(error, MemoryError) or onednn or any(words in text for words in told)


def _argument(option: "re.Match[str]") -> str:
    name = _ARGUMENTS.get(option["name"], option["name"]).replace("-", "_")
    return name if option["value"] is None else f"{name}={option['value']}"
