"""Which things in a picture are the taught one."""

import numpy as np
import pytest
from coloured_sight import BLUE, GREEN, RED, drawn

from clue_ros.eyes.sight import Things
from clue_ros.taught.matching import Rule, matching

RED_VIEW = np.array([[80.0, -90.0, -90.0]], np.float32)
DARK_RED = (170, 30, 30)


def found(sight, rgb, views=RED_VIEW, others=(), rule=Rule()):
    return matching(sight.things(rgb), views, others, (rgb.shape[1], rgb.shape[0]), rule)


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
    dark = np.array([[50.0, -90.0, -90.0]], np.float32)
    assert [c.box.x0 for c in found(sight, scene, others=[dark])] == pytest.approx([40])


def test_boxes_on_one_thing_count_once():
    boxes = np.array(
        [[0.1, 0.1, 0.4, 0.5], [0.12, 0.1, 0.4, 0.48], [0.2, 0.2, 0.3, 0.3], [0.6, 0.1, 0.9, 0.5]], np.float32
    )
    things = Things(np.tile(RED_VIEW, (4, 1)), boxes, np.ones(4, np.float32))
    assert len(matching(things, RED_VIEW, (), (320, 240))) == 2


def test_more_views_know_more_sides_and_are_judged_more_strictly(sight):
    views = np.concatenate([RED_VIEW, [[-90.0, -90.0, 80.0]], RED_VIEW]).astype(np.float32)
    both = found(sight, drawn((RED, 40, 50, 90, 120), (BLUE, 200, 60, 260, 140)), views)
    assert sorted(round(c.box.x0) for c in both) == [40, 200]
    assert Rule().bound(1) < Rule().bound(2) < Rule().bound(3) == Rule().bound(5)
