"""How far autoencoders agree with the libraries that they are exported to and imported from.

    python -m benchmarks.exchange [--hidden 4096] [--frames 20000]

Measures each of SAELens, dictionary_learning and sparsify that is installed (pip install "generation-tracer[bench]").
Out: ours with random weights and statistics, exported, loaded by the library. In: one that the library made and saved,
imported. Both are given the same raw latents; differences of features and reconstructions are the largest of all.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from probes.sae import SparseAutoencoder, make_config, make_sae
from probes.sae.exchange import export_sae, import_sae
from probes.support.torchaudio_stub import ensure_torchaudio

CHANNELS, K = 64, 32
SPACE = "mini"


class Theirs(NamedTuple):
    """A library's autoencoder."""

    encode: Callable[[Tensor], Tensor]  # [N, C] -> [N, H]
    decode: Callable[[Tensor], Tensor]  # [N, H] -> [N, C]


class Difference(NamedTuple):
    """Of a library's numbers to ours on the same frames."""

    features: float  # largest, of those active in both
    reconstruction: float  # largest, where all features agree which are active
    flips: int  # features active in one and not in the other: pre-activations within rounding of a threshold
    active: float  # features of a frame, mean
    largest: tuple[float, float]  # feature, number of a reconstruction


def frames(count: int, seed: int = 0) -> Tensor:
    """Latents [count, CHANNELS] whose channels differ in mean and spread, the same for every seed."""
    same, generator = torch.Generator().manual_seed(0), torch.Generator().manual_seed(seed)
    mean, std = torch.randn(CHANNELS, generator=same), torch.rand(CHANNELS, generator=same) * 2 + 0.2
    return torch.randn(count, CHANNELS, generator=generator) * std + mean


def ours(architecture: str, hidden: int, seed: int = 1) -> SparseAutoencoder:
    """An autoencoder with random weights, whose statistics are those of `frames`."""
    own = {"lam": 0.05} if architecture == "jumprelu" else {"k": min(K, hidden)}
    sae = make_sae(make_config(architecture, channels=CHANNELS, hidden=hidden, space=SPACE, **own), seed)
    x = frames(4096)
    sae.set_statistics(x.mean(0), x.std(0))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        sae.encoder_bias.copy_(torch.randn(hidden, generator=generator) * 0.3)
        sae.decoder_bias.copy_(torch.randn(CHANNELS, generator=generator) * 0.3)
        pre = sae.standardise(x) @ sae.encoder_weight.T + sae.encoder_bias
        if architecture == "jumprelu":
            sae.log_threshold.copy_(sparse_threshold(pre, 0).log())
        if architecture == "batchtopk":
            sae.threshold.copy_(sparse_threshold(pre.flatten()[:: max(1, hidden // 64)], 0, hidden))
    return sae


def sparse_threshold(pre: Tensor, dim: int, hidden: int = 0) -> Tensor:
    """What K of the features of a frame exceed on average, from pre-activations [N, H] or from a sample of them."""
    return pre.quantile(1 - min(K / (hidden or pre.shape[1]), 0.5), dim=dim).clamp_min(0.05)


def load_saelens(folder: Path) -> Theirs:
    ensure_torchaudio()  # SAELens imports transformers' audio utilities on the way
    from sae_lens import SAE

    sae = SAE.load_from_disk(folder)
    return Theirs(sae.encode, sae.decode)


def load_dictionary_learning(folder: Path) -> Theirs:
    from dictionary_learning.utils import load_dictionary

    dictionary, _ = load_dictionary(str(folder), "cpu")
    return Theirs(dictionary.encode, dictionary.decode)


def load_sparsify(folder: Path) -> Theirs:
    from sparsify import SparseCoder

    coder = SparseCoder.load_from_disk(folder)

    def encode(x: Tensor) -> Tensor:
        found = coder.encode(x)
        return x.new_zeros(len(x), coder.num_latents).scatter(1, found.top_indices, found.top_acts)

    def decode(features: Tensor) -> Tensor:
        top = features.topk(coder.cfg.k, dim=1)
        return coder.decode(top.values, top.indices)

    return Theirs(encode, decode)


@torch.no_grad()
def make_saelens(architecture: str, hidden: int, folder: Path) -> None:
    """One of SAELens's training classes with random weights, saved for inference."""
    ensure_torchaudio()
    import sae_lens

    sizes: dict[str, Any] = {"d_in": CHANNELS, "d_sae": hidden}
    torch.manual_seed(2)
    if architecture == "jumprelu":
        sae: Any = sae_lens.JumpReLUTrainingSAE(sae_lens.JumpReLUTrainingSAEConfig(**sizes))
    elif architecture == "batchtopk":
        sae = sae_lens.BatchTopKTrainingSAE(sae_lens.BatchTopKTrainingSAEConfig(**sizes, k=float(min(K, hidden))))
    else:
        sae = sae_lens.TopKTrainingSAE(sae_lens.TopKTrainingSAEConfig(**sizes, k=min(K, hidden)))
    sae.W_dec.mul_(torch.rand(hidden, 1) * 2 + 0.5)
    sae.W_enc.normal_(std=0.2)
    sae.b_enc.normal_(std=0.3)
    sae.b_dec.normal_()
    x = frames(1024)
    pre = (x - sae.b_dec) @ sae.W_enc + sae.b_enc
    if architecture == "jumprelu":
        sae.threshold.copy_(sparse_threshold(pre, 0))
    if architecture == "batchtopk":
        scaled = (pre * sae.W_dec.norm(dim=1)).flatten()
        sae.topk_threshold.copy_(sparse_threshold(scaled[:: max(1, hidden // 64)], 0, hidden))
    sae.save_inference_model(folder)


def make_dictionary_learning(architecture: str, hidden: int, folder: Path) -> None:
    """A few steps of dictionary_learning's own training on `frames`."""
    from dictionary_learning import trainers
    from dictionary_learning.training import trainSAE

    common: dict[str, Any] = {
        "steps": 12, "activation_dim": CHANNELS, "dict_size": hidden, "layer": 0, "lm_name": "none", "device": "cpu",
        "lr": 1e-2, "warmup_steps": 0, "seed": 0,
    }  # fmt: skip
    if architecture == "jumprelu":
        own: dict[str, Any] = {"trainer": trainers.JumpReluTrainer, "sparsity_warmup_steps": 0, "bandwidth": 0.1}
    else:
        kind = {"topk": trainers.TopKTrainer, "batchtopk": trainers.BatchTopKTrainer}[architecture]
        own = {"trainer": kind, "k": min(K, hidden), "threshold_start_step": 10}
    data = (frames(512, seed) for seed in range(12))
    trainSAE(data, [common | own], steps=12, save_dir=str(folder.parent), device="cpu")
    (folder.parent / "trainer_0").rename(folder)


@torch.no_grad()
def make_sparsify(architecture: str, hidden: int, folder: Path) -> None:
    """A SparseCoder with random weights, saved."""
    from sparsify import SparseCoder, SparseCoderConfig

    assert architecture == "topk"
    torch.manual_seed(3)
    coder = SparseCoder(CHANNELS, SparseCoderConfig(num_latents=hidden, k=min(K, hidden)))
    coder.encoder.bias.normal_(std=0.3)
    coder.b_dec.normal_()
    coder.W_dec.add_(torch.randn(hidden, CHANNELS) * 0.1)
    coder.save_to_disk(folder)


class Bench(NamedTuple):
    """One library as it is measured."""

    module: str
    architectures: tuple[str, ...]
    load: Callable[[Path], Theirs]
    make: Callable[[str, int, Path], None]


ALL = ("topk", "batchtopk", "jumprelu")
BENCHES = {
    "saelens": Bench("sae_lens", ALL, load_saelens, make_saelens),
    "dictionary_learning": Bench("dictionary_learning", ALL, load_dictionary_learning, make_dictionary_learning),
    "sparsify": Bench("sparsify", ("topk",), load_sparsify, make_sparsify),
}


@torch.no_grad()
def compare(theirs: Theirs, sae: SparseAutoencoder, x: Tensor) -> Difference:
    """Their numbers beside ours on latents [N, C]."""
    features = rebuilt = high = wide = 0.0
    flips = active = 0
    for part in x.split(2048):
        f, g = sae.encode(part), theirs.encode(part)
        other = (f > 0) != (g > 0)
        flips, active = flips + int(other.sum()), active + int((f > 0).sum())
        features = max(features, float((f - g).masked_fill(other, 0).abs().max()))
        same, mine = ~other.any(1), sae.decode(f)
        rebuilt = max(rebuilt, float((mine - theirs.decode(g))[same].abs().max()))
        high, wide = max(high, float(f.max())), max(wide, float(mine.abs().max()))
    return Difference(features, rebuilt, flips, active / len(x), (high, wide))


def out(library: str, architecture: str, hidden: int, x: Tensor, folder: Path) -> Difference:
    """Ours, exported, beside what the library reads."""
    sae = ours(architecture, hidden)
    sae.save_pretrained(folder / "ours")
    export_sae(str(folder / "ours"), library, folder / "theirs")
    return compare(BENCHES[library].load(folder / "theirs"), sae, x)


def back(library: str, architecture: str, hidden: int, x: Tensor, folder: Path) -> Difference:
    """The library's, imported, beside what the library gives."""
    BENCHES[library].make(architecture, hidden, folder / "theirs")
    sae = import_sae(str(folder / "theirs"), SPACE, folder / "ours")
    return compare(BENCHES[library].load(folder / "theirs"), sae, x)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hidden", type=int, default=4096)
    parser.add_argument("--frames", type=int, default=20_000)
    given = parser.parse_args()
    x = frames(given.frames, seed=9)
    print("| library | architecture | way | features | of at most | reconstruction | of at most | active | flips |")
    print("|---" * 9 + "|")
    for library, bench in BENCHES.items():
        if find_spec(bench.module) is None:
            print(f"{library} is not installed")
            continue
        for architecture in bench.architectures:
            for way, measure in (("out", out), ("in", back)):
                with tempfile.TemporaryDirectory() as folder:
                    found = measure(library, architecture, given.hidden, x, Path(folder))
                high, wide = found.largest
                figures = [f"{found.features:.1e}", f"{high:.1f}", f"{found.reconstruction:.1e}", f"{wide:.1f}"]
                figures += [f"{found.active:.1f}", str(found.flips)]
                print(f"| {library} | {architecture} | {way} | {' | '.join(figures)} |")


if __name__ == "__main__":
    main()
