"""A long value in a message is cut in the middle."""

from probes.errors import InputError


def test_a_long_value_is_not_echoed_whole() -> None:
    error = InputError(f"the value {'x' * 5000} is not known: choose another")
    assert len(error.on_command_line) < 700
    assert error.on_command_line.startswith("the value xxx")
    assert error.on_command_line.endswith("choose another")
