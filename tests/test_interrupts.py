"""Ctrl-C and SIGTERM in awkward places end a command with 130 and one line, or do not disturb one that is done."""

import subprocess
import sys

import pytest

TOLD = "trace: interrupted; what was finished is kept, the same command goes on from there"
BEGIN = """
import os, signal, sys, time
import cli

def interrupt(*_):
    os.kill(os.getpid(), signal.{name})
    time.sleep(0.05)  # where the handler runs

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job is born deaf to it
sys.argv = ["trace", "models"]
"""
DESTRUCTOR = """
class Compiled:
    def __del__(self):
        interrupt()

def work(*_, **__):
    Compiled()
    for _ in range(200):
        time.sleep(0.05)

cli.app = work
cli.main()
"""
CALLBACK = """
import ctypes

notify = ctypes.CFUNCTYPE(None)(interrupt)

def work(*_, **__):
    notify()
    for _ in range(200):
        time.sleep(0.05)

cli.app = work
cli.main()
"""
MADE_ANOTHER_ERROR = """
def work(*_, **__):
    try:
        interrupt()
    except KeyboardInterrupt:
        raise {error}("could not determine the shape") from None

cli.app = work
cli.main()
"""
AFTER_THE_END = """
import atexit

atexit.register(interrupt)
cli.app = lambda *_, **__: 0
cli.main()
"""

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no SIGTERM")


def run(name: str, code: str) -> subprocess.CompletedProcess[str]:
    program = BEGIN.format(name=name) + code
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("code", [DESTRUCTOR, CALLBACK], ids=["destructor", "callback"])
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_an_interrupt_that_python_ignores_comes_again(name: str, code: str) -> None:
    """As in numba's compiler, where three of 260 signals were lost and the command went on to exit code 0."""
    ended = run(name, code)
    assert ended.returncode == 130
    assert ended.stderr.strip() == TOLD


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_an_interrupt_after_the_end_changes_nothing(name: str) -> None:
    ended = run(name, AFTER_THE_END)
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize("error", ["ValueError", "cli.InputError"])
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_an_interrupt_of_which_a_library_made_another_error_is_one(name: str, error: str) -> None:
    ended = run(name, MADE_ANOTHER_ERROR.replace("{error}", error))
    assert (ended.returncode, ended.stderr.strip()) == (130, TOLD)
