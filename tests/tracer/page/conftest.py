"""A browser, and pages opened in it."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.browser import Watched, launched


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Headless Chromium."""
    yield from launched()


@pytest.fixture
def watched(browser: Any) -> Iterator[Callable[..., Watched]]:
    """Opens pages without a network; what they complained of fails the test."""
    opened: list[Watched] = []

    def make(**options: Any) -> Watched:
        opened.append(Watched(browser, **options))
        return opened[-1]

    yield make
    for one in opened:
        one.close()
