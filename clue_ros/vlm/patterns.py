"""Who sees whom in a prefix, a property of the checkpoint (`prefix_attention` in clue.json), and which rows are read.

full         image and prefix tokens all see each other, the suffix is causal (PaliGemma's own):
             one chunk [image, prefix] without a mask, then one token at a time.
image_blind  image tokens see only each other, text is causal: a chunk [image] without a mask, whose keys and values do
             not depend on the words, then a chunk [prefix] with a causal mask, then one token at a time.

Everything that depends on the pattern asks its object here; another pattern is one more entry of PATTERNS.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Dict, List, Optional, Union

import torch

FIRST_WORD = 1  # the row after <bos>


@dataclass(frozen=True)
class AttentionPattern:
    """name: in clue.json; image_sees_words: image tokens see the prefix; words_see_ahead: a token of the prefix sees
    those after it; tap_rows: the rows that have read everything, a name of TAP_ROWS; sliding_windows: trained with the
    windows of config.json, which serving leaves out.
    """

    name: str
    image_sees_words: bool
    words_see_ahead: bool
    tap_rows: str
    sliding_windows: bool

    @property
    def reusable(self) -> bool:
        """Whether an image's keys and values depend on no words: then they can be made before anybody speaks."""
        return not self.image_sees_words

    def whole_mask(self, count: int, length: int, device=None) -> Optional[torch.Tensor]:
        """Of `count` image tokens and a prefix of `length` in one chunk: bool[1,1,count+length,count+length], True
        where a row may look, or None for everywhere."""
        if self.image_sees_words and self.words_see_ahead:
            return None
        return self.mask(torch.tensor([length], device=device), count, length)

    def prefix_mask(self, count: int, length: int, suffix: int = 0, device=None) -> Optional[torch.Tensor]:
        """Of a prefix behind `count` image tokens, with the first `suffix` tokens after it:
        bool[1,1,length+suffix,count+length+suffix], or None for everywhere."""
        if not self.words_see_ahead:
            return causal_mask(count, length + suffix, device)
        if not suffix:
            return None
        mask = causal_mask(count, length + suffix, device)
        mask[..., : count + length] = True
        return mask

    def mask(self, prefix: torch.Tensor, count: int, length: int) -> torch.Tensor:
        """Of prefixes with their suffixes: bool[B,1,count+length,count+length]. prefix: int64[B], tokens of each;
        length: text tokens, padding included, which stands behind everything that counts, so no such row sees it.

        For `full`, 2 image tokens, prefix "b p" and suffix "s t", as transformers makes it of token_type_ids:

                  i i b p s t
            i…p   1 1 1 1 . .
            s     1 1 1 1 1 .
            t     1 1 1 1 1 1
        """
        place = torch.arange(count + length, device=prefix.device)
        rows, columns = place[None, :, None], place[None, None]
        # A suffix is always causal; what is shared among the words is seen by the image's rows only where it may be.
        shared = (count + (prefix if self.words_see_ahead else torch.zeros_like(prefix)))[:, None, None]
        seen = (columns < shared) | (columns <= rows)
        is_image = rows < count
        whole = (count + (prefix if self.image_sees_words else torch.zeros_like(prefix)))[:, None, None]
        return torch.where(is_image, columns < whole, seen)[:, None]


def causal_mask(past: int, length: int, device=None) -> torch.Tensor:
    """bool[1,1,length,past+length]: every row sees the past and itself and what stands before it."""
    return torch.cat(
        [
            torch.ones(length, past, dtype=torch.bool, device=device),
            torch.ones(length, length, dtype=torch.bool, device=device).tril(),
        ],
        1,
    )[None, None]


FULL = AttentionPattern("full", True, True, tap_rows="all", sliding_windows=True)
IMAGE_BLIND = AttentionPattern("image_blind", False, False, tap_rows="last", sliding_windows=False)
PATTERNS: Dict[str, AttentionPattern] = {pattern.name: pattern for pattern in (FULL, IMAGE_BLIND)}


def _words(conditioning: int, words: int) -> slice:
    """All words of the instruction; the closing row where there are none."""
    return slice(FIRST_WORD + conditioning, -1) if words > conditioning else slice(-1, None)


def _closing(conditioning: int, words: int) -> slice:
    return slice(-1, None)


def _but_conditioning(conditioning: int, words: int) -> List[int]:
    return [0, *range(FIRST_WORD + conditioning, words + 2)]


# Rows of a prefix (<bos>, `words` tokens of which `conditioning` are the task's, newline) that the tap reads.
# paper  the paper's Q_x: all but the conditioning token, <eos> and padding, hence <bos> and the newline too.
# all    words alone, as checkpoints were trained here before there was "paper".
# last   the closing one, which alone has read everything where text is causal.
TAP_ROWS: Dict[str, Callable[[int, int], Union[slice, List[int]]]] = {
    "paper": _but_conditioning,
    "all": _words,
    "last": _closing,
}
