"""Stopping a training at the end of a step."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


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
