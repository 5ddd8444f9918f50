"""What the headers of audio files promise, beyond what was decoded.

libsndfile reads a file that is cut short as far as it goes, and of several streams on end the first alone.
"""

import re
from collections.abc import Iterator
from typing import Literal

STREAMED = (0, 0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFFFFF - 36, 0xFFFFFFFF - 36)
"""Sizes in the header of a WAV file that was written without knowing its length."""
SLACK = 8
"""Bytes that may be missing: less than any frame of audio that would be heard."""


def what_is_missing(content: bytes, kind: str, samples: int, sample_rate: int) -> str | None:
    """What the bytes of an audio file promise beyond the samples that were decoded; None when that is nothing.

    Args:
        content: The file.
        kind: Its format, as soundfile names it.
        samples: Number of decoded samples in a channel.
        sample_rate: Hz.
    """
    bytes_of = data_bytes(content, kind)
    if bytes_of is not None and bytes_of[1] + SLACK < bytes_of[0]:
        promised = samples * bytes_of[0] / max(bytes_of[1], 1)
        return cut_short(promised / sample_rate, samples / sample_rate)
    if kind == "MP3":
        found = xing(content)
        if found is not None:
            promised, length, start = found
            if promised > samples + 4608:  # encoders count their delay and padding too
                return cut_short(promised / sample_rate, samples / sample_rate)
            if length and len(untagged(content)) - start > length + 2048:
                return "holds a second stream after the first: decode it to one WAV file first"
    if kind == "OGG":
        if len(re.findall(rb"OggS\x00[\x02\x03\x06\x07]", content)) > 1:
            return "holds more than one stream: decode it to one WAV file first"
        last = content.rfind(b"OggS\x00")
        parts = content[last + 27 : last + 27 + content[last + 26]] if last + 26 < len(content) else b""
        if not content[last + 5] & 4 or last + 27 + len(parts) + sum(parts) > len(content):
            return "is cut short: its last page does not end the stream"
    return None


def cut_short(promised: float, there: float) -> str:
    """Says that seconds are missing."""
    return f"is cut short: its header promises {promised:.2f} s, {there:.2f} s are there"


def data_bytes(content: bytes, kind: str) -> tuple[int, int] | None:
    """Bytes of audio that the header of a file promises, and those that are there; None where it promises none.

    Known of WAV, RF64, AIFF, AU and W64. A file that was streamed while it was written promises nothing.
    """
    if kind == "AU":
        start, size = (int.from_bytes(content[place : place + 4], "big") for place in (4, 8))
        return None if content[:4] != b".snd" or size == 0xFFFFFFFF else (size, len(content) - start)
    long_size = 0
    for name, place, size in chunks(content, kind):
        if name == b"ds64":
            long_size = int.from_bytes(content[place + 8 : place + 16], "little")
        if name == b"data" and kind != "W64" and size in STREAMED:
            return (long_size, len(content) - place) if long_size else None
        if name in (b"data", b"SSND"):
            return size, len(content) - place
    return None


def chunks(content: bytes, kind: str) -> Iterator[tuple[bytes, int, int]]:
    """The chunks of a WAV, RF64, AIFF or W64 file: four letters of its name, place of its content, size of that."""
    # Length of the file's header and of a name, bytes of a size, its order, what a chunk is filled up to.
    layouts: dict[str, tuple[int, int, int, Literal["little", "big"], int]] = {
        "WAV": (12, 4, 4, "little", 2), "WAVEX": (12, 4, 4, "little", 2), "RF64": (12, 4, 4, "little", 2),
        "AIFF": (12, 4, 4, "big", 2), "W64": (40, 16, 8, "little", 8),
    }  # fmt: skip
    if kind not in layouts or content[:4] == b"RIFX":
        return
    place, named, counted, order, fill = layouts[kind]
    while place + named + counted <= len(content):
        start = place + named + counted
        size = int.from_bytes(content[place + named : start], order)
        if kind == "W64":  # whose sizes count the chunk's own header
            size = max(size - named - counted, 0)
        yield content[place : place + 4], start, size
        place = start + size + -size % fill


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
