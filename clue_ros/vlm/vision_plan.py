"""The SigLIP tower and the projector as serving runs them: one product for q, k and v, weights widened where that is
faster.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, List, Optional, Sequence, Tuple, Union

import numpy as np
import torch
import torch.nn.functional as F

from clue_ros.eyes.sight import Sight
from clue_ros.eyes.tower import SightTower
from clue_ros.vlm.assembly import Assembly
from clue_ros.vlm.dense import Dense, Precision, Scratch


@dataclass
class _Layer:
    norm1: torch.nn.LayerNorm
    norm2: torch.nn.LayerNorm
    qkv: Dense
    out: Dense
    up: Dense
    down: Dense

    def matrices(self) -> Tuple[Dense, ...]:
        return self.qkv, self.out, self.up, self.down


class VisionPlan:
    """Pixels float[1,3,S,S] in [-1, 1] -> projected features float[1,N,W]; equals the modules to rounding (tested)."""

    def __init__(self, model, precision: Precision, scratch: Scratch, assembly: Assembly = Assembly()):
        tower = model.model.vision_tower
        config = model.config.vision_config
        self._precision = precision
        self._heads, self._eps, self._patch = config.num_attention_heads, config.layer_norm_eps, config.patch_size
        embeddings = tower.embeddings
        for part in (embeddings, tower.post_layernorm, model.model.multi_modal_projector):
            assembly.fill(part)
        kernel = embeddings.patch_embedding
        self._patches = Dense(kernel.weight.detach().flatten(1), kernel.bias.detach(), precision, scratch)
        self._positions = embeddings.position_embedding.weight.detach()
        self._layers: List[_Layer] = []
        for block in tower.encoder.layers:
            a, mlp = block.self_attn, block.mlp
            groups = [a.q_proj, a.k_proj, a.v_proj], [a.out_proj], [mlp.fc1], [mlp.fc2]
            matrices = [_matrix(parts, precision, scratch, assembly) for parts in groups]
            assembly.fill(block)  # the norms
            self._layers.append(_Layer(block.layer_norm1, block.layer_norm2, *matrices))
        self._last = tower.post_layernorm
        projector = model.model.multi_modal_projector.linear
        self._projector = Dense(projector.weight.detach(), projector.bias.detach(), precision, scratch)

    @property
    def sight(self) -> Optional[Sight]:
        """None: a tower of its own."""
        return None

    def matrices(self) -> List[Dense]:
        """Every layer's weight matrices, to quantise or to count."""
        return [matrix for layer in self._layers for matrix in layer.matrices()]

    def see(self, rgb: np.ndarray, square: np.ndarray) -> torch.Tensor:
        """float[1,N,D]: the tower's features of uint8[S,S,3]; pixels are scaled to [-1, 1] as SigLIP wants them."""
        pixels = torch.from_numpy(np.ascontiguousarray(square.transpose(2, 0, 1)))[None].to(self._positions.device)
        return self.tower(pixels.to(self._precision.compute) / 127.5 - 1)

    def project(self, features: torch.Tensor) -> torch.Tensor:
        """float[1,N,W] of the tower's float[1,N,D]."""
        return self._projector(features)

    def tower(self, pixels: torch.Tensor) -> torch.Tensor:
        """float[1,N,D]: the tower's features, before the projector."""
        x = self._cut(pixels.to(self._precision.compute))
        x = self._patches(x) + self._positions.to(x.dtype)
        for layer in self._layers:
            qkv = layer.qkv(self._norm(layer.norm1, x)).unflatten(-1, (3, self._heads, -1))
            q, k, v = (t.transpose(1, 2) for t in qkv.unbind(2))
            x = x + layer.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
            x = x + layer.down(F.gelu(layer.up(self._norm(layer.norm2, x)), approximate="tanh"))
        return self._norm(self._last, x)

    def _cut(self, pixels: torch.Tensor) -> torch.Tensor:
        """float[1,3,S,S] -> float[1,N,3·p·p], each row one patch as the convolution's kernel lies in memory."""
        p = self._patch
        side = pixels.shape[-1] // p * p
        cells = pixels[..., :side, :side].unflatten(3, (-1, p)).unflatten(2, (-1, p))  # [1,3,rows,p,columns,p]
        return cells.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)

    def _norm(self, module: torch.nn.LayerNorm, x: torch.Tensor) -> torch.Tensor:
        return F.layer_norm(x, module.normalized_shape, module.weight.to(x.dtype), module.bias.to(x.dtype), self._eps)


class SightPlan:
    """The same for a model that sees with the eyes of clue_ros/eyes."""

    def __init__(self, model: Any, precision: Precision, scratch: Scratch, assembly: Assembly = Assembly()):
        self.sight: Optional[Sight] = model.model.vision_tower.sight
        assembly.fill(model.model.multi_modal_projector)
        projector = model.model.multi_modal_projector.linear
        self._projector = Dense(projector.weight.detach(), projector.bias.detach(), precision, scratch)
        self._compute = precision.compute

    def matrices(self) -> List[Dense]:
        """None: the eyes have a form of their own."""
        return []

    def see(self, rgb: np.ndarray, square: np.ndarray) -> torch.Tensor:
        """float[1,N,D] of uint8[H,W,3]: the second glances need the whole picture, not its square."""
        assert self.sight is not None
        return self.sight.see(rgb).to(self._compute)

    def project(self, features: torch.Tensor) -> torch.Tensor:
        """float[1,N,W] of float[1,N,D]."""
        return self._projector(features)


def vision_plan(
    model: Any, precision: Precision, scratch: Scratch, assembly: Assembly = Assembly()
) -> Union[VisionPlan, SightPlan]:
    """The plan of what stands in a model's vision tower."""
    kind = SightPlan if isinstance(model.model.vision_tower, SightTower) else VisionPlan
    return kind(model, precision, scratch, assembly)


def _matrix(parts: Sequence[torch.nn.Linear], precision: Precision, scratch: Scratch, assembly: Assembly) -> Dense:
    weight = assembly.fused(parts)
    for part in parts:
        assembly.fill(part)  # the bias
    matrix = Dense(weight, torch.cat([part.bias.detach() for part in parts]), precision, scratch)
    del weight
    assembly.finish(parts, [matrix])
    return matrix
