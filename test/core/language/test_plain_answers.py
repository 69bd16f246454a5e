"""Answers that a model would take for their opposite."""

import pytest

from clue_ros.language.plain_answers import settled

ASKED = "Do you mean the red mug, the blue mug or the green mug?"


@pytest.mark.parametrize(
    "said, plain",
    [
        ("None of the above!", "neither"),
        ("neither of those two, please", "neither"),
        ("the one that isn’t red", "not red"),
        ("anything but the red one", "not the red one"),
        ("Um, everything except red", "not red"),
        ("The second one, please.", "the blue mug"),
        ("option 3", "the green mug"),
        ("the last", "the green mug"),
        ("It doesn't matter.", "the red mug"),
        ("any of them is fine, thanks", "the red mug"),
        ("the other one", "i do not know"),
        ("this one here", "i do not know"),
        ("the red, the blue or the green one", "i do not know"),
        ("yes please", "i do not know"),
    ],
)
def test_said_in_plain_words(said, plain):
    assert settled(ASKED, said) == plain


KEPT = (
    "the fourth one", "the latter", "the second mug from the left", "two", "neither , the green one", "", "a", "no",
    "the one next to the red and blue box", "red, not blue", "what is left", "right", "red no wait blue",
)  # fmt: skip


def test_everything_else_stays_as_it_was_said():
    for said in KEPT:
        assert settled(ASKED, said) == said
    for asked in (
        "Which one do you mean?", "Do you mean the first mug or the second mug?", "Do you mean a mug or a mug?",
    ):  # fmt: skip
        assert settled(asked, "the second one") == "the second one"
    assert settled("Do you mean the red mug?", "this one") == "this one"
