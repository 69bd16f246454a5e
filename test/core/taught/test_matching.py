"""Which things in a picture are the taught one."""

import numpy as np
import pytest
from coloured_sight import BLUE, GREEN, RED, drawn

from clue_ros.taught.looks import COLOURS, likeness, looks
from clue_ros.taught.matching import Rule, matching
from clue_ros.types import Box

BOX = np.array([[40, 50, 90, 120]], np.float32)
DARK_RED = (170, 30, 30)


def view(colour):
    """float32[1,·]: the look of a thing of a colour."""
    return looks(np.array([np.subtract(colour, 120)]), drawn((colour, 40, 50, 90, 120)), BOX)


RED_VIEW = view(RED)


def found(sight, rgb, views=RED_VIEW, others=(), rule=Rule()):
    things = sight.things(rgb)
    boxes = things.boxes * np.array([320, 240, 320, 240])
    return matching([Box(*map(float, b)) for b in boxes], looks(things.vectors, rgb, boxes), views, others, rule)


def test_the_taught_thing_is_found_among_others(sight):
    one = found(sight, drawn((RED, 40, 50, 90, 120), (BLUE, 200, 60, 260, 140), (GREEN, 120, 20, 150, 60)))
    assert [tuple(c.box) for c in one] == [pytest.approx((40, 50, 90, 120))] and one[0].confidence > 0.9


def test_two_are_two_and_none_is_none(sight):
    two = found(sight, drawn((RED, 40, 50, 90, 120), (DARK_RED, 200, 60, 260, 140)))
    assert len(two) == 2 and two[0].confidence >= two[1].confidence
    assert found(sight, drawn((BLUE, 200, 60, 260, 140))) == ()
    assert found(sight, drawn()) == ()


def test_what_is_far_less_like_than_the_likest_is_no_rival(sight):
    scene = drawn((RED, 40, 50, 90, 120), ((200, 120, 30), 200, 60, 260, 140))
    assert len(found(sight, scene, rule=Rule(least=0.2, near=1.0))) == 2
    assert len(found(sight, scene, rule=Rule(least=0.2, near=0.01))) == 1


def test_what_is_liker_to_another_taught_thing_is_that_one(sight):
    scene = drawn((RED, 40, 50, 90, 120), (DARK_RED, 200, 60, 260, 140))
    dark = view(DARK_RED)
    assert [c.box.x0 for c in found(sight, scene, others=[dark])] == pytest.approx([40])


def test_boxes_on_one_thing_count_once():
    boxes = [Box(32, 24, 128, 120), Box(38, 24, 128, 115), Box(64, 48, 96, 72), Box(192, 24, 288, 120)]
    assert len(matching(boxes, RED_VIEW.repeat(4, 0), RED_VIEW)) == 2


def test_colours_tell_apart_what_a_glance_calls_the_same():
    same, vectors = drawn((RED, 40, 50, 90, 120)), np.ones((1, 3), np.float32)
    one, other = looks(vectors, same, BOX), looks(vectors, drawn((DARK_RED, 40, 50, 90, 120)), BOX)
    assert one.shape == (1, 3 + COLOURS) and likeness(one, one, 0.1)[0] == pytest.approx(1)
    assert (
        likeness(other, one, 0.1)[0] < 1
        and likeness(looks(vectors, drawn(), BOX), one, 0.1)[0] < likeness(other, one, 0.1)[0]
    )
    beyond = np.array([[300, 200, 900, 900], [-50, -50, -10, -10]], np.float32)
    assert np.isfinite(looks(vectors.repeat(2, 0), same, beyond)).all()
    assert likeness(np.zeros((0, 9), np.float32), one, 0.1).shape == (0,)


def test_more_views_know_more_sides_and_are_judged_more_strictly(sight):
    views = np.concatenate([RED_VIEW, view(BLUE), RED_VIEW])
    both = found(sight, drawn((RED, 40, 50, 90, 120), (BLUE, 200, 60, 260, 140)), views)
    assert sorted(round(c.box.x0) for c in both) == [40, 200]
    assert Rule().bound(1) < Rule().bound(2) < Rule().bound(3) == Rule().bound(5)
