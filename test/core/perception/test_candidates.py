"""Boxes of another system: the answer is one of them, or nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clue_ros.perception.selection import attention_lift, choose_candidate, index_of, nearest_candidate
from clue_ros.types import Box

SIZE = (160.0, 120.0)
boxes = st.builds(
    lambda x, y, w, h: Box(x, y, x + w, y + h),
    st.integers(0, 150), st.integers(0, 110), st.integers(1, 60), st.integers(1, 60),
)  # fmt: skip


def map_with(*cells):
    heat = np.full((12, 16), 0.01, np.float32)
    for row, column in cells:
        heat[row, column] = 1.0
    return heat


def test_the_most_overlapping_one():
    answer = Box(20, 20, 60, 60)
    assert choose_candidate(answer, [Box(100, 20, 140, 60), Box(22, 22, 62, 62), Box(50, 20, 90, 60)]) == 1


def test_none_that_only_lies_near():
    assert choose_candidate(Box(20, 20, 60, 60), [Box(60, 20, 100, 60), Box(100, 80, 120, 100)]) is None
    assert choose_candidate(Box(20, 20, 60, 60), [Box(58, 58, 98, 98)]) is None, "a sliver is not an overlap"
    assert choose_candidate(Box(20, 20, 60, 60), []) is None


def test_a_generous_detection_and_a_part_count():
    assert choose_candidate(Box(50, 50, 60, 60), [Box(0, 0, 100, 100)]) == 0
    assert choose_candidate(Box(0, 0, 100, 100), [Box(50, 50, 60, 60)]) == 0


def test_in_doubt_the_attention_decides():
    answer = Box(40, 40, 80, 80)
    left, right = Box(20, 40, 60, 80), Box(60, 40, 100, 80)
    assert choose_candidate(answer, [left, right], map_with((5, 8), (6, 9)), SIZE) == 1
    assert choose_candidate(answer, [left, right], map_with((5, 3), (6, 4)), SIZE) == 0
    assert choose_candidate(answer, [left, right]) == 0, "without a map the order"
    assert choose_candidate(answer, [left, right], np.zeros((12, 16), np.float32), SIZE) == 0


def test_attention_does_not_overrule_a_clear_overlap():
    answer = Box(40, 40, 80, 80)
    assert choose_candidate(answer, [Box(42, 42, 82, 82), Box(70, 40, 110, 80)], map_with((5, 10)), SIZE) == 0


def test_lift_is_mass_beyond_an_even_map():
    even = np.ones((12, 16), np.float32)
    assert attention_lift(even, Box(13, 7, 71, 93), SIZE) == pytest.approx(0.0, abs=1e-12)
    assert attention_lift(even, Box(0, 0, 160, 120), SIZE) == pytest.approx(0.0, abs=1e-12)
    one = np.zeros((12, 16), np.float32)
    one[3, 4] = 1.0
    assert attention_lift(one, Box(40, 30, 50, 40), SIZE) == pytest.approx(1 - 1 / 192)
    assert attention_lift(one, Box(45, 30, 55, 40), SIZE) == pytest.approx(0.5 - 1 / 192)


def test_the_nearest_is_chosen_even_without_an_overlap():
    boxes = [Box(0, 0, 10, 10), Box(30, 20, 60, 40)]
    assert nearest_candidate(Box(31, 21, 50, 39), boxes) == boxes[1]
    assert nearest_candidate(Box(11, 11, 12, 12), boxes) == boxes[0]


def test_index_of():
    candidates = (Box(0, 0, 1, 1), Box(1.5, 2, 3, 4))
    assert index_of(Box(1.5, 2, 3, 4), candidates) == 1
    assert index_of(Box(1.5, 2, 3, 5), candidates) == index_of(None, candidates) == index_of(Box(0, 0, 1, 1), ()) == -1


@given(answer=boxes, others=st.lists(boxes, max_size=6))
def test_a_chosen_one_overlaps_and_the_answer_itself_wins(answer, others):
    index = choose_candidate(answer, others)
    if index is not None:
        other = others[index]
        assert min(answer.x1, other.x1) > max(answer.x0, other.x0)
        assert min(answer.y1, other.y1) > max(answer.y0, other.y0)
    assert index_of(answer, others) >= 0 or choose_candidate(answer, [*others, answer]) == len(others)
