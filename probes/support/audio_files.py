"""Reading and resampling audio."""

import io
from pathlib import Path

import numpy as np

from probes.errors import InputError

SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".oga", ".opus", ".aif", ".aiff")


def read_audio(file: str | Path | bytes) -> tuple[np.ndarray, int]:
    """Audio of a file, or of the bytes of one.

    Returns:
        Samples `[channels, n]` float32 and the sample rate. Compressed files may exceed full scale; nothing
        is clipped or normalised.

    Raises:
        InputError: not audio, no samples, or values that are not finite.
    """
    import soundfile

    name = "the audio" if isinstance(file, bytes) else str(file)
    if not isinstance(file, bytes) and not Path(file).is_file():
        raise InputError(f"no such file: {name}")
    try:
        data, sample_rate = soundfile.read(
            io.BytesIO(file) if isinstance(file, bytes) else file, dtype="float32", always_2d=True
        )
    except (soundfile.SoundFileError, OSError, RuntimeError) as error:
        raise InputError(f"cannot read {name} as audio: it is damaged or of an unknown format") from error
    if not len(data):
        raise InputError(f"{name} holds no samples")
    if not np.isfinite(data).all():
        raise InputError(f"{name} holds values that are not finite (NaN or infinity)")
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
    """`[channels, n]` -> `[n]`, the mean of the channels."""
    return audio.mean(0) if len(audio) > 1 else audio[0]
