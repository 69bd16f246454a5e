"""The tabletop grammar: what expressions select, how they are worded, and what people answer."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clue_ros.simulation import paraphrases
from clue_ros.simulation.answers import negative, refusal, reply
from clue_ros.simulation.person import SimulatedPerson
from clue_ros.simulation.projection import foresee
from clue_ros.simulation.queries import missed, scene_states
from clue_ros.simulation.question_reading import offered
from clue_ros.simulation.referring import Reference, absent_references, draw_kinds, enumerate_references, resolve
from clue_ros.simulation.scene import ImageSize, SceneObject
from clue_ros.simulation.scene_draw import sample_scene
from clue_ros.simulation.teacher import best_question, sample_dialogue
from clue_ros.simulation.utterances import FILLERS
from clue_ros.simulation.words import all_words
from clue_ros.types import Box

SIZE = ImageSize(320, 240)


def thing(category, color, x, y=120.0, side=30.0, size="medium"):
    return SceneObject(
        category, color, size, (0, 0, 0), 0.0, (0, 0, 0), box=Box(x, y, x + side, y + side), visibility=1.0, pixels=700
    )


MUGS = (thing("mug", "red", 200), thing("mug", "red", 20), thing("mug", "blue", 100), thing("bowl", "red", 280))
BESIDE = (
    thing("mug", "red", 40),
    thing("mug", "red", 220),
    thing("bowl", "blue", 80),
    thing("box", "white", 180),
    thing("ball", "blue", 140, 20),
)
BOWL = Reference("bowl")


def scene_of(seed):
    rng = np.random.default_rng(seed)
    return foresee(sample_scene(rng), SIZE.width, SIZE.height), rng


def test_sizes_are_relative_to_the_rivals():
    pair = (thing("mug", "red", 20, side=24, size="small"), thing("mug", "blue", 100), thing("bowl", "red", 200))
    assert resolve(Reference("mug", size="small"), pair, SIZE) == (0,)
    assert resolve(Reference("mug", size="large"), pair, SIZE) == (1,)
    assert resolve(Reference("bowl", size="small"), pair, SIZE) == (2,)  # the only one
    three = (*pair, thing("mug", "green", 150, side=36, size="large"))
    assert resolve(Reference("mug", size="large"), three, SIZE) == (3,)
    twice = (*pair, thing("mug", "green", 150))
    assert resolve(Reference("mug", size="large"), twice, SIZE) == (1, 3)


def test_sizes_that_do_not_show_are_not_decided():
    assert resolve(Reference("mug", size="small"), MUGS, SIZE) is None  # all of one size
    alike = (thing("mug", "red", 20, size="small"), thing("mug", "blue", 100, size="large"))
    assert resolve(Reference("mug", size="small"), alike, SIZE) is None  # as large in the image
    kinds = (thing("mug", "red", 20, side=20, size="small"), thing("bowl", "red", 100, side=40, size="large"))
    assert resolve(Reference(color="red", size="small"), kinds, SIZE) is None


@pytest.mark.parametrize(
    "relation, anchor, selected",
    [
        ("left_of", Reference("box"), (0,)),
        ("right_of", BOWL, (1,)),
        ("left_of", BOWL, (0,)),
        ("next_to", BOWL, (0,)),
        ("next_to", Reference("box"), (1,)),
        ("behind", BOWL, None),
        ("in_front_of", Reference("plate"), None),
        ("next_to", Reference("bowl", "green"), None),
    ],
)
def test_relations_are_read_off_the_boxes(relation, anchor, selected):
    assert resolve(Reference("mug", relation=relation, anchor=anchor), BESIDE, SIZE) == selected


def test_relations_near_a_tie_are_not_decided():
    midway = (thing("mug", "red", 40), thing("mug", "red", 120), thing("bowl", "blue", 80))
    assert resolve(Reference("mug", relation="next_to", anchor=BOWL), midway, SIZE) is None
    above = (thing("mug", "red", 84, 60), thing("mug", "red", 200), thing("bowl", "blue", 80))
    assert resolve(Reference("mug", relation="behind", anchor=BOWL), above, SIZE) == (0,)
    slanted = (thing("mug", "red", 60, 80), thing("mug", "red", 200), thing("bowl", "blue", 80))
    assert resolve(Reference("mug", relation="left_of", anchor=BOWL), slanted, SIZE) is None
    two_bowls = (*BESIDE, thing("bowl", "red", 10, 200))
    assert resolve(Reference("mug", relation="next_to", anchor=BOWL), two_bowls, SIZE) is None


def test_ordinals_count_three_or_more():
    assert resolve(Reference("mug", ordinal=(2, "left")), MUGS, SIZE) == (2,)
    assert resolve(Reference("mug", ordinal=(1, "right")), MUGS, SIZE) == (0,)
    assert resolve(Reference("mug", ordinal=(4, "left")), MUGS, SIZE) is None
    assert resolve(Reference("mug", "red", ordinal=(1, "left")), MUGS, SIZE) is None
    close = (*MUGS[:3], thing("mug", "green", 104))
    assert resolve(Reference("mug", ordinal=(1, "left")), close, SIZE) is None


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31))
def test_what_is_enumerated_is_what_resolves(seed):
    objects, rng = scene_of(seed)
    references = enumerate_references(objects, SIZE)
    assert len({r for r, _ in references}) == len(references)
    for reference, matches in references:
        assert matches and resolve(reference, objects, SIZE) == matches, reference
    for reference in absent_references(objects, rng, 8):
        assert resolve(reference, objects, SIZE) == ()


def test_every_word_of_the_grammar_is_in_the_vocabulary():
    assert len(all_words()) <= 700 and not set(all_words()) & set(FILLERS)
    texts = []
    for seed in range(25):
        objects, rng = scene_of(seed)
        for state in scene_states(objects, SIZE, rng, 12):
            texts += [state.step.instruction, *(t for e in state.step.exchanges for t in e)]
            texts += [state.step.question.text] if state.step.question else []
        texts += [paraphrases.instruction(r, rng) for r, _ in enumerate_references(objects, SIZE)]
    for text in texts:
        assert set(text.split()) <= set(all_words()), text
        assert "{" not in text and "  " not in text, text


def test_wordings_say_what_the_reference_says():
    rng = np.random.default_rng(0)
    for _ in range(200):
        text = f" {paraphrases.instruction(Reference('mug', 'red', relation='next_to', anchor=BOWL), rng)} "
        assert " red " in text and " bowl " in text and any(f" {n} " in text for n in ("mug", "mugs", "cup", "cups"))
        text = paraphrases.instruction(Reference("mug", position="left"), rng)
        assert "left" in text and "left of the mugs" not in text  # that would be another place
        assert "second" in paraphrases.instruction(Reference("mug", ordinal=(2, "left")), rng)
    asked = {paraphrases.instruction(Reference("mug", "red"), rng) for _ in range(600)}
    assert len(asked) > 200 and any(t.startswith("would you mind") for t in asked)


def test_typos_and_chatter_are_for_evaluation():
    rng = np.random.default_rng(0)
    for _ in range(100):
        text = paraphrases.instruction(Reference("mug", "orange"), rng)
        slipped = paraphrases.misspell(text, rng)
        changed = [(a, b) for a, b in zip(text.split(), slipped.split()) if a != b]
        assert len(text.split()) == len(slipped.split()) and len(changed) == 1
        ((before, after),) = changed
        assert len(before) >= 4 and before[0] == after[0] and abs(len(before) - len(after)) <= 1
        assert after not in all_words()
    chatty = paraphrases.instruction(Reference("mug"), rng, chatter_rate=1.0)
    assert set(chatty.split()) & set(FILLERS)
    assert paraphrases.misspell("the mug", rng) == "the mug"


def test_questions_come_in_order():
    mixed = (thing("mug", "red", 20), thing("mug", "red", 100, side=45, size="large"), thing("bowl", "red", 200))
    assert best_question(mixed, (0, 1, 2), SIZE).kind == "category"
    by_size = best_question(mixed, (0, 1), SIZE)
    assert by_size.text == "do you mean the small mug or the large mug ?" and by_size.options[1].keeps == (1,)
    assert best_question(mixed, (0, 1), SIZE, ("size",)).kind == "position"
    last = best_question(BESIDE, (0, 1), SIZE, ("position",))
    assert last.text == "do you mean the mug next to the bowl or the mug next to the box ?"
    assert [o.keeps for o in last.options] == [(0,), (1,)]
    assert best_question(BESIDE, (0, 1), SIZE, ("position", "relation")) is None


def test_answers_leave_what_they_say():
    for seed in range(150):
        rng = np.random.default_rng(seed)
        question = best_question(MUGS, (1, 2, 0), SIZE)
        said = reply(question.options, 2, (1, 2, 0), MUGS, SIZE, rng)
        assert said.keeps == (2,), said
        said = reply(question.options, 0, (1, 2, 0), MUGS, SIZE, rng)
        words = set(said.text.replace(",", " ").split())
        assert 0 in said.keeps
        if said.keeps == (0,):
            assert words & {"right", "rightmost", "third", "bowl"}, said
        else:
            assert said.keeps == (1, 0) and ("red" in words or "blue" in words and words & {"not", "don't"}), said
    with pytest.raises(ValueError, match="refusal"):
        reply(question.options, 3, (0, 1, 2), MUGS, SIZE, rng)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31))
def test_dialogues_are_true_and_at_most_three_questions_long(seed):
    objects, rng = scene_of(seed)
    for reference, matches in enumerate_references(objects, SIZE):
        steps = sample_dialogue("x", matches, objects, SIZE, rng) if len(matches) > 1 else []
        assert not steps or 1 <= len(steps[-1].exchanges) <= 3
        for before, after in zip(steps, steps[1:]):
            assert set(steps[-1].remaining) <= set(after.remaining) <= set(before.remaining)
            assert before.question.text == after.exchanges[-1][0]


def test_a_question_that_missed():
    crowd = (*MUGS[1:3], thing("mug", "green", 200))
    for seed in range(30):
        step = missed("the mug", best_question(crowd, (0, 1, 2), SIZE), crowd, SIZE, np.random.default_rng(seed))
        ((question, said),) = step.exchanges
        assert len(step.remaining) == 1
        color = crowd[step.remaining[0]].color
        assert color not in question and color in said
    step = missed("the mug", best_question(crowd, (0, 1), SIZE), crowd, SIZE, np.random.default_rng(0))
    assert step.remaining == () and step.question is None


def test_kinds_are_drawn_as_often_as_people_use_them():
    rng = np.random.default_rng(0)
    first = [draw_kinds(["category", "relation"], rng)[0] for _ in range(400)]
    assert sorted(draw_kinds(["size", "category", "position"], rng)) == ["category", "position", "size"]
    assert 240 < first.count("category") < 340


@pytest.mark.parametrize(
    "question, expected",
    [
        ("Do you mean the red mug or the blue mug?", (Reference("mug", "red"), Reference("mug", "blue"))),
        ("do you mean the left one or the right one ?", (Reference(position="left"), Reference(position="right"))),
        (
            "do you mean the mug next to the red bowl ?",
            (Reference("mug", relation="next_to", anchor=Reference("bowl", "red")),),
        ),
        (
            "do you mean the first , the second or the third mug from the left ?",
            tuple(Reference("mug", ordinal=(n, "left")) for n in (1, 2, 3)),
        ),
        (
            "do you mean the small mug or the large mug ?",
            (Reference("mug", size="small"), Reference("mug", size="large")),
        ),
        ("which one do you mean ?", ()),
    ],
)
def test_a_person_understands_the_question(question, expected):
    assert offered(question) == expected


@pytest.mark.parametrize(
    "question, target, kept",
    [
        ("Do you mean the red mug or the blue mug?", 1, {"red", "blue", "left", "first", "leftmost"}),
        ("Do you mean the left mug or the right mug?", 1, {"left", "right", "leftmost", "red", "first"}),
        ("Do you mean the red mug?", 1, {"yes"}),
        ("Do you mean the blue mug?", 1, {"no"}),
        ("Do you mean the left mug?", 0, {"no"}),
        ("Do you mean the right mug?", 0, {"yes"}),
        ("Which color?", 1, {"red"}),
        ("Do you mean the mug or the bowl?", 1, {"mug", "cup", "bowl", "left", "leftmost"}),
        (
            "do you mean the first , the second or the third mug from the left ?",
            2,
            {"second", "third", "first", "middle", "center", "blue"},
        ),
    ],
)
def test_the_person_answers_from_the_truth(question, target, kept):
    for seed in range(20):
        said = SimulatedPerson(MUGS, target, np.random.default_rng(seed), SIZE).answer(question)
        assert kept & set(said.replace(",", " ").split()), said


@pytest.mark.parametrize(
    "question, wanted",
    [("Do you mean the green mug or the blue mug?", "red"), ("Do you mean the plate or the bowl?", "mug")],
)
def test_the_person_says_what_the_question_forgot(question, wanted):
    for seed in range(20):
        said = SimulatedPerson(MUGS, 1, np.random.default_rng(seed), SIZE).answer(question).replace("cup", "mug")
        assert said.split()[0] in ("no", "neither", "none") and wanted in said.split(), said
    assert SimulatedPerson(MUGS, None, np.random.default_rng(0), SIZE).answer(question).split()[0] in (
        "no",
        "neither",
        "none",
    )


def test_the_person_remembers_what_the_dialogue_narrowed_down():
    for seed in range(20):
        person = SimulatedPerson(MUGS, 0, np.random.default_rng(seed), SIZE)
        person.answer("Do you mean the red mug or the blue mug?")
        said = person.answer("Do you mean the left mug or the right mug?").split()
        assert {"right", "rightmost", "bowl"} & set(said) or {"not", "don't"} & set(said), said
    assert MUGS[0].box.x0 < person.click()[0] < MUGS[0].box.x1
    with pytest.raises(ValueError, match="not in the image"):
        SimulatedPerson(MUGS, None, np.random.default_rng(0), SIZE).click()


def test_the_instruction_says_what_the_person_looks_at():
    person = SimulatedPerson(MUGS, 1, np.random.default_rng(1), SIZE, among=(0, 1, 3))
    said = person.answer("do you mean the left one or the right one ?")
    assert {"left", "leftmost", "first", "mug"} & set(said.split()), said
    rng = np.random.default_rng(0)
    assert "not" in negative(Reference("mug", "blue"), rng).split()
    assert refusal(rng, Reference("mug", "green")).split()[-2] in ("green", "the")
