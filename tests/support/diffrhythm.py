"""A DiffRhythm folder in the released format with small random weights: for tests of plumbing only."""

import json
from pathlib import Path

import numpy as np
import torch

from tracer.generators.diffrhythm import DiffRhythm, DiTConfig
from tracer.generators.diffrhythm.style import name_of

TINY = {"dim": 64, "depth": 2, "heads": 4, "ff_mult": 2, "text_dim": 512, "conv_layers": 1, "mel_dim": 64}


def random_model(seed: int = 0, **config: int | bool) -> DiffRhythm:
    """A sampler with random weights of a size at which every part matters."""
    torch.manual_seed(seed)
    shape = {key: value for key, value in TINY.items() if key != "heads"} | config
    model = DiffRhythm(DiTConfig(**shape))
    for name, parameter in model.named_parameters():
        torch.nn.init.normal_(parameter, std=0.05 if parameter.ndim > 1 else 0.1)
        if "layernorm" in name:
            parameter.data.add_(1)
    return model.eval().requires_grad_(False)


class TinyVAE(torch.nn.Module):
    """The released VAE's two exports, with one strided convolution each way."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = torch.nn.Conv1d(2, 128, 2048, stride=2048, bias=False)
        self.decoder = torch.nn.ConvTranspose1d(64, 2, 2048, stride=2048, bias=False)

    @torch.jit.export
    def encode_export(self, audio: torch.Tensor) -> torch.Tensor:
        return self.encoder(audio)

    @torch.jit.export
    def decode_export(self, latents: torch.Tensor) -> torch.Tensor:
        return self.decoder(latents)


def unit(*shape: int) -> torch.Tensor:
    """Random vectors of norm 1."""
    return torch.nn.functional.normalize(torch.randn(*shape), dim=-1)


def released_folder(path: Path, captions: list[str], seed: int = 0) -> Path:
    """Weights (fp16, nested as released), config, VAE, negative style, and style vectors for some captions."""
    from safetensors.torch import save_file

    path.mkdir(parents=True, exist_ok=True)
    weights = {name: value.half() for name, value in random_model(seed).state_dict().items()}
    torch.save({"model_state_dict": weights}, path / "cfm_model.pt")
    (path / "config.json").write_text(json.dumps({"model_type": "diffrhythm", "model": TINY}))
    np.save(path / "vocal.npy", unit(1, 512).numpy())
    torch.jit.script(TinyVAE()).save(str(path / "vae_model.pt"))
    save_file({name_of(caption): unit(1, 512) for caption in captions}, path / "styles.safetensors")
    return path


def settings(folder: Path) -> dict[str, str]:
    """What `--set` takes for such a folder."""
    files = {"config": "config.json", "style_cache": "styles.safetensors", "vae": "vae_model.pt"}
    return {key: str(folder / name) for key, name in files.items()}
