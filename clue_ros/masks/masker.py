"""Masks of a loaded model: the pixels of a found target, and what of an image an instruction is about.

A model directory may hold a mask head (`mask.safetensors`, `clue train mask`) and PaliGemma's own mask decoder
(`segmentation.safetensors`, segment_codes.py), which then makes the target's pixels. Neither is needed for anything
else.
"""

from __future__ import annotations

from pathlib import Path
from typing import FrozenSet, Optional

import numpy as np
import torch
import torch.nn.functional as F

from clue_ros.location import box_to_bins
from clue_ros.masks.head import RELEVANCE, TARGET, MaskHead, MaskQueries
from clue_ros.masks.segment_codes import SegmentDecoder
from clue_ros.seams import Capability, MissingCapabilityError
from clue_ros.types import Box
from clue_ros.vlm.backbone import Backbone
from clue_ros.vlm.passes import EncodedImage

MARGIN = 0.15  # of the box's sides: a target's pixels lie in its box, whose edges may be a little off


class Masker:
    """One checkpoint's masks; `head` and `decoder` may be None."""

    def __init__(self, backbone: Backbone, head: Optional[MaskHead], decoder: Optional[SegmentDecoder]):
        self._backbone, self.head, self.decoder = backbone, head, decoder

    @classmethod
    def load(cls, folder: Path, backbone: Backbone) -> "Masker":
        """Raises ModelLoadError for a file that cannot be used."""
        head = MaskHead.load(folder, *backbone.widths, backbone.device)
        return cls(backbone, head, SegmentDecoder.load(folder, backbone.device))

    @property
    def can_segment(self) -> bool:
        """Whether `target` gives a mask."""
        return self.head is not None or self.decoder is not None

    @property
    def capabilities(self) -> FrozenSet[Capability]:
        """Which of MASKS and RELEVANCE the directory's files give."""
        relevance = [Capability.RELEVANCE] if self.head is not None else []
        return frozenset(([Capability.MASKS] if self.can_segment else []) + relevance)

    def relevance(self, image: EncodedImage, prefix: str) -> np.ndarray:
        """float32[H,W] in [0, 1], in pixels of the original image. Raises MissingCapabilityError without a
        head."""
        if self.head is None:
            raise MissingCapabilityError(Capability.RELEVANCE)
        return self._dense(self.head, image, prefix, None, RELEVANCE)

    def target(self, image: EncodedImage, prefix: str, words: str, box: Box) -> np.ndarray:
        """bool[H,W], the pixels of a target with a known box. prefix: the dialogue; words: the instruction alone.
        Raises MissingCapabilityError where the model has no masks."""
        if self.decoder is not None:
            codes = self._backbone.segment_codes(image, f"segment {words}", box_to_bins(box, image.width, image.height))
            return self.decoder.paste(codes, box, (image.width, image.height))
        if self.head is None:
            raise MissingCapabilityError(Capability.MASKS)
        mask = self._dense(self.head, image, prefix, box, TARGET) > 0.5
        across, down = MARGIN * (box.x1 - box.x0), MARGIN * (box.y1 - box.y0)
        kept = np.zeros_like(mask)
        inner = (
            slice(max(0, int(box.y0 - down)), int(np.ceil(box.y1 + down))),
            slice(max(0, int(box.x0 - across)), int(np.ceil(box.x1 + across))),
        )
        kept[inner] = mask[inner]
        return kept

    @torch.inference_mode()
    def _dense(self, head: MaskHead, image: EncodedImage, prefix: str, box: Optional[Box], channel: int) -> np.ndarray:
        if image.square is None:
            raise ValueError("a mask head reads what the model saw: encode the image with this backbone")
        states, grid = self._backbone.word_states(image, prefix)
        device, nan = states.device, float("nan")
        shares = (
            [nan] * 4
            if box is None
            else [box.x0 / image.width, box.y0 / image.height, box.x1 / image.width, box.y1 / image.height]
        )
        queries = MaskQueries(
            states,
            torch.ones(states.shape[:2], dtype=torch.bool, device=device),
            grid[None],
            torch.tensor([shares], device=device),
            torch.zeros(1, dtype=torch.int64, device=device),
        )
        square = torch.from_numpy(np.ascontiguousarray(image.square.transpose(2, 0, 1)))[None].to(device)
        logits = head(image.tower, square.float() / 127.5 - 1, queries)[:, channel : channel + 1]
        whole = F.interpolate(logits, (image.height, image.width), mode="bilinear", align_corners=False)
        return whole[0, 0].sigmoid().cpu().numpy()
