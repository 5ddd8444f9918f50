"""Train the codec: spectra in, 64 noisy numbers per frame, spectra out. Resumes from its own checkpoint.

python -m benchmarks.mini_training.codec --cache CACHE --out CODEC.pt --minutes 45
"""

import argparse
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.mini_training.data import HOP, PITCHES, SAMPLE_RATE
from probes.spaces.mini.codec import Codec, CodecConfig, log_rms
from probes.spaces.mini.space import read_codec

LEVELS = 20  # classes of the auxiliary heads for loudness and brightness
LOUDEST = 0.30  # RMS where the last loudness class begins
BRIGHTEST = 5000.0  # hertz where the last brightness class begins
PITCHED = 1400.0  # hertz below which magnitudes decide what pitch is heard
LIGHT_NOISE = 0.15  # most noise on a latent while the decoder alone is trained: a finished encoder's latents are exact


class Heads(nn.Module):
    """Linear readings of a latent frame that shape the latent: pitch of the note, RMS and spectral centroid.

    With them the three attributes lie in directions of the latent rather than in curved corners of it. They are
    thrown away after training; the model card says that they were there.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.pitch = nn.Linear(channels, PITCHES + 1)
        self.loudness = nn.Linear(channels, LEVELS)
        self.brightness = nn.Linear(channels, LEVELS)


class Trainee(nn.Module):
    """Codec, heads, and the normalisation that gives the posterior mean unit variance while training."""

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        self.codec = Codec(config)
        self.normalise = nn.BatchNorm1d(config.channels, affine=False, momentum=0.02)
        self.heads = Heads(config.channels)

    def forward(self, spectra: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Latents with `noise` [B, 1, 1] times Gaussian noise, and log-magnitudes decoded from them."""
        mean = self.codec.to_mean(spectra)
        latent = self.normalise(mean.float().flatten(0, 1)).view(mean.shape)
        latent = latent + noise * torch.randn_like(latent)
        return latent, self.codec.decode(latent)


def augment(audio: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, bool]:
    """Level, speed, equalisation and hiss beyond what the renderer varies, so that real recordings are no surprise.

    Returns the changed audio, and whether its pitches are what they were.
    """
    n = audio.shape[-1]
    moved = rng.random() < 0.3
    if moved:  # play faster or slower by up to a whole tone, from the start again where the end is reached
        speed = 2.0 ** rng.uniform(-2 / 12, 2 / 12)
        audio = np.interp((np.arange(n) * speed) % (n - 1), np.arange(n), audio)
    if rng.random() < 0.25:
        tilt = rng.uniform(-0.5, 0.5)  # one-tap filter: negative darkens, positive brightens
        audio = audio - tilt * np.concatenate([[0.0], audio[:-1]]).astype(np.float32)
    if rng.random() < 0.5:
        audio = audio * np.float32(10 ** rng.uniform(-0.5, 0.3))
    if rng.random() < 0.15:
        audio = audio + rng.normal(size=(n,)).astype(np.float32) * np.float32(10 ** rng.uniform(-4.5, -3.0))
    return np.clip(audio, -1, 1).astype(np.float32), not moved


def draw_batch(
    audio: np.ndarray, pitches: np.ndarray, batch: int, frames: int, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Audio [batch, frames * HOP] and pitch classes [batch, frames], -1 where they must not be used.

    Half of the clips are solos, half have several parts, whatever the cache has more of.
    """
    clips, classes = [], []
    solo = pitches.any(axis=1)
    chance = np.where(solo, 0.5 / max(1, solo.sum()), 0.5 / max(1, (~solo).sum()))
    for i in rng.choice(len(audio), size=batch, p=chance / chance.sum()):
        first = int(rng.integers(pitches.shape[1] - frames + 1))
        piece = audio[i, first * HOP : (first + frames) * HOP].astype(np.float32) / 32767
        known = pitches[i, first : first + frames].astype(np.int64)
        known[known == 0] = -1
        changed, same_pitches = augment(piece, rng)
        if rng.random() < 0.05:  # two pieces at once
            changed, same_pitches = changed + 0.5 * piece[::-1], False
        if not same_pitches:
            known[:] = -1
        classes.append(known)
        clips.append(changed)
    return torch.from_numpy(np.stack(clips)), torch.from_numpy(np.stack(classes))


def spectrum_loss(predicted: Tensor, target: Tensor, subframes: int) -> Tensor:
    """Distance of two sets of log-magnitudes `[B, F, subframes * bins]`.

    Four parts: log-magnitudes, counted more where the target has energy, so that partials matter and the floor
    between them little; square roots of magnitudes relative to the clip's, which punish sound where there should
    be none; the level of each spectrum; and once more the magnitudes below `PITCHED`, where the originals' own would
    mend nearly all that a listener for pitch gets wrong.
    """
    predicted, target = (x.unflatten(-1, (subframes, -1)) for x in (predicted, target))
    root, wanted = (0.5 * predicted.clamp(max=7.0)).exp(), (0.5 * target).exp()
    weight = wanted / wanted.mean(-1, keepdim=True)
    log_part = ((predicted - target).abs() * (0.3 + weight)).mean()
    root_part = ((root - wanted).abs() / (wanted.mean((1, 2, 3), keepdim=True) + 0.02)).mean()
    level_part = (log_rms(predicted) - log_rms(target)).abs().mean()
    return log_part / 3.0 + 0.5 * root_part + 0.3 * level_part + low_loss(predicted, target)


def low_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """Distance of log-magnitudes `[..., bins]` below `PITCHED`: share of the magnitude that is wrong, and log.

    By a mask, not by a slice: after training with a compiled slice the first bin behind its end was far too loud,
    for a reason that was not found.
    """
    low = (torch.arange(predicted.shape[-1]) < PITCHED / (SAMPLE_RATE / 2) * predicted.shape[-1]).to(predicted)
    magnitude, wanted = low * predicted.clamp(max=7.0).exp(), low * target.exp()
    share = ((magnitude - wanted).abs().sum(-1) / (wanted.sum(-1) + 0.5)).mean()
    weight = wanted / wanted.sum(-1, keepdim=True)
    return share + 0.3 * ((predicted - target).abs() * weight).sum(-1).mean()


def head_loss(
    heads: Heads, latent: Tensor, audio: Tensor, spectra: Tensor, pitch: Tensor, config: CodecConfig
) -> Tensor:
    """Cross-entropy of the auxiliary heads on frames of solo notes (pitch) and of any sound (the other two)."""
    rms = audio.view(*latent.shape[:2], HOP).square().mean(-1).sqrt()
    magnitude = spectra.view(*latent.shape[:2], config.subframes, -1).exp()
    hertz = torch.arange(config.bins) * (SAMPLE_RATE / config.n_fft)
    centroid = ((magnitude * hertz).sum(-1) / magnitude.sum(-1)).mean(-1)
    loudness = (rms * (LEVELS / LOUDEST)).long().clamp(max=LEVELS - 1)
    brightness = (centroid * (LEVELS / BRIGHTEST)).long().clamp(max=LEVELS - 1)
    brightness = torch.where(rms > 1e-3, brightness, -1)
    pairs = ((heads.pitch, pitch), (heads.loudness, loudness), (heads.brightness, brightness))
    losses = [
        F.cross_entropy(head(latent).flatten(0, 1).float(), classes.flatten(), ignore_index=-1)
        for head, classes in pairs
        if bool((classes >= 0).any())
    ]
    return torch.stack(losses).sum()


def freeze_encoder(model: Trainee, folder: Path) -> None:
    """Take over a finished codec and leave only its decoder to be trained: its latents stay what they are."""
    codec = read_codec(folder)
    model.codec.load_state_dict(codec.state_dict())
    model.normalise.running_mean, model.normalise.running_var = codec.mean.clone(), codec.std.square()
    for part in (model.codec.enter, model.codec.encoder, model.codec.to_latent, model.heads):
        part.requires_grad_(False)


def save(path: Path, model: Trainee, optimiser: torch.optim.Optimizer, step: int, seconds: float) -> None:
    state = {
        "model": model.state_dict(),
        "optimiser": optimiser.state_dict(),
        "step": step,
        "seconds": seconds,
        "config": asdict(model.codec.config),
    }
    torch.save(state, path.with_suffix(".tmp"))
    path.with_suffix(".tmp").rename(path)


def train(
    cache: Path, out: Path, minutes: float, batch: int, frames: int, seed: int, finished: Path | None, compiled: bool
) -> None:
    """Train until the clock says stop; the learning rate falls as a cosine over the whole time.

    With `finished`, the folder of a finished codec, its decoder alone is trained further.
    """
    audio, pitches = np.load(cache / "audio.npy", mmap_mode="r"), np.load(cache / "pitches.npy")
    torch.manual_seed(seed)
    model = Trainee(CodecConfig())
    if finished:
        freeze_encoder(model, finished)
    peak_rate = 8e-4 if finished else 1.5e-3
    optimiser = torch.optim.AdamW(
        [p for p in model.parameters() if p.requires_grad],
        lr=peak_rate,
        betas=(0.9, 0.98),
        weight_decay=0.01,
        fused=True,
    )
    step, spent = 0, 0.0
    if out.exists():
        state = torch.load(out, weights_only=True)
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        step, spent = state["step"], state["seconds"]
    rng = np.random.default_rng((seed, step))
    model.train()
    if finished:
        model.normalise.eval()

    def forward(spectra: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            latent, predicted = model(spectra, noise)
            return latent, spectrum_loss(predicted, spectra, model.codec.config.subframes)

    if compiled:  # joins the many passes over whole spectra; needs a C++ compiler
        forward = torch.compile(forward)
    recent: list[float] = []
    begun, first_step = time.monotonic() - spent, step
    while (now := time.monotonic() - begun) < minutes * 60:
        rate = peak_rate * float(0.02 + 0.98 * 0.5 * (1 + np.cos(np.pi * now / (minutes * 60))))
        for group in optimiser.param_groups:
            group["lr"] = rate * min(1.0, (step - first_step + 1) / 200)
        clips, classes = draw_batch(audio, pitches, batch, frames, rng)
        spectra = model.codec.spectra(clips)
        noise = torch.full((batch, 1, 1), model.codec.config.noise)
        latent, loss = forward(spectra, LIGHT_NOISE * torch.rand(batch, 1, 1) if finished else noise)
        aux = torch.zeros(())
        if not finished:  # the heads shape the latent, which a frozen encoder no longer moves
            with torch.autocast("cpu", dtype=torch.bfloat16):
                aux = head_loss(model.heads, latent, clips, spectra, classes, model.codec.config)
        optimiser.zero_grad()
        (loss + 0.05 * aux).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        step += 1
        recent.append(loss.item())
        if step % 50 == 0:
            print(f"{now:6.0f} s  step {step}  loss {np.mean(recent[-50:]):.4f}  heads {aux.item():.3f}", flush=True)
        if step % 500 == 0:
            save(out, model, optimiser, step, now)
    save(out, model, optimiser, step, minutes * 60)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=45)
    parser.add_argument("--batch", type=int, default=27)
    parser.add_argument("--frames", type=int, default=48)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--decoder-of", type=Path, help="folder of a finished codec: train only its decoder further")
    parser.add_argument("--compile", action="store_true", help="torch.compile: half the time per step")
    options = parser.parse_args()
    train(
        options.cache,
        options.out,
        options.minutes,
        options.batch,
        options.frames,
        options.seed,
        options.decoder_of,
        options.compile,
    )


if __name__ == "__main__":
    main()
