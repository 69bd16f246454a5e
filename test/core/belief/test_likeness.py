"""The words "another one like this": the rule over what the model sees, refusals, and the embedded model on rendered
scenes.
"""

import types

import numpy as np
import pytest

from clue_ros.belief.grounder import BeliefGrounder
from clue_ros.belief.likeness import things_alike
from clue_ros.dialogue.phrases import speaks_of_likeness
from clue_ros.perception.inventory import Thing
from clue_ros.seams import Capability
from clue_ros.stock.grounder import StockGrounder
from clue_ros.types import Answer, Box, InvalidExpressionError, Outcome, Turn
from clue_ros.vlm.settings import ClueSettings

WIDTH = 320


def thing(color, category, x):
    return Thing(category, color, Box(x, 100, x + 30, 140), 0.8)


RED_MUG, OTHER_RED_MUG, BLUE_MUG, RED_BALL = (
    thing("red", "mug", 10),
    thing("red", "mug", 110),
    thing("blue", "mug", 210),
    thing("red", "ball", 260),
)
TABLE = (RED_MUG, OTHER_RED_MUG, BLUE_MUG, RED_BALL)


def at(it):
    return Answer(point=it.box.center)


@pytest.mark.parametrize(
    "said, speaks",
    [
        ("another one like this", True),
        ("the one like that one please", True),
        ("Something similar to this!", True),
        ("the same as this one", True),
        ("give me a blue one just like that", True),
        ("the one here", False),
        ("i would like the mug", False),
        ("i would like this one", False),
        ("I'd like that one", False),
        ("I like it", False),
        ("the mug that looks like a ball", False),
    ],
)
def test_words_that_ask_for_something_alike(said, speaks):
    assert speaks_of_likeness(said) == speaks


@pytest.mark.parametrize("said, pointed, words, meant", [
    ("another one like this", RED_MUG, "the red mug", (OTHER_RED_MUG,)),
    ("give me another one like this please", BLUE_MUG, "give me the mug please", (RED_MUG, OTHER_RED_MUG)),
    ("a blue one like this", RED_MUG, "the blue mug", (BLUE_MUG,)),
    ("a green one like this", RED_MUG, "the green mug", ()),
    ("the cup like this", RED_BALL, "the red mug", (RED_MUG, OTHER_RED_MUG)),
    ("like this", RED_BALL, "the ball", ()),
])  # fmt: skip
def test_what_is_alike_is_the_same_kind_and_colour_and_else_the_same_kind(said, pointed, words, meant):
    alike = things_alike(TABLE, said, at(pointed), WIDTH)
    assert alike.words == words and alike.example == pointed.box
    assert alike.belief.boxes == tuple(it.box for it in meant) and alike.confidences == (0.8,) * len(meant)


def test_where_nothing_is_known_nothing_is_alike():
    assert things_alike(TABLE, "like this", Answer(point=(160, 10)), WIDTH) is None
    nameless = thing("red", "", 60)
    assert things_alike((*TABLE, nameless), "another one like this", at(nameless), WIDTH) is None
    named = things_alike((*TABLE, nameless), "another mug like this", at(nameless), WIDTH)
    assert named.belief.boxes == (RED_MUG.box, OTHER_RED_MUG.box)


def test_a_box_around_the_example_and_another_systems_boxes():
    drawn = Answer(box=Box(100, 90, 145, 150))
    assert things_alike(TABLE, "another one like this", drawn, WIDTH).belief.boxes == (RED_MUG.box,)
    theirs = (Box(12, 98, 42, 141), Box(212, 101, 239, 139))  # of the red and of the blue mug
    assert things_alike(TABLE, "another one like this", drawn, WIDTH, theirs).belief.boxes == theirs[:1]


def test_models_that_have_no_list_of_kinds_say_so():
    blank = np.zeros((48, 64, 3), np.uint8)
    with pytest.raises(InvalidExpressionError, match="like"):
        StockGrounder.ground(types.SimpleNamespace(), blank, "another one like this")
    open_words = types.SimpleNamespace(
        backbone=types.SimpleNamespace(settings=ClueSettings(detector="joint", dialogue_adapter="")),
        vocabulary=None,
        capabilities={Capability.BELIEF},
        encode=lambda image: types.SimpleNamespace(width=64, height=48),
    )
    with pytest.raises(InvalidExpressionError, match="like this"):
        BeliefGrounder(open_words).ground(blank, "another one like this", pointing=Answer(point=(1, 1)))


def test_the_embedded_model_on_rendered_scenes(capsys):
    """Eight scenes of a seed that nothing was chosen on; `clue evaluate likeness` measures more of them."""
    from clue_ros.evaluation import likeness_suite
    from clue_ros.geometry import box_iou
    from clue_ros.grounder import Grounder

    grounder = Grounder.from_pretrained()
    believing, numbering, rows, answered = BeliefGrounder(grounder), BeliefGrounder(grounder, "numbers"), [], []
    for number, rgb, chosen in likeness_suite.drawn(8, seed=411):
        seen = grounder.look(rgb)
        for example in chosen:
            row = likeness_suite.judged(believing, seen, example)
            rows.append({"scene": number, "case": example.case, **row})
            if row["outcome"] == "ask" and row["right"] and len(answered) < 2:
                # The person points at one of those that are alike: it is taken, and the example is not.
                turns = [Turn(row["question"], Answer(point=example.alike[0].center))]
                decision = believing.ground(
                    seen, likeness_suite.EXPRESSION, turns, pointing=Answer(point=example.point)
                )
                assert 0 < decision.confidence < 1
                answered.append(decision.outcome is Outcome.FOUND and box_iou(decision.box, example.alike[0]) >= 0.5)
                numbered = numbering.ground(seen, likeness_suite.EXPRESSION, pointing=Answer(point=example.point))
                turns = [Turn(numbered.question, Answer("the second one"))]
                second = numbering.ground(seen, likeness_suite.EXPRESSION, turns, pointing=Answer(point=example.point))
                assert second.outcome is Outcome.FOUND and second.box == numbered.candidates[1]
    line = likeness_suite.summary(rows)[-1]
    with capsys.disabled():
        print(
            f"\nlike this: {line['right']:.0%} right of {line['count']} in {line['scenes']} scenes, answers {answered}"
        )
    assert line["count"] >= 12 and all(row["outcome"] != "error" for row in rows)
    assert line["right"] >= 0.5, rows  # a guess among the things of a scene would be right for less than a quarter
    assert any(answered)
