"""StockGrounder with scripted answers: what a mix checkpoint is documented to say."""

import math
import re

import numpy as np
import pytest
import torch

from clue_ros.geometry import box_iou
from clue_ros.location import box_to_bins, box_to_text
from clue_ros.perception.presence import ABSENT, THERE
from clue_ros.stock.grounder import StockGrounder
from clue_ros.types import Answer, Box, Cancelled, InvalidExpressionError, InvalidImageError, Outcome, Turn
from clue_ros.vlm.passes import Completion, EncodedImage, Likelihood
from clue_ros.vlm.settings import ClueSettings

IMAGE = np.random.default_rng(0).integers(0, 255, (480, 640, 3), dtype=np.uint8)
RED, BLUE, GREEN = Box(50, 200, 110, 280), Box(500, 205, 560, 285), Box(320, 200, 380, 280)


class ScriptedBackbone:
    """Stands in for a PaliGemma mix checkpoint: answers prompts from a table, in the format that Google documents. It
    knows where it looks (the crop's mean colour tells which thing it is), nothing else. Not a model."""

    def __init__(self, detections, colors=None, captions=None, presence=None, **settings):
        self.detections, self.colors, self.captions = detections, colors or {}, captions or {}
        self.presence = {**dict.fromkeys(THERE, 2.0), **dict.fromkeys(ABSENT, -4.0), **(presence or {})}
        self.settings, self.device, self.asked = ClueSettings(**settings), "cpu", []
        self.words = None

    def unknown_words(self, text):
        return ()

    def respelled(self, text):
        return text

    def encode(self, rgb):
        return EncodedImage(torch.tensor([rgb.shape[1], rgb.shape[0], int(rgb[0, 0, 0])]), rgb.shape[1], rgb.shape[0])

    def look(self, image):
        pass

    def attention_map(self, image, prefix):
        return torch.linspace(0, 1, 64).reshape(8, 8)

    def complete(self, image, prefix, limit=64, should_stop=None, adapter=None, ends_from=0.0):
        if should_stop is not None and should_stop():
            raise Cancelled("stopped on request")
        self.asked.append(prefix)
        if prefix.startswith("detect "):
            tokens, certainty, text = [], [], ""
            for n, (box, sure) in enumerate(self.detections.get(prefix[7:], ())):
                tokens += [7] * bool(n) + [1000 + b for b in box_to_bins(box, 640, 480)] + [8]
                certainty += [1.0] * bool(n) + [sure] * 4 + [1.0]
                text += " ; " * bool(n) + box_to_text(box, 640, 480) + " thing"
            bins = tuple(t - 1000 if t >= 1000 else -1 for t in tokens)
            return Completion(text, tuple(tokens), bins, tuple(certainty), 1.0, (0.0,) * len(tokens))
        table = self.captions if prefix == "caption en" else self.colors
        return Completion(table.get(int(image.features[2]), "unanswerable"), (9,), (-1,), (1.0,))

    def likelihoods(self, image, prefix, suffixes, adapter=None):
        """`presence`: log-odds of yes by what is asked about, None for a model that says something else; 3 for all
        else."""
        self.asked.append(prefix)
        odds = self.presence.get(re.search(r"(?:is there an?|are there) (.*)\?", prefix)[1], 3.0)
        yes = 1 / (1 + math.exp(-odds)) if odds is not None else 0.0
        said = {"yes": yes, "no": 1 - yes if odds is not None else 0.0}
        return [Likelihood(math.log(max(said.get(text, 0.0), 1e-30)), 2) for text in suffixes]


def painted(*things):
    """uint8[480,640,3]: the margin around each box carries a number of its own, by which the script knows the crop."""
    image = np.zeros((480, 640, 3), np.uint8)
    for number, box in enumerate(things, 1):
        image[int(box.y0) - 20 : int(box.y1) + 20, int(box.x0) - 20 : int(box.x1) + 20] = number
    return image


TWO = {"mug": [(RED, 0.9), (BLUE, 0.8)], "red mug": [(RED, 0.9)], "blue mug": [(BLUE, 0.9)], "bowl": [(GREEN, 0.7)]}


@pytest.fixture
def grounder():
    return StockGrounder(ScriptedBackbone(TWO, {1: "red", 2: "Blue."}))


@pytest.fixture
def scene(grounder):
    return grounder.encode(painted(RED, BLUE))


def same(box, other):
    return box is not None and box_iou(box, other) > 0.9


def test_two_boxes_become_a_question_about_their_colours(grounder, scene):
    decision = grounder.ground(scene, "hand me the mug, please")
    assert decision.outcome is Outcome.ASK and decision.question == "Do you mean the red mug or the blue mug?"
    assert decision.ambiguity.is_ambiguous and decision.box is None
    assert len(decision.candidates) == len(decision.ambiguity.regions) == 2
    assert {"image", "detect", "describe", "map"} <= set(decision.latency_s)


@pytest.mark.parametrize(
    "reply, box",
    [
        ("the blue one", BLUE),
        ("red", RED),
        ("not the red one", BLUE),
        ("the left one", RED),
        ("no, the blue one", BLUE),
    ],
)
def test_a_reply_settles_it(grounder, scene, reply, box):
    asked = grounder.ground(scene, "the mug")
    decision = grounder.ground(scene, "the mug", [Turn(asked.question, Answer(reply))])
    assert decision.outcome is Outcome.FOUND and same(decision.box, box) and 0 < decision.confidence <= 1
    assert not decision.ambiguity.is_ambiguous and len(decision.candidates) == 1


def test_what_was_asked_once_is_not_asked_again(grounder, scene):
    asked = grounder.ground(scene, "the mug")
    before = list(grounder.backbone.asked)
    grounder.ground(scene, "the mug", [Turn(asked.question, Answer("the blue one"))])
    assert grounder.backbone.asked == before


@pytest.mark.parametrize(
    "answer, box",
    [
        (Answer(point=(530.0, 240.0)), BLUE),
        (Answer("this", point=(10.0, 10.0)), RED),
        (Answer(box=Box(480, 200, 570, 300)), BLUE),
    ],
)
def test_a_click_or_a_drawn_box_chooses(grounder, scene, answer, box):
    decision = grounder.ground(scene, "the mug", [Turn("Which one?", answer)], min_confidence=0.99)
    assert decision.outcome is Outcome.FOUND and same(decision.box, box)


def test_positions_and_attributes_in_the_instruction_need_no_question(grounder, scene):
    for words, box in (
        ("the left mug", RED),
        ("the mug on the right", BLUE),
        ("give me the second mug from the left", BLUE),
        ("the red mug", RED),
        ("the mug next to the bowl", BLUE),
    ):
        decision = grounder.ground(scene, words)
        assert decision.outcome is Outcome.FOUND and same(decision.box, box), words


def test_nothing_there_is_not_found(grounder, scene):
    decision = grounder.ground(scene, "the banana")
    assert decision.outcome is Outcome.NOT_FOUND and decision.box is None and decision.candidates == ()
    refused = grounder.ground(scene, "the mug", [Turn("Do you mean the red mug or the blue mug?", Answer("neither"))])
    assert refused.outcome is Outcome.NOT_FOUND


def test_a_correction_is_looked_for(grounder, scene):
    decision = grounder.ground(
        scene, "the mug", [Turn("Do you mean the red mug or the blue mug?", Answer("no, the bowl"))]
    )
    assert decision.outcome is Outcome.FOUND and same(decision.box, GREEN)


def test_useless_replies_lead_to_positions_and_then_to_one_thing_at_a_time(grounder, scene):
    turns, questions = [], []
    for reply in ("i do not know", "what", "no"):
        decision = grounder.ground(scene, "the mug", turns)
        questions.append(decision.question)
        turns.append(Turn(decision.question, Answer(reply)))
    assert questions == [
        "Do you mean the red mug or the blue mug?",
        "Do you mean the left mug or the right mug?",
        "Do you mean the red mug?",
    ]
    last = grounder.ground(scene, "the mug", turns)
    assert last.outcome is Outcome.FOUND and same(last.box, BLUE)


def test_captions_where_colours_are_the_same_and_positions_where_nothing_helps():
    by_caption = StockGrounder(
        ScriptedBackbone(TWO, {1: "red", 2: "red"}, {1: "a red tea cup on a table", 2: "a travel mug"})
    )
    assert by_caption.ground(painted(RED, BLUE), "the mug").question == "Do you mean the red tea cup or the travel mug?"
    by_place = StockGrounder(ScriptedBackbone(TWO))
    assert by_place.ground(painted(RED, BLUE), "the mug").question == "Do you mean the left mug or the right mug?"


def test_a_colour_in_the_instruction_is_checked_on_each_candidate():
    grounder = StockGrounder(ScriptedBackbone({"red mug": [(BLUE, 0.9), (RED, 0.8)]}, {1: "red", 2: "blue"}))
    decision = grounder.ground(painted(RED, BLUE), "the red mug")
    assert decision.outcome is Outcome.FOUND and same(decision.box, RED)


def test_many_candidates_are_counted_and_not_described():
    many = [Box(x, 200, x + 60, 280) for x in range(20, 620, 100)]
    grounder = StockGrounder(ScriptedBackbone({"mug": [(b, 0.9) for b in many]}, {0: "red"}))
    decision = grounder.ground(IMAGE, "the mug")
    assert decision.question.startswith("I see 6 things") and not any("color" in p for p in grounder.backbone.asked)
    found = grounder.ground(IMAGE, "the mug", [Turn(decision.question, Answer("the third from the left"))])
    assert same(found.box, many[2])


def test_policy_knobs(grounder, scene):
    guess = grounder.ground(scene, "the mug", may_ask=False)
    assert guess.outcome is Outcome.FOUND and same(guess.box, RED) and guess.ambiguity.is_ambiguous
    assert grounder.ground(scene, "the mug", threshold=0.99).outcome is Outcome.FOUND
    unsure = grounder.ground(scene, "the bowl", min_confidence=0.8)
    assert unsure.outcome is Outcome.ASK and unsure.question == "Do you mean the bowl in the middle?"
    for reply, outcome in (("yes", Outcome.FOUND), ("no", Outcome.NOT_FOUND)):
        again = grounder.ground(scene, "the bowl", [Turn(unsure.question, Answer(reply))], min_confidence=0.8)
        assert again.outcome is outcome


def test_boxes_of_another_system_are_the_answer(grounder, scene):
    given_boxes = [Box(40, 190, 120, 290), Box(490, 195, 570, 295)]
    assert grounder.ground(scene, "the left mug", candidates=given_boxes).box == given_boxes[0]
    assert grounder.ground(scene, "the mug", candidates=given_boxes[:1]).box == given_boxes[0]
    elsewhere = grounder.ground(scene, "the mug", candidates=[Box(0, 0, 20, 20)])
    assert elsewhere.outcome is Outcome.NOT_FOUND and elsewhere.box is None


def test_cancelling_and_bad_input(grounder, scene):
    with pytest.raises(Cancelled):
        grounder.ground(scene, "the mug", should_stop=lambda: len(grounder.backbone.asked) >= 2)
    assert len(grounder.backbone.asked) == 2
    with pytest.raises(InvalidExpressionError):
        grounder.ground(scene, " ")
    with pytest.raises(InvalidImageError):
        grounder.ground(None, "the mug")
    with pytest.raises(InvalidExpressionError, match="start a new one"):
        grounder.ground(scene, "the mug", [Turn("which one?", Answer("the red one"))] * 2000)


def test_an_answer_in_words_is_tried_again_with_the_whole_instruction():
    class Chatty(ScriptedBackbone):
        says = "which mug do you mean?"

        def complete(self, image, prefix, limit=64, should_stop=None, adapter=None, ends_from=0.0):
            if prefix == "detect mug":
                return Completion(self.says, (1, 2), (-1, -1), (1.0, 1.0), 1.0, (0.0, 0.0))
            return super().complete(image, prefix, limit, should_stop, adapter)

    grounder = StockGrounder(Chatty({"get the mug": [(RED, 0.9)]}))
    assert same(grounder.ground(IMAGE, "get the mug").box, RED)
    for nothing in ("no mug", "No.", "there is no mug", "I can't see any mug", "none", "not found"):
        Chatty.says = nothing
        assert grounder.ground(IMAGE, "get the mug").outcome is Outcome.NOT_FOUND, nothing
    for words in ("notebook", "not sure", "nobody knows", "there is a mug"):
        Chatty.says = words
        assert same(grounder.ground(IMAGE, "get the mug").box, RED), words


@pytest.mark.parametrize(
    "questions, asked", [("prefixed", "answer en is there a kettle?"), ("open", "is there a kettle?")]
)
def test_what_the_model_denies_when_asked_is_not_found(questions, asked):
    """The floor is 1 below even odds, half way between what it says of our shapes and of what they are not."""
    for odds, outcome in ((-3.0, Outcome.NOT_FOUND), (-1.1, Outcome.NOT_FOUND), (-0.9, Outcome.FOUND)):
        backbone = ScriptedBackbone({"kettle": [(RED, 0.8)]}, presence={"kettle": odds}, questions=questions)
        grounder = StockGrounder(backbone)
        image = grounder.encode(IMAGE)
        decision = grounder.ground(image, "the kettle")
        assert decision.outcome is outcome and backbone.asked.count(asked) == 1
        assert decision.confidence < 0.8 and grounder.ground(image, "the kettle").outcome is outcome
        assert backbone.asked.count(asked) == 1
        doubt = grounder.ground(image, "the kettle", min_confidence=0.7)
        assert doubt.outcome is (Outcome.ASK if outcome is Outcome.FOUND else outcome)


def test_the_floor_is_measured_once_a_model_or_stated():
    backbone = ScriptedBackbone(TWO)
    grounder = StockGrounder(backbone)
    grounder.warm_up()
    assert sum("circle" in asked for asked in backbone.asked) == 1
    grounder.ground(IMAGE, "the bowl")
    assert sum("circle" in asked for asked in backbone.asked) == 1
    stated = ScriptedBackbone(TWO, presence={"bowl": 1.0})
    stated.settings = ClueSettings(presence=(2.0,))
    assert StockGrounder(stated).ground(IMAGE, "the bowl").outcome is Outcome.NOT_FOUND
    assert not any("circle" in asked for asked in stated.asked)


@pytest.mark.parametrize(
    "presence",
    [
        dict.fromkeys((*THERE, *ABSENT), 5.0),  # says yes to everything
        dict.fromkeys((*THERE, *ABSENT), -5.0),
        dict.fromkeys((*THERE, *ABSENT)),  # "unanswerable"
    ],
)
def test_a_model_that_cannot_tell_what_is_there_is_not_believed(presence):
    grounder = StockGrounder(ScriptedBackbone(TWO, presence={**presence, "bowl": -9.0}))
    assert grounder.ground(IMAGE, "the bowl").outcome is Outcome.FOUND


def test_a_refusal_to_say_whether_it_is_there_changes_nothing():
    grounder = StockGrounder(ScriptedBackbone(TWO, presence={"bowl": None}))
    assert grounder.ground(IMAGE, "the bowl").outcome is Outcome.FOUND


def test_a_correction_to_what_is_not_there_is_not_believed(scene):
    backbone = ScriptedBackbone({**TWO, "kettle": [(GREEN, 0.9)]}, {1: "red", 2: "Blue."}, presence={"kettle": -6.0})
    turns = [Turn("Do you mean the red mug or the blue mug?", Answer("no, the kettle"))]
    assert StockGrounder(backbone).ground(scene, "the mug", turns).outcome is Outcome.NOT_FOUND
