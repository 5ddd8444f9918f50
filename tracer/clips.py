"""Clips: what is measured on their sound, how far an edited one is from its plain version, and their files."""

import io
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from probes.attributes import get_attribute
from probes.attributes.songs import song_value
from probes.support.audio_files import to_mono
from probes.support.files import write_whole
from probes.support.ogg import write_ogg

MEASURED = {"pitch": "MIDI", "loudness": "RMS", "timbre": "Hz"}
"""What is measured on clips, and the unit of a frame's value."""


@dataclass(frozen=True)
class Tracks:
    """Attributes of one clip over its latent frames."""

    values: Mapping[str, np.ndarray]
    """[F] MIDI number, RMS and Hz."""
    valid: Mapping[str, np.ndarray]
    """[F] bool; for pitch, the voiced frames."""
    music: np.ndarray | None = None
    """[F] bool, the frames that are no padding; None where all are music."""

    def summary(self) -> dict[str, float]:
        """Median MIDI number of the voiced frames, level in dB, log2 of the median centroid in Hz; NaN where none."""
        return {name: song_value(unit, self.values[name], self.valid[name]) for name, unit in MEASURED.items()}

    def shift(self, before: "Tracks", frames: np.ndarray | None = None) -> dict[str, float]:
        """How far the summary lies from that of a plain version: semitones, dB, octaves.

        Args:
            before: The plain version.
            frames: [F] bool, the frames that count; None for all.
        """
        own, other = (tracks.summary() if frames is None else tracks.of(frames).summary() for tracks in (self, before))
        return {name: own[name] - other[name] for name in own}

    def of(self, frames: np.ndarray) -> "Tracks":
        """The same, of some frames [F] alone."""
        return replace(self, valid={name: valid & frames for name, valid in self.valid.items()})

    def without_padding(self, music: np.ndarray) -> "Tracks":
        """The same where only the frames `music` [F] are no padding."""
        return replace(self.of(music), music=music)

    def voiced(self) -> float:
        """Share of frames with a pitch."""
        return self._share(self.valid["pitch"])

    def on_note(self, note: float) -> float:
        """Share of all frames that are voiced within half a semitone of a MIDI number."""
        return self._share(self.valid["pitch"] & (np.abs(self.values["pitch"] - note) <= 0.5))

    def _share(self, found: np.ndarray) -> float:
        return float(np.mean(found if self.music is None else found[self.music]))


def tracker_identity(pitch_tracker: str) -> dict[str, Any]:
    """What a run records of the pitch tracker, so that one that is continued keeps to it."""
    return get_attribute("pitch", model=pitch_tracker).options()


def measure_clip(
    audio: np.ndarray,
    sample_rate: int,
    frames: int,
    hop: float,
    attributes: Collection[str] = tuple(MEASURED),
    pitch_tracker: str = "full",
    device: str = "cpu",
) -> Tracks:
    """Attributes of audio [channels, samples] on a grid of latent frames.

    Args:
        audio: Sound in [-1, 1].
        sample_rate: Hz.
        frames: Number of latent frames.
        hop: Samples per latent frame.
        attributes: Names of what to measure.
        pitch_tracker: full or tiny, sizes of CREPE, or swift-f0.
        device: Where CREPE runs.
    """
    values, valid = {}, {}
    for name in attributes:
        options = {"model": pitch_tracker, "device": device} if name == "pitch" else {}
        values[name], valid[name] = get_attribute(name, **options).measure(audio, sample_rate, frames, hop)
    return Tracks(values, valid)


def write_clip(path: Path, audio: np.ndarray, sample_rate: int) -> None:
    """Write audio [channels, samples]: not normalised, so that levels compare; clipped at full scale.

    As Ogg Vorbis where the name ends in .ogg, otherwise as 24-bit WAV.
    """
    import soundfile

    if path.suffix == ".ogg":
        return write_ogg(path, audio, sample_rate)

    sound = io.BytesIO()
    soundfile.write(sound, np.clip(audio, -1, 1).T, sample_rate, subtype="PCM_24", format="WAV")
    write_whole(path, sound.getvalue())


def distortion(audio: np.ndarray, plain: np.ndarray, sample_rate: int) -> dict[str, float]:
    """How far audio [channels, n] is from its plain version, whatever that does to the attributes.

    log_mel_db: mean absolute difference of 80-band mel spectra in dB, floored 80 dB under the plain version's peak.
    stft_distance: see `probes.support.spectra.stft_distance`. clipped: share of samples at
    or above full scale that are below it in the plain version.
    """
    import librosa
    import torch

    from probes.support.spectra import stft_distance

    one, other = to_mono(audio), to_mono(plain)
    mels = [librosa.feature.melspectrogram(y=y, sr=sample_rate, n_mels=80) for y in (one, other)]
    floor = max(float(mels[1].max()), 1e-10) * 1e-8
    difference = np.abs(np.subtract(*(10 * np.log10(np.maximum(mel, floor)) for mel in mels)))
    return {
        "log_mel_db": float(difference.mean()),
        "stft_distance": stft_distance(torch.from_numpy(other), torch.from_numpy(one)),
        "clipped": float(np.mean((np.abs(audio) >= 1) & (np.abs(plain) < 1))),
    }
