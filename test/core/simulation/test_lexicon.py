"""The whole language: nouns that cover several kinds, corners, between, heights, shades; and all of it in sentences."""

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from clue_ros.simulation import paraphrases
from clue_ros.simulation.queries import general_noun, scene_states
from clue_ros.simulation.referring import Reference, absent_references, enumerate_references, resolve
from clue_ros.simulation.scene import ImageSize, SceneObject
from clue_ros.simulation.teacher import best_question
from clue_ros.simulation.utterances import FILLERS
from clue_ros.simulation.words import all_words
from clue_ros.types import Box

SIZE = ImageSize(320, 240)
BOWL, PLATE = Reference("bowl"), Reference("plate")
KINDS = ("mug", "paper cup", "cup", "apple", "mandarin", "orange", "box", "cube", "block", "jar", "pen", "trophy")
COLORS = ("red", "blue", "dark blue", "gray", "")


def thing(category, color="", x=100, y=100, width=30, height=30):
    return SceneObject(
        category, color, "", (0, 0, 0), 0.0, (0, 0, 0), box=Box(x, y, x + width, y + height), visibility=1.0, pixels=700
    )


def drawn(seed):
    """Things without sizes, some without a colour word, as in photographs."""
    rng = np.random.default_rng(seed)
    return tuple(
        thing(str(rng.choice(KINDS)), str(rng.choice(COLORS)), *rng.uniform((0, 0, 15, 15), (270, 190, 45, 50)))
        for _ in range(int(rng.integers(2, 8)))
    ), rng


def test_a_noun_selects_every_kind_that_it_covers():
    cups = (thing("mug", "red"), thing("paper cup", "red", 200), thing("apple", "red", 20))
    assert resolve(Reference("cup"), cups, SIZE) == (0, 1) and resolve(Reference("mug"), cups, SIZE) is None
    assert resolve(Reference("cup", "red", "left"), cups, SIZE) == (0,)
    assert resolve(Reference("fruit"), cups, SIZE) == (2,)
    found = dict(enumerate_references(cups, SIZE, ("cup",)))
    assert found[Reference("cup")] == (0, 1) and Reference("mug") not in found  # some call a paper cup a mug
    assert best_question(cups, (0, 1), SIZE).kind == "position", "a person may call both a mug"
    fruits = (thing("apple", "red"), thing("mandarin", "orange", 200))
    assert best_question(fruits, (0, 1), SIZE).text == "do you mean the apple or the mandarin ?"
    assert not {("fruit", None), ("orange", "orange"), ("mandarin", None)} & {
        (r.category, r.color) for seed in range(40) for r in absent(fruits, seed)
    }


def absent(objects, seed):
    return absent_references(objects, np.random.default_rng(seed), 6, plain=True)


def test_what_has_no_colour_word_may_be_of_any_colour():
    apples = (thing("apple"), thing("apple", "red", 200))
    assert resolve(Reference("apple"), apples, SIZE) == (0, 1)
    assert not any(r.category == "apple" for seed in range(40) for r in absent(apples, seed))


def test_a_shade_is_a_colour_as_well():
    mugs = (thing("mug", "dark blue"), thing("mug", "blue", 200), thing("mug", "red", 20))
    assert resolve(Reference("mug", "blue"), mugs, SIZE) == (0, 1)
    assert resolve(Reference("mug", "dark blue"), mugs, SIZE) == (0,)
    assert "dark blue" in paraphrases.instruction(Reference("mug", "dark blue"), np.random.default_rng(0))


def test_corners_top_and_bottom():
    four = (thing("mug", x=20, y=20), thing("mug", x=250, y=20), thing("mug", x=20, y=180), thing("mug", x=250, y=180))
    for n, corner in enumerate(("top left", "top right", "bottom left", "bottom right")):
        assert resolve(Reference("mug", position=corner), four, SIZE) == (n,)
    assert resolve(Reference("mug", position="top"), four, SIZE) is None, "two of them are"
    assert resolve(Reference("mug", position="bottom"), four[1:3], SIZE) == (1,)
    assert resolve(Reference("mug", position="top left"), (four[0], thing("mug", x=25, y=40)), SIZE) is None


def test_between():
    row = (thing("bowl", x=20), thing("mug", x=110), thing("plate", x=200), thing("mug", x=280))
    reference = Reference("mug", relation="between", anchor=Reference("plate"), second=Reference("bowl"))
    assert resolve(reference, row, SIZE) == (1,)
    many = Reference("plate", relation="between", anchor=Reference("mug"))
    assert resolve(many, row, SIZE) == (2,)
    near = (thing("bowl", x=20), thing("mug", x=110, y=160), thing("plate", x=200), thing("mug", x=280))
    assert resolve(reference, near, SIZE) is None, "is it between, or in front?"
    texts = {paraphrases.instruction(reference, np.random.default_rng(seed)) for seed in range(60)}
    assert any("between the bowl and the plate" in t for t in texts)
    found = enumerate_references(row, SIZE)
    assert (1,) in [m for r, m in found if r.relation == "between" and {r.anchor, r.second} == {BOWL, PLATE}]


def test_heights_are_those_of_the_boxes():
    bottles = (thing("bottle", height=90), thing("bottle", x=200, height=60), thing("bottle", x=20, height=58))
    assert resolve(Reference("bottle", size="tall"), bottles, SIZE) == (0,)
    assert resolve(Reference("bottle", size="short"), bottles, SIZE) is None


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**31))
@example(468027)  # "not the orange orange"
def test_everything_that_is_said_is_true_and_of_the_vocabulary(seed):
    objects, rng = drawn(seed)
    general = general_noun(objects, rng)
    references = enumerate_references(objects, SIZE, general)
    assert len({r for r, _ in references}) == len(references)
    for reference, matches in references:
        assert matches and resolve(reference, objects, SIZE) == matches, reference
        text = paraphrases.instruction(reference, rng)
        assert set(text.split()) <= set(all_words()), text
        assert "{" not in text and "  " not in text and "orange orange" not in text, text
    for reference in absent_references(objects, rng, 6):
        assert resolve(reference, objects, SIZE) == ()


def test_dialogues_are_of_the_vocabulary():
    spoken = set()
    for seed in range(12):
        objects, rng = drawn(seed)
        for state in scene_states(objects, SIZE, rng, 10):
            said = [state.step.instruction, *(t for e in state.step.exchanges for t in e)]
            spoken.update(" ".join(said + ([state.step.question.text] if state.step.question else [])).split())
    assert spoken <= set(all_words()) and len(spoken) > 100


def test_commands_about_blocks_are_of_the_vocabulary():
    """The forms that IT2P's annotators used, in words of our own."""
    commands = """pick up the purple block, pick up the leftmost block which color is red, take the other yellow cube,
    pick up the block at the lower right corner, get the block on the rightmost bottom, lift the upper middle block,
    pick up the green block between the red block and the other block, grab the block between two blue blocks,
    pick up the block among others, take the red block among other blocks, pick up the block near the center,
    pick up the block just next to the yellow block, pick up the blue block beneath the green one,
    pick up the block above the purple block, hand me the block in the middle of the table"""
    assert set(commands.replace(",", " ").split()) <= {*all_words(), *FILLERS}
