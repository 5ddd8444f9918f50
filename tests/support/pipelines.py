"""Tiny random pipelines of diffusers, built as its own tests build them, saved as a user's folder would be."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from probes.support.torchaudio_stub import ensure_torchaudio

ensure_torchaudio()

import diffusers  # noqa: E402
import transformers  # noqa: E402
from tokenizers.pre_tokenizers import ByteLevel  # noqa: E402

TEXT = 32
"""Longest text in tokens."""


def byte_vocabulary(*special: str) -> dict[str, int]:
    return {token: index for index, token in enumerate([*special, *sorted(ByteLevel.alphabet())])}


def roberta_tokenizer() -> Any:
    vocabulary = byte_vocabulary("<s>", "<pad>", "</s>", "<unk>", "<mask>")
    return transformers.RobertaTokenizer(vocab=vocabulary, merges=[], model_max_length=TEXT)


def t5_tokenizer() -> Any:
    letters = [(letter, -3.0) for letter in "▁abcdefghijklmnopqrstuvwxyz"]
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *letters]
    return transformers.T5Tokenizer(vocab=pieces, extra_ids=0, model_max_length=TEXT)


def qwen_tokenizer() -> Any:
    vocabulary = byte_vocabulary("<|endoftext|>")
    return transformers.Qwen2Tokenizer(vocab=vocabulary, merges=[], model_max_length=TEXT)


def t5_config(kind: Any = transformers.T5Config) -> Any:
    return kind(vocab_size=40, d_model=32, d_ff=37, d_kv=8, num_heads=4, num_layers=2, tie_word_embeddings=False)


def clap_text_config(projection: int) -> Any:
    return transformers.ClapTextConfig(
        vocab_size=300, hidden_size=16, intermediate_size=37, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=64, projection_dim=projection, pad_token_id=1, bos_token_id=0, eos_token_id=2,
    )  # fmt: skip


def clap_config() -> Any:
    audio = transformers.ClapAudioConfig(
        spec_size=64, window_size=4, num_mel_bins=64, intermediate_size=37, layer_norm_eps=1e-5, depths=[2, 2],
        num_attention_heads=[2, 2], num_hidden_layers=2, hidden_size=192, projection_dim=16, patch_size=2,
        patch_stride=2, patch_embed_input_channels=4, patch_embeds_hidden_size=24,
    )  # fmt: skip
    return transformers.ClapConfig(text_config=clap_text_config(16), audio_config=audio, projection_dim=16)


def clap_features() -> Any:
    return transformers.ClapFeatureExtractor(
        feature_size=64, sampling_rate=16000, hop_length=160, max_length_s=1, fft_window_size=64
    )


def mel_vae() -> Any:
    return diffusers.AutoencoderKL(
        block_out_channels=[16, 16, 16], in_channels=1, out_channels=1, latent_channels=4, norm_num_groups=8,
        down_block_types=["DownEncoderBlock2D"] * 3, up_block_types=["UpDecoderBlock2D"] * 3, scaling_factor=0.7,
    )  # fmt: skip


def vocoder() -> Any:
    config = transformers.SpeechT5HifiGanConfig(
        model_in_dim=16, sampling_rate=16000, upsample_initial_channel=16, upsample_rates=[20, 8],
        upsample_kernel_sizes=[20, 8], resblock_kernel_sizes=[3], resblock_dilation_sizes=[[1, 3]],
        normalize_before=False,
    )  # fmt: skip
    return transformers.SpeechT5HifiGan(config)


def ddim() -> Any:
    return diffusers.DDIMScheduler(
        num_train_timesteps=1000, beta_start=0.0015, beta_end=0.0195, beta_schedule="scaled_linear",
        prediction_type="epsilon", timestep_spacing="leading", steps_offset=1, clip_sample=False,
        set_alpha_to_one=False,
    )  # fmt: skip


def class_unet(condition: int) -> Any:
    return diffusers.UNet2DConditionModel(
        block_out_channels=(16, 32), layers_per_block=1, sample_size=8, in_channels=4, out_channels=4,
        norm_num_groups=8, down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), cross_attention_dim=(16, 32), attention_head_dim=8,
        class_embed_type="simple_projection", projection_class_embeddings_input_dim=condition,
        class_embeddings_concat=True,
    )  # fmt: skip


def audioldm() -> Any:
    return diffusers.AudioLDMPipeline(
        vae=mel_vae(),
        text_encoder=transformers.ClapTextModelWithProjection(clap_text_config(32)),
        tokenizer=roberta_tokenizer(),
        unet=class_unet(32),
        scheduler=ddim(),
        vocoder=vocoder(),
    )


def musicldm() -> Any:
    return diffusers.MusicLDMPipeline(
        vae=mel_vae(),
        text_encoder=transformers.ClapModel(clap_config()),
        tokenizer=roberta_tokenizer(),
        feature_extractor=clap_features(),
        unet=class_unet(16),
        scheduler=ddim(),
        vocoder=vocoder(),
    )


def audioldm2() -> Any:
    unet = diffusers.AudioLDM2UNet2DConditionModel(
        block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=8, sample_size=8, in_channels=4,
        out_channels=4, down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), cross_attention_dim=((None, 16, 32), (None, 16, 32)),
        attention_head_dim=4,
    )  # fmt: skip
    language_model = transformers.GPT2LMHeadModel(
        transformers.GPT2Config(n_embd=16, n_head=2, n_layer=2, vocab_size=50, n_positions=99, max_new_tokens=8)
    )
    return diffusers.AudioLDM2Pipeline(
        vae=mel_vae(),
        text_encoder=transformers.ClapModel(clap_config()),
        text_encoder_2=transformers.T5EncoderModel(t5_config()),
        projection_model=diffusers.AudioLDM2ProjectionModel(
            text_encoder_dim=16, text_encoder_1_dim=32, langauge_model_dim=16
        ),
        language_model=language_model,
        tokenizer=roberta_tokenizer(),
        tokenizer_2=t5_tokenizer(),
        feature_extractor=clap_features(),
        unet=unet,
        scheduler=ddim(),
        vocoder=vocoder(),
    )


def oobleck(ratios: tuple[int, ...], rate: int) -> Any:
    return diffusers.AutoencoderOobleck(
        encoder_hidden_size=16, downsampling_ratios=list(ratios), channel_multiples=[1] * len(ratios),
        decoder_channels=4, decoder_input_channels=8, audio_channels=2, sampling_rate=rate,
    )  # fmt: skip


def stable_audio() -> Any:
    transformer = diffusers.StableAudioDiTModel(
        sample_size=24, in_channels=8, num_layers=2, attention_head_dim=8, num_attention_heads=2,
        num_key_value_attention_heads=1, out_channels=8, cross_attention_dim=16, time_proj_dim=8,
        global_states_input_dim=32, cross_attention_input_dim=16,
    )  # fmt: skip
    return diffusers.StableAudioPipeline(
        vae=oobleck((4, 8), 1600),
        text_encoder=transformers.T5EncoderModel(t5_config()),
        projection_model=diffusers.StableAudioProjectionModel(
            text_encoder_dim=32, conditioning_dim=16, min_value=0, max_value=32
        ),
        tokenizer=t5_tokenizer(),
        transformer=transformer,
        scheduler=diffusers.CosineDPMSolverMultistepScheduler(
            solver_order=2, prediction_type="v_prediction", sigma_data=1.0, sigma_schedule="exponential"
        ),
    )


def ace_step(turbo: bool = False) -> Any:
    from diffusers.pipelines.ace_step import AceStepConditionEncoder

    heads = {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8}
    transformer = diffusers.AceStepTransformer1DModel(
        hidden_size=16, intermediate_size=32, num_hidden_layers=2, in_channels=24, audio_acoustic_hidden_dim=8,
        sliding_window=16, is_turbo=turbo, **heads,
    )  # fmt: skip
    conditions = AceStepConditionEncoder(
        hidden_size=16, intermediate_size=32, text_hidden_dim=16, timbre_hidden_dim=8,
        num_lyric_encoder_hidden_layers=2, num_timbre_encoder_hidden_layers=2, sliding_window=16, **heads,
    )  # fmt: skip
    torch.nn.init.normal_(conditions.null_condition_emb)
    text_encoder = transformers.Qwen3Model(
        transformers.Qwen3Config(
            vocab_size=300,
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=2,
            max_position_embeddings=512,
            **heads,
        )
    )
    return diffusers.AceStepPipeline(
        vae=oobleck((4, 8), 800),
        text_encoder=text_encoder,
        tokenizer=qwen_tokenizer(),
        transformer=transformer,
        condition_encoder=conditions,
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(num_train_timesteps=1, shift=1.0),
    )


def stable_audio3(distilled: bool = True) -> Any:
    from diffusers.pipelines.stable_audio_3 import StableAudio3DurationEmbedder

    module = transformers.T5GemmaModuleConfig(
        vocab_size=300, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, head_dim=8,
    )  # fmt: skip
    config = transformers.T5GemmaConfig(encoder=module, decoder=module, is_encoder_decoder=False)
    return diffusers.StableAudio3Pipeline(
        vae=diffusers.AutoencoderSAME(
            patch_size=4,
            encoder_channels=16,
            encoder_c_mults=[1],
            encoder_strides=[4],
            encoder_transformer_depths=[1],
            latent_dim=8,
            dim_heads=8,
            sampling_rate=800,
        ),
        text_encoder=transformers.T5GemmaEncoderModel(config),
        tokenizer=t5_tokenizer(),
        duration_embedder=StableAudio3DurationEmbedder(output_dim=16, fourier_dim=8),
        transformer=diffusers.StableAudio3DiTModel(
            io_channels=8,
            embed_dim=16,
            depth=2,
            num_heads=2,
            cond_token_dim=16,
            global_cond_dim=16,
            local_add_cond_dim=9,
            timestep_features_dim=8,
            num_memory_tokens=4,
        ),
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(num_train_timesteps=1, stochastic_sampling=distilled),
    )


def longcat_audio() -> Any:
    return diffusers.LongCatAudioDiTPipeline(
        vae=diffusers.LongCatAudioDiTVae(
            channels=16,
            c_mults=[1, 1],
            strides=[4, 8],
            latent_dim=8,
            encoder_latent_dim=16,
            downsampling_ratio=32,
            sample_rate=800,
        ),
        text_encoder=transformers.UMT5EncoderModel(t5_config(transformers.UMT5Config)),
        tokenizer=t5_tokenizer(),
        transformer=diffusers.LongCatAudioDiTTransformer(
            dit_dim=16, dit_depth=2, dit_heads=2, dit_text_dim=32, latent_dim=8
        ),
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=1.0, invert_sigmas=True),
    )


BUILDERS: dict[str, Callable[..., Any]] = {
    "stable-audio": stable_audio,
    "audioldm": audioldm,
    "audioldm2": audioldm2,
    "musicldm": musicldm,
    "ace-step": ace_step,
    "stable-audio-3": stable_audio3,
    "longcat-audio": longcat_audio,
}


def save(name: str, folder: Path, **options: Any) -> str:
    """Build a pipeline with random weights and save it; the folder."""
    torch.manual_seed(0)
    pipeline = BUILDERS[name](**options)
    network = pipeline.components.get("transformer") or pipeline.unet
    for parameter in network.parameters():
        if not parameter.any():  # projections that start at zero would hide the rest of the network
            torch.nn.init.normal_(parameter, std=0.2)
    pipeline.save_pretrained(folder)
    return str(folder)
