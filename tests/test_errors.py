"""One message, told in the words of the command line or of Python."""

import pytest

from probes.errors import InputError, memory_ran_out


@pytest.mark.parametrize(
    ("message", "python"),
    [
        ("--n must be at least 1, got 0", "n must be at least 1, got 0"),
        ("pass its folder with --readout FOLDER", "pass its folder with readout=FOLDER"),
        ("give --guidance 0, or --batch-size 4", "give guidance=0, or batch_size=4"),
        ("choose another --out", "choose another out"),
        ("--lr must be positive, and --probe-lr", "learning_rate must be positive, and learning_rate"),
        ("--model is unknown", "generator is unknown"),
        ("run `trace fit readout --space mini` first", "run `trace fit readout --space mini` first"),
        ("a--b stays, and so does -- alone", "a--b stays, and so does -- alone"),
    ],
)
def test_python_hears_of_arguments_and_the_command_line_of_options(message: str, python: str) -> None:
    error = InputError(message)
    assert str(error) == python
    assert error.on_command_line == message


@pytest.mark.parametrize(
    ("error", "so"),
    [
        (MemoryError(), True),
        (RuntimeError("could not create a primitive"), True),
        (RuntimeError("could not create a primitive descriptor for a matmul primitive"), False),
        (RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"), True),
        (ValueError("shapes do not fit"), False),
    ],
)
def test_lack_of_memory_is_known_by_what_libraries_say(error: Exception, so: bool) -> None:
    assert memory_ran_out(error) is so
