"""What every attribute offers, and the frame grid they share."""

from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from probes.attributes.bins import MOST_CLASSES, Bins
from probes.attributes.score import Score
from probes.errors import InputError
from probes.support.audio_files import to_mono

# Below this RMS (-80 dB of full scale) a frame counts as silent.
SILENCE = 1e-4


class Attribute:
    """A number measured on every frame of audio, and the classes that probes read it as.

    A subclass sets `name`, `unit` and `scales` and writes `_measure` where it can be measured on audio, and `of_score`
    where notes say its values.

    Attributes:
        name: As in `ATTRIBUTES`.
        unit: Unit of the measured values.
        scales: Kinds of bins it may have; the first is the default and the paper's.
        count: Default number of classes, the paper's.
        names: Names of the classes of an attribute whose values are class numbers.
        grid: "frame", "window" or "clip": one value for each frame, for each window (`probes.attributes.windows`) or
            for a whole clip, the same in all its frames.
        threshold: Frames measured with less confidence are masked.
        measurable: Whether it can be measured on audio.
        notated: Whether a score can say it, so that `of_score` gives exact values.
    """

    name: ClassVar[str]
    unit: ClassVar[str]
    scales: ClassVar[tuple[str, ...]]
    count: ClassVar[int] = 20
    names: ClassVar[tuple[str, ...]] = ()
    grid: ClassVar[str] = "frame"
    threshold: float = 0.5
    measurable: ClassVar[bool] = True
    notated: ClassVar[bool] = False

    def _measure(self, audio: np.ndarray, sample_rate: int, frames: int, hop: int) -> tuple[np.ndarray, np.ndarray]:
        """Values and confidences, both `[frames]`, for audio of at least one sample.

        Raises:
            InputError: The attribute cannot be had from audio.
        """
        raise self.not_measurable()

    def of_score(self, score: Score, frames: int, frame_rate: float) -> tuple[np.ndarray, np.ndarray]:
        """Exact values and confidences (0 or 1), both `[frames]`, from what is known to be played.

        Args:
            score: What is played.
            frames: Number of latent frames.
            frame_rate: Frames per second; frame i is around (i + 1/2) / frame_rate seconds.

        Raises:
            InputError: The score does not say it.
        """
        raise self.unknown()

    def unknown(self) -> InputError:
        """Says that a score has nothing about this attribute."""
        return InputError(
            f"the annotation does not say {self.name}: "
            + ("leave --labels annotation away to measure it" if self.measurable else "leave it out, or render music")
        )

    def not_measurable(self) -> InputError:
        """Says that this attribute cannot be had from audio."""
        return InputError(
            f"{self.name} has no estimator for recordings: leave it out, or take rendered music, which knows it "
            "(`--audio rendered --labels annotation`)"
        )

    def options(self) -> dict[str, Any]:
        """What beside the name decides about the values, ready for JSON."""
        return {}

    def describe(self) -> dict[str, Any]:
        """What a corpus records."""
        return {"unit": self.unit, "threshold": self.threshold, **self.options(), **self._grid()}

    def describe_notated(self) -> dict[str, Any]:
        """What a corpus records whose labels come from a score."""
        return {"unit": self.unit, "threshold": 0.5, "labels": "annotation", **self._grid()}

    def _grid(self) -> dict[str, Any]:
        return {} if self.grid == "frame" else {"grid": self.grid}

    def confidence(self, audio: np.ndarray, sample_rate: int, frames: int, hop: float) -> tuple[np.ndarray, np.ndarray]:
        """Like `measure`, with how sure each value is in [0, 1] instead of whether it is used."""
        if audio.ndim not in (1, 2) or not audio.size or frames < 1:
            raise InputError(f"{self.name} is measured on audio [n] or [channels, n], but got {list(audio.shape)}")
        if not np.isfinite(audio).all():
            raise InputError(f"{self.name} cannot be measured: the audio holds NaN or infinity")
        channels = np.atleast_2d(audio).astype(np.float32, copy=False)
        values, confidence = self._measure(self.heard(channels), sample_rate, frames, round(hop))
        return values.astype(np.float32), confidence.astype(np.float32)

    def heard(self, channels: np.ndarray) -> np.ndarray:
        """What is measured of audio [channels, n]: the mono mix, unless a subclass says otherwise."""
        return to_mono(channels)

    def measure(self, audio: np.ndarray, sample_rate: int, frames: int, hop: float) -> tuple[np.ndarray, np.ndarray]:
        """Measure audio on a latent's frame grid: value i is centred on the middle of frame i.

        Args:
            audio: `[n]` or `[channels, n]`.
            sample_rate: In Hz.
            frames: Frames of the latent; audio that ends earlier is taken as followed by silence.
            hop: Samples per frame, a whole number; a float such as sample_rate / frame_rate is rounded to it.

        Returns:
            Values float32 `[frames]` in `unit`, and which of them mean something, bool `[frames]`.

        Raises:
            InputError: audio of another shape, no samples, or values that are not finite.
        """
        values, confidence = self.confidence(audio, sample_rate, frames, hop)
        return values, confidence >= self.threshold

    def check_choice(self, count: int | None, scale: str | None) -> None:
        """Raises InputError where its values cannot be cut into so many classes, or not on such a scale."""
        if scale is not None and scale not in self.scales:
            raise InputError(f"{self.name} has no {scale} bins: choose {' or '.join(self.scales)}")
        fixed = len(self.names) or (self.count if self.scales == ("names",) else 0)
        if fixed and count not in (None, fixed):
            raise InputError(f"{self.name} has {fixed} classes, not {count}: leave it out of --classes")
        if count is not None and not 2 <= count <= MOST_CLASSES:
            raise InputError(f"{self.name} needs at least 2 classes and at most {MOST_CLASSES}, not {count}")

    def fit_bins(self, values: np.ndarray, count: int | None = None, scale: str | None = None) -> Bins:
        """Classes for the valid values of a training split.

        Args:
            values: `[n]` in `unit`.
            count: Number of classes, the paper's by default.
            scale: One of `scales`.

        Raises:
            InputError: an unknown scale, or fewer different values than classes.
        """
        self.check_choice(count, scale)
        scale = scale or self.scales[0]
        if self.names:
            return Bins.named(self.name, self.unit, self.names, self.grid)
        return replace(Bins.fit(self.name, self.unit, scale, values, count or self.count), grid=self.grid)


def middles(frames: int, frame_rate: float) -> np.ndarray:
    """Seconds `[frames]` of the middles of latent frames."""
    return (np.arange(frames) + 0.5) / frame_rate


def window_length(sample_rate: int) -> int:
    """Samples of the analysis window: the power of two nearest to 46 ms (2,048 at 44.1 kHz)."""
    return int(2 ** np.round(np.log2(sample_rate * 2048 / 44100)))


def on_grid(audio: np.ndarray, frames: int, hop: int, window: int) -> np.ndarray:
    """Audio shifted and padded so that librosa's uncentred frame i is centred on the middle of latent frame
    i.

    Uncentred frames start at i * hop; here they have to start at (i + 1/2) * hop - window / 2.
    """
    start = hop // 2 - window // 2
    audio = np.pad(audio, (-start, 0)) if start < 0 else audio[start:]
    length = (frames - 1) * hop + window
    return np.pad(audio, (0, max(0, length - len(audio))))[:length]


def rms(audio: np.ndarray, sample_rate: int, frames: int, hop: int) -> np.ndarray:
    """Root mean square `[frames]` of audio [n] in windows of 46 ms."""
    import librosa

    window = window_length(sample_rate)
    grid = on_grid(audio, frames, hop, window)
    return np.asarray(librosa.feature.rms(y=grid, frame_length=window, hop_length=hop, center=False)[0])
