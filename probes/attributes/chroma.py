"""Chroma: the pitch class that carries most of a frame's energy, 12 classes."""

import numpy as np

from probes.attributes.base import SILENCE, Attribute, middles, on_grid, rms
from probes.attributes.bins import Bins

CQT_RATE, CQT_STEP = 22050, 512  # samples a second, and samples between the frames of the constant-Q chroma


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
        self.check_choice(count, scale)
        return Bins.pitch_classes(self.name)


def tuned_chroma(audio: np.ndarray, sample_rate: int, frames: int, hop: int, seconds: float) -> np.ndarray:
    """Magnitude of the twelve pitch classes around each frame `[12, frames]`, C = 0, for chords and keys.

    From librosa's constant-Q transform, three bins a semitone, tuned to the audio: it tells low notes apart, which a
    window of 186 ms cannot.

    Args:
        audio: `[n]`.
        sample_rate: In Hz.
        frames: Latent frames.
        hop: Samples per frame.
        seconds: Time around each frame over which it is averaged.
    """
    import librosa
    from scipy.ndimage import uniform_filter1d

    from probes.support.audio_files import resample

    whole = np.pad(audio, (0, max(0, frames * hop - len(audio))))
    sound = resample(whole, sample_rate, CQT_RATE)
    bands = librosa.feature.chroma_cqt(
        y=np.pad(sound, (0, max(0, CQT_RATE - len(sound)))), sr=CQT_RATE, hop_length=CQT_STEP, norm=None
    )
    smooth = uniform_filter1d(bands, max(1, round(seconds * CQT_RATE / CQT_STEP)), axis=1, mode="constant")
    places = np.round(middles(frames, sample_rate / hop) * CQT_RATE / CQT_STEP).astype(int)
    return np.asarray(smooth[:, places.clip(0, bands.shape[1] - 1)])
