"""What tracing costs: time and memory of a traced generation over the same generation untraced.

    python benchmarks/overhead.py                          # the bundled model and its readout
    python benchmarks/overhead.py --random                 # the same shape with random weights, nothing to load
    python benchmarks/overhead.py --device cuda --full     # DiffRhythm's size, random bf16 weights

Both runs make the same clips. The traced one reads state and endpoint at every step with the trained probes, those of
shuffled labels and the generic directions, as `trace` does. Decoding and writing, which happen with and without a
trace, are left out. --linear-flow adds the states of the linear flow, which a run reads for its first 16 prompts alone.
"""

import argparse
import json
import resource
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from sampler import alternating, random_model, row
from torch import Tensor

from probes.attributes import get_attribute
from probes.readout import Readout
from probes.readout.linear import LinearProbes
from probes.sae import ReluConfig, make_sae
from tracer.batching import BatchSize
from tracer.generators import Generator, load_generator
from tracer.generators.diffrhythm import DiTConfig
from tracer.options import TraceOptions
from tracer.prompts import Prompt
from tracer.record.batches import StateReader, read_linear_flow
from tracer.record.buffer import TraceBuffer
from tracer.session import Session, open_readout

CAPTION = "a slow piano melody over soft strings"


class RandomSongs(Generator):
    """DiffRhythm with random weights: the cost of a generation, not its sound."""

    name, space, channels, frame_rate, sample_rate = "random", "random", 64, 44100 / 2048, 44100
    default_seconds, default_guidance = 95.0, 4.0

    def __init__(self, config: DiTConfig, device: str, dtype: torch.dtype) -> None:
        self.sampler = random_model(config, device, dtype)

    def fingerprint(self) -> str:
        return self.name

    def frames(self, seconds: float) -> int:
        return min(int(seconds * self.frame_rate) + 1, self.sampler.config.max_frames)

    def generate(
        self, captions: Sequence[str], seeds: Sequence[int], *, steps: int, seconds: float, guidance: float
    ) -> Tensor:
        shape = (self.frames(seconds), self.channels)
        noise = torch.stack([torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds])
        style = torch.nn.functional.normalize(torch.ones(1, 512), dim=1)
        latents = noise
        for latents in self.sampler.states(  # noqa: B007
            noise=noise, style=style, negative_style=-style, steps=steps, cfg_strength=guidance
        ):
            pass
        return latents

    def decode(self, latents: Tensor) -> np.ndarray:
        raise NotImplementedError


def random_readout(space: str, hidden: int) -> Readout:
    """A readout of the paper's three attributes with random weights."""
    ranges = {"pitch": (30, 96), "loudness": (0.0, 0.5), "timbre": (200.0, 6000.0)}
    bins = {name: get_attribute(name).fit_bins(np.linspace(low, high, 500)) for name, (low, high) in ranges.items()}
    sae = make_sae(ReluConfig(channels=64, hidden=hidden, space=space))
    sae.set_statistics(torch.zeros(64), torch.ones(64))
    classes = {name: len(edges) for name, edges in bins.items()}
    return Readout(sae, LinearProbes(classes, hidden), LinearProbes(classes, hidden), bins, (space,))


class Case:
    """One generation, with and without its trace."""

    def __init__(self, given: argparse.Namespace) -> None:
        torch.manual_seed(0)
        if given.full:
            self.model: Generator = RandomSongs(DiTConfig(), given.device, torch.bfloat16)
        elif given.random:
            config = DiTConfig(
                dim=256, depth=6, ff_mult=2, attention_heads=4, text_dim=32, conv_layers=0, text_num_embeds=1
            )
            self.model = RandomSongs(config, given.device, torch.float32)
        else:
            self.model = load_generator("mini", device=given.device)
        if given.full or given.random:
            readout = random_readout(self.model.space, given.hidden).to(given.device)
        else:
            readout = open_readout(None, (self.model.space,), f"{self.model.name} generates in", given.device)
        self.given = given
        prompts = [Prompt(index, str(index), CAPTION) for index in range(given.batch_size)]
        seconds = given.seconds or self.model.default_seconds
        guidance = self.model.default_guidance
        self.session = Session(
            self.model, readout, prompts, 0, given.steps, seconds, guidance, BatchSize(given.batch_size)
        )

    def untraced(self) -> Tensor:
        """The latents of one batch."""
        return self.session.generate(self.session.prompts)

    def traced(self) -> Tensor:
        """The same latents, every state read."""
        clips, options = self.session.prompts, TraceOptions()
        # Nothing is listened to, so that nothing is written into the folder.
        reader = StateReader(self.session, options, clips, TraceBuffer(clips), Path())
        latents = self.session.generate(clips, sink=reader)
        if self.given.linear_flow:
            read_linear_flow(self.session, options, reader, latents)
        return latents

    def peak(self, run: Callable[[], Tensor], name: str) -> int:
        """Most memory that one run takes, in bytes: of the GPU, or of a process of its own."""
        if self.given.device.startswith("cuda"):
            torch.cuda.reset_peak_memory_stats()
            run()
            return torch.cuda.max_memory_allocated()
        again = [*sys.argv[1:], "--only", name]
        result = subprocess.run([sys.executable, __file__, *again], capture_output=True, text=True, check=True)
        return int(json.loads(result.stdout)["peak"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--random", action="store_true", help="random weights of the bundled model's size")
    parser.add_argument("--full", action="store_true", help="random weights of the released size, in bf16 (a GPU)")
    parser.add_argument("--hidden", type=int, default=4096, help="dictionary size of the random readout")
    parser.add_argument("--steps", type=int, default=32)
    parser.add_argument("--seconds", type=float, help="length of a clip; the model's own when left out")
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--linear-flow", action="store_true", help="read the linear flow of every prompt too")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", choices=["traced", "untraced"], help="one run, its peak memory as JSON")
    given = parser.parse_args()
    case = Case(given)
    runs = {"untraced": case.untraced, "traced": case.traced}
    if given.only:
        runs[given.only]()
        # Linux counts in KiB, macOS in bytes.
        unit = 1 if sys.platform == "darwin" else 1024
        print(json.dumps({"peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit}))
        return
    if not torch.equal(case.traced(), case.untraced()):
        raise SystemExit("the traced latents differ from the untraced ones")
    times = alternating(list(runs.values()), given.repeats, given.device)
    peaks = [case.peak(run, name) for name, run in runs.items()]
    frames = case.model.frames(case.session.seconds)
    print(
        f"{case.model.name}: {given.batch_size} clips of {frames} frames, {given.steps} states, dictionary of "
        f"{case.session.readout.sae.config.hidden}, {given.device}; median of {given.repeats}"
    )
    row("", "untraced", "traced", "ratio")
    row("seconds", *(f"{spent:.3f}" for spent in times), f"{times[1] / times[0]:.3f}")
    row("peak MiB", *(f"{peak / 2**20:.0f}" for peak in peaks), f"{peaks[1] / peaks[0]:.3f}")


if __name__ == "__main__":
    main()
