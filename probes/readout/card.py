"""The model card of a readout, made from what it knows about itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from huggingface_hub import ModelCard, ModelCardData

if TYPE_CHECKING:
    from probes.readout.module import Readout

NOISE_COLUMNS = (
    ("accuracy", "noise-aware"),
    ("interval", "95 % interval"),
    ("clean", "clean-trained"),
    ("majority", "majority"),
    ("shuffled", "shuffled labels"),
)
ROWS = (
    ("accuracy", "accuracy"),
    ("interval", "95 % interval, bootstrap over files"),
    ("within_one", "within one class"),
    ("octave_folded", "octave-folded"),
    ("within_4_percent", "within 4 %, octave-folded"),
    ("within_4_percent_interval", "95 % interval"),
    ("macro_f1", "macro-F1"),
    ("calibration_error", "expected calibration error"),
    ("majority", "always the commonest class"),
    ("shuffled", "same probe, shuffled labels"),
    ("raw_latents", "probe on raw latents"),
    ("untrained_sae", "probe on an untrained autoencoder"),
    ("with_log_rms", "with log rms(h) as one more input"),
    ("without_log_rms", "without log rms(h)"),
    ("margin", "median gap of the two largest logits"),
    ("shuffled_margin", "the same of shuffled labels"),
    ("shuffled_commonest_share", "share of the commonest prediction with shuffled labels"),
    ("unlabelled", "share without a label (unvoiced, silent)"),
    ("frames", "labelled frames"),
    ("clips", "labelled clips, one value each"),
    ("windows", "labelled windows, one value each"),
    ("files", "files"),
)


def model_card(readout: Readout) -> ModelCard:
    """The card, with its metadata for the Hub."""
    data = ModelCardData(
        library_name="generation-tracer",
        tags=["sparse-autoencoder", "linear-probe", "music", "audio", "interpretability"],
    )
    return ModelCard(f"---\n{data.to_yaml()}\n---\n\n{body(readout)}")


def body(readout: Readout) -> str:
    config = readout.sae.config
    inputs = ", ".join(f"`{space}`" for space in readout.spaces)
    lines = [
        f"# Readout of {', '.join(readout.attributes)} from {', '.join(readout.spaces)} latents",
        "",
        "A sparse autoencoder and linear softmax probes on its features, after Paek et al., "
        "*Learning Interpretable Features in Audio Latent Spaces via Sparse Autoencoders* (arXiv 2510.23802).",
        "",
        "```python",
        "from probes import Readout",
        "",
        'readout = Readout.from_pretrained("PATH_OR_HUB_ID")',
        "p = readout(latents)  # latents [batch, frames, channels] -> " + repr(_shapes(readout)).replace("'", '"'),
        "```",
        "",
        "## What goes in",
        "",
        f"Latents of {inputs}, revision `{config.revision or 'not recorded'}`, {config.channels} channels, "
        "[batch, frames, channels], raw as the codec's encoder returns them, without a scaling factor. "
        "Standardisation, where there is any, happens inside.",
        "",
        "## The autoencoder",
        "",
        f"Architecture `{config.architecture}`, {config.hidden} features; {readout.sae.sparsity}; "
        f"dictionary atoms {'of norm 1' if config.decoder == 'unit' else 'unconstrained'}; input "
        f"{'standardised per channel' if config.standardise else 'not standardised'}."
        + (f" Not trained here: {config.owner}." if config.owner else ""),
        "",
        *_table(readout.report.get("sae", {})),
        "## The probes",
        "",
        "Input: the features f"
        + (
            ", and log rms(h), the level of the activations that RMSNorm takes away, as one more input."
            if readout.log_rms
            else "."
        ),
        "",
        *(f"- {name}: {_classes(readout, name)}" for name in readout.bins),
        "",
        *_results(readout.report.get("probes", {})),
        "The control probes saved beside them were trained on labels of other files, so they say what a probe reads "
        "that has learned nothing about its attribute.",
        "",
        *noise_section(readout.report.get("noise")),
        *takes_section(readout.report),
    ]
    return "\n".join(lines)


def _shapes(readout: Readout) -> dict[str, str]:
    return {name: f"[batch, {len(own)}]" for name, own in readout.bins.items()}


def _classes(readout: Readout, name: str) -> str:
    bins = readout.bins[name]
    way = ", read from the onset probe's readings over seconds" if bins.grid == "window" else ""
    if bins.grid == "clip":
        way = ", one for a clip, from the peaks of its frames"
    return f"{len(bins)} classes, from {bins.label(0)} to {bins.label(len(bins) - 1)}{way}"


def show(value: Any) -> str:
    """A figure in a table: three decimals, lists as ranges."""
    if value is None:
        return "-"
    if isinstance(value, list):
        return " to ".join(show(part) for part in value)
    if isinstance(value, float):
        return f"{value:.3f}" if abs(value) >= 0.01 else f"{value:.3g}"
    return str(value)


def _table(values: dict[str, Any]) -> list[str]:
    if not values:
        return []
    rows = [f"| {name} | {show(value)} |" for name, value in values.items() if not isinstance(value, dict)]
    return ["| on held-out files | |", "|---|---|", *rows, ""]


def _results(results: dict[str, dict[str, Any]]) -> list[str]:
    if not results:
        return []
    names = list(results)
    lines = ["| on held-out files | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for key, title in ROWS:
        if any(key in results[name] for name in names):
            cells = [show(results[name][key]) if key in results[name] else "" for name in names]
            lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return [*lines, ""]


def noise_section(report: dict[str, Any] | None) -> list[str]:
    """Lines of the card on accuracy through noise, a table for each attribute; none without a report."""
    if not report:
        return []
    lines = [
        "## Through noise",
        "",
        "Probes of noisy latents alpha x + sigma n, a set for each log-SNR 2 ln(alpha / sigma). They see what the "
        "clean probes read in the linear clean estimate, and the noisy latent. Accuracy on held-out files, beside that "
        "of the clean-trained probes on the same noisy latents:",
        "",
    ]
    header = ["log-SNR", *(title for _, title in NOISE_COLUMNS)]
    for name in report["attributes"]:
        lines += [f"{name}:", "", f"| {' | '.join(header)} |", "|---" * len(header) + "|"]
        lines += [f"| {' | '.join(row)} |" for row in noise_rows(report, name)] + [""]
    return lines


CALIBRATED = (0, 2, 4, 8, 12, 16, 24)
"""States of the table of a calibration."""


def takes_section(report: Mapping[str, Any]) -> list[str]:
    """Lines of the card on songs as a whole, and on ranking takes early; none of what the report does not have."""
    lines = []
    songs = report.get("songs")
    if songs:
        lines += [
            "## Songs",
            "",
            "Of the training songs: level in dB, median pitch (MIDI), log2 of the median centroid.",
            "",
        ]
        lines += ["| | 10 % | 90 % | spread | songs |", "|---|---|---|---|---|"]
        for name, own in songs.items():
            lines.append(
                f"| {name} | " + " | ".join(show(own[key]) for key in ("low", "high", "spread", "files")) + " |"
            )
        lines.append("")
    for generator, table in report.get("calibration", {}).items():
        names = list(table["attributes"])
        lines += [f"## Ranking takes of {generator} early", ""]
        lines += [
            "Rank correlation, over the seeds of a prompt, between the reading of the endpoint at a state and the "
            f"finished one; mean over {table['about']['prompts']} prompts (95 % interval).",
            "",
            "| state | flow time | " + " | ".join(names) + " |",
            "|---" * (len(names) + 2) + "|",
        ]
        for state in (state for state in CALIBRATED if state < len(table["t"])):
            figures = [[table["attributes"][name][key][state] for key in ("rho", "low", "high")] for name in names]
            cells = ["{:.2f} ({:.2f} to {:.2f})".format(*own) for own in figures]
            lines.append(f"| {state} | {table['t'][state]:.2f} | " + " | ".join(cells) + " |")
        lines.append("")
    return lines


def noise_rows(report: Mapping[str, Any], name: str) -> list[list[str]]:
    """Cells of the table of an attribute by log-SNR."""
    return [
        [f"{level:+.2f}", *(show(report["attributes"][name][key][row]) for key, _ in NOISE_COLUMNS)]
        for row, level in enumerate(report["levels"])
    ]
