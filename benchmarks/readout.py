"""Readout of 2,048 frames: features held (plain formula) against streamed, time, peak memory, share of the matmul rate.

    python benchmarks/readout.py [--hidden 2048 4096 8192 16384] [--frames 2048] [--rounds 5] [--threads N]

Each case runs in a process of its own, so that its peak memory is its own. The matmul rate is this machine's on a
square fp32 matmul of 2,048, measured in the same process just before.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable

import torch

CHANNELS, CLASSES = 64, {"pitch": 66, "loudness": 20, "timbre": 20}


def best_of(rounds: int, call: Callable[[], object]) -> float:
    call()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def peak_bytes() -> int:
    """Peak resident memory of this process so far (Linux, macOS)."""
    import resource

    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale


def case(kind: str, hidden: int, frames: int, rounds: int) -> dict[str, float]:
    """One case in this process: ms, bytes above what was held before, share of the matmul rate."""
    from tests.support.readout import tiny_readout

    readout = tiny_readout(channels=CHANNELS, hidden=hidden)
    square = torch.randn(2048, 2048)
    rate = 2 * 2048**3 / best_of(rounds, lambda: square @ square)
    latents = torch.randn(1, frames, CHANNELS)
    before = peak_bytes()

    def plain() -> dict[str, torch.Tensor]:
        f = readout.sae.encode(latents)
        return readout.probes.split(readout.probes.probabilities(readout.probes(f)).mean(1))

    calls: dict[str, tuple[Callable[[], object], int]] = {
        "plain": (plain, sum(CLASSES.values())),
        "streamed": (lambda: readout(latents), sum(CLASSES.values())),
        # probes, controls, and the reconstruction for FVU
        "read": (lambda: readout.read(latents), 2 * sum(CLASSES.values()) + CHANNELS),
    }
    call, outputs = calls[kind]
    with torch.no_grad():
        seconds = best_of(rounds, call)
    operations = 2 * frames * hidden * (CHANNELS + outputs)
    return {"ms": seconds * 1e3, "bytes": peak_bytes() - before, "share": operations / seconds / rate}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hidden", type=int, nargs="+", default=[2048, 4096, 8192, 16384])
    parser.add_argument("--frames", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=0, help="0: torch's own choice")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    if options.case:
        print(json.dumps(case(options.case, options.hidden[0], options.frames, options.rounds)))
        return
    print(f"{options.frames} frames, {torch.get_num_threads()} threads, best of {options.rounds}")
    for hidden in options.hidden:
        for kind in ("plain", "streamed", "read"):
            command = [sys.executable, "-m", "benchmarks.readout", "--case", kind, "--hidden", str(hidden)]
            command += ["--frames", str(options.frames), "--rounds", str(options.rounds)]
            command += ["--threads", str(options.threads)]
            found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
            print(
                f"hidden {hidden:6d}  {kind:8s}  {found['ms']:8.1f} ms  {found['bytes'] / 2**20:7.1f} MiB  "
                f"{found['share']:5.0%} of the matmul rate",
                flush=True,
            )


if __name__ == "__main__":
    main()
