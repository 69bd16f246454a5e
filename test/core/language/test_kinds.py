"""The table of kinds: which nouns a person may say for a thing, and which kinds a noun covers."""

import json

import pytest

from clue_ros.grounder import EMBEDDED_MODEL
from clue_ros.language.kinds import GENERAL, NOUNS, disputed, fits, general_nouns, kinds_of, noun_called, words_of
from clue_ros.language.plurals import plural, singular
from clue_ros.simulation.words import all_words

# As the data pack calls them: photographs, cut-outs, and the first noun of each mesh.
PACK = """apple, avocado, bacon, bag, ball, banana, bell, binoculars, block, book, boot, bottle, bowl, bowling pin, box,
bread, broccoli, cabbage, caddy, cake, calendar, camera, can, can opener, candle, candlestick, carrot, carton,
cell phone, chain, cheese, cherries, chocolate bar, chopping board, circuit board, clamp, clock, controller, crate,
cucumber, cup, die, dining table, dish rack, dog toy, donut, drill, drink carton, egg, egg cup, eggplant, eyeglasses,
figurine, flask, flower pot, fork, funnel, game console, glass, glue bottle, goblet, grapes, hammer, hat, headphones,
hot dog, jar, jug, key, keyboard, knife, ladle, laptop, lemon, lid, light bulb, lighter, lime, magnifier, mallet,
mandarin, mango, marble, marbles, marker, markers, measuring cup, microphone, microwave, monitor, mortar, mouse, mug,
notebook, orange, pack of pipe cleaners, padlock, paintbrush, pan, pancakes, paper cup, peach, pear, peg board, pen,
pencil, pencil cup, pepper, pepper mill, phone, picture frame, pineapple, pipe wrench, pitcher, pizza, plastic cup,
plate, playing card, pliers, plum, potted plant, pottery, ramekin, ratchet, remote, remote control, rolling pin,
rubik's cube, salt shaker, sandwich, saucepan, saucer, sausage, saw, scissors, screen, screwdriver, screwdriver set,
shaker, shoe, sink, soap dispenser, spatula, speaker, sponge, spoon, spray bottle, stacking cup, stapler, strawberry,
stuffed toy, sugar bowl, tape, teacup, teapot, teddy bear, telephone, television, tissue box, toast, toaster,
toilet roll, tomato, tool rack, toothbrush, toothpaste, toy, toy airplane, toy blocks, toy boat, toy cart, toy rocket,
toy tool, tray, trophy, tv, usb stick, utensil holder, vase, walkie talkie, water pistol, wine glass, wrench"""


def test_every_name_of_the_pack_is_of_the_table():
    names = [name.strip() for name in PACK.replace("\n", " ").split(",")]
    assert len(names) > 150 and not [name for name in names if noun_called(name) is None]
    assert len(NOUNS) >= 60 and set(GENERAL) <= set(NOUNS)
    called = {"cell phone": "phone", "jug": "pitcher", "die": "dice", "television": "tv", "markers": "marker"}
    assert {name: noun_called(name) for name in called} == called
    assert noun_called("strawberry_jam_jar") == "jar" and noun_called("gizmo") is None


def test_a_noun_covers_kinds():
    assert {"mug", "paper cup", "cup"} <= kinds_of("cup") and "glass" not in kinds_of("cup")
    assert fits("cup", "mug") and fits("cup", "paper cup") and not fits("mug", "paper cup")
    assert fits("block", "cube") and fits("block", "puzzle cube") and fits("fruit", "mandarin")
    assert fits("box", "gear box") and fits("gear box", "gear box") and not fits("gear box", "box")
    assert not fits("hot dog", "dog toy") and not fits("orange", "apple")
    assert general_nouns("mandarin") == ("orange", "fruit") and general_nouns("gear box")[0] == "box"


def test_what_people_do_not_agree_on_is_disputed():
    assert disputed("glass", "plastic cup") and disputed("lime", "lemon") and disputed("pen", "marker")
    assert disputed("mug", "cup"), "a cup may be a mug"
    assert disputed("wine bottle", "bottle") and not disputed("bottle", "wine bottle")
    assert not disputed("cup", "mug") and not disputed("apple", "banana")
    assert not [(n, k) for n in NOUNS for k in NOUNS if fits(n, k) and disputed(n, k)]


def test_the_robots_own_word_comes_first_and_is_understood():
    assert words_of("mug")[:2] == ("mug", "coffee mug") and "cup" in general_nouns("mug")
    assert words_of("dice") == ("dice", "die") and words_of("gear box") == ("gear box",)
    for noun in NOUNS:
        assert words_of(noun)[0] == noun and noun_called(noun) == noun == noun_called(plural(noun))


@pytest.mark.parametrize(
    "one, many",
    [
        ("knife", "knives"), ("mouse", "mice"), ("die", "dice"), ("dice", "dice"), ("scissors", "scissors"),
        ("glass", "glasses"), ("wine glass", "wine glasses"), ("box", "boxes"), ("cherry", "cherries"),
        ("tomato", "tomatoes"), ("toy", "toys"), ("loaf", "loaves"), ("roll of tape", "rolls of tape"),
        ("toothbrush", "toothbrushes"), ("bread", "bread"), ("pliers", "pliers"), ("bus", "buses"), ("man", "men"),
    ],
)  # fmt: skip
def test_plurals(one, many):
    assert plural(one) == many
    if one != many and " of " not in one and one != "scissors":
        assert singular(many.split()[-1]) == one.split()[-1]


def test_the_shipped_model_has_words_of_the_grammar_only():
    words = json.loads((EMBEDDED_MODEL / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    spoken = {word for word in words if word.strip() and not word.startswith("<")}
    assert spoken <= set(all_words()) and set("gray grey brown pink silver light dark between upper".split()) <= {
        *all_words()
    }
