"""How far two sounds are apart, by their spectra."""

import torch
from torch import Tensor

WINDOWS = ((1024, 120, 600), (2048, 240, 1200), (512, 50, 240))
"""Size of the transform, hop and length of the Hann window, in samples: Yamamoto et al., Table 1."""
FLOOR = 1e-5  # of a magnitude


def stft_distance(original: Tensor, other: Tensor) -> float:
    """Multi-resolution STFT distance of two sounds `[samples]` of one length; 0 when they are equal.

    Spectral convergence plus mean difference of the log magnitudes, averaged over three resolutions: Yamamoto et al.,
    "Parallel WaveGAN" (2019), arXiv 1910.11480, Eq. 4 to 6.
    """
    parts = []
    for size, hop, length in WINDOWS:
        window = torch.hann_window(length, device=original.device)
        a, b = (
            torch.stft(audio, size, hop, length, window, pad_mode="constant", return_complex=True).abs()
            for audio in (original.float(), other.float())
        )
        convergence = (a - b).norm() / a.norm().clamp_min(1e-7)
        log_magnitude = (a.clamp_min(FLOOR).log() - b.clamp_min(FLOOR).log()).abs().mean()
        parts.append(float(convergence + log_magnitude))
    return sum(parts) / len(parts)
