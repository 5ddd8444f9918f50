"""Options that several `trace fit` commands share, and what they say."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from probes.errors import InputError
from tracer.commands.from_options import AsJson as AsJson
from tracer.commands.from_options import help_of

Corpus = Annotated[
    Path,
    typer.Option("--corpus", help="Corpus folder that `trace fit encode` made, or its URL (s3://, gs://, hf://, ...)."),
]
Out = Annotated[Path, typer.Option("--out", help="Folder for the result; the same command goes on where it stopped.")]
NewOut = Annotated[Path, typer.Option("--out", help="Folder for the result.")]
Architecture = Annotated[str, typer.Option("--architecture", help="relu (the paper's), topk, batchtopk or jumprelu.")]
Hidden = Annotated[int, typer.Option("--hidden", help="Number of features.")]
Lam = Annotated[float, typer.Option("--lambda", help="Weight of the sparsity penalty (relu: L1, Eq. 1; jumprelu: L0).")]
K = Annotated[int, typer.Option("--k", help="Active features of a frame (topk; batchtopk on average).")]
Penalty = Annotated[
    str, typer.Option("--penalty", help="L1 of h (pre_norm, Eq. 1) or of f, after RMSNorm (post_norm).")
]
Reduction = Annotated[
    str, typer.Option("--reduction", help="Loss terms as sum (Eq. 1) or mean over channels and features.")
]
Decoder = Annotated[str, typer.Option("--decoder", help="Dictionary atoms of norm 1 (unit) or free.")]
Standardise = Annotated[
    bool, typer.Option("--standardise/--raw", help="Standardise each channel inside the autoencoder, or not.")
]
DecoderBias = Annotated[
    str, typer.Option("--decoder-bias", help="Where the decoder's bias starts: zeros or geometric-median.")
]
Steps = Annotated[int, typer.Option("--steps", help="Number of optimiser steps.")]
Batch = Annotated[int, typer.Option("--batch", help="Number of frames in a training step.")]
Rate = Annotated[float, typer.Option("--lr", help="Learning rate of Adam.")]
Warmup = Annotated[float, typer.Option("--warmup", help="Share of the steps over which lambda rises.")]
Decay = Annotated[float, typer.Option("--decay", help="Share of the steps, the last, over which the rate falls to 0.")]
Resample = Annotated[
    int, typer.Option("--resample-every", help="Give dead features a new start every so many steps; 0 for never.")
]
Precision = Annotated[
    str, typer.Option("--precision", help="Number type of matrix products in training: fp32, bf16, auto.")
]
Seed = Annotated[int, typer.Option("--seed", help="Seed of the starting weights and of the order of the data.")]
Attributes = Annotated[
    str | None,
    typer.Option("--attributes", help="Attributes to read, by commas.", show_default="all labels of the corpus"),
]
Classes = Annotated[
    list[str] | None,
    typer.Option("--classes", help="Number of classes, e.g. pitch=66; repeatable.", show_default=False),
]
Scales = Annotated[
    list[str] | None,
    typer.Option("--scale", help="Kind of bins, e.g. loudness=db, timbre=octave; repeatable.", show_default=False),
]
Epochs = Annotated[int, typer.Option("--epochs", help="Passes over the training files for the probes, at most.")]
ProbeRate = Annotated[float, typer.Option("--probe-lr", help="Learning rate of the probes.")]
Patience = Annotated[
    int, typer.Option("--patience", help="Stop the probes after so many epochs without a better validation loss.")
]
LogRms = Annotated[
    bool,
    typer.Option("--log-rms/--no-log-rms", help="Give the probes log rms(h) too, the level that RMSNorm takes away."),
]
Baselines = Annotated[
    bool, typer.Option("--baselines/--no-baselines", help="Compare with raw latents and an untrained autoencoder.")
]
Noise = Annotated[
    int | None,
    typer.Option(
        "--noise",
        help="Also train probes of noisy latents, at this many log-SNRs spread over a flow of 32 states.",
        show_default=False,
    ),
]
NoiseLevels = Annotated[
    str | None,
    typer.Option("--noise-levels", help="The log-SNRs themselves, 2 ln(alpha/sigma), by commas.", show_default=False),
]
Device = Annotated[str, typer.Option("--device", help=help_of("device"))]

MOST_LEVELS, LARGEST_LEVEL = 64, 20


def names(text: str | None) -> tuple[str, ...]:
    """ "a, b" -> ("a", "b"); none for None."""
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())


def numbers(text: str, option: str) -> tuple[float, ...]:
    """ "2048,4096" -> numbers. Raises InputError for anything else."""
    try:
        found = tuple(float(part) for part in names(text))
    except ValueError:
        found = ()
    if not found or len(set(found)) < len(found) or not all(math.isfinite(number) for number in found):
        raise InputError(f"{option} takes different numbers separated by commas, not {text[:80]!r}")
    return found


def whole_numbers(text: str, option: str) -> tuple[int, ...]:
    """ "2048,4096" -> whole numbers above 0. Raises InputError for anything else."""
    found = numbers(text, option)
    if not all(number.is_integer() and number > 0 for number in found):
        raise InputError(f"{option} takes whole numbers above 0 separated by commas, not {text[:80]!r}")
    return tuple(int(number) for number in found)


def noise_levels(count: int | None, text: str | None) -> tuple[float, ...]:
    """Log-SNRs that --noise or --noise-levels ask for, ascending; none for neither.

    Raises:
        InputError: Both were given, or values of which no probes could be trained.
    """
    from probes.corpus.noising import spread_levels

    if count is not None and text is not None:
        raise InputError("give either --noise, a number of levels, or --noise-levels, the log-SNRs themselves")
    if count is not None and not 1 <= count <= MOST_LEVELS:
        raise InputError(f"--noise takes 1 to {MOST_LEVELS} levels, not {count}")
    if count is not None:
        return spread_levels(count)
    import numpy as np

    found = sorted(numbers(text, "--noise-levels")) if text is not None else []
    if len({np.float32(level) for level in found}) < len(found):
        raise InputError("--noise-levels takes log-SNRs that differ as 32-bit numbers do")
    if len(found) > MOST_LEVELS or any(abs(level) > LARGEST_LEVEL for level in found):
        raise InputError(
            f"--noise-levels takes at most {MOST_LEVELS} log-SNRs between -{LARGEST_LEVEL} and {LARGEST_LEVEL}"
        )
    return tuple(found)


def pairs(texts: list[str] | None, option: str) -> dict[str, str]:
    """["pitch=66"] -> {"pitch": "66"}. Raises InputError for anything else."""
    found = {}
    for text in texts or ():
        name, separator, value = text.partition("=")
        if not separator or not name or not value:
            raise InputError(f"{option} takes ATTRIBUTE=VALUE, got {text!r}")
        found[name.strip()] = value.strip()
    return found


def counts(texts: list[str] | None) -> dict[str, int]:
    """["pitch=66"] -> {"pitch": 66}. Raises InputError when a value is no whole number."""
    found = pairs(texts, "--classes")
    for name, value in found.items():
        if not value.isdecimal():
            raise InputError(f"--classes takes a whole number, got {name}={value}")
    return {name: int(value) for name, value in found.items()}
