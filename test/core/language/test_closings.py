"""Courtesies at the end of a dialogue: what is one, and what still tells something about the thing."""

import pytest

from clue_ros.language.closings import closings, is_closing

CLOSED = [
    ("OK, here you are.", "Thank you."),
    ("Okay, I'll get it for you right away!", "Thanks a lot."),
    ("ok, please enjoy it slowly.", "thank you!"),
    ("No problem, I will bring it to you now.", "OK, thanks, bye."),
    ("OK, I see.", "Please pass it to me."),
    ("Sure.", "Can you bring it over to me?"),
    ("You're welcome.", "Goodbye!"),
    ("Here it is, have a nice day", "ok"),
    ("OK, I'll get the one on the left for you.", "Thank you."),
    ("Goodbye.", ""),
    ("Yes. Please wait a moment.", "Okay."),
]
OPEN = [
    ("Is it the one in the middle?", "Yes, thank you."),  # the answer decides
    ("Here you are?", "Thank you."),
    ("The one on the left.", "Yes."),  # a statement to confirm
    ("OK, I'll get the one on the left for you.", "Yes."),
    ("OK, I'll get it for you.", "There's a yellow book next to it, get it for me too."),
    ("OK.", "The one with the umbrella on it."),
    ("Okay, I'll catch it.", "It looks smaller, let's not catch it."),
    ("No problem, I'll get it.", "No, the other one."),
    ("Yes.", "I want the innermost one."),
    ("Yes, the red bottle.", "Thank you."),
    ("Which one?", ""),
    ("", ""),
    ("...", "?!"),
    ("好的，给你。", "谢谢。"),
    ("Voilà.", "Merci."),
]


@pytest.mark.parametrize("robot, person", CLOSED)
def test_a_closing(robot, person):
    assert is_closing(robot, person)


@pytest.mark.parametrize("robot, person", OPEN)
def test_no_closing(robot, person):
    assert not is_closing(robot, person)


def test_only_the_end_of_a_dialogue_closes_it():
    thanks = ("OK, here you are.", "Thank you.")
    asked = ("Which one?", "The red one.")
    assert closings([asked, thanks, ("You're welcome.", "Bye.")]) == 2
    assert closings([thanks, asked]) == 0 and closings([thanks]) == 1 and closings([]) == 0
