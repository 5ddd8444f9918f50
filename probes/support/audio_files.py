"""Read and resample audio."""

import io
import re
from pathlib import Path

import numpy as np

from probes.errors import InputError

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


def what_is_missing(content: bytes, kind: str, samples: int, sample_rate: int) -> str | None:
    """What the bytes of an audio file promise beyond the samples that were decoded; None when that is nothing.

    libsndfile reads a file that is cut short as far as it goes, and of several streams on end the first alone.

    Args:
        content: The file.
        kind: Its format, as soundfile names it.
        samples: Number of decoded samples in a channel.
        sample_rate: Hz.
    """
    if kind in ("WAV", "WAVEX", "RF64"):
        promised = wav_samples(content)
        if promised is not None and promised > samples + 1:
            return (
                f"is cut short: its header promises {promised / sample_rate:.2f} s, "
                f"{samples / sample_rate:.2f} s are there"
            )
    if kind == "MP3":
        found = xing(content)
        if found is not None:
            promised, length, start = found
            if promised > samples + 4608:  # encoders count their delay and padding too
                return (
                    f"is cut short: its header promises {promised / sample_rate:.2f} s, "
                    f"{samples / sample_rate:.2f} s are there"
                )
            if length and len(untagged(content)) - start > length + 2048:
                return "holds a second stream after the first: decode it to one WAV file first"
    if kind == "OGG" and len(re.findall(rb"OggS\x00[\x02\x03\x06\x07]", content)) > 1:
        return "holds more than one stream: decode it to one WAV file first"
    return None


def wav_samples(content: bytes) -> int | None:
    """Samples in a channel that the header of a WAV file promises; None where it promises none (a streamed file)."""
    if content[:4] != b"RIFF" or len(content) < 44:
        return None
    place, block = 12, 0
    while place + 8 <= len(content):
        name, size = content[place : place + 4], int.from_bytes(content[place + 4 : place + 8], "little")
        if name == b"fmt ":
            block = int.from_bytes(content[place + 20 : place + 22], "little")
        if name == b"data":
            streamed = size in (0, 0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFFFFF - 36, 0xFFFFFFFF - 36)
            return None if streamed or not block else size // block
        place += 8 + size + size % 2
    return None


def xing(content: bytes) -> tuple[int, int, int] | None:
    """Samples and bytes that the first stream of an MP3 file declares, and where it starts; None without that."""
    start = id3_length(content)
    place = next((found for mark in (b"Xing", b"Info") if (found := content.find(mark, start, start + 200)) >= 0), -1)
    if place < 0:
        return None
    flags = int.from_bytes(content[place + 4 : place + 8], "big")
    if not flags & 1:
        return None
    frames = int.from_bytes(content[place + 8 : place + 12], "big")
    length = int.from_bytes(content[place + 12 : place + 16], "big") if flags & 2 else 0
    mpeg1 = content[start + 1] >> 3 & 3 == 3  # the others have half as many samples in a frame
    return frames * (1152 if mpeg1 else 576), length, start


def id3_length(content: bytes) -> int:
    """Bytes of the ID3v2 tag at the start."""
    if content[:3] != b"ID3" or len(content) < 10:
        return 0
    size = sum((byte & 0x7F) << shift for byte, shift in zip(content[6:10], (21, 14, 7, 0)))
    return 10 + size


def untagged(content: bytes) -> bytes:
    """The bytes without the ID3v1 and APE tags at the end."""
    if content[-128:-125] == b"TAG":
        content = content[:-128]
    if content[-32:-24] == b"APETAGEX":
        size = int.from_bytes(content[-20:-16], "little")
        content = content[: max(0, len(content) - size - 32)]
    return content


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
