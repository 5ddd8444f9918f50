"""Every generator and latent space at a glance: licence, size, memory, what to install, where the weights are."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from probes.errors import InputError


@dataclass(frozen=True)
class Entry:
    """One generator or latent space."""

    kind: str
    """"generator", "space", or "part": what a generator needs beside its own weights."""
    name: str
    """As `--model` or `--space` takes it."""
    what: str
    licence: str
    """Licence of the released weights."""
    parameters: str
    memory: str
    """Memory that inference takes, as far as it is known; "-" where nobody has published it."""
    source: str | None
    """Hub id of the weights that are taken when none are given; None for bundled or for the user's own."""
    space: str | None = None
    """Latent space of a generator."""
    extra: str | None = None
    """Extra of this package beyond the plain installation."""
    modules: tuple[str, ...] = ()
    """Modules that the extra brings."""
    file: str = "model_index.json"
    """A file of the repository that is there when the weights are."""
    revision: str | None = None
    """Commit of the repository that is taken when none is given; None is the newest."""
    note: str = ""
    download: float | None = None
    """What is fetched, in GB; None where it is not known. Weights alone, of the source named above."""
    card: float | None = None
    """Least memory of a card, in GB, that the weights and one prompt are known to fit into."""


GATED = "gated: accept the licence on huggingface.co"
ENTRIES = [
    Entry(
        "generator", "mini", "bundled rectified flow on rendered music", "Apache-2.0", "a few million", "< 1 GB", None,
        "mini",
    ),
    Entry(
        "generator", "diffrhythm", "song-length rectified flow, 95 or 285 s", "Apache-2.0", "1.1 B", "8 to 15 GB",
        "ASLP-lab/DiffRhythm-1_2", "diffrhythm", file="cfm_model.pt",
        revision="185bdeb80541b9260d266c5f041859017441f307",
        note="style vectors: the extra [diffrhythm], here or where `trace styles` is run",
        download=2.22, card=8,
    ),
    Entry(
        "generator", "stable-audio", "Stable Audio Open 1.0, 47 s", "Stability AI Community", "1.3 B", "-",
        "stabilityai/stable-audio-open-1.0", "stable-audio", extra="stable-audio", modules=("torchsde",), note=GATED,
        download=5.3,
    ),
    Entry(
        "generator", "stable-audio-3", "Stable Audio 3 medium, distilled or base", "Stability AI Community", "-", "-",
        "stabilityai/stable-audio-3-medium", "stable-audio-3", note=GATED,
    ),
    Entry(
        "generator", "audioldm", "AudioLDM, mel latents", "CC-BY-NC-SA-4.0", "0.65 B", "-", "cvssp/audioldm-m-full",
        "audioldm", note="also cvssp/audioldm-s-full-v2 (0.42 B), -l-full (0.98 B)",
        download=2.6,
    ),
    Entry(
        "generator", "audioldm2", "AudioLDM 2, mel latents", "CC-BY-NC-SA-4.0", "1.1 B", "-", "cvssp/audioldm2-music",
        "audioldm2", note="also cvssp/audioldm2, audioldm2-large (1.5 B)",
        download=4.4,
    ),
    Entry(
        "generator", "musicldm", "MusicLDM, mel latents", "CC-BY-NC-SA-4.0", "-", "-", "ucsd-reach/musicldm",
        "musicldm",
    ),
    Entry(
        "generator", "ace-step", "ACE-Step 1.5, up to 10 min", "MIT", "4 to 5 B (XL)", "12 to 20 GB (XL)",
        "ACE-Step/acestep-v15-xl-turbo-diffusers", "ace-step",
        note="one prompt at a time; ACE-Step 1.0 objects can be hooked through `hooks.capture`",
        download=11, card=12,
    ),
    Entry(
        "generator", "longcat-audio", "LongCat-AudioDiT, up to 30 s; made for speech first", "MIT", "1 B", "-",
        "ruixiangma/LongCat-AudioDiT-1B-Diffusers", "longcat-audio", note="one prompt at a time",
    ),
    Entry("space", "mini", "22.05 kHz mono, 64 x 21.5 Hz", "Apache-2.0", "a few million", "< 1 GB", None),
    Entry(
        "space", "diffrhythm", "44.1 kHz stereo, 64 x 21.5 Hz", "Stability AI Community", "156 M", "-",
        "ASLP-lab/DiffRhythm-vae", file="vae_model.pt",
        download=0.63,
    ),
    Entry(
        "space", "stable-audio", "44.1 kHz stereo, 64 x 21.5 Hz", "Stability AI Community", "156 M", "-",
        "stabilityai/stable-audio-open-1.0", file="vae/config.json", note=GATED,
        download=0.63,
    ),
    Entry(
        "space", "encodec", "24 kHz mono, 128 x 75 Hz", "CC-BY-NC-4.0", "15 M", "< 1 GB", None,
        note="downloaded from dl.fbaipublicfiles.com",
        download=0.09,
    ),
    Entry(
        "space", "wavtokenizer", "24 kHz mono, 512 x 40 or 75 Hz", "MIT", "81 M", "< 1 GB",
        "novateur/WavTokenizer-large-unify-40token", file="wavtokenizer_large_unify_600_24k.ckpt",
        download=1.8,
    ),
    Entry(
        "space", "ace-step", "48 kHz stereo, 64 x 25 Hz", "MIT", "169 M", "-",
        "ACE-Step/acestep-v15-xl-turbo-diffusers", file="vae/config.json",
        download=0.68,
    ),
    Entry(
        "space", "audioldm", "16 kHz mono, 128 x 25 Hz", "CC-BY-NC-SA-4.0", "55 M", "-", "cvssp/audioldm-m-full",
        file="vae/config.json",
        download=0.22,
    ),
    Entry(
        "space", "audioldm2", "16 kHz mono, 128 x 25 Hz", "CC-BY-NC-SA-4.0", "55 M", "-", "cvssp/audioldm2-music",
        file="vae/config.json",
        download=0.22,
    ),
    Entry(
        "space", "musicldm", "16 kHz mono, 128 x 25 Hz", "CC-BY-NC-SA-4.0", "55 M", "-", "ucsd-reach/musicldm",
        file="vae/config.json",
        download=0.22,
    ),
    Entry(
        "space", "stable-audio-3", "44.1 kHz stereo, 256 x 10.8 Hz", "Stability AI Community", "-", "-",
        "stabilityai/stable-audio-3-medium", file="vae/config.json", note=GATED,
    ),
    Entry(
        "space", "longcat-audio", "24 kHz mono, 64 x 11.7 Hz", "MIT", "-", "-",
        "ruixiangma/LongCat-AudioDiT-1B-Diffusers", file="vae/config.json",
    ),
    Entry(
        "space", "rave", "any export, often 8 to 32 x 21.5 Hz", "mostly CC-BY-NC-4.0", "-", "< 1 GB", None,
        note="give a .ts file: acids-ircam.github.io/rave_models_download",
    ),
]  # fmt: skip

PARTS: dict[str, list[Entry]] = {
    "diffrhythm": [
        Entry(
            "part", "muq-mulan", "MuQ-MuLan: captions to style vectors", "CC-BY-NC-4.0", "0.7 B", "-",
            "OpenMuQ/MuQ-MuLan-large", extra="diffrhythm", modules=("muq",), file="pytorch_model.bin", download=2.65,
        ),
        Entry(
            "part", "muq", "MuQ, which MuQ-MuLan loads", "CC-BY-NC-4.0", "0.3 B", "-", "OpenMuQ/MuQ-large-msd-iter",
            file="config.json", download=1.3,
        ),
        Entry(
            "part", "xlm-roberta", "XLM-RoBERTa, which MuQ-MuLan loads", "MIT", "0.3 B", "-", "xlm-roberta-base",
            file="config.json", download=1.1,
        ),
    ],
}  # fmt: skip
"""What a generator fetches beside its own weights, by generator."""

PACKAGES = Path(__file__).parents[2]
BUNDLED = {
    ("generator", "mini"): PACKAGES / "tracer" / "generators" / "mini" / "weights" / "model.safetensors",
    ("space", "mini"): PACKAGES / "probes" / "weights" / "mini-codec" / "model.safetensors",
}


def entry_of(kind: str, name: str) -> Entry:
    """The entry of a generator ("generator") or latent space ("space").

    Raises:
        InputError: None has that name.
    """
    named = {entry.name: entry for entry in ENTRIES if entry.kind == kind}
    if name not in named:
        what = "model" if kind == "generator" else "latent space"
        choice = f"choose one of {', '.join(named)} (`trace models` describes them)"
        raise InputError(f"unknown {what} '{name[:60]}': {choice}")
    return named[name]


def here(entry: Entry) -> str:
    """Whether the weights are on this machine: "yes", "no", or "your own" where there are no released ones."""
    if (entry.kind, entry.name) in BUNDLED:
        return "yes" if BUNDLED[entry.kind, entry.name].is_file() else "no"
    if entry.name == "encodec":
        cache = Path(os.environ.get("TORCH_HOME", Path.home() / ".cache" / "torch"))
        return "yes" if any((cache / "hub" / "checkpoints").glob("encodec_24khz-*.th")) else "no"
    if entry.source is None:
        return "your own"
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(entry.source, entry.file, revision=entry.revision)
    return "yes" if isinstance(found, str) else "no"


def missing(entry: Entry) -> bool:
    """Whether the extra that an entry needs is not installed."""
    return any(find_spec(module) is None for module in entry.modules)


def lines(entry: Entry) -> list[str]:
    """Lines that describe an entry, without its name."""
    state = {"yes": "here", "no": "not on this machine", "your own": "your own weights"}[here(entry)]
    source = entry.source or ("bundled" if (entry.kind, entry.name) in BUNDLED else "")
    facts = [f"licence {entry.licence}", f"{entry.parameters} parameters", f"{entry.memory} memory", source, state]
    said = [entry.what, "; ".join(fact for fact in facts if fact and not fact.startswith("- "))]
    if entry.extra is not None:
        installed = "not installed: " if missing(entry) else ""
        said.append(f"extra [{entry.extra}] ({installed}pip install 'generation-tracer[{entry.extra}]')")
    return [*said, entry.note] if entry.note else said
