"""Lessons in a bag: taught, found, asked about and corrected by a taught name, forgotten."""

import pytest
from coloured_sight import RED, ColourSight, CupBackbone, drawn

from clue_ros.bags.events import NS, Frame, Heard, Pointed, ReplaySettings
from clue_ros.bags.replay import Replay
from clue_ros.geometry import box_iou
from clue_ros.stock.grounder import StockGrounder
from clue_ros.taught.grounder import TaughtGrounder
from clue_ros.testing.fake_grounder import ScriptedGrounder
from clue_ros.types import Answer, Box

START = 1_767_225_600 * NS
LEFT, RIGHT = Box(60, 60, 100, 120), Box(200, 60, 260, 140)
TWO = drawn((RED, *LEFT), (RED, *RIGHT))


def play(grounder, *events):
    """events: (seconds, words or a click); frames of TWO come all the time."""
    replay = Replay(grounder, ReplaySettings(max_image_age_s=100.0))
    said = [
        Heard(START + int(t * NS), what, n) if isinstance(what, str) else Pointed(START + int(t * NS), what)
        for n, (t, what) in enumerate(events)
    ]
    return list(replay.run([Frame(START, START, lambda: TWO), *said])), replay


@pytest.fixture
def grounder(tmp_path):
    return TaughtGrounder.around(StockGrounder(CupBackbone(ColourSight())), tmp_path / "taught")


def test_what_a_bag_teaches_is_known_in_its_next_words(grounder):
    played, replay = play(
        grounder,
        (1, "this is my thermos"), (2, Answer(point=(80, 90))), (4, "the left thermos"), (6, "no, the other one"),
        (20, "my thermos"), (22, "the right one"), (40, "what do you know?"), (41, "forget my thermos"),
    )  # fmt: skip
    assert [lesson.said for lesson in replay.lessons] == [
        "Which one is your thermos? Click on it, or draw a box around it.", "Now I know your thermos.",
        "You showed me your thermos.", "I have forgotten your thermos.",
    ]  # fmt: skip
    assert [lesson.text for lesson in replay.lessons][1] == "(a gesture)"
    assert [p.outcome for p in played] == ["found"] * 3 and not replay.not_taken
    assert all(box_iou(p.box, box) > 0.9 for p, box in zip(played, (LEFT, RIGHT, RIGHT)))
    assert played[2].decisions[0].question == "Do you mean the left thermos or the right thermos?"
    assert not grounder.memory.store.things


def test_a_grounder_that_cannot_be_taught_takes_lessons_for_instructions():
    played, replay = play(ScriptedGrounder({}), (1, "this is my thermos"))
    assert [p.words for p in played] == ["this is my thermos"] and not replay.lessons
