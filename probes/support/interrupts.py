"""Ctrl-C and SIGTERM: at the end of a training step, and where Python would let them pass."""

from __future__ import annotations

import _thread
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

AGAIN = 0.05
"""Seconds after which an interrupt that was let pass comes again."""
_came = threading.Event()


def raise_interrupts() -> None:
    """Let Ctrl-C and SIGTERM raise KeyboardInterrupt, and note that one came (`interrupted`).

    A library may make another error of it: safetensors' reader, for one, turns it into a ValueError. Where Ctrl-C is
    ignored, as in a shell's background job, it stays so.
    """
    _came.clear()
    for kind in (signal.SIGINT, signal.SIGTERM):
        if kind == signal.SIGTERM or signal.getsignal(kind) is signal.default_int_handler:
            signal.signal(kind, _interrupt)


def interrupted() -> bool:
    """Whether Ctrl-C or SIGTERM has come since `raise_interrupts`."""
    return _came.is_set()


def _interrupt(number: int, frame: FrameType | None) -> None:
    _came.set()
    raise KeyboardInterrupt


class StopRequest:
    """Whether Ctrl-C or SIGTERM has come."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def __bool__(self) -> bool:
        return self.signal is not None


@contextmanager
def stop_request() -> Iterator[StopRequest]:
    """Inside, the first SIGINT or SIGTERM is noted instead of breaking off a half-finished step.

    The loop asks the yielded object after each step, saves, and leaves; then KeyboardInterrupt is raised here. A second
    signal acts at once. In another thread than the main one signals are left as they are.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    kinds = (signal.SIGINT, signal.SIGTERM)
    before = {kind: signal.getsignal(kind) for kind in kinds}

    def note(number: int, frame: FrameType | None) -> None:
        if request:
            raise KeyboardInterrupt
        request.signal = number

    for kind in kinds:
        signal.signal(kind, note)
    try:
        yield request
    finally:
        for kind in kinds:
            signal.signal(kind, before[kind])
    if request:
        raise KeyboardInterrupt


def raise_ignored_interrupts() -> None:
    """Let an interrupt come again that fell where Python can only report an exception and go on.

    That is a destructor, or a callback from C; the compiler of numba, which librosa uses, has both. Without this the
    command would go on to its end and exit with 0. SIGTERM must raise KeyboardInterrupt, as `raise_interrupts` has it.
    """
    usual = sys.unraisablehook

    def report(ignored: Any) -> None:
        if not issubclass(ignored.exc_type, KeyboardInterrupt):
            usual(ignored)
            return
        # Not raised here, where it would be ignored too. SIGTERM, since a shell's background jobs ignore SIGINT.
        again = threading.Timer(AGAIN, _thread.interrupt_main, (signal.SIGTERM,))
        again.daemon = True
        again.start()

    sys.unraisablehook = report
