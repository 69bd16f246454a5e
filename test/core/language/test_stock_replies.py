"""Stock-checkpoint mode, the pure parts about a question: what it offers, and what a reply says."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clue_ros.language.describe import Option, attribute_of, caption_of, confirmation_for, options_for, question_for
from clue_ros.language.phrase import parse_instruction
from clue_ros.language.positions import Place
from clue_ros.language.reply import Verdict, read_reply
from clue_ros.types import Box

SIZE = (640.0, 480.0)
LEFT, RIGHT = Box(50, 200, 110, 280), Box(500, 205, 560, 285)
BACK, FRONT = Box(300, 100, 360, 160), Box(310, 330, 380, 420)
MIDDLE = Box(300, 200, 360, 280)
boxes = st.builds(
    lambda x, y, w, h: Box(x, y, x + w, y + h),
    st.integers(0, 560),
    st.integers(0, 400),
    st.integers(10, 80),
    st.integers(10, 80),
)


@pytest.mark.parametrize(
    "answer, word",
    [
        ("Red", "red"),
        ("red and white.", "red and white"),
        ("unanswerable", ""),
        ("yes", ""),
        ("<loc0001><loc0002>", ""),
        ("", ""),
        ("sorry, as a base vlm i am not trained to answer this question", ""),
        ("it is a very nice red", ""),
        ("light blue", "light blue"),
    ],
)
def test_useful_answers_about_colour(answer, word):
    assert attribute_of(answer) == word


@pytest.mark.parametrize(
    "caption, words",
    [
        ("A white coffee cup sitting on a table.", "white coffee cup"),
        ("a close up of a mug", "mug"),
        ("", ""),
        ("a mug with a bear on it", "mug with a bear"),
        ("a b c d e f g h", ""),
        ("<loc0001>", ""),
        ("Sorry, I cannot help", ""),
    ],
)
def test_captions_shrink_to_the_thing(caption, words):
    assert caption_of(caption) == words


MUG = parse_instruction("the mug")


def ask(boxes, colors=(), captions=(), request=MUG):
    options = options_for(request, boxes, SIZE, colors, captions)
    return question_for(options, len(boxes), request)


def test_the_question_offers_what_tells_the_candidates_apart():
    assert ask([RIGHT, LEFT], ["red", "blue"]) == "Do you mean the blue mug or the red mug?"
    assert ask([LEFT, RIGHT], ["red", "red"]) == "Do you mean the left mug or the right mug?"
    assert ask([LEFT, RIGHT], ["red", ""], ["travel mug", "tea cup"]) == "Do you mean the travel mug or the tea cup?"
    assert ask([BACK, FRONT]) == "Do you mean the front mug or the back mug?"
    assert ask([LEFT, MIDDLE, RIGHT]) == "Do you mean the left mug, the middle mug or the right mug?"
    assert ask([LEFT, MIDDLE, RIGHT], ["red", "blue", "red"]) == (
        "Do you mean the left red mug, the blue mug or the right red mug?"
    )
    assert ask([LEFT, RIGHT], ["red", "red"], request=parse_instruction("the red mug")) == (
        "Do you mean the left red mug or the right red mug?"
    )
    assert ask([LEFT, LEFT]).startswith("I see 2 things that could be the mug. Which one")
    many = [Box(x, 200, x + 40, 280) for x in range(0, 600, 100)]
    assert "counted from the left" in ask(many)
    assert ask(many[:5], ["red", "red", "red", "blue", "blue"]) == "Do you mean the red mug or the blue mug?"


def test_one_thing_to_confirm():
    assert question_for((confirmation_for(MUG, LEFT, SIZE),), 1, MUG) == "Do you mean the mug on the left?"
    assert confirmation_for(MUG, LEFT, SIZE, "red").words == "the red mug"
    assert confirmation_for(MUG, LEFT, SIZE, "", "left") == Option("the left mug", (0,))


LEFT_OR_RIGHT = "Do you mean the left mug or the right mug?"
RED_OR_BLUE = "Do you mean the red mug or the blue mug?"
NOTHING = (frozenset(), frozenset())
RED_AND_BLUE = (frozenset({"red"}), frozenset({"blue"}))


@pytest.mark.parametrize(
    "text, question, verdict, kept",
    [
        ("the left one", LEFT_OR_RIGHT, "keep", (0,)),
        ("right", LEFT_OR_RIGHT, "keep", (1,)),
        ("on the right please", LEFT_OR_RIGHT, "keep", (1,)),
        ("not the left one", LEFT_OR_RIGHT, "keep", (1,)),
        ("no, the right one", LEFT_OR_RIGHT, "keep", (1,)),
        ("the left one, not the right one", LEFT_OR_RIGHT, "keep", (0,)),
        ("the second one", LEFT_OR_RIGHT, "keep", (1,)),
        ("number one", LEFT_OR_RIGHT, "keep", (0,)),
        ("2", LEFT_OR_RIGHT, "keep", (1,)),
        ("I don't mean the right one", LEFT_OR_RIGHT, "keep", (0,)),
        ("neither", LEFT_OR_RIGHT, "none", ()),
        ("none of them!", LEFT_OR_RIGHT, "none", ()),
        ("no", LEFT_OR_RIGHT, "none", ()),
        ("i do not know", LEFT_OR_RIGHT, "useless", (0, 1)),
        ("yes", LEFT_OR_RIGHT, "useless", (0, 1)),
        ("both", LEFT_OR_RIGHT, "useless", (0, 1)),
        ("the mug", LEFT_OR_RIGHT, "useless", (0, 1)),
        ("the other one", LEFT_OR_RIGHT, "useless", (0, 1)),
        ("the left one, the right one", LEFT_OR_RIGHT, "useless", (0, 1)),
        ("either one", LEFT_OR_RIGHT, "confirmed", (0, 1)),
        ("i don't care", LEFT_OR_RIGHT, "confirmed", (0, 1)),
        ("yes", "Do you mean the left mug?", "confirmed", (0,)),
        ("right", "Do you mean the left mug?", "confirmed", (0,)),
        ("no", "Do you mean the left mug?", "keep", (1,)),
        ("the other one", "Do you mean the left mug?", "keep", (1,)),
        ("no, the other one", "Do you mean the left mug?", "keep", (1,)),
        ("yes, the left one", "Do you mean the left mug?", "confirmed", (0,)),
        ("yes please", "Do you mean the right mug?", "confirmed", (1,)),
        ("left", "Which one do you mean?", "keep", (0,)),
    ],
)
def test_replies_by_position(text, question, verdict, kept):
    reading = read_reply(text, question, MUG, [LEFT, RIGHT], SIZE, NOTHING)
    assert (reading.verdict.value, reading.kept) == (verdict, kept)


@pytest.mark.parametrize(
    "text, verdict, kept",
    [
        ("the red one", "keep", (0,)),
        ("blue", "keep", (1,)),
        ("not the red one", "keep", (1,)),
        ("no, the blue one", "keep", (1,)),
        ("the blue one, not the red one", "keep", (1,)),
        ("not the red one, the blue one", "keep", (1,)),
        ("the blue mug please", "keep", (1,)),
        ("i mean the red mug", "keep", (0,)),
        ("anything but the red one", "keep", (1,)),
        ("the right one", "keep", (1,)),
        ("neither", "none", ()),
    ],
)
def test_replies_by_what_is_known_of_the_candidates(text, verdict, kept):
    reading = read_reply(text, RED_OR_BLUE, MUG, [LEFT, RIGHT], SIZE, RED_AND_BLUE)
    assert (reading.verdict.value, reading.kept) == (verdict, kept)


@pytest.mark.parametrize(
    "text, phrase, negative, refused",
    [
        ("the green one", "green mug", False, False),
        ("neither, the green one", "green mug", False, True),
        ("the bowl", "bowl", False, False),
        ("no, i want the bowl", "bowl", False, True),
        ("the striped cup", "striped cup", False, False),
    ],
)
def test_other_words_are_put_to_detect(text, phrase, negative, refused):
    reading = read_reply(text, RED_OR_BLUE, MUG, [LEFT, RIGHT], SIZE, RED_AND_BLUE)
    assert (reading.verdict, reading.phrase, reading.negative, reading.refused) == (
        Verdict.REFINE,
        phrase,
        negative,
        refused,
    )


def test_without_descriptions_a_colour_is_put_to_detect_with_its_position():
    reading = read_reply("not the red one", LEFT_OR_RIGHT, MUG, [LEFT, RIGHT], SIZE, NOTHING)
    assert (reading.verdict, reading.phrase, reading.negative) == (Verdict.REFINE, "red mug", True)
    reading = read_reply("the red one on the left", LEFT_OR_RIGHT, MUG, [LEFT, RIGHT], SIZE, NOTHING)
    assert (reading.phrase, reading.place) == ("red mug", Place(("left",)))


@settings(deadline=None)
@given(
    st.text(max_size=60),
    st.sampled_from([LEFT_OR_RIGHT, RED_OR_BLUE, "", "What?"]),
    st.lists(boxes, min_size=1, max_size=5),
)
def test_any_reply_has_a_reading(text, question, found):
    reading = read_reply(text, question, MUG, found, SIZE, [frozenset()] * len(found))
    assert set(reading.kept) <= set(range(len(found)))
    assert (reading.verdict is Verdict.NONE) == (not reading.kept)
    assert (reading.verdict is Verdict.REFINE) == bool(reading.phrase)
