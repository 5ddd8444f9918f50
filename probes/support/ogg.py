"""Write audio as Ogg Vorbis, the same bytes every time."""

import io
from pathlib import Path

import numpy as np

from probes.support.files import write_whole

QUALITY = 0.5
"""Compression level of libsndfile, 0 the largest and 1 the smallest files: about 35 kbit/s for mono at 22 kHz."""
_POLYNOMIAL = 0x04C11DB7  # of the checksum of Ogg pages (RFC 3533)


def write_ogg(path: Path, audio: np.ndarray, sample_rate: int) -> None:
    """Write audio [channels, samples] as Ogg Vorbis, whole or not at all; clipped at full scale.

    libsndfile draws a random serial number for the stream, so that no two files are the same; here it is 0.
    """
    import soundfile

    sound = io.BytesIO()
    samples = np.clip(audio, -1, 1).T
    soundfile.write(sound, samples, sample_rate, format="OGG", subtype="VORBIS", compression_level=QUALITY)
    write_whole(path, without_serial(sound.getvalue()))


def without_serial(content: bytes) -> bytes:
    """The pages of an Ogg stream with serial number 0, and their checksums anew."""
    pages = bytearray(content)
    start = 0
    while start < len(pages):
        segments = pages[start + 26]
        header = start + 27 + segments
        end = header + sum(pages[start + 27 : header])
        pages[start + 14 : start + 18] = bytes(4)
        pages[start + 22 : start + 26] = bytes(4)
        pages[start + 22 : start + 26] = checksum(pages[start:end]).to_bytes(4, "little")
        start = end
    return bytes(pages)


def _table() -> list[int]:
    table = []
    for byte in range(256):
        value = byte << 24
        for _ in range(8):
            value = (value << 1) ^ (_POLYNOMIAL if value & 0x80000000 else 0)
        table.append(value & 0xFFFFFFFF)
    return table


_TABLE = _table()


def checksum(page: bytes | bytearray) -> int:
    """CRC-32 of an Ogg page whose checksum field is zero."""
    value = 0
    for byte in page:
        value = (value << 8 & 0xFFFFFFFF) ^ _TABLE[value >> 24 ^ byte]
    return value
