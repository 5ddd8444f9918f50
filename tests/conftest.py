"""What every test needs: one thread, no network, a seed, and the shared reference data where it is to be had."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

if TYPE_CHECKING:
    from tracer.generators.diffrhythm import DiffRhythm

torch.set_num_threads(1)
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read when huggingface_hub is imported, so it is set here
worker = os.environ.get("PYTEST_XDIST_WORKER")
if worker:  # two processes that compile librosa's functions into one fresh cache have crashed
    compiled = Path(tempfile.gettempdir()) / f"generation-tracer-numba-{worker}"
    os.environ.setdefault("NUMBA_CACHE_DIR", str(compiled))


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


@pytest.fixture(scope="session")
def tiny_diffrhythm() -> "Callable[..., DiffRhythm]":
    """Builds a small DiffRhythm with random weights, nothing of it at zero; equal configs give equal weights.

    Called with keys of `DiTConfig` that differ from the small ones, and `exact_rotary`.
    """
    from tracer.generators.diffrhythm import DiffRhythm, DiTConfig

    small = {"dim": 64, "depth": 2, "ff_mult": 2, "text_dim": 32, "conv_layers": 1, "text_num_embeds": 20}

    def build(exact_rotary: bool = False, **config: Any) -> DiffRhythm:
        model = DiffRhythm(DiTConfig(**{**small, "attention_heads": 2, **config}), exact_rotary)
        source = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.normal_(0, 0.5 if "text_embed.text_embed" in name else 0.06, generator=source)
                if name.endswith("norm.weight"):
                    parameter.add_(1)
        return model.eval().requires_grad_(False)

    return build
