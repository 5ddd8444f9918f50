"""The STFT distance, by what is known about it."""

import math

import pytest
import torch

from probes.support.spectra import stft_distance


def test_equal_sounds_have_no_distance_and_more_noise_more() -> None:
    audio = torch.randn(8000)
    near, far = (stft_distance(audio, audio + scale * torch.randn(8000)) for scale in (0.01, 1.0))
    assert stft_distance(audio, audio) == 0
    assert 0 < near < far


def test_a_change_of_level_is_its_own_distance() -> None:
    """Of a sound twice as loud, the magnitudes differ by themselves (1) and their logarithms by log 2."""
    audio = torch.randn(8000)
    assert stft_distance(audio, 2 * audio) == pytest.approx(1 + math.log(2), rel=1e-4)


def test_silence_and_short_clips_have_a_distance() -> None:
    assert math.isfinite(stft_distance(torch.zeros(100), torch.randn(100)))
