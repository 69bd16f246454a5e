"""Instructions that name taught things, on drawn pictures: a model that knows cups, boxes and a table's words."""

import numpy as np
import pytest
from coloured_sight import BLUE, GREEN, RED, ColourSight, CupBackbone, drawn
from grounder_contract import PROMISES

from clue_ros.geometry import box_iou
from clue_ros.seams import Capability, MissingCapabilityError
from clue_ros.stock.grounder import StockGrounder
from clue_ros.taught.grounder import NoEyesError, TaughtGrounder
from clue_ros.taught.refusals import NameRefusedError, NothingToTeachError
from clue_ros.taught.store import TaughtStore
from clue_ros.testing.fake_grounder import ScriptedGrounder
from clue_ros.types import Answer, Box, Outcome, Turn

DARK_RED = (170, 30, 30)
LEFT_CUP, RIGHT_CUP = Box(10, 150, 40, 190), Box(270, 150, 300, 190)


@pytest.fixture
def grounder(sight, tmp_path):
    made = TaughtGrounder.around(StockGrounder(CupBackbone(sight)), tmp_path / "taught")
    shown(made, "my thermos", RED)
    return made


def shown(grounder, name, colour):
    grounder.teach(drawn((colour, 100, 60, 150, 150)), name, Answer(box=Box(100, 60, 150, 150)))


def same(box, other):
    return box is not None and box_iou(box, Box(*other)) > 0.9


ONE = drawn((RED, 60, 60, 100, 120), (BLUE, 200, 60, 260, 140))
TWO = drawn((RED, 60, 60, 100, 120), (DARK_RED, 200, 60, 260, 140))


def test_a_taught_thing_is_found_by_its_name_without_the_decoder(grounder):
    for words in ("hand me my thermos, please", "Hand me THE THERMOS", "my thermos"):
        decision = grounder.ground(ONE, words)
        assert decision.outcome is Outcome.FOUND and same(decision.box, (60, 60, 100, 120))
        assert decision.expression == words and decision.confidence > 0.5
    assert not grounder.backbone.asked
    grid = decision.ambiguity.attention_map
    assert grid[5, 4] == 1 and grid[:, 8:].max() == 0  # it, and none of its neighbours


def test_what_is_not_there_is_not_found(grounder):
    decision = grounder.ground(drawn((BLUE, 200, 60, 260, 140), (GREEN, 20, 20, 60, 60)), "my thermos")
    assert decision.outcome is Outcome.NOT_FOUND and decision.ambiguity.attention_map.max() == 0


def test_of_two_it_asks_and_takes_the_answer(grounder):
    asked = grounder.ground(TWO, "hand me my thermos")
    assert asked.outcome is Outcome.ASK and len(asked.candidates) == 2
    assert asked.question == "Do you mean the left thermos or the right thermos?"
    for answer, box in (("the right one", (200, 60, 260, 140)), ("left", (60, 60, 100, 120))):
        decision = grounder.ground(TWO, "hand me my thermos", [Turn(asked.question, Answer(answer))])
        assert decision.outcome is Outcome.FOUND and same(decision.box, box)
    clicked = grounder.ground(TWO, "my thermos", [Turn(asked.question, Answer(point=(220, 100)))])
    assert same(clicked.box, (200, 60, 260, 140))
    assert same(grounder.ground(TWO, "my thermos", pointing=Answer(point=(80, 100))).box, (60, 60, 100, 120))
    assert grounder.ground(TWO, "my thermos", may_ask=False).outcome is Outcome.FOUND


def test_what_it_is_less_sure_of_than_wanted_is_asked_about(grounder):
    asked = grounder.ground(ONE, "my thermos", min_confidence=0.99)
    assert asked.outcome is Outcome.ASK and asked.question == "Do you mean the red thermos?"
    yes = grounder.ground(ONE, "my thermos", [Turn(asked.question, Answer("yes"))], min_confidence=0.99)
    assert yes.outcome is Outcome.FOUND
    no = grounder.ground(ONE, "my thermos", [Turn(asked.question, Answer("no"))], min_confidence=0.99)
    assert no.outcome is Outcome.NOT_FOUND


def test_positions_colours_and_other_things_choose(grounder):
    assert same(grounder.ground(TWO, "the left thermos").box, (60, 60, 100, 120))
    cups = drawn((RED, 150, 60, 190, 120), (GREEN, *LEFT_CUP), (GREEN, *RIGHT_CUP))
    assert same(grounder.ground(cups, "the cup left of my thermos").box, LEFT_CUP)
    assert same(grounder.ground(cups, "the cup to the right of my thermos").box, RIGHT_CUP)
    assert same(grounder.ground(cups, "my thermos next to the cup").box, (150, 60, 190, 120))
    assert same(grounder.ground(cups, "the thing left of my thermos").box, LEFT_CUP)
    shown(grounder, "part 17", BLUE)
    both = drawn((RED, 60, 60, 100, 120), (BLUE, 200, 60, 260, 140), (BLUE, 10, 60, 40, 140))
    assert same(grounder.ground(both, "part 17 right of my thermos").box, (200, 60, 260, 140))


def test_a_colour_chooses_among_things_of_one_name(grounder):
    shown(grounder, "my thermos", BLUE)  # a second view: it has a blue side
    both = drawn((RED, 60, 60, 100, 120), (BLUE, 200, 60, 260, 140))
    assert grounder.ground(both, "my thermos").question == "Do you mean the red thermos or the blue thermos?"
    assert same(grounder.ground(both, "the blue thermos").box, (200, 60, 260, 140))


def test_a_thing_beside_a_taught_one_that_is_absent_is_not_guessed(grounder):
    cups = drawn((GREEN, *LEFT_CUP), (GREEN, *RIGHT_CUP))
    assert grounder.ground(cups, "the cup left of my thermos").outcome is Outcome.NOT_FOUND


def test_other_words_go_to_the_model_call_for_call(grounder):
    image = drawn((RED, 150, 60, 190, 120), (GREEN, *LEFT_CUP))
    plain = StockGrounder(CupBackbone(ColourSight())).ground(image, "the cup")
    decision = grounder.ground(image, "the cup")
    assert (decision.outcome, decision.box, decision.candidates) == (plain.outcome, plain.box, plain.candidates)
    assert np.array_equal(decision.ambiguity.attention_map, plain.ambiguity.attention_map)
    unknown = grounder.ground(image, "my thermos next to the gizmo")
    assert unknown.outcome is Outcome.UNKNOWN_WORDS and unknown.unknown_words == ("gizmo",)


def test_what_another_program_teaches_or_forgets_counts_at_once(grounder):
    assert grounder.ground(ONE, "the gadget").outcome is Outcome.UNKNOWN_WORDS
    other = TaughtStore(grounder.memory.store.folder)
    other.add("gadget", other.view(other.things[0].views[0]))
    other.forget("my thermos")
    assert same(grounder.ground(ONE, "the gadget").box, (60, 60, 100, 120))
    assert grounder.ground(ONE, "my thermos").outcome is Outcome.UNKNOWN_WORDS


def test_a_click_teaches_the_thing_under_it(grounder):
    thing, box = grounder.teach(ONE, "part 17", Answer(point=(230, 100)))
    assert same(box, (200, 60, 260, 140)) and thing.name == "part 17"
    with pytest.raises(NothingToTeachError, match="150 20"):
        grounder.teach(ONE, "part 18", Answer(point=(150, 20)))
    with pytest.raises(NameRefusedError, match="already knows"):
        grounder.teach(ONE, "red cup", Answer(point=(230, 100)))


def test_several_names_in_one_instruction_are_asked_about_by_their_names(grounder):
    shown(grounder, "part 17", BLUE)
    asked = grounder.ground(ONE, "hand me my thermos and part 17")
    assert asked.outcome is Outcome.ASK and len(asked.candidates) == 2
    assert asked.question == "Do you mean your thermos or part 17?"
    for answer, box in (("my thermos", (60, 60, 100, 120)), ("part 17 please", (200, 60, 260, 140))):
        decision = grounder.ground(ONE, "hand me my thermos and part 17", [Turn(asked.question, Answer(answer))])
        assert decision.outcome is Outcome.FOUND and same(decision.box, box)
    alone = drawn((BLUE, 200, 60, 260, 140))
    assert same(grounder.ground(alone, "part 17 or my thermos").box, (200, 60, 260, 140))
    cups = (GREEN, 130, 60, 170, 120), (GREEN, 5, 200, 30, 230)
    between = drawn((RED, 20, 60, 60, 120), (BLUE, 250, 60, 300, 140), *cups)
    assert same(grounder.ground(between, "the cup between my thermos and part 17").box, (130, 60, 170, 120))


def test_questions_about_a_taught_thing_are_answered_with_its_box(grounder):
    said = grounder.chat(ONE, "Where is my thermos?")
    assert said.text.startswith("Your thermos is ") and same(said.phrases[0].box, (60, 60, 100, 120))
    assert grounder.chat(ONE, "do you see the thermos?").text == "Yes, I see your thermos."
    assert grounder.chat(ONE, "what colour is my thermos").text == "Your thermos is red."
    assert grounder.chat(TWO, "how many thermoses, like my thermos, are there?").text == "I see 2 thermoses."
    assert grounder.chat(drawn((BLUE, 9, 9, 60, 60)), "is there my thermos?").text == "No, I do not see your thermos."


def test_without_a_gesture_the_only_thing_is_taught(grounder):
    thing, box = grounder.teach(drawn((GREEN, *LEFT_CUP)), "grandma's cup", None)
    assert thing.name == "grandma's cup" and same(box, LEFT_CUP)
    with pytest.raises(NothingToTeachError, match="2 things"):
        grounder.teach(ONE, "part 18", None)


def test_another_question_policy_knows_the_same_things(grounder):
    other = grounder.asking("numbers")
    shown(grounder, "part 17", BLUE)
    assert same(other.ground(ONE, "part 17").box, (200, 60, 260, 140))
    assert Capability.TAUGHT in other.capabilities


def test_with_the_policy_numbers_it_asks_in_numbers_and_takes_one(grounder):
    other = grounder.asking("numbers")
    asked = other.ground(TWO, "hand me my thermos")
    assert asked.outcome is Outcome.ASK and asked.question == "Do you mean 1 or 2?"
    for answer, box in (("two", (200, 60, 260, 140)), ("number 1", (60, 60, 100, 120))):
        decision = other.ground(TWO, "hand me my thermos", [Turn(asked.question, Answer(answer))])
        assert decision.outcome is Outcome.FOUND and same(decision.box, box)
    said = other.ground(TWO, "hand me my thermos", [Turn(asked.question, Answer("the right one"))])
    assert said.outcome is Outcome.FOUND and same(said.box, (200, 60, 260, 140))
    assert grounder.ground(TWO, "hand me my thermos").question == "Do you mean the left thermos or the right thermos?"


def test_a_picture_is_looked_at_once(grounder, monkeypatch):
    looked = []
    things = ColourSight.things
    monkeypatch.setattr(ColourSight, "things", lambda self, rgb: looked.append(1) or things(self, rgb))
    seen = grounder.look(ONE)
    for words in ("my thermos", "the left thermos", "the thing right of my thermos"):
        grounder.ground(seen, words)
    assert len(looked) == 1


def test_a_model_without_eyes_says_what_is_needed(tmp_path):
    with pytest.raises(NoEyesError, match="eyes.safetensors"):
        TaughtGrounder.around(StockGrounder(CupBackbone(None)), tmp_path)
    assert TaughtGrounder.around(StockGrounder(CupBackbone(None)), tmp_path, ColourSight()).memory.things == ()
    blind = ColourSight()
    blind.glances = 0
    with pytest.raises(NoEyesError, match="glances is 0"):
        TaughtGrounder.around(StockGrounder(CupBackbone(blind)), tmp_path)
    with pytest.raises(MissingCapabilityError):
        TaughtGrounder.around(ScriptedGrounder({}), tmp_path)


@pytest.mark.parametrize("promise", PROMISES, ids=lambda p: p.__name__)
def test_it_keeps_the_promises_of_a_grounder(grounder, promise):
    promise(grounder)
