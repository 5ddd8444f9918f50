"""ACE-Step 1.5's VAE, through diffusers."""

from typing import ClassVar

import torch

from probes.spaces.oobleck.stable_audio import StableAudioSpace

REPO = "ACE-Step/acestep-v15-xl-turbo-diffusers"


class AceStepSpace(StableAudioSpace):
    """48 kHz stereo, 64 channels at 25 frames per second; the latent is the mode of the posterior, unscaled.

    The network is that of Stable Audio Open with other ratios and other weights: the latents are not the same.

    Args:
        weights: A folder of `AutoencoderOobleck.save_pretrained`, the folder of a whole pipeline, a hub id,
            or None for the released XL turbo pipeline's.
        device: Where it runs.
        revision: Of the hub repository.
        subfolder: Of a hub repository or pipeline folder.

    Raises:
        InputError: no such weights, or keys that are missing or unexpected.
    """

    name = "ace-step"
    compatible: ClassVar[tuple[str, ...]] = ()  # type: ignore[assignment]  # fixed length where it is inherited
    sample_rate = 48000
    hop = 1920

    def __init__(
        self,
        weights: str | None = None,
        device: str | torch.device = "cpu",
        revision: str | None = None,
        subfolder: str = "vae",
    ) -> None:
        super().__init__(weights or REPO, device, revision, subfolder)
        # Nobody has published statistics of this space: latents are left as they are.
        self.mean, self.std = torch.zeros(self.channels), torch.ones(self.channels)
