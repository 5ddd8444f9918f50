"""Encode cached renderings with the finished codec and write several captions for each.

python -m benchmarks.mini_training.latents --cache CACHE --codec probes/weights/mini-codec
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from probes.rendering.captions import write_caption
from probes.rendering.composing import draw_facts
from probes.spaces.mini.space import read_codec

WORDINGS = 6  # captions per piece


@torch.no_grad()
def encode_cache(cache: Path, codec_folder: Path, batch: int = 8) -> None:
    """Write latents.npy (float16 [clips, frames, 64]) and wordings.json beside the audio."""
    codec = read_codec(codec_folder)
    audio = np.load(cache / "audio.npy", mmap_mode="r")
    shape = (len(audio), audio.shape[1] // codec.config.hop, codec.config.channels)
    target = cache / "latents.tmp.npy"
    latents = np.lib.format.open_memmap(target, mode="w+", dtype=np.float16, shape=shape)
    for first in range(0, len(audio), batch):
        clips = torch.from_numpy(audio[first : first + batch].astype(np.float32) / 32767)
        spectra = codec.spectra(clips)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            latents[first : first + batch] = codec.encode(spectra).float().numpy()
    latents.flush()
    target.rename(cache / "latents.npy")


def write_wordings(cache: Path, first_seed: int) -> None:
    """Several captions of each piece, from facts drawn again from its seed."""
    lines = (cache / "captions.jsonl").read_text().splitlines()
    wordings = []
    for i in range(len(lines)):
        facts = draw_facts(np.random.default_rng(first_seed + i))
        rng = np.random.default_rng((first_seed + i, 1))
        wordings.append([write_caption(facts, rng) for _ in range(WORDINGS)])
    (cache / "wordings.json").write_text(json.dumps(wordings))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--codec", type=Path, required=True)
    parser.add_argument("--first-seed", type=int, required=True, help="the seed the cache was rendered from")
    options = parser.parse_args()
    if not (options.cache / "wordings.json").exists():
        write_wordings(options.cache, options.first_seed)
    encode_cache(options.cache, options.codec)


if __name__ == "__main__":
    main()
