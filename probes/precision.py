"""How exactly matmuls are done while training."""

from __future__ import annotations


def pick_precision(name: str, device: str) -> str:
    """ "auto" is bf16 where the hardware multiplies it much faster (CUDA GPUs, CPUs with AMX), else fp32."""
    if name != "auto":
        return name
    import torch

    if device.startswith("cuda"):
        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    if device == "cpu" and getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)():
        return "bf16"
    return "fp32"
