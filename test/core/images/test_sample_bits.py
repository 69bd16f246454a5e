"""When it is said that a camera does not fill its 16 bits: once, after several pictures, and never of a camera that
does.
"""

from __future__ import annotations

import numpy as np
import pytest

from clue_ros.images.sample_bits import PICTURES, UnusedBits


def picture(peak: int) -> np.ndarray:
    return np.linspace(0, peak, 48).astype(np.uint16).reshape(6, 8)


def said(peaks, bits=0):
    unused = UnusedBits(bits)
    return [unused.see(picture(peak)) for peak in peaks]


@pytest.mark.parametrize("peak, ceiling", [(4095, 4095), (1024, 4095), (1023, 1023), (255, 1023), (1, 1023)])
def test_after_several_pictures_once(peak, ceiling):
    got = said([peak] * 3 * PICTURES)
    assert [n for n, text in enumerate(got) if text] == [PICTURES - 1]
    assert f"exceeds {ceiling}" in got[PICTURES - 1] and "set sample_bits" in got[PICTURES - 1]


def test_the_brightest_picture_counts():
    assert "exceeds 4095" in said([900] * (PICTURES - 1) + [2000])[-1]


@pytest.mark.parametrize("peaks", [[4096] * 20, [300, 300, 65535] + [300] * 20, [300] * (PICTURES - 1), [0] * 20])
def test_not_of_a_full_range_nor_of_a_few_dark_pictures_nor_of_a_covered_lens(peaks):
    assert not any(said(peaks))


def test_not_where_it_is_set():
    assert not any(said([300] * 20, bits=12))
