"""Train the flow and its text encoder together on encoded renderings. Resumes from its own checkpoint.

python -m benchmarks.mini_training.flow --caches CACHE CACHE ... --out FLOW.pt --minutes 50
"""

import argparse
import json
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from probes.rendering.instruments import INSTRUMENTS
from tracer.generators.diffrhythm.config import DiTConfig
from tracer.generators.diffrhythm.network import DiT
from tracer.generators.mini.text import STYLE, TextEncoder, words_of

CLIP = 258  # latent frames of 12 s
FRAMES_PER_STEP = 12 * CLIP
DROPPED = 0.12  # share of captions replaced by the null, for guidance
AVERAGE = 0.999  # decay of the averaged weights

FACTS: dict[str, tuple[str, ...]] = {
    "register": ("low", "middle", "high"),
    "dynamics": ("quiet", "medium", "loud"),
    "tone": ("dark", "neutral", "bright"),
    "lead": tuple(instrument.name for instrument in INSTRUMENTS),
    "drums": ("False", "True"),
}
NETWORK = DiTConfig(
    dim=256, depth=6, ff_mult=2, text_dim=32, conv_layers=0, text_num_embeds=1, max_frames=2048, attention_heads=4
)


class Meaning(nn.Module):
    """Linear readings of a style vector that must tell what the caption says: they keep captions apart.

    Without them the style vectors of all captions stay within a few degrees of each other for thousands of steps.
    """

    def __init__(self) -> None:
        super().__init__()
        self.heads = nn.ModuleList(nn.Linear(STYLE, len(values)) for values in FACTS.values())

    def forward(self, style: Tensor, facts: Tensor) -> Tensor:
        """Mean cross-entropy for style vectors [B, 512] and fact classes [B, facts]."""
        losses = [F.cross_entropy(head(8.0 * style), facts[:, i]) for i, head in enumerate(self.heads)]
        return torch.stack(losses).mean()


class Flow(nn.Module):
    """What is trained: the velocity network, the text encoder, and the readings that guide the latter."""

    def __init__(self, network: DiTConfig, vocabulary: list[str]) -> None:
        super().__init__()
        self.transformer = DiT(network)
        self.text = TextEncoder(vocabulary)
        self.meaning = Meaning()
        first = sum(self.transformer.input_embed.widths[:3])
        with torch.no_grad():  # a unit vector of 512 numbers is far smaller than the latent beside it
            self.transformer.input_embed.proj.weight[:, first : first + 512] *= 8.0

    def forward(self, state: Tensor, t: Tensor, style: Tensor) -> Tensor:
        silence, text = torch.zeros_like(state[:1]), torch.zeros(1, state.shape[1], dtype=torch.long)
        start = torch.zeros(1)
        velocity: Tensor = self.transformer(state, t, self.transformer.prepare(silence, text, style, start, start))
        return velocity


class Corpus:
    """Latents and captions of several caches; a cache of longer pieces serves the longer crops."""

    def __init__(self, caches: list[Path]) -> None:
        self.latents = [np.load(cache / "latents.npy", mmap_mode="r") for cache in caches]
        self.wordings = [json.loads((cache / "wordings.json").read_text()) for cache in caches]
        self.facts = [fact_classes(cache / "captions.jsonl") for cache in caches]

    def vocabulary(self, at_least: int = 5) -> list[str]:
        """Every word that occurs often enough to be learned, in alphabetical order."""
        counts = Counter(
            word for pieces in self.wordings for piece in pieces for text in piece for word in words_of(text)
        )
        return sorted(word for word, count in counts.items() if count >= at_least)

    def captions(self, count: int, rng: np.random.Generator) -> tuple[list[str], Tensor]:
        """Captions with the fact classes [count, facts] of their pieces."""
        texts, facts = [], []
        for source in rng.integers(len(self.wordings), size=count):
            clip = int(rng.integers(len(self.wordings[source])))
            texts.append(self.wordings[source][clip][int(rng.integers(len(self.wordings[source][clip])))])
            facts.append(self.facts[source][clip])
        return texts, torch.from_numpy(np.stack(facts))

    def draw(self, frames: int, rng: np.random.Generator) -> tuple[Tensor, list[str], Tensor]:
        """A batch [n, frames, channels], captions, fact classes; n such that all batches cost about the same."""
        able = [i for i, latents in enumerate(self.latents) if latents.shape[1] >= frames]
        sizes = np.array([len(self.latents[i]) * self.latents[i].shape[1] for i in able], dtype=float)
        crops, captions, facts = [], [], []
        for _ in range(max(1, FRAMES_PER_STEP // frames)):
            source = able[int(rng.choice(len(able), p=sizes / sizes.sum()))]
            clip = int(rng.integers(len(self.latents[source])))
            room = self.latents[source].shape[1] - frames
            first = 0 if rng.random() < 0.5 else int(rng.integers(room + 1))
            crops.append(self.latents[source][clip, first : first + frames].astype(np.float32))
            texts = self.wordings[source][clip]
            captions.append(texts[int(rng.integers(len(texts)))])
            facts.append(self.facts[source][clip])
        return torch.from_numpy(np.stack(crops)), captions, torch.from_numpy(np.stack(facts))


def fact_classes(lines: Path) -> np.ndarray:
    """int64 [pieces, facts]: what each piece of a cache is, as indices into `FACTS`."""
    rows = []
    for line in lines.read_text().splitlines():
        facts = json.loads(line)
        values = {**facts, "lead": facts["parts"][0], "drums": str(facts["drums"])}
        rows.append([choices.index(values[name]) for name, choices in FACTS.items()])
    return np.array(rows, dtype=np.int64)


def teach_words(model: Flow, corpus: Corpus, rng: np.random.Generator, steps: int, batch: int = 128) -> None:
    """Train the text encoder alone to tell what captions say, before the flow has to follow it."""
    parameters = [*model.text.parameters(), *model.meaning.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=2e-3, weight_decay=0.01, fused=True)
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = 2e-3 * (1 - step / steps)
        captions, facts = corpus.captions(batch, rng)
        loss = model.meaning(model.text(model.text.tokens([forget_words(text, rng) for text in captions])), facts)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if (step + 1) % 100 == 0:
            print(f"words {step + 1}  loss {loss.item():.3f}", flush=True)


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


def train(caches: list[Path], out: Path, minutes: float, seed: int, compiled: bool, word_steps: int) -> None:
    """Train until the clock says stop; the learning rate falls as a cosine over the whole time."""
    corpus = Corpus(caches)
    torch.manual_seed(seed)
    state = torch.load(out, weights_only=True) if out.exists() else None
    vocabulary = state["text"]["vocabulary"] if state else corpus.vocabulary()
    model = Flow(NETWORK, vocabulary)
    if state is None:
        teach_words(model, corpus, np.random.default_rng(seed), word_steps)
    master = MasterWeights(model)
    weights = list(master.present.values())
    optimiser = torch.optim.AdamW(weights, lr=1e-3, betas=(0.9, 0.98), weight_decay=0.01, fused=True)
    step, spent = 0, 0.0
    if state:
        for name, tensor in state["model"].items():
            master.present[name].data.copy_(tensor)
        optimiser.load_state_dict(state["optimiser"])
        master.average, step, spent = state["average"], state["step"], state["seconds"]
    model.transformer.bfloat16()
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
        data, captions, facts = corpus.draw(frames, rng)
        ids = model.text.tokens([forget_words(caption, rng) for caption in captions])
        noise = torch.randn_like(data)
        t = torch.sigmoid(torch.randn(len(data)) * 1.2)  # logit-normal: the middle of the path is the hard part
        dropped = torch.rand(len(data)) < DROPPED
        mixed = (1 - t[:, None, None]) * noise + t[:, None, None] * data
        with sdpa_kernel(SDPBackend.MATH):  # on CPUs the fused kernel's backward pass is the slower one
            style = model.text(ids)
            used = torch.where(dropped[:, None], model.text.null_style(), style)
            velocity = model(mixed.bfloat16(), t, used.bfloat16())
            loss = (velocity.float() - (data - noise)).square().mean()
            (loss + 0.02 * model.meaning(style, facts)).backward()
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
    parser.add_argument("--word-steps", type=int, default=700, help="of the text encoder alone, before the flow")
    parser.add_argument("--compile", action="store_true", help="torch.compile: two thirds of the time per step")
    options = parser.parse_args()
    train(options.caches, options.out, options.minutes, options.seed, options.compile, options.word_steps)


if __name__ == "__main__":
    main()
