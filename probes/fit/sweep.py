"""`trace fit sweep`: the grid of autoencoders of the paper's section 3.1, hidden size by lambda."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from probes.attributes import Bins
from probes.corpus import Corpus
from probes.corpus.labels import check_labels
from probes.corpus.sampling import FrameSampler
from probes.fit.figures import METRICS, PROBES, read_metrics, read_probe_report, write_probe_report
from probes.fit.pipeline import fit_bins, held_out, is_finished, make_trainer, of_space, write_figures
from probes.fit.probe_training import ProbeOptions
from probes.fit.sae_training import TrainingOptions, made_with, train
from probes.sae.base import SparseAutoencoder, make_sae
from probes.sae.relu import ReluConfig
from probes.support.devices import in_float32
from probes.support.files import write_whole
from probes.support.workers import join_launch, local_processes

HIDDEN = (2048, 4096, 8192, 12288, 16384)
LAMBDAS = (0.005, 0.01, 0.05, 0.1, 0.15)
TABLE = "table.csv"
FIGURES = ("sparsity", "l0", "fvu", "fvu_in_training", "cosine", "shrinkage", "silent", "silent_in_training", "rms_h")
SCORES = ("accuracy", "interval", "within_one", "macro_f1", "majority", "shuffled")

Row = dict[str, float | int | str]


@dataclass(frozen=True)
class Grid:
    """A sweep of one corpus."""

    hidden: Sequence[int] = HIDDEN
    lambdas: Sequence[float] = LAMBDAS
    config: ReluConfig = field(default_factory=lambda: ReluConfig(channels=1, hidden=1))
    """Everything but channels, space, hidden and lambda."""
    training: TrainingOptions = field(default_factory=TrainingOptions)
    probes: ProbeOptions = field(default_factory=lambda: ProbeOptions(baselines=False))

    def points(self) -> list[ReluConfig]:
        return [replace(self.config, hidden=size, lam=lam) for size in self.hidden for lam in self.lambdas]


@in_float32
def run_sweep(
    corpus: Corpus, out: Path, grid: Grid, device: str = "cpu", progress: Callable[[str, int, int], None] | None = None
) -> list[Row]:
    """Train and judge every point of the grid that `out` does not hold yet; write table.csv there.

    The autoencoders of a process are trained in groups, each on one pass over the data, that fit into half of the free
    memory; processes on the CPUs of one machine share that. Under `accelerate launch` the points are shared out over
    the processes; only the first writes the table.

    Returns:
        The table: one row per finished point; none in the other processes.
    """
    workers, device = join_launch(device)
    progress = progress if workers.is_main_process else None  # one bar on the screen that all share
    mine = grid.points()[workers.process_index :: workers.num_processes]
    statistics = corpus.statistics("train")
    corpus.check("latents", *corpus.attributes)
    sampler = FrameSampler.of_corpus(corpus, "train", grid.training.batch, grid.training.seed)
    held_out(corpus)  # before hours of training
    if corpus.attributes:
        check_labels(corpus, probed(corpus))
    configs = [of_space(point, corpus) for point in mine]
    waiting = [
        config
        for config in configs
        if not is_finished(place(out, config), made_with(config, grid.training, corpus.fingerprint))
    ]
    budget = free_memory(device) // 2 // (1 if device.startswith("cuda") else local_processes(workers))
    for group in groups(waiting, budget):
        train_group(group, corpus, out, grid.training, sampler, statistics, device, progress)
    if corpus.attributes:
        judge_probes(corpus, [place(out, point) for point in mine], grid.probes, device, progress)
    workers.wait_for_everyone()
    if not workers.is_main_process:
        return []
    rows = collect(out, grid.points())
    write_table(out / TABLE, rows)
    return rows


def train_group(
    group: Sequence[ReluConfig],
    corpus: Corpus,
    out: Path,
    options: TrainingOptions,
    sampler: FrameSampler,
    statistics: tuple[np.ndarray, np.ndarray],
    device: str,
    progress: Callable[[str, int, int], None] | None,
) -> None:
    """Train and judge some points on one pass over the data; nothing of them stays in memory."""
    folders = [place(out, config) for config in group]
    trainers = [make_trainer(corpus, config, options, sampler, statistics, device) for config in group]
    for trainer, folder in zip(trainers, folders):
        trainer.resume(folder)

    def steps(done: int) -> None:
        if progress:
            progress(f"{len(group)} autoencoders", done, options.steps)

    train(trainers, sampler, folders, steps)
    for trainer, folder in zip(trainers, folders):
        write_figures(folder, trainer, corpus, held_out(corpus))


def place(out: Path, point: ReluConfig) -> Path:
    """Folder of one point."""
    short = f"{point.lam:g}"
    return out / "points" / f"h{point.hidden}-lambda{short if float(short) == point.lam else repr(point.lam)}"


def groups(waiting: Sequence[ReluConfig], budget: int) -> list[list[ReluConfig]]:
    """Cut a list of points so that each group's weights, gradients and Adam moments fit into `budget` bytes."""
    found: list[list[ReluConfig]] = []
    used = budget + 1
    for config in waiting:
        with torch.device("meta"):  # counted, not held
            size = 16 * sum(parameter.numel() for parameter in make_sae(config, seed=None).parameters())
        if used + size > budget:
            found.append([])
            used = 0
        found[-1].append(config)
        used += size
    return found


def free_memory(device: str) -> int:
    """Free bytes where the training happens."""
    if device.startswith("cuda"):
        return int(torch.cuda.mem_get_info(device)[0])
    import psutil

    return int(psutil.virtual_memory().available)


def judge_probes(
    corpus: Corpus,
    folders: Sequence[Path],
    options: ProbeOptions,
    device: str,
    progress: Callable[[str, int, int], None] | None,
) -> None:
    """Fit probes on each autoencoder and write their figures beside it, where they are not there with these options."""
    from probes.fit.probe_fit import fit_linear_probes

    bins = probed(corpus)
    for number, folder in enumerate(folders):
        made_with = json.loads(json.dumps({"corpus": corpus.fingerprint, "options": asdict(options)}))
        if (folder / PROBES).exists() and read_probe_report(folder)["made_with"] == made_with:
            continue
        sae = SparseAutoencoder.from_pretrained(folder).to(device)
        report = fit_linear_probes(corpus, sae, bins, options).report
        write_probe_report(folder, {"made_with": made_with, "report": report})
        if progress:
            progress("probes", number + 1, len(folders))


def probed(corpus: Corpus) -> dict[str, Bins]:
    """Classes of the attributes that have a probe; tempo has none."""
    return {name: own for name, own in fit_bins(corpus).items() if own.grid != "window"}


def collect(out: Path, points: Sequence[ReluConfig]) -> list[Row]:
    """One row per finished point: hidden, lambda, the figures on held-out files, and per attribute the probes'."""
    rows = []
    for point in points:
        folder = place(out, point)
        if not (folder / METRICS).exists():
            continue
        content = read_metrics(folder)
        figures = content["figures"]
        row: Row = {
            "space": content["made_with"]["config"].get("space", ""),
            "hidden": point.hidden,
            "lambda": point.lam,
        }
        row |= {name: figures[name] for name in FIGURES if name in figures}
        row |= {f"dead_{horizon}": share for horizon, share in figures["dead"].items()}
        if (folder / PROBES).exists():
            for name, found in read_probe_report(folder)["report"].items():
                row |= _flat(name, found)
        rows.append(row)
    return rows


def _flat(attribute: str, found: dict[str, Any]) -> Row:
    row: Row = {}
    for key in (key for key in SCORES if key in found):
        if key == "interval":
            row[f"{attribute}_low"], row[f"{attribute}_high"] = found[key] or ("", "")
        else:
            row[f"{attribute}_{key}"] = found[key]
    return row


def write_table(path: Path, rows: Sequence[Row]) -> None:
    """CSV, six significant digits."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, restval="", lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()})
    write_whole(path, text.getvalue().encode())
