"""One training step of the paper's autoencoder: fused, by autograd, and SAELens's standard SAE, in turn in one process.

    python benchmarks/sae.py [--hidden 2048 4096 8192 16384] [--batch 1024] [--rounds 5] [--threads N]

SAELens is measured when it is installed (pip install "generation-tracer[bench]"). Its step is what its trainer does:
forward pass, firing counts, backward, gradient clipping, Adam. Ours has RMSNorm and unit-norm atoms on top of the same
matmuls, firing counts and Adam.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch

from probes.fit.sae_training import SAETrainer, TrainingOptions
from probes.sae import ReluConfig
from probes.sae.base import SparseAutoencoder
from probes.support.torchaudio_stub import ensure_torchaudio

CHANNELS = 64
STEPS = 10  # a round


def ours(hidden: int, x: torch.Tensor, fused: bool, precision: str = "fp32") -> Callable[[], None]:
    options = TrainingOptions(steps=10**6, batch=len(x), precision=precision)
    config = ReluConfig(channels=CHANNELS, hidden=hidden)
    trainer = SAETrainer(config, options, torch.zeros(CHANNELS), torch.ones(CHANNELS), device=x.device)
    if not fused:
        trainer.sae.backward = lambda *args: SparseAutoencoder.backward(trainer.sae, *args)
    return lambda: trainer.step(x)


def saelens(hidden: int, x: torch.Tensor) -> Callable[[], None]:
    ensure_torchaudio()  # SAELens imports transformers' audio utilities on the way
    from sae_lens.saes.sae import TrainStepInput
    from sae_lens.saes.standard_sae import StandardTrainingSAE, StandardTrainingSAEConfig

    sae = StandardTrainingSAE(StandardTrainingSAEConfig(d_in=CHANNELS, d_sae=hidden, device=str(x.device)))
    optimiser = torch.optim.Adam(sae.parameters(), lr=1e-3)
    silent = torch.zeros(hidden, device=x.device)
    counts = torch.zeros(hidden, device=x.device)

    def step() -> None:
        given = TrainStepInput(x, {"l1": 0.05}, None, 0, False)
        output = sae.training_forward_pass(given)
        with torch.no_grad():
            fired = output.feature_acts.bool().float()
            silent.add_(1)
            silent[fired.sum(-2).bool()] = 0
            counts.add_(fired.sum(0))
        output.loss.backward()
        torch.nn.utils.clip_grad_norm_(sae.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()

    return step


def seconds(step: Callable[[], None], device: torch.device) -> float:
    start = time.perf_counter()
    for _ in range(STEPS):
        step()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return (time.perf_counter() - start) / STEPS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hidden", type=int, nargs="+", default=[2048, 4096, 8192, 16384])
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=0, help="0: torch's own choice")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    x = torch.randn(options.batch, CHANNELS, device=options.device)
    print(
        f"{options.batch} frames a step, {torch.get_num_threads()} threads, best of {options.rounds} rounds, ms a step"
    )
    for hidden in options.hidden:
        steps = {
            "fused": ours(hidden, x, True),
            "fused bf16": ours(hidden, x, True, "bf16"),
            "autograd": ours(hidden, x, False),
        }
        try:
            steps["SAELens"] = saelens(hidden, x)
        except ImportError as error:
            print(f"(SAELens is not measured: {error})")
        best: dict[str, float] = {}
        for _ in range(options.rounds + 1):  # the first round warms up and counts only if it is the best
            for name, step in steps.items():
                best[name] = min(best.get(name, float("inf")), seconds(step, x.device))
        times = ", ".join(f"{name} {value * 1e3:.1f}" for name, value in best.items())
        against = {name: best[name] / best["fused"] for name in ("autograd", "SAELens") if name in best}
        ratios = ", ".join(f"{value:.1f}x {name}" for name, value in against.items())
        print(f"hidden {hidden}: {times}; fused does {ratios} steps per second", flush=True)


if __name__ == "__main__":
    main()
