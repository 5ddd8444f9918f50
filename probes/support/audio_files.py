"""Read and resample audio."""

import io
from pathlib import Path

import numpy as np

from probes.errors import InputError
from probes.support.audio_headers import what_is_missing

SUFFIXES = (
    ".wav", ".wave", ".bwf", ".rf64", ".w64", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".mp2", ".aif", ".aiff",
    ".aifc", ".au", ".snd", ".caf", ".voc", ".sph", ".nist", ".paf", ".svx", ".iff", ".avr", ".htk", ".sds",
)  # fmt: skip
"""Endings of the files that libsndfile reads."""
OTHER_SUFFIXES = (".m4a", ".aac", ".mp4", ".wma", ".webm", ".mka", ".ape", ".wv", ".mpc", ".alac", ".ra", ".amr")
"""Endings of audio files that libsndfile does not read."""
LOUDEST = 16.0
"""Peak above which samples cannot be meant as audio of full scale 1 (24 dB over it)."""


def read_audio(file: str | Path | bytes) -> tuple[np.ndarray, int]:
    """Audio of a file, or of the bytes of one.

    Returns:
        Samples `[channels, n]` float32 and the sample rate in Hz. Compressed files may exceed full scale a little;
        nothing is clipped or normalised.

    Raises:
        InputError: not audio, no samples, cut short, more than one stream in it, or values that are not finite or far
            beyond full scale.
    """
    import soundfile

    name = "the audio" if isinstance(file, bytes) else str(file)
    if not isinstance(file, bytes) and not Path(file).is_file():
        raise InputError(f"no such file: {name}")
    try:
        content = file if isinstance(file, bytes) else Path(file).read_bytes()
        data, sample_rate = soundfile.read(io.BytesIO(content), dtype="float32", always_2d=True)
        kind = soundfile.info(io.BytesIO(content)).format
    except (soundfile.SoundFileError, OSError, RuntimeError) as error:
        raise InputError(f"cannot read {name} as audio: it is damaged or of an unknown format") from error
    if not len(data):
        raise InputError(f"{name} holds no samples")
    if not np.isfinite(data).all():
        raise InputError(f"{name} holds values that are not finite (NaN or infinity)")
    peak = float(np.abs(data).max())
    if peak > LOUDEST:
        raise InputError(f"{name} holds values up to {peak:.3g}, far beyond full scale: scale its samples to [-1, 1]")
    missing = what_is_missing(content, kind, len(data), int(sample_rate))
    if missing:
        raise InputError(f"{name} {missing}")
    return np.ascontiguousarray(data.T), int(sample_rate)


def resample(audio: np.ndarray, old: int, new: int) -> np.ndarray:
    """Audio `[..., n]` at sample rate `old`, resampled to `new`: `[..., ceil(n * new / old)]` float32."""
    if old == new:
        return audio
    import librosa

    # A few samples cannot be resampled by every filter length; silence around them changes nothing.
    length = -(-audio.shape[-1] * new // old)
    padded = np.pad(audio, [(0, 0)] * (audio.ndim - 1) + [(0, 64)])
    result = librosa.resample(padded, orig_sr=old, target_sr=new, res_type="soxr_hq", axis=-1)
    return np.ascontiguousarray(result[..., :length], dtype=np.float32)


def to_mono(audio: np.ndarray) -> np.ndarray:
    """`[channels, n]` -> `[n]`: the mean of the channels, or the loudest one where they cancel each other.

    Channels cancel when their mean holds less than a hundredth of their own power, as in antiphase.
    """
    if len(audio) == 1:
        return audio[0]
    mix, powers = audio.mean(0), np.square(audio).mean(1)
    return audio[powers.argmax()] if np.square(mix).mean() < 0.01 * powers.mean() else mix
