"""The mask head: tower features, the words' hidden states, the attention map and perhaps a box -> two dense maps.

Channel TARGET is the pixel form of the grounded box (referring expression segmentation); channel RELEVANCE lights
everything that matters to an instruction: one thing, several, or nothing (Instruction-Guided Visual Masking). Patches
attend to the words as in that paper's generator; a small convolution on the image itself makes the edges sharp.
The part that depends on the image only is run once for all queries about it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Optional, Union, cast

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from clue_ros.types import ModelLoadError

FILE = "mask.safetensors"
FORMAT = "clue_ros mask head 1"  # in the file's metadata: another architecture gets another number
TARGET, RELEVANCE = 0, 1
FINE = 8  # cells of the result along each side of a patch


@dataclass
class MaskQueries:
    """Q queries about B images. states: float[Q,L,W], hidden states of the prefix's tokens at the tap; there:
    bool[Q,L], which of them are tokens; maps: float[Q,g,g] in [0, 1], the attention map; boxes: float[Q,4] x0 y0 x1 y1
    as shares of the image's sides, nan for none; image: int64[Q], which image each is about."""

    states: torch.Tensor
    there: torch.Tensor
    maps: torch.Tensor
    boxes: torch.Tensor
    image: torch.Tensor


class Block(nn.Module):
    """Patches look at the words (and, in the head, at a learned token that stands for "none of them"), then at their
    neighbours."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norm, self.mix_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.out = nn.Linear(width, width), nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.near = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x: torch.Tensor, words: torch.Tensor, there: torch.Tensor) -> torch.Tensor:
        """x: float[Q,N,C]; words: float[Q,L,C]; there: bool[Q,L]."""
        split = lambda t: t.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # noqa: E731
        key, value = self.key_value(words).chunk(2, -1)
        mixed = F.scaled_dot_product_attention(
            split(self.query(self.norm(x))), split(key), split(value), attn_mask=there[:, None, None]
        )
        x = x + self.out(mixed.transpose(1, 2).flatten(2))
        side = round(x.shape[1] ** 0.5)
        y = self.mix_norm(x)
        y = self.near(y.transpose(1, 2).unflatten(2, (side, side))).flatten(2).transpose(1, 2)
        return x + self.down(F.gelu(self.up(y)))


class MaskHead(nn.Module):
    """vision_width: of the tower's features (before the projector); text_width: of the decoder."""

    def __init__(
        self,
        vision_width: int,
        text_width: int,
        width: int = 96,
        blocks: int = 2,
        heads: int = 4,
        fine: int = 24,
        edges: int = 8,
    ):
        super().__init__()
        self.vision = nn.Linear(vision_width, width)
        self.states_norm, self.words = nn.LayerNorm(text_width), nn.Linear(text_width, width)
        self.nothing = nn.Parameter(torch.zeros(1, 1, width))
        self.hints = nn.Conv2d(3, width, 3, padding=1)  # attention map, the box's share of the cell, is there a box
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(blocks))
        self.edges = nn.Conv2d(3, edges, 3, padding=1)
        self.shapes = nn.Conv2d(edges, fine, 3, stride=2, padding=1)
        self.things = nn.Conv2d(width, fine, 1)
        self.wanted = nn.Conv2d(width, fine, 1)
        self.join = nn.Conv2d(2 * fine + 1, fine, 3, padding=1)
        self.narrow = nn.Conv2d(fine, edges, 1)
        self.sharpen = nn.Conv2d(2 * edges, edges, 3, padding=1)
        self.last = nn.Conv2d(edges, 2, 1)
        nn.init.constant_(cast(torch.Tensor, self.last.bias), -2.0)  # most of an image is neither target nor relevant

    def forward(self, vision: torch.Tensor, pixels: torch.Tensor, queries: MaskQueries) -> torch.Tensor:
        """float32[Q,2,8g,8g] logits. vision: float[B,g·g,D]; pixels: float[B,3,S,S] in [-1, 1], the model's square."""
        grid = round(vision.shape[1] ** 0.5)
        size = (FINE * grid, FINE * grid)
        half = (size[0] // 2, size[1] // 2)
        seen = self.vision(vision.float())
        edges = F.gelu(
            self.edges(F.interpolate(pixels.float(), size, mode="area" if pixels.shape[-1] > size[0] else "nearest"))
        )
        shapes = self.shapes(edges) + _grown(self.things(seen.transpose(1, 2).unflatten(2, (grid, grid))), half)
        inside = box_cover(queries.boxes, half)
        # index_select and not [...]: only its gradient is summed in a fixed order, which exact resuming needs.
        seen_by, shapes_by, edges_by = (t.index_select(0, queries.image) for t in (seen, F.gelu(shapes), edges))
        x = seen_by + self._hints(queries, inside, grid)
        words = torch.cat(
            [self.words(self.states_norm(queries.states.float())), self.nothing.expand(len(queries.states), -1, -1)], 1
        )
        there = F.pad(queries.there, (0, 1), value=True)
        for block in self.blocks:
            x = block(x, words, there)
        wanted = _grown(self.wanted(x.transpose(1, 2).unflatten(2, (grid, grid))), half)
        y = F.gelu(self.join(torch.cat([F.gelu(wanted), shapes_by, inside[:, None]], 1)))
        y = torch.cat([_grown(self.narrow(y), size), edges_by], 1)
        return self.last(F.gelu(self.sharpen(y)))

    def _hints(self, queries: MaskQueries, inside: torch.Tensor, grid: int) -> torch.Tensor:
        boxed = (~queries.boxes.isnan().any(1)).to(inside.dtype)[:, None, None].expand(-1, grid, grid)
        hints = torch.stack([queries.maps.float(), F.adaptive_avg_pool2d(inside[:, None], grid)[:, 0], boxed], 1)
        return self.hints(hints).flatten(2).transpose(1, 2)

    def save(self, folder: Path) -> None:
        """Weights in float16: they are small beside the model's, and as good."""
        tensors = {k: v.detach().cpu().half().contiguous() for k, v in self.state_dict().items()}
        shape = {"heads": str(self.blocks[0].heads)}
        save_file(tensors, str(Path(folder) / FILE), metadata={"format": FORMAT, **shape})

    @classmethod
    def load(
        cls, folder: Path, vision_width: int, text_width: int, device: Union[str, torch.device] = "cpu"
    ) -> "Optional[MaskHead]":
        """None where the directory has no mask head. Raises ModelLoadError for a file that is corrupt or belongs to
        another model."""
        file = Path(folder) / FILE
        if not file.is_file():
            return None
        try:
            with safe_open(str(file), "pt") as handle:
                about = handle.metadata() or {}
            tensors = load_file(str(file))
            if about.get("format") != FORMAT:
                raise ModelLoadError(f"{file} is not of the format '{FORMAT}' but '{about.get('format')}'")
            blocks = 1 + max(int(k.split(".")[1]) for k in tensors if k.startswith("blocks."))
            head = cls(
                vision_width,
                text_width,
                len(tensors["vision.bias"]),
                blocks,
                int(about["heads"]),
                len(tensors["shapes.bias"]),
                len(tensors["edges.bias"]),
            )
            head.load_state_dict(tensors)
        except (OSError, SafetensorError, RuntimeError, KeyError, ValueError) as error:
            raise ModelLoadError(f"{file} is corrupt or does not fit this model: {error}") from error
        return head.float().eval().requires_grad_(False).to(device)


def box_cover(boxes: torch.Tensor, size: "tuple[int, int]") -> torch.Tensor:
    """float32[Q,h,w]: how much of each cell a box float[Q,4] (shares of the sides, nan for none) covers, in [0, 1]."""
    there = ~boxes.isnan().any(1)
    b = boxes.nan_to_num()

    def along(low: torch.Tensor, high: torch.Tensor, cells: int) -> torch.Tensor:
        edge = torch.arange(cells, device=boxes.device) / cells
        return ((torch.minimum(high[:, None], edge + 1 / cells) - torch.maximum(low[:, None], edge)) * cells).clamp(
            0, 1
        )

    return (
        along(b[:, 1], b[:, 3], size[0])[:, :, None] * along(b[:, 0], b[:, 2], size[1])[:, None] * there[:, None, None]
    )


def _grown(x: torch.Tensor, size) -> torch.Tensor:
    return F.interpolate(x, size, mode="bilinear", align_corners=False)
