"""The belief over candidates: Bayes, pointing by click, box and scribble, numbers, and the embedded model behind
them.
"""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clue_ros.belief import marks, questions
from clue_ros.belief.belief import Belief, information_gain
from clue_ros.belief.grounder import BeliefGrounder
from clue_ros.belief.pointing import from_numbers, likelihoods, scribble
from clue_ros.belief.tracker import BeliefTracker
from clue_ros.dialogue.phrases import speaks_of_place
from clue_ros.geometry import box_iou
from clue_ros.language.questions import options
from clue_ros.testing.fake_grounder import Say, ScriptedGrounder
from clue_ros.types import Answer, Box, Decision, InvalidAnswerError, Outcome, Turn
from clue_ros.visualization.debug_image import draw_debug

LEFT, MIDDLE, RIGHT = Box(20, 40, 60, 80), Box(130, 40, 170, 80), Box(240, 40, 280, 80)
WIDTH = 320


@given(st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=8), st.lists(st.floats(0, 1e6), min_size=8, max_size=8))
def test_a_belief_sums_to_one_and_follows_bayes(weights, seen):
    belief = Belief.of([LEFT] * len(weights), weights)
    after = belief.updated(seen[: len(weights)])
    assert sum(after.probabilities) == pytest.approx(1)
    assert 0 <= after.entropy <= np.log2(len(weights)) + 1e-9
    if max(seen[: len(weights)]) <= 0:
        assert after == belief


def test_an_observation_moves_the_belief_by_its_likelihood_ratio():
    after = Belief.of([LEFT, RIGHT], [1, 3]).updated([0.9, 0.3])
    assert after.probabilities == pytest.approx((0.5, 0.5))
    ruled_out = Belief.of([LEFT, RIGHT]).updated([1, 0])
    assert 0 < ruled_out.probabilities[1] < 0.01  # people err: never quite ruled out
    assert Belief.of([RIGHT, LEFT], [3, 1]).ordered() == Belief.of([LEFT, RIGHT], [1, 3])
    assert Belief.of([LEFT, MIDDLE, RIGHT], [1, 97, 2]).likely(0.05, 5).boxes == (MIDDLE,)
    for weights in ([1], [1, -1], [1, float("nan")]):
        with pytest.raises(ValueError):
            Belief.of([LEFT, RIGHT], weights)


def test_information_gain_of_perfect_useless_and_noisy_answers():
    assert information_gain([0.5, 0.5], np.eye(2)) == pytest.approx(1)
    assert information_gain([0.25] * 4, np.ones((4, 1))) == pytest.approx(0)
    assert 0 < information_gain([0.5, 0.5], np.array([[0.9, 0.1], [0.1, 0.9]])) < 1


@given(st.floats(0, 320), st.floats(0, 240))
def test_a_click_means_the_nearest_of_equal_boxes(x, y):
    boxes = (LEFT, MIDDLE, RIGHT)
    best = int(np.argmax(likelihoods(Answer(point=(x, y)), boxes, WIDTH)))
    assert abs(boxes[best].center[0] - x) <= min(abs(b.center[0] - x) for b in boxes) + 1e-6


def test_a_click_in_nested_boxes_means_the_smaller_and_a_scribble_what_it_covers():
    outer, inner = Box(20, 20, 220, 220), Box(100, 100, 140, 140)
    assert likelihoods(Answer(point=(120, 120)), (outer, inner), WIDTH).argmax() == 1
    assert likelihoods(Answer(box=Box(25, 25, 215, 215)), (outer, inner), WIDTH).argmax() == 0
    assert likelihoods(scribble([(245, 50), (260, 70), (275, 52)]), (LEFT, MIDDLE, RIGHT), WIDTH).argmax() == 2
    assert from_numbers([1, 2]) == Answer(point=(1, 2))
    assert from_numbers([5, 6, 1, 2]) == Answer(box=Box(1, 2, 5, 6))
    assert from_numbers([1, 2, 3, 4, 5, 0]).box == Box(1, 0, 5, 4)
    for wrong in ([1], [1, 2, 3], [1, 2, 3, 4, 5], [1, 2, 3, 4, 5, float("nan")], [float("inf"), 1]):
        with pytest.raises(InvalidAnswerError):
            from_numbers(wrong)


@pytest.mark.parametrize(
    "said, number",
    [
        ("two", 2),
        ("2", 2),
        ("The second.", 2),
        ("the second one", 2),
        ("number two, please", 2),
        ("#3", 3),
        ("1st", 1),
        ("one", 1),
        ("number one", 1),
        ("the last one", 3),
        ("the first one", 1),
        ("I mean 3", 3),
        ("the one", None),
        ("this one", None),
        ("the one on the left", None),
        ("the second from the left", None),
        ("4", None),
        ("one or two", None),
        ("0", None),
        ("", None),
        ("the red one", None),
    ],
)
def test_numbers_that_an_answer_names(said, number):
    assert marks.number_said(said, 3) == number


def test_the_question_of_numbers_is_known_again():
    assert marks.question(3) == "Do you mean 1, 2 or 3?"
    assert [marks.asked_about(marks.question(n)) for n in range(1, 10)] == list(range(1, 10))
    assert marks.asked_about("Do you mean the red mug or the blue mug?") == 0
    with pytest.raises(ValueError):
        marks.question(10)


def test_words_that_need_a_gesture():
    assert speaks_of_place("the one here") and speaks_of_place("This one!")
    assert not speaks_of_place("the red mug")


def test_positions_settle_two_or_three_candidates():
    found = questions._of_places(Belief.of([RIGHT, LEFT, MIDDLE]), (320, 240), "mug")
    assert found.text == "Do you mean the left mug, the middle mug or the right mug?"
    assert found.answers[0].argmax() == 2 and 1 < found.bits < np.log2(3)
    behind = questions._of_places(Belief.of([Box(20, 20, 60, 60), Box(22, 150, 62, 190)]), (320, 240), "one")
    assert behind.text == "Do you mean the back one or the front one?"
    assert questions._of_places(Belief.of([LEFT, MIDDLE, RIGHT, LEFT]), (320, 240), "one") is None


class Colours:
    """A reader of three mugs, red, blue and red from left to right, whose model understands no answer at all."""

    def scores(self, image, words, boxes, turns=()):
        fits = {LEFT: "red", MIDDLE: "blue", RIGHT: "red"}
        return np.array([[0.0 if not turns and fits[box] in w.split() else -8.0 for box in boxes] for w in words])


MUGS, PICTURE = (LEFT, MIDDLE, RIGHT), SimpleNamespace(width=WIDTH, height=240)
THREE = "Do you mean the left mug, the middle mug or the right mug?"


@pytest.mark.parametrize("question, answer, left", [
    (THREE, "left", {0}), (THREE, "the middle one", {1}), (THREE, "not the left one", {1, 2}),
    (THREE, "not the right one , the leftmost one", {0}), (THREE, "no , not on the right", {0, 1}),
    (THREE, "the second one from the left", {1}), (THREE, "i do not know", None),
    ("Do you mean the red mug or the blue mug?", "the blue one please", {1}),
    ("Do you mean the red mug or the blue mug?", "i don't want the blue one", {0, 2}),
    ("Do you mean the red mug or the blue mug?", "no , the left one", {0}),
    (THREE, "the green one", None), (THREE, "the one next to the bowl", None), ("Which one?", "the left one", None),
    ("Do you mean the left mug or the red mug?", "the left one", None)])  # fmt: skip
def test_an_answer_among_what_was_offered_is_read_by_what_the_options_stand_for(question, answer, left):
    found = questions.heard(Colours(), PICTURE, "the mug", Turn(question, Answer(answer)), MUGS)
    if left is None:  # nothing that was offered: the model reads it
        assert found is None
    else:
        likely = found / found.max() > 0.5
        assert set(np.flatnonzero(likely).tolist()) == left


def test_the_belief_follows_such_an_answer_only_where_it_is_to():
    backbone = SimpleNamespace(without_unknown=lambda text: text)
    prior = Belief.of(MUGS)
    for knows, best in ((True, [1 / 2, 0, 1 / 2]), (False, [1 / 3] * 3)):
        tracker = BeliefTracker(backbone, Colours(), knows)
        after = tracker.belief(PICTURE, "the mug", [Turn(THREE, Answer("not the middle one"))], MUGS, prior=prior)
        assert after.probabilities == pytest.approx(best, abs=0.05)


def test_a_grounder_that_cannot_be_read_asks_by_numbers_and_understands_them():
    plain = ScriptedGrounder({"the mug": [Say.ask(candidates=(RIGHT, LEFT)), Say.found(MIDDLE)]})
    grounder = BeliefGrounder(plain, "numbers")
    image = grounder.encode(np.zeros((240, 320, 3), np.uint8))
    asked = grounder.ground(image, "the mug")
    assert asked.outcome is Outcome.ASK and asked.question == "Do you mean 1 or 2?"
    assert asked.candidates == (LEFT, RIGHT)
    chosen = grounder.ground(image, "the mug", [Turn(asked.question, Answer("the second one"))])
    assert chosen.outcome is Outcome.FOUND and chosen.box == RIGHT
    by_words = grounder.ground(image, "the mug", [Turn(asked.question, Answer("the red one"))])
    assert by_words.box == MIDDLE  # no number: the grounder itself reads it
    picture = draw_debug(image.rgb, asked, caption="")
    assert picture[int(LEFT.center[1]), int(LEFT.center[0]) - 9].max() < 40  # the plate of the number
    assert BeliefGrounder(plain).ground(image, "the mug").question == "Which one do you mean?"
    with pytest.raises(ValueError):
        BeliefGrounder(plain, "guess")


@pytest.mark.parametrize(
    "said, noun",
    [
        ("hand me the red mug", "mug"), ("the cup", "mug"), ("the dishes", "plate"), ("find the marker", "marker"),
        ("the toilet paper on the left", "toilet roll"), ("the orange mug", "mug"), ("the orange on top", "orange"),
        ("the orange one", None), ("the mug next to the plate", None), ("the one here", None),
    ],
)  # fmt: skip
def test_the_thing_that_an_instruction_names(said, noun):
    assert questions.noun_of(said) == noun


@pytest.fixture(scope="module")
def scene():
    """(embedded model, what it sees, objects, instruction that fits two) of one test scene."""
    from clue_ros.evaluation.belief_suite import ambiguous_instructions
    from clue_ros.grounder import Grounder

    grounder = Grounder.from_pretrained()
    asked = next(a for a in ambiguous_instructions(9, 2) if a.said.text.split()[-1] in questions.THINGS)
    return grounder, grounder.look(asked.rgb), asked


def test_with_the_learned_policy_it_is_the_grounder_itself(scene):
    grounder, seen, asked = scene
    own, wrapped = grounder.ground(seen, asked.said.text), BeliefGrounder(grounder).ground(seen, asked.said.text)
    assert (own.outcome, own.question, own.box, own.candidates) == (
        wrapped.outcome, wrapped.question, wrapped.box, wrapped.candidates)  # fmt: skip
    assert wrapped.belief == ()


def test_pointing_settles_it_in_an_answer_and_in_the_instruction(scene):
    grounder, seen, asked = scene
    believing = BeliefGrounder(grounder)
    boxes = tuple(o.box for o in asked.objects if o.box is not None)
    for n in asked.said.matches:
        target = asked.objects[n].box
        answered = believing.ground(seen, asked.said.text, [Turn("Which one?", Answer(point=target.center))])
        assert answered.outcome is Outcome.FOUND
        assert max(boxes, key=lambda box: box_iou(answered.box, box)) == target
        assert sum(answered.belief) == pytest.approx(1) and len(answered.belief) == len(answered.candidates)
        given = believing.ground(seen, "the one here", pointing=Answer(point=target.center), candidates=boxes)
        assert given.box == target
    for outside in (Answer(point=(seen.width + 1, 10)), Answer(box=Box(-9, 0, 40, 40))):
        with pytest.raises(InvalidAnswerError, match="outside"):
            believing.ground(seen, "the one here", pointing=outside)


def test_the_model_reads_scores_and_the_policy_asks_from_them(scene):
    grounder, seen, asked = scene
    believing = BeliefGrounder(grounder, "information_gain")
    decision = believing.ground(seen, asked.said.text, threshold=0.0)
    assert decision.outcome is Outcome.ASK and decision.question
    assert len(decision.belief) == len(decision.candidates) >= 1
    reader = believing._reasoner.reader
    boxes = [o.box for o in asked.objects if o.box is not None]
    noun = questions.noun_of(asked.said.text)
    scores = reader.scores(seen, [f"the {noun}"], boxes)[0]
    category = [o.category for o in asked.objects if o.box is not None]
    assert category[int(scores.argmax())] == noun  # what it scores best is what it is asked for
    # What the first option names is ruled out by its refusal.
    first = options(decision.question)[0]
    named, refused = (
        believing.ground(seen, asked.said.text, [Turn(decision.question, Answer(said))], may_ask=False)
        for said in (first, f"not {first}")
    )
    n = int(np.argmax(named.belief))
    assert named.belief[n] > 0.8 and refused.belief[n] < 0.2
    assert box_iou(named.box, named.candidates[n]) > 0.3 > box_iou(refused.box, named.candidates[n])
    # Side by side or one by one: the same numbers.
    both = reader.scores(seen, [f"the red {noun}", f"the blue {noun}"], boxes)
    assert np.allclose(both[1], reader.scores(seen, [f"the blue {noun}"], boxes)[0], atol=1e-3)


def test_boxes_without_area_stay_candidates_of_their_own():
    """A detector's empty box overlaps nothing, not even itself."""
    line, point = Box(5, 5, 5, 9), Box(3, 3, 3, 3)
    belief = Belief.of([line, LEFT, point, LEFT], [1, 3, 2, 2]).merged()
    assert belief.boxes == (LEFT, point, line) and belief.probabilities == pytest.approx((5 / 8, 2 / 8, 1 / 8))
    assert Belief.of([line, line]).merged().boxes in ((line, line), (line,))


@pytest.mark.parametrize("policy", ["learned", "numbers"])
def test_an_empty_candidate_of_another_system_is_none(policy):
    class Listening:
        capabilities, given = frozenset(), ()

        def ground(self, image, expression, turns=(), *, candidates=(), **_):
            self.given = candidates
            return Decision(Outcome.NOT_FOUND, expression, candidates=tuple(candidates))

    inner = Listening()
    empty, full = Box(5, 5, 5, 9), Box(1, 1, 9, 9)
    BeliefGrounder(inner, policy).ground(None, "the mug", candidates=[empty, full])
    assert inner.given == (full,)
    BeliefGrounder(inner, policy).ground(None, "the mug", candidates=[empty])
    assert inner.given == (empty,)  # still "one of these", of which none can be meant
