"""The eyes in torch: float32, or products and activations in bfloat16 where the processor has units for it."""

from __future__ import annotations

from typing import Tuple

import numpy as np
import torch
import torch.nn.functional as F

from clue_ros.eyes.weights import GREY, Layer, Matrix, Weights


class TorchEngine:
    """A callable: patches of pixels to features."""

    def __init__(self, weights: Weights, dtype: torch.dtype, device: str):
        """dtype: of the products and of what they give; sums, norms and the kernel of the pixels are float32."""
        self._shape, self._dtype, self._device = weights.shape, dtype, torch.device(device)
        self._kernel = weights.kernel.weight.to(self._device)
        grey = torch.tensor(GREY, dtype=torch.float32, device=self._device)
        self._grey = grey.repeat(weights.shape.patch**2)
        self._layers = [
            Layer(*(Matrix(*(t.to(self._device, dtype) for t in matrix)) for matrix in layer))
            for layer in weights.layers
        ]

    @torch.no_grad()  # not inference_mode: what comes out may be trained on
    def __call__(self, cells: np.ndarray, offsets: torch.Tensor) -> Tuple[torch.Tensor, torch.Tensor]:
        """cells: uint8[B,1+N,p·p·3], the first GREY for the CLS token; offsets: float32[1+N,D] ->
        float32[B,N,taps·D], float32[B,D]."""
        pixels = torch.from_numpy(cells).to(self._device).float() - self._grey
        x = F.linear(pixels, self._kernel) + offsets.to(self._device)
        found = {}
        for number, layer in enumerate(self._layers, 1):
            x = x + self._attention(layer, self._norm(x))
            x = x + F.linear(F.gelu(F.linear(self._norm(x), *layer.up)), *layer.down)
            if number in self._shape.taps:
                found[number] = F.layer_norm(x.float(), (self._shape.width,), eps=self._shape.eps)
        patches = torch.cat([found[tap][:, 1:] for tap in self._shape.taps], -1)
        return patches, F.layer_norm(x[:, 0].float(), (self._shape.width,), eps=self._shape.eps)

    def _attention(self, layer: Layer, x: torch.Tensor) -> torch.Tensor:
        qkv = F.linear(x, *layer.qkv).unflatten(-1, (3, self._shape.heads, -1))
        q, k, v = (t.transpose(1, 2) for t in qkv.unbind(2))
        return F.linear(self._mixed(q, k, v).transpose(1, 2).flatten(2), *layer.out)

    def _mixed(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """float[B,heads,1+N,width of a head]: what each token takes of the values.

        On processors torch's fused attention multiplies bfloat16 no faster than float32; plain products take half of
        its time. What all keys have in common moves every score alike and changes no share, so it is taken off: else
        scores are large and their rounding shows (the worst patch has a cosine of 0.994 instead of 0.9995).
        """
        if self._dtype == torch.float32 or self._device.type != "cpu":
            return F.scaled_dot_product_attention(q, k, v)
        parts = q * q.shape[-1] ** -0.5, k - k.mean(2, keepdim=True), v
        q, k, v = (t.flatten(0, 1) for t in parts)
        return torch.bmm(torch.bmm(q, k.transpose(1, 2)).softmax(-1), v).unflatten(0, (-1, self._shape.heads))

    def _norm(self, x: torch.Tensor) -> torch.Tensor:
        return F.layer_norm(x, (self._shape.width,), eps=self._shape.eps).to(self._dtype)
