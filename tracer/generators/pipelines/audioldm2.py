"""AudioLDM 2: latent diffusion on mel spectrograms, conditioned on T5 and on vectors that a GPT-2 generates."""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from probes.errors import InputError
from probes.spaces.weights import local
from probes.support.tensors import first_line
from tracer.generators.base import precision
from tracer.generators.pipelines.loading import load_pipeline, pipeline_config
from tracer.generators.pipelines.mel import MelPipelineGenerator

REPO = "cvssp/audioldm2-music"


class AudioLDM2Generator(MelPipelineGenerator):
    """AudioLDM 2 (Liu et al. 2023, arXiv 2308.05734).

    The pipeline's GPT-2 counts the padding of a batch as positions, so that a clip would depend on its companions:
    each prompt is encoded alone, and the T5 states are then padded under their mask.
    """

    name = "audioldm2"
    space = "audioldm2"
    default_seconds = 10.24
    default_guidance = 3.5
    default_steps = 201

    def _sample(
        self, captions: list[str], noise: list[torch.Generator], inference_steps: int, seconds: float, guidance: float
    ) -> Tensor:
        latents: Tensor = self.sampler(
            **self._conditioning(captions, guidance > 1),
            audio_length_in_s=seconds,
            num_inference_steps=inference_steps,
            guidance_scale=guidance,
            generator=noise,
            output_type="latent",
        ).audios
        return self._frames_first(latents)

    def _conditioning(self, captions: list[str], guided: bool) -> dict[str, Tensor]:
        """Each caption's T5 states, mask and generated vectors, as the pipeline takes them; with guidance also those
        of the empty text."""
        encoded = [self.sampler.encode_prompt([caption], self.sampler.device, 1, guided) for caption in captions]
        longest = max(mask.shape[1] for _, mask, _ in encoded)
        names = ("prompt_embeds", "attention_mask", "generated_prompt_embeds")
        conditioning: dict[str, Tensor] = {}
        for prefix, row in (("negative_", 0), ("", 1)) if guided else (("", 0),):
            for name, parts in zip(names, zip(*encoded)):
                rows = [part[row : row + 1] for part in parts]
                if name == "prompt_embeds":
                    rows = [pad(part, (0, 0, 0, longest - part.shape[1])) for part in rows]
                elif name == "attention_mask":
                    rows = [pad(part, (0, longest - part.shape[1])) for part in rows]
                conditioning[prefix + name] = torch.cat(rows)
        return conditioning


def load(
    weights: str | None = None, device: str = "cpu", dtype: str = "auto", *, revision: str | None = None
) -> AudioLDM2Generator:
    """Load AudioLDM 2.

    Args:
        weights: folder of a saved `AudioLDM2Pipeline`, or hub id; None is the music model.
        device: torch device.
        dtype: "auto" is float16 on a GPU.
        revision: of the hub repository.

    Raises:
        InputError: weights that are missing or of another pipeline.
    """
    source = weights or REPO
    kind = precision(dtype, device, on_gpu="float16")
    pipeline_config(source, "AudioLDM2Pipeline", revision)
    from transformers import GPT2LMHeadModel

    # Released folders name the class GPT2Model, which cannot generate any more since transformers 5 (diffusers issue
    # 12630). The weights are the same. Their type is set afterwards: before 4.56 the argument had another name.
    try:
        language_model: Any = GPT2LMHeadModel.from_pretrained(
            str(local(source) or source), subfolder="language_model", revision=revision or "main"
        )
    except (OSError, ValueError) as error:
        raise InputError(f"{source} has no language model that can be loaded: {first_line(error)}") from error
    return AudioLDM2Generator(
        load_pipeline(source, "AudioLDM2Pipeline", device, kind, revision, language_model=language_model.to(kind))
    )
