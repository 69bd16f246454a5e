"""Stock-checkpoint mode, the pure parts about words: instructions, positions, descriptions, questions, replies."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clue_ros.language.describe import placed
from clue_ros.language.phrase import Relation, parse_description, parse_instruction
from clue_ros.language.positions import MIN_GAP, Place, choose, extract_place, position_names
from clue_ros.language.relations import related
from clue_ros.simulation.shapes import CATEGORIES
from clue_ros.simulation.utterances import INSTRUCTIONS
from clue_ros.simulation.words import NOUNS, POSITION_PHRASES
from clue_ros.types import Box

SIZE = (640.0, 480.0)
LEFT, RIGHT = Box(50, 200, 110, 280), Box(500, 205, 560, 285)
BACK, FRONT = Box(300, 100, 360, 160), Box(310, 330, 380, 420)
MIDDLE = Box(300, 200, 360, 280)


@pytest.mark.parametrize(
    "text, phrase, noun",
    [
        ("hand me the red mug, please", "red mug", "mug"),
        ("can", "can", "can"),
        ("can i have the can right now", "can", "can"),
        ("give it to me, the red mug", "red mug", "mug"),
        ("Robot, bring the bowl!", "bowl", "bowl"),
        ("put the mug on the table", "mug", "mug"),
        ("pick up the cup in the middle of the table", "cup", "cup"),
        ("take the mug to the kitchen", "mug", "mug"),
        ("bring me the mug back", "mug", "mug"),
        ("the mug that is red", "red mug", "mug"),
        ("the red one", "red object", "one"),
        ("the orange", "orange", "orange"),
        ("the orange mug", "orange mug", "mug"),
        ("the mug, the red one", "red mug", "mug"),
        ("the big, red mug", "red mug", "mug"),
        ("the black and white mug", "black and white mug", "mug"),
        ("the mug and the bowl", "mug", "mug"),
        ("give me the red and the blue mug", "mug", "mug"),
        ("a coffee mug with a handle", "coffee mug with a handle", "coffee mug"),
        (
            "could you please hand over the screwdriver with the yellow handle",
            "screwdriver with the yellow handle",
            "screwdriver",
        ),
        ("hand soap", "hand soap", "hand soap"),
        ("i want the thing", "object", "one"),
        ("the box of cereal", "box of cereal", "box"),
        ("i'd like the remote control", "remote control", "remote control"),
        ("reach for the lift", "lift", "lift"),
        ("pick up the block which color is red", "red block", "block"),
        ("the dark blue cup", "dark blue cup", "cup"),
        ("the cup of color pink", "pink cup", "cup"),
    ],
)
def test_an_instruction_becomes_what_detect_wants(text, phrase, noun):
    request = parse_instruction(text)
    assert (request.phrase, request.noun) == (phrase, noun)


@pytest.mark.parametrize(
    "text, place",
    [
        ("the left mug", Place(("left",))),
        ("the mug on the left", Place(("left",))),
        ("leftmost mug", Place(("left",))),
        ("the mug to the left", Place(("left",))),
        ("the mug on the far right side", Place(("right",))),
        ("the mug in front", Place(("front",))),
        ("the mug at the back please", Place(("back",))),
        ("the back mug", Place(("back",))),
        ("the mug closest to me", Place(("front",))),
        ("the mug farthest from the camera", Place(("back",))),
        ("the front left mug", Place(("front", "left"))),
        ("the second mug from the left", Place(("left",), 2)),
        ("the third from the right", Place(("right",), 3)),
        ("the 2nd one", Place((), 2)),
        ("the last mug", Place((), -1)),
        ("mug number 3", Place((), 3)),
        ("the biggest mug", Place((), 0, "big")),
        ("the little mug on the right", Place(("right",), 0, "small")),
        ("the mug on the top shelf", Place(("top",))),
        ("the mug at the upper left corner", Place(("top", "left"))),
        ("the lower right mug", Place(("bottom", "right"))),
        ("the mug in the middle of the table", Place(("middle",))),
        ("give me the mug right now", Place()),
        ("the mug to the left of the bowl", Place()),
        ("take the bottle in front of the box", Place()),
        ("bring back the mug", Place()),
    ],
)
def test_positions_are_kept_apart(text, place):
    assert parse_instruction(text).place == place


@pytest.mark.parametrize(
    "text, kind, phrase",
    [
        ("the mug next to the red bowl", "beside", "red bowl"),
        ("the cup left of the plate", "left_of", "plate"),
        ("the mug on the right side of the bowl", "right_of", "bowl"),
        ("the mug in front of the box", "in_front_of", "box"),
        ("the mug under the lamp", "below", "lamp"),
        ("the mug closest to the bowl", "beside", "bowl"),
        ("the mug on top of the box", "beside", "box"),
        ("the mug between two red bowls", "between", "red bowl"),
        ("the cup in between the plates", "between", "plate"),
    ],
)
def test_relations_name_the_other_thing(text, kind, phrase):
    request = parse_instruction(text)
    assert request.phrase in ("mug", "cup") and (request.relation.kind, request.relation.phrase) == (kind, phrase)


def test_between_names_two_things():
    request = parse_instruction("pick up the red block between the left cup and the glass please")
    assert (request.phrase, request.relation) == ("red block", Relation("between", "cup", "glass"))
    assert parse_instruction("the block between the cup and another cup").relation == Relation("between", "cup")
    assert parse_instruction("pick up the block among others").phrase == "block"


def test_every_instruction_of_the_simulator_is_understood():
    """The grammar of the rendered scenes: the noun comes back whatever is said around it, and so does the position."""
    for template in INSTRUCTIONS:
        for noun in {n for kind in CATEGORIES for n in NOUNS[kind]}:
            assert parse_instruction(template.format(n=f"red {noun}")).phrase == f"red {noun}", template
            for position, phrases in POSITION_PHRASES.items():
                for words in phrases:
                    request = parse_instruction(template.format(n=words.format(n=noun)))
                    assert (request.phrase, request.place.directions) == (noun, (position,)), template.format(n=words)
    for noun in {n for nouns in NOUNS.values() for n in nouns}:
        assert parse_instruction(f"hand me the red {noun} please").phrase == f"red {noun}"


@settings(deadline=None)
@given(st.text(max_size=80))
def test_any_text_gives_a_phrase_without_markup(text):
    request = parse_instruction("x " + text)
    assert request.phrase.strip() and not set("<>\n") & set(request.phrase)
    parse_description(text)


@settings(deadline=None)
@given(
    st.lists(
        st.sampled_from(
            "the a red left mug one on to of from and second please not me bowl big in front back "
            ", with "
            "that is hand put".split()
        ),
        max_size=14,
    )
)
def test_words_in_any_order_do_not_break_the_rules(words):
    request = parse_instruction(" ".join(["thing", *words]))
    assert request.phrase
    extract_place(" ".join(words))


@pytest.mark.parametrize(
    "place, kept",
    [
        (Place(("left",)), (0,)),
        (Place(("right",)), (2,)),
        (Place(("middle",)), (1,)),
        (Place(("left",), 2), (1,)),
        (Place(("right",), 1), (2,)),
        (Place((), 3), (2,)),
        (Place((), -1), (2,)),
        (Place((), 7), ()),
        (Place(), (0, 1, 2)),
    ],
)
def test_choosing_by_position(place, kept):
    assert choose(place, [LEFT, MIDDLE, RIGHT], SIZE) == kept


def test_near_ties_stay_undecided_and_sizes_count():
    near = Box(60, 300, 120, 380)
    assert choose(Place(("left",)), [LEFT, near, RIGHT], SIZE) == (0, 1)
    assert choose(Place(("front", "left")), [LEFT, near, RIGHT], SIZE) == (1,)
    assert choose(Place(("back",)), [BACK, FRONT], SIZE) == (0,)
    assert choose(Place(size="big"), [BACK, FRONT], SIZE) == (1,)
    assert choose(Place(("left",), 0, "small"), [BACK, FRONT, Box(500, 100, 560, 160)], SIZE) == (0,)


boxes = st.builds(
    lambda x, y, w, h: Box(x, y, x + w, y + h),
    st.integers(0, 560),
    st.integers(0, 400),
    st.integers(10, 80),
    st.integers(10, 80),
)


@settings(deadline=None)
@given(st.lists(boxes, max_size=7))
def test_position_names_differ_and_lead_back_to_their_box(found):
    names = position_names(found, SIZE)
    assert names == () or len(set(names)) == len(found)
    for n, name in enumerate(names):
        place, rest = extract_place(name)
        assert place and not rest
        x = sorted(b.center[0] / SIZE[0] for b in found)
        if min(b - a for a, b in zip(x, x[1:])) > MIN_GAP and name.split()[0] not in ("front", "back"):
            assert choose(place, found, SIZE) == (n,), name


@settings(deadline=None)
@given(
    st.lists(boxes, min_size=1, max_size=6),
    st.sampled_from(["left", "right", "front", "back", "middle", "top", "bottom"]),
)
def test_choosing_keeps_at_least_one(found, direction):
    kept = choose(Place((direction,)), found, SIZE)
    assert kept and set(kept) <= set(range(len(found)))


def test_what_lies_apart_in_depth_is_front_and_back():
    assert position_names([BACK, FRONT], SIZE) == ("back", "front")
    assert position_names([RIGHT, LEFT], SIZE) == ("right", "left")
    assert position_names([LEFT, MIDDLE, RIGHT], SIZE) == ("left", "middle", "right")
    assert position_names([LEFT, BACK, Box(312, 330, 370, 420)], SIZE) == ("left", "back right", "front right")
    assert position_names([LEFT, LEFT], SIZE) == () == position_names([LEFT], SIZE)
    assert placed("second from the left", "mug") == "the second mug from the left"


def test_relations_choose_the_nearest():
    bowl = Box(520, 300, 600, 360)
    assert related("beside", [LEFT, RIGHT], [bowl], SIZE) == (1,)
    assert related("left_of", [LEFT, RIGHT], [MIDDLE], SIZE) == (0,)
    assert related("right_of", [LEFT, RIGHT], [MIDDLE], SIZE) == (1,)
    assert related("beside", [LEFT, RIGHT], [], SIZE) == (0, 1)
    assert related("beside", [LEFT, bowl], [bowl], SIZE) == (0,)
    assert related("between", [LEFT, MIDDLE, RIGHT], [LEFT], SIZE, [RIGHT]) == (1,)
    assert related("between", [LEFT, MIDDLE, RIGHT], [LEFT, RIGHT], SIZE) == (1,)
    assert related("between", [LEFT, RIGHT], [MIDDLE], SIZE) == (0, 1), "one thing has no between"
