"""Time DiffRhythm's sampler beside one that does at every call what a generation needs only once.

    python benchmarks/sampler.py                         # several sizes, any device
    python benchmarks/sampler.py --device cuda --full    # the 1.1-billion-parameter size, random bf16 weights

The reference mode is upstream's way on this project's layers: lyrics, style and rotary table are evaluated at every
call, attention takes an explicit mask of zeros, and the two guidance branches run one after the other.
"""

import argparse
import contextlib
import statistics
import time
from collections.abc import Callable, Iterator
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tracer.generators.diffrhythm import DiffRhythm, DiTConfig
from tracer.generators.diffrhythm.model import time_grid
from tracer.generators.diffrhythm.network import Attention, rotate

GUIDANCE = 4.0
SIZES = {
    "small": (DiTConfig(dim=256, depth=4, attention_heads=4), 256),
    "medium": (DiTConfig(dim=512, depth=8, attention_heads=8), 512),
    "large": (DiTConfig(dim=768, depth=12, attention_heads=12), 1024),
}


def random_model(config: DiTConfig, device: str, dtype: torch.dtype) -> DiffRhythm:
    """A network whose values keep a sensible size through its depth."""
    with torch.device("meta"):
        model = DiffRhythm(config)
    model = model.to(dtype).to_empty(device=device).eval().requires_grad_(False)
    for parameter in model.parameters():
        parameter.normal_(0, 0.02)
    return model


def prompt(config: DiTConfig, batch: int, frames: int, device: str) -> dict[str, Tensor]:
    """Songs with lyrics: noise, style vectors, phoneme ids."""
    torch.manual_seed(0)
    return {
        "noise": torch.randn(batch, frames, config.mel_dim, device=device),
        "style": F.normalize(torch.randn(batch, 512, device=device), dim=1),
        "negative_style": F.normalize(torch.randn(1, 512, device=device), dim=1),
        "text": torch.randint(0, config.text_num_embeds, (batch, frames), device=device),
    }


def product(model: DiffRhythm, given: dict[str, Tensor], steps: int) -> Tensor:
    """The last state of the product's sampler."""
    state = given["noise"]
    for state in model.states(**given, steps=steps, cfg_strength=GUIDANCE):  # noqa: B007
        pass
    return state


def reference(model: DiffRhythm, given: dict[str, Tensor], steps: int) -> Tensor:
    """The same state, by two full evaluations per step with masks."""
    x, frames = given["noise"], given["noise"].shape[1]
    grid = time_grid(steps).tolist()
    fixed = {
        "cond": torch.zeros(1, frames, x.shape[2], device=x.device),
        "text": given["text"],
        "start_time": torch.zeros(1, device=x.device),
        "song_duration": torch.tensor([frames / model.config.max_frames], device=x.device),
    }
    with explicit_masks(model):
        for t, after in pairwise(grid):
            positive = model.velocity(x, t, style=given["style"], **fixed)
            null = model.velocity(x, t, style=given["negative_style"], **fixed, drop_audio=True, drop_text=True)
            x = x + (after - t) * (positive + (positive - null) * GUIDANCE)
    return x


class MaskedAttention(Attention):
    """Attention with an additive mask of zeros [B, 1, L, L]."""

    mask: Tensor

    def forward(self, x: Tensor, rotary: tuple[Tensor, Tensor]) -> Tensor:
        q, k, v = (
            proj(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for proj in (self.q_proj, self.k_proj, self.v_proj)
        )
        out = F.scaled_dot_product_attention(rotate(q, rotary), rotate(k, rotary), v, attn_mask=self.mask)
        return self.o_proj(out.transpose(1, 2).flatten(2))


@contextlib.contextmanager
def explicit_masks(model: DiffRhythm) -> Iterator[None]:
    """Give every attention layer a mask, made anew for each network call."""
    layers = [module for module in model.modules() if isinstance(module, Attention)]

    def make(_: nn.Module, args: tuple[Tensor, ...]) -> None:
        batch, frames, _ = args[0].shape
        mask = torch.zeros(batch, 1, frames, frames, dtype=model.dtype, device=args[0].device)
        for layer in layers:
            layer.mask = mask

    handle = model.transformer.register_forward_pre_hook(make)
    for layer in layers:
        layer.__class__ = MaskedAttention
    try:
        yield
    finally:
        handle.remove()
        for layer in layers:
            layer.__class__ = Attention
            del layer.mask


def seconds(run: Callable[[], Tensor], device: str) -> float:
    """Wall-clock time of one run."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    began = time.perf_counter()
    run()
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return time.perf_counter() - began


def alternating(runs: list[Callable[[], Tensor]], repeats: int, device: str) -> list[float]:
    """Median time of each run; they take turns, so that a busy machine is busy for all. One round warms up."""
    rounds = [[seconds(run, device) for run in runs] for _ in range(repeats + 1)][1:]
    return [statistics.median(times) for times in zip(*rounds)]


def operations(config: DiTConfig, frames: int) -> float:
    """Floating-point operations of one network evaluation of one song: multiplications and additions of matrices."""
    dim = config.dim
    block = 2 * (4 + 3 * config.ff_mult) * dim * dim + 4 * frames * dim
    convolutions = 2 * 2 * 31 * dim * dim / 16
    ends = 2 * 2 * config.mel_dim * dim
    return frames * (config.depth * block + convolutions + ends)


def matmul_rate(device: str, size: int = 8192) -> float:
    """Operations per second of a large bf16 matrix product on random data: what the card can do."""
    a, b = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    for _ in range(3):
        a @ b
    torch.cuda.synchronize()
    began = time.perf_counter()
    for _ in range(10):
        a @ b
    torch.cuda.synchronize()
    return 10 * 2 * size**3 / (time.perf_counter() - began)


def row(*cells: object) -> None:
    """One line of a table."""
    print("".join(f"{cell:>14}" for cell in cells), flush=True)


def compare_sizes(
    device: str, dtype: torch.dtype, steps: int, repeats: int, sizes: list[str], batches: list[int]
) -> None:
    """Product against reference."""
    print(f"{steps} states, guidance {GUIDANCE:g}, {dtype}, {device}; median of {repeats}, in seconds")
    row("size", "parameters", "frames", "batch", "product", "reference", "ratio", "furthest")
    for size in sizes:
        config, frames = SIZES[size]
        model = random_model(config, device, dtype)
        count = sum(parameter.numel() for parameter in model.parameters())
        for batch in batches:
            given = prompt(config, batch, frames, device)
            runs = [lambda: product(model, given, steps), lambda: reference(model, given, steps)]  # noqa: B023
            mine, theirs = alternating(runs, repeats, device)
            apart = float((product(model, given, steps) - reference(model, given, steps)).abs().max())
            numbers = (f"{mine:.3f}", f"{theirs:.3f}", f"{theirs / mine:.2f}", f"{apart:.1e}")
            row(size, f"{count / 1e6:.1f} M", frames, batch, *numbers)


def full_size(device: str, steps: int, repeats: int) -> None:
    """The released size with random bf16 weights: 95-second songs."""
    config, frames = DiTConfig(), 2048
    model = random_model(config, device, torch.bfloat16)
    rate = matmul_rate(device)
    work = operations(config, frames) * 2 * (steps - 1)
    print(f"{torch.cuda.get_device_name()}, bf16 matrix product at {rate / 1e12:.0f} TFLOP/s")
    print(f"{steps} states, guidance {GUIDANCE:g}: {work / 1e12:.0f} TFLOP per song; median of {repeats}")
    row("mode", "batch", "s per song", "TFLOP/s", "of matmul", "peak GiB")
    for mode, sampler in (("reference", reference), ("product", product), ("compiled", product)):
        for batch in (1, 8):
            if mode == "compiled":
                torch.compiler.reset()
                model.transformer.compile(dynamic=False)
            given = prompt(config, batch, frames, device)
            torch.cuda.reset_peak_memory_stats()
            (spent,) = alternating([lambda: sampler(model, given, steps)], repeats, device)  # noqa: B023
            achieved, peak = batch * work / spent, torch.cuda.max_memory_allocated() / 2**30
            row(mode, batch, f"{spent / batch:.3f}", f"{achieved / 1e12:.0f}", f"{achieved / rate:.0%}", f"{peak:.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16", "float16"])
    parser.add_argument("--full", action="store_true", help="the released size instead (a GPU with 24 GB or more)")
    parser.add_argument("--steps", type=int, help="states; 32 with --full, otherwise 8")
    parser.add_argument("--sizes", nargs="+", default=["small", "medium"], choices=list(SIZES))
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 4])
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    if given.full:
        full_size(given.device, given.steps or 32, given.repeats)
    else:
        dtype = getattr(torch, given.dtype)
        compare_sizes(given.device, dtype, given.steps or 8, given.repeats, given.sizes, given.batches)


if __name__ == "__main__":
    main()
