"""The paper's Figure 2 (arXiv 2510.23802): what edits of growing strength do to a recording."""

from collections.abc import Mapping
from pathlib import Path

import librosa
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

from probes.support.audio_files import to_mono
from tracer.clips import SILENCE, Tracks

LINE = "#0072b2"
BEFORE = "0.6"
TOP_HZ = 8000.0


def draw_edit(
    versions: Mapping[str, np.ndarray],
    tracks: Mapping[str, Tracks],
    sample_rate: int,
    seconds_per_frame: float,
    title: str,
    path: Path,
) -> None:
    """A column per version: mel spectrogram with the pitch track, level and centroid, the codec's own in grey.

    Args:
        versions: name -> audio [channels, n]; "alpha 0" is the codec alone.
        tracks: name -> what was measured on it.
    """
    figure = Figure(figsize=(2.1 * len(versions) + 0.5, 5.2), layout="constrained")
    axes = figure.subplots(3, len(versions), sharex=True, sharey="row", height_ratios=[2, 1, 1])
    peak = max(float(np.abs(audio).max()) for audio in versions.values())
    for column, (name, audio) in enumerate(versions.items()):
        track = tracks[name]
        times = (np.arange(len(track.values["pitch"])) + 0.5) * seconds_per_frame
        draw_spectrogram(axes[0, column], to_mono(audio), sample_rate, peak)
        hertz = np.where(track.valid["pitch"], 440 * 2 ** ((track.values["pitch"] - 69) / 12), np.nan)
        axes[0, column].plot(times, hertz, ".", ms=1.6, color="#00ffd0")
        axes[0, column].set_title(name, fontsize=9)
        for line, curve in ((1, level), (2, centroid)):
            axes[line, column].plot(times, curve(tracks["alpha 0"]), color=BEFORE, lw=0.8)
            axes[line, column].plot(times, curve(track), color=LINE, lw=0.9)
        axes[2, column].set_xlabel("s", fontsize=8)
    for ax, label in zip(axes[:, 0], ("Hz, pitch dotted", "level (dB)", "centroid (Hz)")):
        ax.set_ylabel(label, fontsize=8)
    for ax in axes.flat:
        ax.tick_params(labelsize=7)
    axes[2, 0].set_yscale("log")
    axes[2, 0].yaxis.set_major_locator(LogLocator(base=2, numticks=6))
    axes[2, 0].yaxis.set_major_formatter(StrMethodFormatter("{x:.0f}"))
    axes[2, 0].yaxis.set_minor_locator(NullLocator())
    figure.suptitle(f"{title} (grey: alpha 0, the codec alone)", fontsize=9)
    figure.savefig(path, dpi=85)


def draw_spectrogram(ax: object, mono: np.ndarray, sample_rate: int, peak: float) -> None:
    """Mel spectrogram over a logarithmic frequency axis, 80 dB deep, the same scale for every version."""
    top = min(TOP_HZ, sample_rate / 2)
    hop = max(512, len(mono) // 400)
    mel = librosa.feature.melspectrogram(
        y=mono, sr=sample_rate, n_fft=4096, hop_length=hop, n_mels=96, fmin=60, fmax=top
    )
    decibels = librosa.power_to_db(mel, ref=max(peak, SILENCE) ** 2 * 1e4, top_db=None)
    edges = librosa.mel_frequencies(97, fmin=60, fmax=top)
    times = np.arange(mel.shape[1] + 1) * hop / sample_rate
    ax.pcolormesh(times, edges, decibels, cmap="magma", vmin=-80, vmax=0, rasterized=True)  # type: ignore[attr-defined]
    ax.set_yscale("log")  # type: ignore[attr-defined]
    ax.set_ylim(60, top)  # type: ignore[attr-defined]


def level(track: Tracks) -> np.ndarray:
    return 20 * np.log10(np.maximum(track.values["loudness"], SILENCE))


def centroid(track: Tracks) -> np.ndarray:
    return np.where(track.valid["timbre"], track.values["timbre"], np.nan)
