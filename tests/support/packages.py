"""Tests of what needs a package that not every environment has."""

from importlib.util import find_spec

import pytest


def needs(module: str) -> pytest.MarkDecorator:
    """Skips a test where a module is not installed."""
    return pytest.mark.skipif(find_spec(module) is None, reason=f"{module} is not installed")
