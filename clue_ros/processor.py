"""What this machine's processor is good at."""

from __future__ import annotations

from functools import lru_cache

_BFLOAT16 = ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16")  # x86 and Arm, as torch.cpu.get_capabilities names them


@lru_cache(maxsize=None)
def has_bfloat16_units() -> bool:
    """Does it multiply bfloat16 in units of its own? Without them products are emulated, several times slower than in
    float32."""
    import torch

    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name) for name in _BFLOAT16)
