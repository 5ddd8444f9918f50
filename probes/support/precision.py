"""How exactly matmuls are done while training."""

from __future__ import annotations

from typing import Any


def pick_precision(name: str, device: str) -> str:
    """ "auto" is bf16 where the hardware multiplies it (CUDA GPUs, CPUs with AMX or AVX-512's bf16), else fp32."""
    if name != "auto":
        return name
    import torch

    if device.startswith("cuda"):
        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    return "bf16" if device == "cpu" and cpu_multiplies_bf16() else "fp32"


def cpu_multiplies_bf16() -> bool:
    """Whether this processor has instructions for products of bfloat16: AMX tiles, or AVX-512's dot products."""
    import torch

    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(capabilities.get(name, False) for name in ("amx_bf16", "avx512_bf16"))
