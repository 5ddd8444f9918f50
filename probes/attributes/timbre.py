"""Timbre as the spectral centroid, 20 equal bins (as in the paper)."""

import numpy as np

from probes.attributes.base import SILENCE, Attribute, on_grid, rms, window_length


class Timbre(Attribute):
    """Windowed spectral centroid (librosa) in Hz; silent frames have none.

    The paper bins it linearly; "octave" spaces the bins by ratio.
    """

    name = "timbre"
    unit = "Hz"
    scales = ("linear", "octave")

    def _measure(self, audio: np.ndarray, sample_rate: int, frames: int, hop: int) -> tuple[np.ndarray, np.ndarray]:
        import librosa

        window = window_length(sample_rate)
        grid = on_grid(audio, frames, hop, window)
        centroid = librosa.feature.spectral_centroid(
            y=grid, sr=sample_rate, n_fft=window, hop_length=hop, center=False
        )[0]
        loud = rms(audio, sample_rate, frames, hop) > SILENCE
        return np.where(loud, centroid, 0.0), loud.astype(np.float32)
