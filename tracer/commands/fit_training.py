"""`trace fit sae | probes | readout | sweep`: options in, calls out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from probes.errors import InputError
from tracer.commands import fit_options as given
from tracer.commands.consent import Yes, agree

if TYPE_CHECKING:
    from probes.corpus import Corpus
    from tracer.long_work import Report

STEPS, HIDDEN, LAMBDA = 3000, 4096, 0.02


def sae_command(
    corpus: given.Corpus,
    out: given.Out,
    architecture: given.Architecture = "relu",
    hidden: given.Hidden = HIDDEN,
    lam: Annotated[
        float | None,
        typer.Option("--lambda", help="Weight of the penalty: L1 (relu, Eq. 1) or L0 (jumprelu).", show_default="0.02"),
    ] = None,
    k: Annotated[
        int | None,
        typer.Option("--k", help="Active features of a frame (topk; batchtopk on average).", show_default="32"),
    ] = None,
    penalty: Annotated[
        str | None,
        typer.Option(
            "--penalty",
            help="relu: L1 of h (pre_norm, Eq. 1) or of f, after RMSNorm (post_norm).",
            show_default="pre_norm",
        ),
    ] = None,
    reduction: given.Reduction = "sum",
    decoder: given.Decoder = "unit",
    standardise: given.Standardise = True,
    decoder_bias: given.DecoderBias = "zeros",
    steps: given.Steps = STEPS,
    batch: given.Batch = 1024,
    lr: given.Rate = 1e-3,
    warmup: given.Warmup = 0.05,
    decay: given.Decay = 0.2,
    resample_every: given.Resample = 0,
    precision: given.Precision = "fp32",
    audio_test: Annotated[
        bool,
        typer.Option("--audio-test", help="Also decode held-out files and compare what is heard (needs the codec)."),
    ] = False,
    seed: given.Seed = 0,
    device: given.Device = "auto",
    as_json: given.AsJson = False,
) -> None:
    """Train a sparse autoencoder on the latents of a corpus.

    For example: [b]trace fit sae --corpus corpora/songs --out saes/songs --hidden 4096[/b]
    """
    from probes.corpus import Corpus
    from probes.fit.figures import read_figures
    from probes.fit.pipeline import add_audio_test, fit_sae
    from probes.fit.sae_training import TrainingOptions
    from probes.sae import make_config
    from probes.support.devices import pick_device, pick_precision
    from probes.support.paths import result_folder
    from tracer.commands.fit_tables import print_sae
    from tracer.long_work import reporting

    out = result_folder(out)
    opened, place = Corpus.open(corpus), pick_device(device)
    own = own_fields(architecture, {"--lambda": ("lam", lam), "--k": ("k", k), "--penalty": ("penalty", penalty)})
    config = make_config(
        architecture,
        channels=opened.channels,
        hidden=hidden,
        reduction=reduction,
        decoder=decoder,
        standardise=standardise,
        **own,
    )
    training = TrainingOptions(
        steps=steps,
        batch=batch,
        learning_rate=lr,
        warmup=warmup,
        decay=decay,
        decoder_bias=decoder_bias,
        resample_every=resample_every,
        precision=pick_precision(precision, place),
        seed=seed,
    )
    with reporting(not as_json) as report:
        sae = fit_sae(opened, out, config, training, place, report)
        if audio_test:
            add_audio_test(opened, out, sae, place)
    print_sae(read_figures(out), as_json)


def own_fields(architecture: str, given_values: Mapping[str, tuple[str, Any]]) -> dict[str, Any]:
    """The fields of one architecture alone that were given.

    Args:
        architecture: Name of the architecture.
        given_values: Field and value of each flag; None where the flag was left out.

    Raises:
        InputError: No such architecture, or a flag that was given belongs to another one.
    """
    from probes.sae.base import config_class

    known = {field.name for field in fields(config_class(architecture))}
    found: dict[str, Any] = {"lam": LAMBDA} if "lam" in known else {}
    for flag, (name, value) in given_values.items():
        if value is None:
            continue
        if name not in known:
            raise InputError(f"{flag} {value} has no meaning for --architecture {architecture}: leave it out")
        found[name] = value
    return found


def probes_command(
    corpus: given.Corpus,
    out: given.NewOut,
    sae: Annotated[str, typer.Option(help="Folder or hub id of the autoencoder, or of a readout, whose own is taken.")],
    attributes: given.Attributes = None,
    classes: given.Classes = None,
    scale: given.Scales = None,
    epochs: given.Epochs = 20,
    batch: given.Batch = 1024,
    probe_lr: given.ProbeRate = 2e-3,
    patience: given.Patience = 3,
    log_rms: given.LogRms = True,
    baselines: given.Baselines = True,
    precision: given.Precision = "fp32",
    seed: given.Seed = 0,
    device: given.Device = "auto",
    as_json: given.AsJson = False,
) -> None:
    """Train linear probes on an autoencoder's features, with their controls, and save both as a readout.

    For example: [b]trace fit probes --corpus corpora/songs --sae saes/songs --out readouts/songs[/b]
    """
    from probes.corpus import Corpus
    from probes.fit.figures import read_figures
    from probes.fit.pipeline import fit_bins, fit_probes, open_sae
    from probes.fit.probe_training import ProbeOptions
    from probes.support.devices import pick_device, pick_precision
    from probes.support.paths import result_folder
    from tracer.commands.fit_tables import print_probes
    from tracer.long_work import reporting

    out = result_folder(out)
    opened, place = Corpus.open(corpus), pick_device(device)
    bins = fit_bins(opened, given.names(attributes), given.counts(classes), given.pairs(scale, "--scale"))
    options = ProbeOptions(
        epochs, batch, probe_lr, patience, log_rms, baselines, pick_precision(precision, place), seed
    )
    trained = open_sae(sae).to(place)
    with reporting(not as_json) as report:
        readout = fit_probes(opened, trained, out, bins, options, read_figures(Path(sae)), report)
    print_probes(readout.report["probes"], as_json)


def readout_command(
    out: given.Out,
    corpus: Annotated[
        Path | None, typer.Option("--corpus", help="Corpus folder; made in OUT/corpus when --audio is given instead.")
    ] = None,
    audio: Annotated[
        str | None,
        typer.Option(
            help="As for `trace fit encode`: a folder, a manifest, a dataset, a data set by name, or rendered.",
            show_default=False,
        ),
    ] = None,
    space: Annotated[str, typer.Option(help="Latent space, with --audio.")] = "mini",
    weights: Annotated[
        str | None, typer.Option(help="Path or hub id of the codec's weights, with --audio.", show_default="released")
    ] = None,
    hours: Annotated[float, typer.Option(help="Hours of music to render, or at most to take from the Hub.")] = 1.0,
    workers: Annotated[int, typer.Option(help="Number of processes that encode.")] = 1,
    hidden: given.Hidden = HIDDEN,
    lam: given.Lam = LAMBDA,
    penalty: given.Penalty = "pre_norm",
    steps: given.Steps = STEPS,
    lr: given.Rate = 1e-3,
    attributes: given.Attributes = None,
    classes: given.Classes = None,
    scale: given.Scales = None,
    epochs: given.Epochs = 20,
    probe_lr: given.ProbeRate = 2e-3,
    log_rms: given.LogRms = True,
    noise: given.Noise = None,
    noise_levels: given.NoiseLevels = None,
    precision: given.Precision = "auto",
    seed: given.Seed = 0,
    device: given.Device = "auto",
    yes: Yes = False,
    as_json: given.AsJson = False,
) -> None:
    """Train a readout in one go: audio (or a corpus) to autoencoder to probes, with good defaults.

    The folder is what [b]trace --readout[/b] takes. For example: [b]trace fit readout --space diffrhythm --audio songs/
    --out readouts/songs[/b]
    """
    from probes.corpus.job import EncodeOptions
    from probes.fit.pipeline import check_choices, fit_bins, fit_readout, require_free
    from probes.fit.probe_training import ProbeOptions
    from probes.fit.sae_training import TrainingOptions
    from probes.sae import ReluConfig
    from probes.support.devices import pick_device, pick_precision
    from probes.support.paths import result_folder
    from tracer.commands.fit_tables import print_probes
    from tracer.fetching import of_collection, of_space
    from tracer.long_work import reporting

    # What the options cannot be is told before an hour of encoding.
    levels = given.noise_levels(noise, noise_levels)
    named, counts, scales = given.names(attributes), given.counts(classes), given.pairs(scale, "--scale")
    out = result_folder(out)
    place = pick_device(device)
    config = ReluConfig(channels=1, hidden=hidden, lam=lam, penalty=penalty)
    training = TrainingOptions(steps=steps, learning_rate=lr, precision=pick_precision(precision, place), seed=seed)
    options = ProbeOptions(
        epochs, learning_rate=probe_lr, log_rms=log_rms, precision=pick_precision(precision, place), seed=seed
    )
    if corpus is not None and (space, weights, hours, workers) != ("mini", None, 1.0, 1):
        raise InputError("--space, --weights, --hours and --workers belong to --audio: leave them out with --corpus")
    if corpus is None:
        check_choices(named or EncodeOptions.attributes, counts, scales)
        require_free(out)
    agree([*of_space(space, weights), *of_collection(audio, None, None, hours)] if audio else [], yes)
    with reporting(not as_json) as report:
        opened = open_or_encode(corpus, audio, out, space, weights, hours, workers, device, named, report)
    bins, config = fit_bins(opened, named, counts, scales), replace(config, channels=opened.channels)
    with reporting(not as_json) as report:
        readout = fit_readout(opened, out, config, training, options, bins, place, report, levels)
    print_probes(readout.report["probes"], as_json, readout.report.get("noise"))


def open_or_encode(
    corpus: Path | None,
    audio: str | None,
    out: Path,
    space: str,
    weights: str | None,
    hours: float,
    workers: int,
    device: str,
    attributes: tuple[str, ...],
    report: Report,
) -> Corpus:
    """The corpus given, or one made from audio in OUT/corpus."""
    from probes.corpus import Corpus
    from probes.errors import InputError

    if (corpus is None) == (audio is None):
        raise InputError("give either --corpus FOLDER or --audio FOLDER")
    if corpus is not None:
        return Corpus.open(corpus)
    from probes.corpus.job import EncodeOptions, encode_corpus

    encode_corpus(
        EncodeOptions(
            out=out / "corpus",
            audio=audio,
            space=space,
            weights=weights,
            hours=hours,
            workers=workers,
            device=device,
            attributes=attributes or EncodeOptions.attributes,
        ),
        report,
    )
    return Corpus.open(out / "corpus")


def sweep_command(
    corpus: Annotated[
        list[Path], typer.Option("--corpus", help="Corpus folder; repeatable, one panel of the figure each.")
    ],
    out: given.Out,
    hidden: Annotated[
        str, typer.Option(help="Numbers of features, separated by commas.")
    ] = "2048,4096,8192,12288,16384",
    lambdas: Annotated[
        str, typer.Option("--lambda", help="Weights of the L1 penalty, separated by commas.")
    ] = "0.005,0.01,0.05,0.1,0.15",
    penalty: given.Penalty = "pre_norm",
    reduction: given.Reduction = "sum",
    decoder: given.Decoder = "unit",
    standardise: given.Standardise = True,
    steps: given.Steps = 2000,
    batch: given.Batch = 1024,
    lr: given.Rate = 1e-3,
    resample_every: given.Resample = 0,
    epochs: given.Epochs = 20,
    log_rms: given.LogRms = True,
    precision: given.Precision = "fp32",
    seed: given.Seed = 0,
    device: given.Device = "auto",
    as_json: given.AsJson = False,
) -> None:
    """Train the paper's grid of autoencoders and probes; leave a table and its Figure 3.

    On several GPUs: [b]accelerate launch --num_processes 4 "$(command -v trace)" fit sweep ...[/b]
    """
    from probes.corpus import Corpus
    from probes.fit.probe_training import ProbeOptions
    from probes.fit.sae_training import TrainingOptions
    from probes.fit.sweep import Grid, run_sweep
    from probes.sae import ReluConfig
    from probes.support.devices import pick_device, pick_precision
    from probes.support.paths import result_folder
    from tracer.commands.fit_tables import print_sweep
    from tracer.figures.sweep import draw_sweeps
    from tracer.long_work import reporting

    out = result_folder(out)
    place = pick_device(device)
    grid = Grid(
        given.whole_numbers(hidden, "--hidden"),
        given.numbers(lambdas, "--lambda"),
        ReluConfig(1, 1, penalty=penalty, reduction=reduction, decoder=decoder, standardise=standardise),
        TrainingOptions(
            steps=steps,
            batch=batch,
            learning_rate=lr,
            resample_every=resample_every,
            precision=pick_precision(precision, place),
            seed=seed,
        ),
        ProbeOptions(
            epochs=epochs, log_rms=log_rms, baselines=False, precision=pick_precision(precision, place), seed=seed
        ),
    )
    opened = [Corpus.open(path) for path in corpus]
    if len({one.path.name for one in opened}) < len(opened):
        raise InputError("two of --corpus have the same name, after which their results are called: rename one folder")
    tables = {}
    with reporting(not as_json) as report:
        for one in opened:
            folder = out / one.path.name if len(opened) > 1 else out
            tables[one.space if len(opened) == 1 else one.path.name] = run_sweep(one, folder, grid, device, report)
    if not all(tables.values()):
        return  # another process of the same launch writes the results
    draw_sweeps(tables).write(out / "figure3")
    print_sweep([row for rows in tables.values() for row in rows], as_json)
