"""The paper's Figure 2 (arXiv 2510.23802): what edits of growing strength do to a recording."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import librosa
import numpy as np
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator, StrMethodFormatter

from probes.attributes.songs import SILENCE
from probes.support.audio_files import to_mono
from tracer.clips import Tracks
from tracer.figures.palette import Drawing, figure_style, literal, looks
from tracer.steering.results import CODEC

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BEFORE_COLOUR = "0.6"
TOP_HZ = 8000.0


@figure_style()
def draw_edit(
    versions: Mapping[str, np.ndarray],
    tracks: Mapping[str, Tracks],
    sample_rate: int,
    seconds_per_frame: float,
    title: str,
) -> Drawing:
    """Draw a column per version: mel spectrogram with the pitch track, level and centroid; the codec's own in grey.

    Args:
        versions: Audio [channels, n] by name; "alpha 0" is the codec alone.
        tracks: What was measured on each version, by the same names.
        sample_rate: Sample rate of the audio.
        seconds_per_frame: Seconds between two values of a track.
        title: What was edited.
    """
    figure = Drawing(2.1 * len(versions) + 0.5, 5.2)
    panels = figure.subplots(3, len(versions), sharex=True, sharey="row", height_ratios=[2, 1, 1])
    style = looks(["pitch", "loudness", "timbre"])
    peak = max(float(np.abs(audio).max()) for audio in versions.values())
    for column, (name, audio) in enumerate(versions.items()):
        track = tracks[name]
        times = (np.arange(len(track.values["pitch"])) + 0.5) * seconds_per_frame
        _draw_spectrogram(panels[0, column], to_mono(audio), sample_rate, peak)
        hertz = np.where(track.valid["pitch"], 440 * 2 ** ((track.values["pitch"] - 69) / 12), np.nan)
        dots = {"markersize": 2.2, "markeredgecolor": "white", "markeredgewidth": 0.3}
        panels[0, column].plot(times, hertz, "o", color=style["pitch"].colour, **dots)
        panels[0, column].set_title(literal(name))
        for line, attribute, curve in ((1, "loudness", _level), (2, "timbre", _centroid)):
            panels[line, column].plot(times, curve(tracks[CODEC]), color=BEFORE_COLOUR, lw=0.8)
            panels[line, column].plot(times, curve(track), color=style[attribute].colour, lw=0.9)
        panels[2, column].set_xlabel("s")
    for panel, label in zip(panels[:, 0], ("Hz, pitch dotted", "level (dB)", "centroid (Hz)")):
        panel.set_ylabel(label)
    if any(np.isfinite(_centroid(track)).any() for track in tracks.values()):  # silence has no centroid
        panels[2, 0].set_yscale("log")
        low, high = panels[2, 0].get_ylim()
        octaves = LogLocator(base=2, numticks=6)
        panels[2, 0].yaxis.set_major_locator(octaves if high > 4 * low else MaxNLocator(4, integer=True))
        panels[2, 0].yaxis.set_major_formatter(StrMethodFormatter("{x:.0f}"))
        panels[2, 0].yaxis.set_minor_locator(NullLocator())
    figure.suptitle(f"{literal(title)} (grey: alpha 0, the codec alone)", fontsize=9)
    return figure


def _draw_spectrogram(panel: Axes, mono: np.ndarray, sample_rate: int, peak: float) -> None:
    """Draw a mel spectrogram over a logarithmic frequency axis, 80 dB deep, on the same scale for every version."""
    top = min(TOP_HZ, sample_rate / 2)
    hop = max(512, len(mono) // 400)
    mel = librosa.feature.melspectrogram(
        y=mono, sr=sample_rate, n_fft=4096, hop_length=hop, n_mels=96, fmin=60, fmax=top
    )
    decibels = librosa.power_to_db(mel, ref=max(peak, SILENCE) ** 2 * 1e4, top_db=None)
    edges = librosa.mel_frequencies(97, fmin=60, fmax=top)
    times = np.arange(mel.shape[1] + 1) * hop / sample_rate
    # The loudest is dark grey and not black, so that the pitch track can be seen on it.
    panel.pcolormesh(times, edges, decibels, cmap="Greys", vmin=-80, vmax=30, rasterized=True)
    panel.set_yscale("log")
    panel.set_ylim(60, top)


def _level(track: Tracks) -> np.ndarray:
    return 20 * np.log10(np.maximum(track.values["loudness"], SILENCE))


def _centroid(track: Tracks) -> np.ndarray:
    return np.where(track.valid["timbre"], track.values["timbre"], np.nan)
