"""Train the flow and its text encoder together on encoded renderings. Resumes from its own checkpoint.

python -m tracer.generators.mini.training.flow --caches CACHE CACHE ... --out FLOW.pt --minutes 50
"""

import argparse
import json
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from tracer.generators.diffrhythm.config import DiTConfig
from tracer.generators.diffrhythm.network import DiT
from tracer.generators.mini.text import TextEncoder, words_of

CLIP = 258  # latent frames of 12 s
FRAMES_PER_STEP = 12 * CLIP
DROPPED = 0.12  # share of captions replaced by the null, for guidance
AVERAGE = 0.999  # decay of the averaged weights

NETWORK = DiTConfig(
    dim=256, depth=6, ff_mult=2, text_dim=32, conv_layers=0, text_num_embeds=1, max_frames=2048, attention_heads=4
)


class Flow(nn.Module):
    """What is trained: the velocity network and the text encoder."""

    def __init__(self, network: DiTConfig, vocabulary: list[str]) -> None:
        super().__init__()
        self.transformer = DiT(network)
        self.text = TextEncoder(vocabulary)
        first = sum(self.transformer.input_embed.widths[:3])
        with torch.no_grad():  # a unit vector of 512 numbers is far smaller than the latent beside it
            self.transformer.input_embed.proj.weight[:, first : first + 512] *= 8.0

    def forward(self, state: Tensor, t: Tensor, ids: Tensor, dropped: Tensor) -> Tensor:
        style = torch.where(dropped[:, None], self.text.null_style(), self.text(ids))
        silence, text = torch.zeros_like(state[:1]), torch.zeros(1, state.shape[1], dtype=torch.long)
        start = torch.zeros(1)
        velocity: Tensor = self.transformer(state, t, self.transformer.prepare(silence, text, style, start, start))
        return velocity


class Corpus:
    """Latents and captions of several caches; a cache of longer pieces serves the longer crops."""

    def __init__(self, caches: list[Path]) -> None:
        self.latents = [np.load(cache / "latents.npy", mmap_mode="r") for cache in caches]
        self.wordings = [json.loads((cache / "wordings.json").read_text()) for cache in caches]

    def vocabulary(self, at_least: int = 5) -> list[str]:
        """Every word that occurs often enough to be learned, in alphabetical order."""
        counts = Counter(
            word for pieces in self.wordings for piece in pieces for text in piece for word in words_of(text)
        )
        return sorted(word for word, count in counts.items() if count >= at_least)

    def draw(self, frames: int, rng: np.random.Generator) -> tuple[Tensor, list[str]]:
        """A batch [n, frames, channels] with its captions, n such that all batches cost about the same."""
        able = [i for i, latents in enumerate(self.latents) if latents.shape[1] >= frames]
        sizes = np.array([len(self.latents[i]) * self.latents[i].shape[1] for i in able], dtype=float)
        crops, captions = [], []
        for _ in range(max(1, FRAMES_PER_STEP // frames)):
            source = able[int(rng.choice(len(able), p=sizes / sizes.sum()))]
            clip = int(rng.integers(len(self.latents[source])))
            room = self.latents[source].shape[1] - frames
            first = 0 if rng.random() < 0.5 else int(rng.integers(room + 1))
            crops.append(self.latents[source][clip, first : first + frames].astype(np.float32))
            texts = self.wordings[source][clip]
            captions.append(texts[int(rng.integers(len(texts)))])
        return torch.from_numpy(np.stack(crops)), captions


def forget_words(caption: str, rng: np.random.Generator) -> str:
    """Now and then leave out some words, so that sparse prompts are nothing unusual."""
    if rng.random() > 0.2:
        return caption
    keep = rng.uniform(0.3, 0.9)
    return " ".join(word for word in words_of(caption) if rng.random() < keep)


class MasterWeights:
    """float32 weights behind a bfloat16 model, and their running average.

    A whole model in bfloat16 runs its norms and rotary products in one kernel each, which autocast does not; the
    optimiser needs the finer numbers.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.present = {name: p.detach().float().requires_grad_() for name, p in model.named_parameters()}
        self.average = {name: p.detach().clone() for name, p in self.present.items()}

    def take_gradients(self) -> None:
        for name, p in self.model.named_parameters():
            self.present[name].grad = None if p.grad is None else p.grad.float()
            p.grad = None

    @torch.no_grad()
    def give_weights(self, step: int) -> None:
        """Copy the updated weights into the model and move the average towards them."""
        decay = min(AVERAGE, (1 + step) / (10 + step))
        for name, p in self.model.named_parameters():
            p.copy_(self.present[name])
            self.average[name].lerp_(self.present[name], 1 - decay)


def train(caches: list[Path], out: Path, minutes: float, seed: int, compiled: bool) -> None:
    """Train until the clock says stop; the learning rate falls as a cosine over the whole time."""
    corpus = Corpus(caches)
    torch.manual_seed(seed)
    state = torch.load(out, weights_only=True) if out.exists() else None
    vocabulary = state["text"]["vocabulary"] if state else corpus.vocabulary()
    model = Flow(NETWORK, vocabulary)
    master = MasterWeights(model)
    weights = list(master.present.values())
    optimiser = torch.optim.AdamW(weights, lr=1e-3, betas=(0.9, 0.98), weight_decay=0.01, fused=True)
    step, spent = 0, 0.0
    if state:
        for name, tensor in state["model"].items():
            master.present[name].data.copy_(tensor)
        optimiser.load_state_dict(state["optimiser"])
        master.average, step, spent = state["average"], state["step"], state["seconds"]
    model.bfloat16()
    master.give_weights(step)
    if compiled:  # the blocks alone: they are the cost, and one compilation serves them all
        for block in (*model.transformer.transformer_blocks, model.transformer.input_embed.conv_pos_embed):
            block.compile(dynamic=False)
    rng = np.random.default_rng((seed, step))
    begun = time.monotonic() - spent
    recent: list[float] = []
    while (now := time.monotonic() - begun) < minutes * 60:
        rate = 1e-3 * float(0.02 + 0.98 * 0.5 * (1 + np.cos(np.pi * now / (minutes * 60))))
        for group in optimiser.param_groups:
            group["lr"] = rate * min(1.0, (step + 1) / 300)
        frames = int(rng.choice([CLIP, CLIP // 2, 2 * CLIP, 4 * CLIP], p=[0.6, 0.3, 0.07, 0.03]))
        data, captions = corpus.draw(frames, rng)
        ids = model.text.tokens([forget_words(caption, rng) for caption in captions])
        noise = torch.randn_like(data)
        t = torch.sigmoid(torch.randn(len(data)) * 1.2)  # logit-normal: the middle of the path is the hard part
        dropped = torch.rand(len(data)) < DROPPED
        mixed = (1 - t[:, None, None]) * noise + t[:, None, None] * data
        with sdpa_kernel(SDPBackend.MATH):  # on CPUs the fused kernel's backward pass is the slower one
            velocity = model(mixed.bfloat16(), t, ids, dropped)
            loss = (velocity.float() - (data - noise)).square().mean()
            loss.backward()
        master.take_gradients()
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimiser.step()
        master.give_weights(step)
        step += 1
        recent.append(loss.item())
        if step % 50 == 0:
            print(f"{now:6.0f} s  step {step}  loss {np.mean(recent[-50:]):.4f}", flush=True)
        if step % 500 == 0:
            save(out, master, optimiser, vocabulary, step, now)
    save(out, master, optimiser, vocabulary, step, minutes * 60)


def save(
    path: Path,
    master: MasterWeights,
    optimiser: torch.optim.Optimizer,
    vocabulary: list[str],
    step: int,
    seconds: float,
) -> None:
    """Everything that resuming needs, written beside the old file first."""
    state = {
        "model": {name: p.detach() for name, p in master.present.items()},
        "average": master.average,
        "optimiser": optimiser.state_dict(),
        "step": step,
        "seconds": seconds,
        "network": asdict(NETWORK),
        "text": {"vocabulary": vocabulary},
    }
    torch.save(state, path.with_suffix(".tmp"))
    path.with_suffix(".tmp").rename(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--caches", type=Path, nargs="+", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--compile", action="store_true", help="torch.compile: two thirds of the time per step")
    options = parser.parse_args()
    train(options.caches, options.out, options.minutes, options.seed, options.compile)


if __name__ == "__main__":
    main()
