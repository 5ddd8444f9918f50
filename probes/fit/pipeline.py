"""`trace fit sae | probes | readout`: from a corpus to files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from probes.attributes import Bins
from probes.attributes.songs import UNITS, song_value
from probes.corpus import Corpus
from probes.corpus.labels import check_labels
from probes.corpus.sampling import FrameSampler
from probes.errors import InputError
from probes.fit.figures import METRICS, read_figures, read_metrics, write_metrics
from probes.fit.probe_training import ProbeOptions
from probes.fit.sae_training import CHECKPOINT, SAETrainer, TrainingOptions, train
from probes.readout import Readout
from probes.readout.files import KIND, locate
from probes.readout.tempo import ONSET, TempoReader
from probes.sae import SparseAutoencoder, load_config
from probes.sae.config import SAEConfig
from probes.sae.metrics import dead_shares, evaluate
from probes.support.devices import in_float32
from probes.support.files import expanded, plain_errors, read_json
from probes.support.hub import fetch_files
from probes.support.identity import require_same
from probes.support.tensors import checksum

SAMPLE = 16384  # frames for the geometric median
CONFIG = "config.json"

Config = TypeVar("Config", bound=SAEConfig)

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it, and out of how much."""


def held_out(corpus: Corpus) -> str:
    """The split that an autoencoder is judged on: test, else val. Raises InputError when there is neither."""
    for split in ("test", "val"):
        if corpus.files(split):
            return split
    raise InputError(f"the corpus {corpus.path} has no held-out file: it needs at least three files")


def of_space(config: Config, corpus: Corpus) -> Config:
    """A config with the channels, name and revision of a corpus's space filled in."""
    info = corpus.space_info
    revision = info.get("revision") or info.get("fingerprint")
    return replace(config, space=corpus.space, revision=revision, channels=corpus.channels)


def make_trainer(
    corpus: Corpus,
    config: SAEConfig,
    options: TrainingOptions,
    sampler: FrameSampler,
    statistics: tuple[np.ndarray, np.ndarray],
    device: str,
) -> SAETrainer:
    """A trainer for a corpus with these per-channel mean and std."""
    mean, std = statistics
    sample = None
    if options.decoder_bias == "geometric-median":
        steps = range(min(sampler.batches_per_epoch, -(-SAMPLE // sampler.batch)))
        sample = torch.cat([sampler.at(step)[0] for step in steps])
    statistics_of = torch.from_numpy(mean), torch.from_numpy(std)
    return SAETrainer(of_space(config, corpus), options, *statistics_of, sample, device, corpus.fingerprint)


@in_float32
def fit_sae(
    corpus: Corpus,
    out: str | Path,
    config: SAEConfig,
    options: TrainingOptions,
    device: str = "cpu",
    progress: Progress | None = None,
) -> SparseAutoencoder:
    """Train an autoencoder on a corpus's train split into the folder `out`, or go on where it stopped.

    Writes model.safetensors, config.json and metrics.json (options, figures on held-out files, dead
    features, the loss every 100 steps). A
    finished folder with the same options is only read. SIGTERM and Ctrl-C leave a checkpoint.

    Raises InputError when the folder holds another configuration.
    """
    out = expanded(out)
    statistics = corpus.statistics("train")
    corpus.check("latents")
    sampler = FrameSampler.of_corpus(corpus, "train", options.batch, options.seed)
    split = held_out(corpus)
    trainer = make_trainer(corpus, config, options, sampler, statistics, device)
    if is_finished(out, trainer.made_with()):
        return SparseAutoencoder.from_pretrained(out).to(device)
    trainer.resume(out)

    def steps(done: int) -> None:
        if progress:
            progress("autoencoder", done, options.steps)

    train([trainer], sampler, [out], steps)
    write_figures(out, trainer, corpus, split)
    return trainer.sae


def is_finished(out: Path, wanted: Mapping[str, Any]) -> bool:
    """Whether `out` holds an autoencoder made with these options. Raises InputError when it holds something else."""
    if not (out / METRICS).exists():
        if (out / CONFIG).exists():
            try:
                load_config(read_json(out / CONFIG))
            except InputError as error:
                raise InputError(f"{out} holds the {CONFIG} of something else: choose another --out") from error
            if not (out / CHECKPOINT).exists():  # ours has one until its figures are written
                raise InputError(f"{out} holds an autoencoder that was not trained there: choose another --out")
        return False
    made = read_metrics(out)["made_with"]
    there = load_config(made["config"]).to_dict() | made["options"]
    require_same(out, "an autoencoder", there, wanted["config"] | wanted["options"])
    return True


def write_figures(out: Path, trainer: SAETrainer, corpus: Corpus, split: str) -> dict[str, Any]:
    """Write a trained autoencoder and its figures, then drop the checkpoint."""
    arrays = {name: [corpus.latents(file) for file in corpus.files(name)] for name in (split, "train")}
    figures = evaluate(trainer.sae, arrays[split])
    over_train = evaluate(trainer.sae, arrays["train"])
    figures["silent_in_training"] = over_train["silent"]
    figures["fvu_in_training"] = over_train["fvu"]
    horizons = trainer.options.dead_frames
    figures["dead"] = dead_shares([trainer.dead(0), trainer.dead(1)], horizons)
    figures["training_frames"] = trainer.steps_done * min(trainer.options.batch, corpus.frames("train"))
    with plain_errors(out):
        trainer.sae.save_pretrained(out)
    content = {"made_with": trainer.made_with(), "split": split, "figures": figures, "history": trainer.history}
    write_metrics(out, content)
    (out / CHECKPOINT).unlink(missing_ok=True)
    return figures


def open_sae(source: str) -> SparseAutoencoder:
    """The autoencoder in a folder or at a hub id, or that of a readout there ("mini" is the one that ships).

    Raises:
        InputError: There is neither.
    """
    place = locate(source)
    config = read_json(fetch_files(place, ("config.json",))["config.json"])
    return (
        Readout.from_pretrained(source).sae if config.get("kind") == KIND else SparseAutoencoder.from_pretrained(place)
    )


def add_audio_test(corpus: Corpus, folder: Path, sae: SparseAutoencoder, device: str) -> None:
    """Decode held-out latents and their reconstructions, compare them, and add the result to the folder's figures."""
    from probes.fit.sae_audio import audio_test

    space = corpus.open_space(device)
    arrays = [corpus.latents(file) for file in corpus.files(held_out(corpus))]
    content = read_metrics(folder)
    content["figures"]["audio"] = audio_test(sae, space, arrays)
    write_metrics(folder, content)


def fit_bins(
    corpus: Corpus,
    attributes: tuple[str, ...] = (),
    counts: Mapping[str, int] | None = None,
    scales: Mapping[str, str] | None = None,
) -> dict[str, Bins]:
    """Classes of each attribute (all of the corpus's for none named) from its train split.

    Raises InputError for an attribute without labels, values too few for the classes, or tempo without onset.
    """
    from probes.attributes import get_attribute

    names = attributes or corpus.attributes
    if not names:
        raise InputError(f"the corpus {corpus.path} has no labels: probes need one made from audio")
    check_choices(names, counts, scales)
    return {
        name: get_attribute(name).fit_bins(
            corpus.train_values(name), (counts or {}).get(name), (scales or {}).get(name)
        )
        for name in names
    }


def check_choices(
    names: Sequence[str], counts: Mapping[str, int] | None = None, scales: Mapping[str, str] | None = None
) -> None:
    """Raise InputError where attributes cannot be read together, or not in so many classes or on such a scale."""
    from probes.attributes import get_attribute

    if "tempo" in names and ONSET not in names:
        raise InputError("tempo is read from the readings of onsets: name onset beside it, or leave tempo out")
    for name in (*(counts or {}), *(scales or {})):
        if name not in names:
            raise InputError(f"{name!r} is not among the attributes read here: {', '.join(names)}")
    for name in names:
        get_attribute(name).check_choice((counts or {}).get(name), (scales or {}).get(name))


def require_free(out: Path) -> None:
    """Raise InputError where a readout in `out` would take the place of something else."""
    if not (out / CONFIG).exists():
        if (out / "README.md").exists():
            raise InputError(f"{out} holds files of something else: choose another --out")
        return
    there = read_json(out / CONFIG)
    made = there.get("report", {}).get("training") if there.get("kind") == KIND else None
    if not isinstance(made, Mapping) or "options" not in made:
        raise InputError(f"{out} holds the {CONFIG} of something else: choose another --out")


def require_place(
    out: Path,
    corpus: Corpus,
    bins: Mapping[str, Bins],
    options: ProbeOptions,
    levels: Sequence[float],
    sae: SparseAutoencoder | None = None,
) -> None:
    """Raise InputError where a readout in `out` would take the place of something else, or of another readout.

    Probes of noise may come to a readout that has none. With sae None it is not known yet.
    """
    require_free(out)
    if not (out / CONFIG).exists():
        return
    there = read_json(out / CONFIG)
    made = there["report"]["training"]
    scales = {name: own["scale"] for name, own in there["attributes"].items()}
    classes = dict(there["classes"])
    if "tempo" in there:  # it has no probe
        tempo = Bins.from_dict(there["tempo"]["bins"])
        classes["tempo"], scales["tempo"] = len(tempo), tempo.scale
    old = {"corpus": made["corpus"], "classes": classes, "scale": scales, **made["options"]}
    new = {
        "corpus": corpus.fingerprint,
        "classes": {name: len(own) for name, own in bins.items()},
        "scale": {name: own.scale for name, own in bins.items()},
        **asdict(options),
    }
    if sae is not None and "autoencoder" in made:
        old["autoencoder"], new["autoencoder"] = made["autoencoder"], checksum(sae.deciding())
    if "noise" in there["report"]:
        old["--noise-levels"], new["--noise-levels"] = there["report"]["noise"]["levels"], sorted(levels)
    require_same(out, "a readout", old, new)


@in_float32
def fit_probes(
    corpus: Corpus,
    sae: SparseAutoencoder,
    out: str | Path,
    bins: Mapping[str, Bins],
    options: ProbeOptions,
    figures: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
    levels: Sequence[float] = (),
) -> Readout:
    """Train probes on an autoencoder's features and save the readout in `out`.

    Tempo has no probe: it is read from the readings of onsets.

    Args:
        figures: Figures of the autoencoder on held-out files, for the model card.
        levels: Log-SNRs at which probes that know the noise are trained too.

    Raises InputError when the autoencoder was trained on another space than the corpus's, or `out` holds something
    else.
    """
    from probes.fit.generic import fit_generic
    from probes.fit.probe_fit import fit_linear_probes
    from probes.fit.tempo import score_tempo

    out = expanded(out)
    require_place(out, corpus, bins, options, levels, sae)
    spaces = tuple(corpus.space_info.get("spaces") or (corpus.space,))
    if sae.config.space not in spaces or sae.config.channels != corpus.channels:
        raise InputError(
            f"the autoencoder was trained on {sae.config.space or 'an unnamed space'} ({sae.config.channels} "
            f"channels), the corpus {corpus.path} holds {corpus.space} ({corpus.channels} channels)"
        )

    mean, std = (torch.from_numpy(values).float() for values in corpus.statistics("train"))
    if sae.config.source is not None and not sae.config.standardise:
        sae.set_statistics(mean, std)  # an imported one brings none, and its features do without

    def epochs(done: int, of: int) -> None:
        if progress:
            progress("probes", done, of)

    covariance = torch.from_numpy(corpus.moments("train")[1]).float()
    corpus.check("latents", *bins)
    device = sae.decoder_bias.device
    probed = {name: own for name, own in bins.items() if own.grid != "window"}
    tempo = TempoReader(bins["tempo"], corpus.frame_rate) if "tempo" in bins else None
    fitted = fit_linear_probes(corpus, sae, probed, options, epochs)
    report = {
        "sae": {key: value for key, value in (figures or {}).items() if key != "density"},
        "probes": fitted.report,
        "songs": spread_of_songs(corpus, tuple(bins)),
        "training": {
            "corpus": corpus.fingerprint,
            "autoencoder": checksum(sae.deciding()),
            "files": len(corpus.files("train")),
            "frames": corpus.frames("train"),
            "options": asdict(options),
        },
    }
    readout = Readout(
        *(sae.cpu(), fitted.probes.cpu(), fitted.controls.cpu(), probed, spaces, fitted.log_rms, report, covariance),
        baselines=fitted.baselines,
        tempo=tempo,
        mean=None if torch.equal(mean, sae.mean.cpu()) else mean,
    )
    if tempo is not None:
        readout.report["probes"]["tempo"] = score_tempo(corpus, readout)
    readout.generic = fit_generic(corpus, readout, probed)
    if levels:
        add_noise(corpus, readout.to(device), levels, options, progress)
        readout.cpu()
    with plain_errors(out):
        readout.save_pretrained(out)
    return readout


def spread_of_songs(corpus: Corpus, attributes: tuple[str, ...]) -> dict[str, dict[str, float]]:
    """How the songs of the train split are spread in each attribute whose classes are a scale.

    Returns:
        For each attribute, of the songs' numbers (`probes.attributes.songs`): `low` and `high`, the 10 % and 90 %
        quantiles, `spread`, the standard deviation, and `files`, how many songs have one.
    """
    found = {}
    for name in attributes:
        unit = corpus.config["attributes"][name]["unit"]
        if unit not in UNITS:
            continue
        songs = np.array([song_value(unit, *corpus.labels(file, name)) for file in corpus.files("train")])
        songs = songs[np.isfinite(songs)]
        if len(songs) > 1 and np.ptp(songs) > 0:
            low, high = (float(value) for value in np.quantile(songs, [0.1, 0.9]))
            found[name] = {"low": low, "high": high, "spread": float(songs.std()), "files": len(songs)}
    return found


def add_noise(
    corpus: Corpus, readout: Readout, levels: Sequence[float], options: ProbeOptions, progress: Progress | None = None
) -> None:
    """Give a readout probes that know the noise, and what they are worth to its report."""
    from probes.fit.noise import fit_noise
    from probes.fit.tempo import score_noisy_tempo

    def telling(what: str) -> Callable[[int, int], None]:
        def tell(done: int, of: int) -> None:
            if progress:
                progress(what, done, of)

        return tell

    steps = telling("probes of noise")
    readout.noise, readout.report["noise"] = fit_noise(corpus, readout, levels, options, steps)
    if readout.tempo is not None:
        found = score_noisy_tempo(corpus, readout, sorted(levels), options.seed, telling("tempo through noise"))
        readout.report["noise"]["attributes"]["tempo"] = found


def fit_readout(
    corpus: Corpus,
    out: str | Path,
    config: SAEConfig,
    training: TrainingOptions,
    options: ProbeOptions,
    bins: Mapping[str, Bins],
    device: str = "cpu",
    progress: Progress | None = None,
    levels: Sequence[float] = (),
) -> Readout:
    """An autoencoder (kept in `out`/sae) and probes on it, of noise too at `levels`: the readout in `out`."""
    out = expanded(out)
    corpus.check(*bins)
    require_place(out, corpus, bins, options, levels)
    check_labels(corpus, {name: own for name, own in bins.items() if own.grid != "window"})
    sae = fit_sae(corpus, out / "sae", config, training, device, progress)
    return fit_probes(corpus, sae, out, bins, options, read_figures(out / "sae"), progress, levels)
