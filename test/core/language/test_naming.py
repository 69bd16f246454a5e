"""Whether a phrase means a thing of a name: head nouns, plurals, number words, COCO's names and what people say."""

import pytest

from clue_ros.language.coco_words import COCO
from clue_ros.language.naming import Naming
from clue_ros.language.plurals import singular

MEANS = [
    ("a man in a red shirt", "person"),
    ("two women", "person"),
    ("several people", "person"),
    ("the little boy riding a bike", "person"),
    ("a group of children", "person"),
    ("one of the men", "person"),
    ("a person", "man"),  # the more general word
    ("A hot dog", "hot dog"),
    ("hotdogs", "hot dog"),
    ("three dogs", "dog"),
    ("the man's dog", "dog"),
    ("a dog sitting on the grass", "dog"),
    ("dog 2", "dog"),
    ("a puppy", "dog"),
    ("an animal", "sheep"),
    ("a flock of sheep", "sheep"),
    ("a slice of pizza", "pizza"),
    ("a pair of skis", "skis"),
    ("knives", "knife"),
    ("two buses", "bus"),
    ("a motorbike", "motorcycle"),
    ("a cell phone", "cell phone"),
    ("his phone", "cell phone"),
    ("a glass of wine", "wine glass"),
    ("a wooden table", "dining table"),
    ("a television", "tv"),
    ("a couch", "sofa"),
    ("a cat and a dog", "dog"),
    ("a cat and a dog", "cat"),
    ("the black and white cat", "cat"),
    ("the kitten that is sleeping", "cat"),
    ("a teddy bear", "teddy_bear"),
    ("a stuffed animal", "teddy bear"),
    ("a tall building", "building"),  # a name that COCO does not have
    ("the ball", "tennis_ball"),
    ("a vehicle", "truck"),
    ("a bear-shaped hat", "hat"),
    ("the old clock on the wall", "clock"),
]
MEANS_NOT = [
    ("a hot dog", "dog"),
    ("a teddy bear", "bear"),
    ("a man in a red shirt", "shirt"),
    ("a woman", "man"),
    ("a man", "woman"),
    ("a boy holding a bat", "baseball bat"),
    ("a cup holder", "cup"),
    ("a dog bowl", "dog"),
    ("the bus stop", "bus"),
    ("a bowl of oranges", "orange"),
    ("an animal", "person"),
    ("a cat on a couch", "couch"),
    ("a dog", "hot dog"),
    ("a bear", "teddy bear"),
    ("red", "person"),
    ("", "person"),
    ("two", "person"),
    ("a computer mouse", "keyboard"),
    ("a truck", "car"),
    ("a bear-shaped hat", "bear"),
    ("a clock tower", "clock"),
]


@pytest.mark.parametrize("words, name", MEANS)
def test_it_means(words, name):
    assert Naming().means(words, name)


@pytest.mark.parametrize("words, name", MEANS_NOT)
def test_it_does_not_mean(words, name):
    assert not Naming().means(words, name)


def test_own_synonyms_hold_both_ways_and_not_between_siblings():
    naming = Naming({"gripper": ["claw", "robot_hand"]})
    assert naming.means("the claw", "gripper") and naming.means("a gripper", "claw") and naming.means("hands", "hand")
    assert naming.means("a robot hand", "gripper") and not naming.means("a claw", "robot hand")


def test_every_name_of_coco_means_itself_and_no_other():
    names, naming = list(COCO), Naming()
    assert len(names) == 80
    said = {name: [other for other in names if naming.means(f"the {name}", other)] for name in names}
    assert said == {name: [name] for name in names}
    for name, words in COCO.items():
        assert [word for word in words if not naming.means(f"a {word}", name)] == []


@pytest.mark.parametrize(
    "many, one",
    [
        ("cups", "cup"),
        ("boxes", "box"),
        ("glass", "glass"),
        ("glasses", "glass"),
        ("people", "person"),
        ("men", "man"),
        ("women", "woman"),
        ("children", "child"),
        ("knives", "knife"),
        ("buses", "bus"),
        ("mice", "mouse"),
        ("sheep", "sheep"),
        ("geese", "goose"),
        ("cookies", "cookie"),
        ("pies", "pie"),
        ("berries", "berry"),
        ("horses", "horse"),
        ("vases", "vase"),
        ("tomatoes", "tomato"),
        ("shelves", "shelf"),
        ("firemen", "fireman"),
        ("skis", "ski"),
        ("taxis", "taxi"),
        ("gas", "gas"),
        ("lens", "lens"),
        ("dishes", "dish"),
        ("houses", "house"),
        ("shoes", "shoe"),
    ],
)
def test_the_singular(many, one):
    assert singular(many) == one
