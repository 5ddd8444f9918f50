"""Chroma: the pitch class that carries most of a frame's energy, 12 classes."""

import numpy as np

from probes.attributes.base import SILENCE, Attribute, on_grid, rms
from probes.attributes.bins import Bins


class Chroma(Attribute):
    """The strongest of librosa's 12 chroma bands, C = 0; its confidence is that band's share of the energy.

    The window is 186 ms: shorter ones cannot tell low semitones apart.
    """

    name = "chroma"
    unit = "pitch class"
    scales = ("names",)
    count = 12
    # With energy spread evenly each band would hold 1/12.
    threshold = 0.15

    def _measure(self, audio: np.ndarray, sample_rate: int, frames: int, hop: int) -> tuple[np.ndarray, np.ndarray]:
        import librosa

        window = int(2 ** np.round(np.log2(sample_rate * 8192 / 44100)))
        bands = librosa.feature.chroma_stft(
            y=on_grid(audio, frames, hop, window),
            sr=sample_rate,
            n_fft=window,
            hop_length=hop,
            center=False,
            norm=1,
            tuning=0.0,
        )
        loud = rms(audio, sample_rate, frames, hop) > SILENCE
        return bands.argmax(0), np.where(loud, bands.max(0), 0.0)

    def fit_bins(self, values: np.ndarray, count: int | None = None, scale: str | None = None) -> Bins:
        """The twelve pitch classes, whatever the values."""
        return Bins.pitch_classes(self.name)
