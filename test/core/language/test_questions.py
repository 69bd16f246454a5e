"""A question that offers the same thing twice tells nothing apart."""

import pytest

from clue_ros.language.questions import is_broken, misleading_words, options


@pytest.mark.parametrize(
    "question, expected",
    [
        ("Do you mean the red mug or the blue mug?", ("the red mug", "the blue mug")),
        (
            "do you mean the left can , the middle can or the right can ?",
            ("the left can", "the middle can", "the right can"),
        ),
        ("Which one?", ()),
    ],
)
def test_options_of_a_question(question, expected):
    assert options(question) == expected


@pytest.mark.parametrize(
    "question, expected",
    [
        ("do you mean the yellow banana or the yellow banana ?", ("yellow",)),
        ("do you mean the red mug, the blue mug or the red mug?", ("red",)),
        ("do you mean a yellow mug or a yellow mug?", ("yellow",)),
        ("do you mean an apple or an apple?", ()),
        ("do you mean the red mug or the blue mug ?", ()),
        ("do you mean the box or the box ?", ()),
        ("which one ?", ()),
    ],
)
def test_repeated_options_are_found(question, expected):
    assert misleading_words(question) == expected


@pytest.mark.parametrize(
    "question, expected",
    [
        ("do do do do", True),
        ("do you mean the the mug ?", True),
        ("?", True),
        (" , ? ", True),
        ("", True),
        ("mug mug", True),
        ("I can see a mug, a bowl and a bottle of water", False),
        ("is it the one that that man holds ?", False),
        ("What color is it", False),
        ("no no, the one on the left?", False),
        ("No, no?", False),
        ("你要哪一个", False),
        ("very very very very", True),
        ("Do you mean the one on the left, or the one on the right?", False),
        ("which one ?", False),
    ],
)
def test_what_is_no_question_is_found(question, expected):
    assert is_broken(question) is expected
