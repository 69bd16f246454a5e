"""Cameras of 10 or 12 bits whose drivers send samples of 16: by their full range the pictures are nearly black."""

from __future__ import annotations

from typing import Optional

import numpy as np

CHOICES = (0, *range(8, 17))  # 0: all 16
PICTURES = 5  # a single one may be of a dark room
CEILINGS = (1023, 4095)  # of samples of 10 and of 12 bits


class UnusedBits:
    """Notices that no 16-bit sample of several pictures comes near the range of 16 bits.

    sample_bits: as encodings.eight_bits; where it is given there is nothing to notice.
    """

    def __init__(self, sample_bits: int = 0) -> None:
        self._done = bool(sample_bits)
        self._pictures = self._peak = 0

    def see(self, samples: np.ndarray) -> Optional[str]:
        """One picture, uint16[H, W] or [H, W, C]. What to say of the pictures so far: once, a sentence."""
        if self._done:
            return None
        peak = int(samples.max(initial=0))
        if peak > CEILINGS[-1]:
            self._done = True
        elif peak:  # a covered lens says nothing
            self._pictures, self._peak = self._pictures + 1, max(self._peak, peak)
        if self._done or self._pictures < PICTURES:
            return None
        self._done = True
        ceiling = next(ceiling for ceiling in CEILINGS if self._peak <= ceiling)
        return (
            f"no 16-bit sample of {PICTURES} pictures exceeds {ceiling}, so they are seen nearly black: if the "
            "camera fills"
            " 10 or 12 bits of them, set sample_bits to that"
        )
