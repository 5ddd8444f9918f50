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

from tracer.generators.diffrhythm.config import DiTConfig
from tracer.generators.diffrhythm.network import DiT
from tracer.generators.mini.text import TextEncoder, words_of

CLIP = 258  # latent frames of 12 s
FRAMES_PER_STEP = 16 * CLIP
DROPPED = 0.12  # share of captions replaced by the null, for guidance
AVERAGE = 0.999  # decay of the averaged weights

NETWORK = DiTConfig(
    dim=256, depth=7, ff_mult=2, text_dim=32, conv_layers=0, text_num_embeds=1, max_frames=2048, attention_heads=4
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
        frames, channels = state.shape[1:]
        zeros = torch.zeros(1)
        prompt = self.transformer.prepare(
            torch.zeros(1, frames, channels), torch.zeros(1, frames, dtype=torch.long), style, zeros, zeros
        )
        velocity: Tensor = self.transformer(state, t, prompt)
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


@torch.no_grad()
def follow(average: dict[str, Tensor], model: nn.Module, step: int) -> None:
    """Move the averaged weights towards the present ones."""
    decay = min(AVERAGE, (1 + step) / (10 + step))
    for name, tensor in model.state_dict().items():
        average[name].lerp_(tensor, 1 - decay)


def train(caches: list[Path], out: Path, minutes: float, seed: int) -> None:
    """Train until the clock says stop; the learning rate falls as a cosine over the whole time."""
    corpus = Corpus(caches)
    torch.manual_seed(seed)
    state = torch.load(out, weights_only=True) if out.exists() else None
    vocabulary = state["text"]["vocabulary"] if state else corpus.vocabulary()
    model = Flow(NETWORK, vocabulary)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.98), weight_decay=0.01, fused=True)
    average = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    step, spent = 0, 0.0
    if state:
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        average, step, spent = state["average"], state["step"], state["seconds"]
    rng = np.random.default_rng((seed, step))
    begun = time.monotonic() - spent
    recent: list[float] = []
    while (now := time.monotonic() - begun) < minutes * 60:
        rate = 1e-3 * float(0.02 + 0.98 * 0.5 * (1 + np.cos(np.pi * now / (minutes * 60))))
        for group in optimiser.param_groups:
            group["lr"] = rate * min(1.0, (step + 1) / 300)
        frames = int(rng.choice([CLIP, CLIP // 2, 2 * CLIP, 4 * CLIP], p=[0.58, 0.3, 0.08, 0.04]))
        data, captions = corpus.draw(frames, rng)
        ids = model.text.tokens([forget_words(caption, rng) for caption in captions])
        noise = torch.randn_like(data)
        t = torch.sigmoid(torch.randn(len(data)) * 1.2)  # logit-normal: the middle of the path is the hard part
        dropped = torch.rand(len(data)) < DROPPED
        mixed = (1 - t[:, None, None]) * noise + t[:, None, None] * data
        with torch.autocast("cpu", dtype=torch.bfloat16):
            velocity = model(mixed, t, ids, dropped)
        loss = (velocity.float() - (data - noise)).square().mean()
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        follow(average, model, step)
        step += 1
        recent.append(loss.item())
        if step % 50 == 0:
            print(f"{now:6.0f} s  step {step}  loss {np.mean(recent[-50:]):.4f}", flush=True)
        if step % 500 == 0:
            save(out, model, optimiser, average, step, now)
    save(out, model, optimiser, average, step, minutes * 60)


def save(
    path: Path, model: Flow, optimiser: torch.optim.Optimizer, average: dict[str, Tensor], step: int, seconds: float
) -> None:
    """Everything that resuming needs, written beside the old file first."""
    state = {
        "model": model.state_dict(),
        "average": average,
        "optimiser": optimiser.state_dict(),
        "step": step,
        "seconds": seconds,
        "network": asdict(NETWORK),
        "text": {"vocabulary": list(model.text.vocabulary)},
    }
    torch.save(state, path.with_suffix(".tmp"))
    path.with_suffix(".tmp").rename(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--caches", type=Path, nargs="+", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=50)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    train(options.caches, options.out, options.minutes, options.seed)


if __name__ == "__main__":
    main()
