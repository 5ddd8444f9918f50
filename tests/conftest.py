"""What every test needs: one thread, a seed, and the shared reference data where it is to be had."""

import os
from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def seeded() -> None:
    """The same random weights and inputs in every run and order."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of golden vectors and real data: GENERATION_TRACER_SHARED, or `../shared` beside the repository."""
    folder = Path(os.environ.get("GENERATION_TRACER_SHARED", Path(__file__).parents[2] / "shared"))
    if not folder.is_dir():
        pytest.skip(f"no shared reference data at {folder} (set GENERATION_TRACER_SHARED)")
    return folder
