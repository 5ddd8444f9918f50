"""Write trained weights as the package ships them: float16 safetensors with a config.json beside them.

python -m benchmarks.mini_training.export codec CODEC.pt probes/weights/mini-codec --cache CACHE
python -m benchmarks.mini_training.export flow FLOW.pt tracer/generators/mini/weights
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from probes.spaces.mini.codec import Codec, CodecConfig


def write(tensors: dict[str, Tensor], config: dict[str, object], folder: Path) -> None:
    """float16 `model.safetensors` and `config.json` in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    halves = {name: tensor.half().contiguous() for name, tensor in tensors.items()}
    save_file(halves, folder / "model.safetensors")
    (folder / "model.safetensors").chmod(0o644)
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


@torch.no_grad()
def standardise(codec: Codec, audio: np.ndarray, clips: int = 400) -> None:
    """Set the codec's mean and std to those of its own latents on the first `clips` clips of a cache."""
    latents = []
    for first in range(0, min(clips, len(audio)), 20):
        batch = torch.from_numpy(audio[first : min(first + 20, clips)].astype(np.float32) / 32767)
        latents.append(codec.to_mean(codec.spectra(batch)).flatten(0, 1))
    frames = torch.cat(latents)
    codec.mean.copy_(frames.mean(0))
    codec.std.copy_(frames.std(0))


def export_codec(checkpoint: Path, folder: Path, cache: Path) -> None:
    """The codec of a training checkpoint.

    The decoder was trained on the normalisation that ran along with training, so its first layer takes over the
    difference to the final one.
    """
    state = torch.load(checkpoint, weights_only=True)
    config = CodecConfig(**state["config"])
    codec = Codec(config)
    prefix = "codec."
    codec.load_state_dict({k[len(prefix) :]: v for k, v in state["model"].items() if k.startswith(prefix)})
    if not codec.mean.any():  # else the encoder is that of a finished codec, whose latents must not move
        standardise(codec, np.load(cache / "audio.npy", mmap_mode="r"))
    running_mean = state["model"]["normalise.running_mean"]
    running_std = (state["model"]["normalise.running_var"] + 1e-5).sqrt()
    with torch.no_grad():
        layer = codec.from_latent
        shift, scale = (codec.mean - running_mean) / running_std, codec.std / running_std
        layer.bias.add_(layer.weight @ shift)
        layer.weight.mul_(scale)
    write(codec.state_dict(), asdict(config), folder)


def export_flow(checkpoint: Path, folder: Path) -> None:
    """The averaged weights of a flow checkpoint: network and text encoder in one file, vocabulary in the config."""
    state = torch.load(checkpoint, weights_only=True)
    weights = {name: tensor for name, tensor in state["average"].items() if not name.startswith("meaning.")}
    write(weights, {"network": state["network"], "text": state["text"]}, folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("codec", "flow"))
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cache", type=Path, help="rendered audio to standardise the latents on (codec)")
    options = parser.parse_args()
    if options.what == "flow":
        export_flow(options.checkpoint, options.folder)
    elif options.cache is None:
        parser.error("codec needs --cache")
    else:
        export_codec(options.checkpoint, options.folder, options.cache)


if __name__ == "__main__":
    main()
