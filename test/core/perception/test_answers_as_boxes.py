"""What the model's answers become: boxes in the image, their confidence, how many there are of a thing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clue_ros.geometry import box_iou, clip_box
from clue_ros.location import box_to_bins
from clue_ros.perception.candidates import (
    Candidate,
    matching,
    parse_detections,
    pointed_at,
    probability_ambiguous,
    snapped,
    suppress,
)
from clue_ros.perception.perception import crop
from clue_ros.perception.presence import shapes
from clue_ros.types import Box

IMAGE = np.random.default_rng(0).integers(0, 255, (480, 640, 3), dtype=np.uint8)
RED, BLUE, GREEN = Box(50, 200, 110, 280), Box(500, 205, 560, 285), Box(320, 200, 380, 280)

boxes = st.builds(
    lambda x, y, w, h: Box(x, y, x + w, y + h),
    st.integers(0, 600),
    st.integers(0, 440),
    st.integers(1, 200),
    st.integers(1, 200),
)
surenesses = st.floats(0, 1)


def test_the_shapes_are_drawn_in_their_colours():
    picture = shapes()
    assert picture.shape == (448, 448, 3) and picture.dtype == np.uint8
    red, blue, yellow = picture[130, 110], picture[130, 330], picture[350, 224]
    assert (
        red.argmax() == 0 and red[1:].max() < 60 and blue.argmax() == 2 and yellow.min() == yellow[2] < 80 < yellow[1]
    )
    assert (picture[5, 5] == 255).all()


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(-1, 1023), surenesses), max_size=40))
def test_any_answer_gives_boxes_in_the_image(tokens):
    found = parse_detections([b for b, _ in tokens], [c for _, c in tokens], [1 - c for _, c in tokens], 640, 480)
    assert len(found) <= len(tokens) // 4
    for candidate in found:
        assert clip_box(candidate.box, 640, 480) == candidate.box and candidate.box.area > 0
        assert 0 <= candidate.confidence <= 1


def test_a_box_is_as_sure_as_it_is_that_the_list_went_on_to_it():
    bins = [*box_to_bins(RED, 640, 480), -1, -1, *box_to_bins(BLUE, 640, 480), 3, 4, 5]
    ends = [0.1, 0, 0, 0, 0, 0.6] + [0] * 7
    found = parse_detections(bins, [0.5] * 4 + [1, 0.4] + [0.5] * 7, ends, 640, 480)
    assert [round(c.confidence, 3) for c in found] == [0.45, 0.2]


@settings(deadline=None)
@given(st.lists(st.builds(Candidate, boxes, surenesses), max_size=12))
def test_suppression_keeps_the_surest_of_what_overlaps(candidates):
    kept = suppress(candidates)
    assert bool(kept) == bool(candidates)
    assert all(box_iou(a.box, b.box) < 0.5 for n, a in enumerate(kept) for b in kept[:n])
    assert list(kept) == sorted(kept, key=lambda c: -c.confidence)
    for c in candidates:
        assert any(k.confidence >= c.confidence and (k == c or box_iou(k.box, c.box) >= 0.5) for k in kept)


@settings(deadline=None)
@given(st.lists(surenesses, max_size=8))
def test_probability_is_one_and_grows_with_rivals(confidences):
    p = probability_ambiguous(confidences)
    assert 0 <= p <= 1 and (p == 0 or len(confidences) > 1)
    assert probability_ambiguous([*confidences, 0.0]) >= p - 1e-9


def test_one_strong_and_one_weak_box_is_not_ambiguous():
    assert probability_ambiguous([0.9, 0.4]) < 0.5 < probability_ambiguous([0.9, 0.8])
    assert probability_ambiguous([0.03, 0.03]) == pytest.approx(0.9) == probability_ambiguous([0, 0])


@settings(deadline=None)
@given(boxes, st.floats(0, 1))
def test_a_crop_holds_the_box(box, margin):
    part = crop(IMAGE, box, margin)
    inside = clip_box(box, 640, 480)
    assert part.shape[0] >= inside.y1 - inside.y0 and part.shape[1] >= inside.x1 - inside.x0 and part.size


def test_pointing_matching_and_snapping():
    two = [Candidate(RED, 0.9), Candidate(BLUE, 0.8)]
    assert pointed_at((60, 210), [RED, BLUE]) == 0 and pointed_at((639, 479), [RED, BLUE]) == 1
    assert pointed_at((60, 210), [Box(0, 0, 640, 480), RED]) == 1
    assert matching(two, [Box(501, 206, 560, 285)]) == (1,)
    assert snapped([*two, Candidate(Box(51, 200, 110, 280), 0.5)], [RED, BLUE]) == tuple(two)
