"""Repair of slips of the keyboard and other forms of words: what is mended, what must not be, and the real model."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clue_ros.grounder import EMBEDDED_MODEL, Grounder
from clue_ros.simulation.utterances import FILLERS
from clue_ros.simulation.words import all_words
from clue_ros.types import Answer, InvalidExpressionError, Outcome, Turn
from clue_ros.vlm.paligemma import PaliGemmaBackbone
from clue_ros.vlm.short_forms import written_out
from clue_ros.vlm.spelling import REAL_WORDS, repair, respelled

KNOWN = frozenset((*all_words(), *FILLERS, "<loc0000>", "don't"))
LETTERS = "abcdefghijklmnopqrstuvwxyz"


@pytest.mark.parametrize(
    "said, meant",
    [
        ("yelow", "yellow"),
        ("botle", "bottle"),
        ("bottel", "bottle"),
        ("bttle", "bottle"),
        ("oragne", "orange"),
        ("pplate", "plate"),
        ("bannana", "banana"),
        ("gren", "green"),
        ("centre", "center"),
        ("Botle", "bottle"),
        ("dont", "don't"),
        ("talbe", "table"),
        ("orang", "orange"),
        ("blu", "blue"),
        ("giv", "give"),
        ("hnd", "hand"),
        ("teh", "the"),
        ("mgu", "mug"),
        ("mugg", "mug"),
        ("BOXX", "box"),
    ],
)
def test_a_slip_is_repaired(said, meant):
    assert repair(said, KNOWN) == meant


@pytest.mark.parametrize(
    "said",
    [
        "bell",
        "call",
        "pall",
        "blve",  # another letter
        "bottles",
        "mugs",
        "planet",
        "boxes",  # a letter too many that doubles nothing
        "ottle",
        "obttle",
        "ranana",  # another first letter
        "rad",
        "re",
        "on",
        "bx",
        "gt",
        "aa",  # another letter; too short
        "lft",
        "wll",
        "wat",  # left or lift, will or well, what or want
        "botl",
        "yllw",
        "lfet1",
        "loc0000",
        "100",
        "bottle",  # two slips, digits, a known word
        "cold",
        "thin",
        "three",
        "pint",
        "bow",
        "her",
        "net",
        "ned",
        "cpu",
        "thee",
        "redd",
        "tow",
        "form",
        "naïve",
        "böttle",
        "",
        "bll",
        "were is",
        "push",
        "tractor",
    ],
)
def test_what_is_no_slip_stays(said):
    assert repair(said, KNOWN) is None


def test_two_known_words_leave_a_doubt():
    assert repair("colr", {"color"}) == "color"
    assert repair("colr", {"color", "colar"}) is None
    assert repair("bowll", {"bowl", "ball"}) == "bowl"
    assert repair("bowll", {"bowl", "bowlll"}) is None


def test_everything_but_the_words_stays():
    said = "the yelow,botle <loc0001><loc1000> 3 botle's!"
    assert respelled(said, KNOWN) == said.replace("yelow,botle", "yellow,bottle")
    assert respelled("", KNOWN) == ""


@given(st.text(alphabet=LETTERS, min_size=1, max_size=9))
def test_a_repair_keeps_the_letters(word):
    """Whatever comes out is known, begins alike, and has all its letters: none was put in place of another."""
    meant = repair(word, KNOWN)
    if meant is not None:
        assert meant in KNOWN and meant[0] == word[0] and min(len(meant), len(word)) >= 3
        more, fewer = sorted((word, meant), key=len, reverse=True)
        left = list(more)
        for letter in fewer:
            left.remove(letter)
        assert len(left) == len(more) - len(fewer) <= 1


def test_short_words_of_english_stay():
    """Three letters leave little room: of the words that people use, not one may become another."""
    common = """act add age ago aid aim air all any arm art ask bad bag ban bar bat bay bed bee bet bid bin bit bow boy
        bug bun bus buy cab cap car cat cow cry cut dad day did die dig dim dip dog dot dry due ear eat egg end eye fan
        far fat fed few fig fin fit fix fly fog fox fro fun fur gap gas got gum gun guy gym had ham has hat hen her hid
        him hip his hit hot how hug ice ill ink its jam jar jaw jet job joy key kid kit lab lad lap law lay led leg lid
        lie lip lit log lot low mad man map mat men met mid mix mom mop mud nap net new nod nor nut oak odd off oil old
        out own pad pan pay pea pen per pet pie pig pin pit pot pub put rag ran rat raw ray rid rip rod row rub rug run
        sad sat saw say sea set sew she shy sin sip sit six sky son sow spa spy sue sum sun tan tap tar tax tea ten tie
        tip toe ton too top tow toy try tub van vet via war was wax way web wed wet who why wig win won yet zip zoo"""
    repaired = {word: repair(word, KNOWN) for word in common.split() if word not in KNOWN and repair(word, KNOWN)}
    assert repaired == {"ill": "i'll"}, "only the apostrophe that people leave out"


@pytest.mark.parametrize(
    "said, meant",
    [
        ("the 2nd mug from the left", "the second mug from the left"),
        ("It's the red one", "it is the red one"),
        ("the mug that’s in the rear", "the mug that is in the back"),
        ("gimme the mug pls", "give me the mug please"),
        ("the right-most mug", "the rightmost mug"),
        ("the far left mug", "the left mug"),
        ("the mug, thank you", "the mug, thanks"),
        ("dunno", "do not know"),
        ("I'm looking for it", "i am looking for it"),
    ],
)
def test_another_form_is_written_out(said, meant):
    assert written_out(said, KNOWN) == meant
    assert written_out(meant, KNOWN) == meant, "once is enough"


@pytest.mark.parametrize(
    "said",
    [
        "the far mug",
        "the pink mug",
        "all mugs",
        "the tiny one",
        "the mug's handle",
        "mug 3",
        "don't",
        "<loc0001><loc0002>",
        "",
        "the most left",
    ],
)
def test_what_means_something_else_is_not_written_out(said):
    assert written_out(said, KNOWN) == said


def test_a_form_whose_words_the_model_lacks_stays():
    assert written_out("the 2nd rear mug, thank you", {"the", "mug", "back"}) == "the 2nd back mug, thank you"
    assert written_out("the 2nd mug", {"the", "2nd", "second", "mug"}) == "the 2nd mug", "it is known as it is"


def test_no_word_that_is_kept_back_is_one_of_the_models():
    assert not REAL_WORDS & KNOWN


def test_an_open_vocabulary_is_untouched(tiny_model_dir):
    backbone = PaliGemmaBackbone.from_pretrained(tiny_model_dir)
    said = "hand me the yelow botle"
    assert backbone.respelled(said) == backbone.without_unknown(said) == "hand me the yellow bottle"
    opened = backbone.tokens.with_settings(type(backbone.settings)())
    assert opened.respelled(said) == opened.without_unknown(said) == said and opened.unknown_words(said) == ()
    assert opened.respelled("the 2nd one") == "the 2nd one"


@pytest.mark.skipif(not EMBEDDED_MODEL.is_dir(), reason="the embedded model is not in this checkout")
def test_the_embedded_model_takes_a_misspelled_instruction_and_answer():
    grounder = Grounder.from_pretrained()
    rng = np.random.default_rng(3)
    image = grounder.encode(rng.integers(0, 255, (96, 128, 3), dtype=np.uint8))
    right, wrong = (
        grounder.ground(image, f"hand me the {words}", may_ask=False) for words in ("yellow bottle", "yelow botle")
    )
    assert wrong.expression == "hand me the yelow botle" and wrong.unknown_words == ()
    assert (wrong.outcome, wrong.box, wrong.confidence) == (right.outcome, right.box, right.confidence)
    assert wrong.ambiguity.probability == right.ambiguity.probability
    ask = "do you mean the red bottle or the yellow bottle ?"
    right, wrong = (
        grounder.ground(image, "the bottle", [Turn(ask, Answer(words))], may_ask=False)
        for words in ("the yellow one", "the yelow one")
    )
    assert (wrong.outcome, wrong.box, wrong.confidence) == (right.outcome, right.box, right.confidence)
    whole, short = (
        grounder.ground(image, words, may_ask=False)
        for words in ("the second bottle from the left", "The 2nd bottle from the left!")
    )
    assert (whole.outcome, whole.box) == (short.outcome, short.box) and short.unknown_words == ()
    with pytest.raises(InvalidExpressionError, match="'hello' names nothing"):
        grounder.ground(image, "hello")
    kept = grounder.ground(image, "hand me the umbrella")
    assert kept.outcome is Outcome.UNKNOWN_WORDS and kept.unknown_words == ("umbrella",)
    grounder.close()
