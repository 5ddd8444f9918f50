"""The audio test, with a codec whose sound is known: a sine whose level and pitch are the latent."""

import math

import numpy as np
import pytest
import torch

from probes.fit.sae_audio import audio_test


class Tone:
    """Decodes [1, F, 2] to a sine: channel 0 is the level, channel 1 the frequency in Hz; 1,024 samples a frame."""

    sample_rate, hop, frame_rate = 22050, 1024, 22050 / 1024

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        level, hertz = (latents[0, :, channel].repeat_interleave(self.hop) for channel in (0, 1))
        phase = torch.cumsum(2 * math.pi * hertz.double() / self.sample_rate, 0)
        return (level * torch.sin(phase)).float()[None, None]


class Halves(torch.nn.Module):
    """A reconstruction that is 6 dB too quiet and `semitones` too high."""

    def __init__(self, semitones: float) -> None:
        super().__init__()
        self.decoder_bias = torch.zeros(1)
        self.factor = torch.tensor([0.5, 2 ** (semitones / 12)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.factor


@pytest.mark.parametrize(("semitones", "kept"), [(0.2, 1.0), (2.0, 0.0)])
def test_level_and_pitch_errors_are_found(semitones, kept):
    latents = np.tile(np.float32([0.4, 440.0]), (40, 1))
    found = audio_test(Halves(semitones), Tone(), [latents], pitch_tracker="tiny")
    assert found["loudness_error_db"] == pytest.approx(6.02, abs=0.1)
    assert found["pitch_within_50_cents"] == pytest.approx(kept, abs=0.05)
    assert found["centroid_error_hz"] == pytest.approx(440 * (2 ** (semitones / 12) - 1), rel=0.2)
    assert found["seconds"] == pytest.approx(40 * 1024 / 22050)
