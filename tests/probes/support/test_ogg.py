"""Ogg files: the same bytes every time, and still what was written."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from probes.support.ogg import checksum, write_ogg


def tone(channels: int = 1, rate: int = 22050, seconds: float = 3.0) -> np.ndarray:
    times = np.arange(round(rate * seconds)) / rate
    return np.stack([0.3 * np.sin(2 * np.pi * (440 + 220 * c) * times) for c in range(channels)]).astype(np.float32)


@pytest.mark.parametrize("channels", [1, 2])
def test_the_same_sound_gives_the_same_bytes(channels: int, tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_ogg(tmp_path / f"{name}.ogg", tone(channels), 22050)
    assert (tmp_path / "a.ogg").read_bytes() == (tmp_path / "b.ogg").read_bytes()
    sound, rate = soundfile.read(tmp_path / "a.ogg", always_2d=True)
    assert (rate, sound.shape) == (22050, (66150, channels))
    assert np.abs(sound.T - tone(channels)).max() < 0.05


def test_too_loud_is_clipped_and_not_folded(tmp_path: Path) -> None:
    write_ogg(tmp_path / "a.ogg", 5 * tone(), 22050)
    sound, _ = soundfile.read(tmp_path / "a.ogg")
    assert 0.9 < np.abs(sound).max() < 1.3


def test_checksum_is_that_of_the_format() -> None:
    # CRC-32 with the polynomial 0x04C11DB7, neither reflected nor inverted, as RFC 3533 asks: "123456789" gives this.
    assert checksum(b"123456789") == 0x89A1897F
