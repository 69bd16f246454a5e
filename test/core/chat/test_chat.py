"""Grounded chat: questions, answers and their spans, noun phrases, Grounding-Bench's figures, both ways with real
models.
"""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from clue_ros.chat.answer import GroundedAnswer, Phrase, Writer
from clue_ros.chat.question import Kind, Question, understand
from clue_ros.chat.run import chat
from clue_ros.chat.tabletop import answer
from clue_ros.cli.main import main
from clue_ros.evaluation.grounded_figures import Truth, by_names, count, scene_means
from clue_ros.grounder import EMBEDDED_MODEL, Grounder
from clue_ros.language.noun_phrases import noun_phrases
from clue_ros.language.plurals import singular
from clue_ros.perception.candidates import Candidate
from clue_ros.perception.inventory import Thing, look_around
from clue_ros.perception.perception import Perception
from clue_ros.types import Box, Cancelled, InvalidExpressionError

RED, BLUE, DISH = Box(10, 20, 60, 80), Box(200, 20, 250, 80), Box(120, 100, 180, 130)
THINGS = (Thing("mug", "red", RED, 0.9), Thing("plate", "", DISH, 0.6), Thing("mug", "blue", BLUE, 0.8))
SIZE = (300.0, 200.0)


@pytest.mark.parametrize(
    "text, kind, category, color, side",
    [
        ("What is on the table?", Kind.LIST, None, None, None),
        ("which cups do you see?", Kind.LIST, "cup", None, None),
        ("how many red mugs are there", Kind.COUNT, "mug", "red", None),
        ("Is there a banana?", Kind.EXISTS, "banana", None, None),
        ("do you see any boxes?", Kind.EXISTS, "box", None, None),
        ("what colour is the ball?", Kind.COLOR, "ball", None, None),
        ("where's the violet bowl?", Kind.WHERE, "bowl", "purple", None),
        ("what is on the left?", Kind.LIST, None, None, "left"),
        ("what do you see in front?", Kind.LIST, None, None, "front"),
        ("the soda cans", Kind.LIST, "can", None, None),
    ],
)
def test_questions(text, kind, category, color, side):
    asked = understand(text)
    assert (asked.kind, asked.category, asked.color, asked.side, asked.unknown) == (kind, category, color, side, ())


def test_words_that_nobody_knows_are_named():
    assert understand("which gadgets do you see?").unknown == ("gadgets",)
    assert "next" in understand("what is next to the bowl?").unknown


def said(text, things=THINGS):
    found = answer(understand(text), things, SIZE, text)
    return found.text, [(found.words(p), p.box) for p in found.phrases]


def test_answers_and_their_spans():
    assert said("what is on the table?") == (
        "I see a red mug, a plate and a blue mug.",
        [("a red mug", RED), ("a plate", DISH), ("a blue mug", BLUE)],
    )
    assert said("how many cups are there?") == (
        "There are two cups: a red cup and a blue cup.",
        [("a red cup", RED), ("a blue cup", BLUE)],
    )
    assert said("is there a plate?")[0] == "Yes, I see a plate." and said("is there a ball?") == (
        "No, I see no balls.",
        [],
    )
    assert said("what color is the blue mug?") == ("The mug is blue.", [("The mug", BLUE)])
    assert said("where is the red mug?") == ("The red mug is on the left.", [("The red mug", RED)])
    assert said("what is on the right?") == ("I see a blue mug on the right.", [("a blue mug", BLUE)])
    twins = (THINGS[0], Thing("mug", "red", BLUE, 0.7))
    assert said("what do you see?", twins) == ("I see two red mugs.", [("two red mugs", RED), ("two red mugs", BLUE)])
    assert said("how many things are there?", THINGS[:1])[0] == "There is one thing: a red mug."


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.builds(
            Thing,
            st.sampled_from(["mug", "box", ""]),
            st.sampled_from(["red", "orange", ""]),
            st.sampled_from([RED, BLUE, DISH]),
            st.floats(0, 1),
        ),
        max_size=14,
    ),
    st.builds(
        Question,
        st.sampled_from(list(Kind)),
        st.sampled_from([None, "mug"]),
        st.sampled_from([None, "red"]),
        st.sampled_from(["", "cup"]),
        st.sampled_from([None, "left", "middle"]),
    ),
)
def test_any_answer_is_a_sentence_with_spans_inside_it(things, asked):
    found = answer(asked, things, SIZE, "?")
    assert found.text.endswith(".") and found.text[0].isupper() and "  " not in found.text
    for phrase in found.phrases:
        assert 0 <= phrase.start < phrase.end <= len(found.text) and found.words(phrase).strip() == found.words(phrase)
    assert len(found.phrases) <= len(things)


class Seen:
    """A Perception that has one answer a phrase."""

    def __init__(self, told):
        self.told, self.asked = told, []

    def detect(self, image, phrase, should_stop=None):
        self.asked.append(phrase)
        return tuple(Candidate(b, c) for b, c in self.told.get(phrase, ()))


def test_kinds_and_colours_meet_and_a_colour_finds_what_no_kind_did():
    see = Seen(
        {
            "the mug": [(RED, 0.9)],
            "the plate": [(RED, 0.5), (DISH, 0.2)],
            "the red thing": [(RED, 0.6), (BLUE, 0.3)],
            "the blue thing": [(BLUE, 0.7), (RED, 0.1)],
            "the blue bowl": [(BLUE, 0.4)],
            "the blue can": [(BLUE, 0.6)],
        }
    )
    words = frozenset("mug plate bowl can thing red blue".split())
    assert look_around(see, None, words) == (Thing("mug", "red", RED, 0.9), Thing("can", "blue", BLUE, 0.7))
    assert "the bottle" not in see.asked and "the green thing" not in see.asked, "no words for them"


def test_noun_phrases():
    text = "A red tea cup sits on a wooden table next to two books, and the dog's bowl."
    assert [text[p.start : p.end] for p in noun_phrases(text)] == [
        "A red tea cup",
        "a wooden table",
        "two books",
        "the dog's bowl",
    ]
    assert [p.head for p in noun_phrases("mug and laptop on desk")] == ["mug", "laptop", "desk"]
    assert noun_phrases("there is a red one in the middle of the picture") == [], "nothing that could be detected"
    assert noun_phrases("") == [] and [singular(w) for w in ("cups", "boxes", "berries", "glass")] == [
        "cup",
        "box",
        "berry",
        "glass",
    ]


@settings(deadline=None, max_examples=60)
@given(st.text(max_size=80))
def test_noun_phrases_of_any_text_lie_in_it_in_order(text):
    found, end = noun_phrases(text), 0
    for phrase in found:
        assert end <= phrase.start < phrase.end <= len(text)
        end = phrase.end


def test_the_papers_example_of_the_figures():
    """N_pred 7, N_gt 12, TP_pred 4, TP_gt 3: P = 0.57, R = 0.25 (LLaVA-Grounding, section 2)."""
    truths = [Truth(Box(100 * n, 0, 100 * n + 50, 50), ("mug",), "red") for n in range(12)]
    at = [0, 0, 100, 200]
    given_boxes = [("a red mug", Box(x, 0, x + 50, 50)) for x in at] + [
        ("a bowl", truths[5].box),
        ("a red mug", Box(25, 25, 75, 75)),
        ("a blue mug", truths[6].box),
    ]
    found = count(given_boxes, truths, scene_means)
    assert (found.right, found.given, found.found, found.wanted) == (4, 7, 3, 12)
    assert not count([("a mug", Box(0, 0, 25, 50))], truths, scene_means).right, "IoU must exceed 0.5"


def test_meaning_by_names_and_synonyms():
    means = by_names({"cup": ["mug", "tea_cup"], "person": ["man", "woman"]}).means
    cup = Truth(RED, ("cup",))
    for words in ("two red mugs", "A tea cup", "the cups"):
        assert means(words, cup)
    assert not means("the cup holder", cup) and not means("a man", cup) and means("a tall man", Truth(RED, ("person",)))
    assert means("a wine glass", Truth(RED, ("wine glass",))) and not means("", cup)


def test_hardly_visible_things_need_not_be_named_but_may_be():
    truths = [Truth(RED, ("mug",), "red", wanted=False)]
    found = count([("a red mug", RED)], truths, scene_means)
    assert (found.right, found.found, found.wanted) == (1, 0, 0)


@pytest.fixture(scope="module")
def embedded():
    if not EMBEDDED_MODEL.is_dir():
        pytest.skip("the embedded model is not in this checkout")
    grounder = Grounder.from_pretrained()
    yield grounder
    grounder.close()


def test_the_embedded_model_answers(embedded, tmp_path, capsys):
    rgb = np.full((240, 320, 3), 120, np.uint8)
    seen = embedded.look(rgb)
    first = embedded.chat(seen, "what is on the table?")
    assert isinstance(first, GroundedAnswer) and first.text.startswith("I see") and first.latency_s["chat"] > 0
    asked = len(seen.detections)
    assert asked >= 16 and embedded.chat(seen, "which cups do you see?").text and len(seen.detections) == asked
    lost = embedded.chat(seen, "which umbrellas do you see?")
    assert lost.unknown_words == ("umbrellas",) and '"umbrellas"' in lost.text and not lost.phrases
    with pytest.raises(InvalidExpressionError):
        embedded.chat(seen, " ")
    with pytest.raises(Cancelled):
        embedded.chat(rgb, "what is there?", should_stop=lambda: True)
    Image.fromarray(rgb).save(tmp_path / "t.png")
    assert (
        main(["chat", str(tmp_path / "t.png"), "what is on the table?", "--json", "--out", str(tmp_path / "o.png")])
        == 0
    )
    row = json.loads(capsys.readouterr().out)
    assert row["text"] == first.text and Image.open(tmp_path / "o.png").width == 480


@pytest.fixture(scope="module")
def tiny(tiny_model_dir, tmp_path_factory):
    """A random model of the real class as a plain download: no adapters, no clue.json."""
    root = tmp_path_factory.mktemp("plain")
    for file in tiny_model_dir.iterdir():
        if file.is_file() and file.name not in ("clue.json", "ambiguity.safetensors", "calibration.json"):
            (root / file.name).symlink_to(file)
    return root


def test_a_plain_paligemma_grounds_its_own_words(tiny):
    grounder = Grounder.from_pretrained(tiny)
    assert grounder.vocabulary is None
    rgb = np.random.default_rng(0).integers(0, 255, (120, 160, 3), np.uint8)
    for question in ("what is on the table?", "which cups do you see?", "what color is the mug?"):
        found = grounder.chat(rgb, question)
        assert found.text and "<" not in found.text
        for phrase in found.phrases:
            assert isinstance(phrase, Phrase) and 0 <= phrase.start < phrase.end <= len(found.text)
            assert 0 <= phrase.box.x0 < phrase.box.x1 <= 160
    image = grounder.encode(rgb)
    backbone = grounder.backbone
    real = backbone.complete

    def scripted(encoded, prefix, limit=64, should_stop=None, adapter=None, ends_from=0.0):
        done = real(encoded, prefix, 1, should_stop, adapter)  # the real pass runs, its words are replaced
        if prefix == "describe en":
            return done._replace(text="A red mug sits next to two books on a shelf.", tokens=(), certainty=())
        return done

    backbone.complete = scripted
    image.detections.update(
        {
            "red mug": (Candidate(RED, 0.9), Candidate(BLUE, 0.5)),
            "shelf": (),
            "cup": (),
            "book": (Candidate(BLUE, 0.7), Candidate(DISH, 0.6)),
        }
    )
    found = chat(Perception(backbone), image, "What is on the table?")
    assert found.text == "A red mug sits next to two books on a shelf."
    assert [(found.words(p), p.box) for p in found.phrases] == [
        ("A red mug", RED),
        ("two books", BLUE),
        ("two books", DISH),
    ]
    counted = chat(Perception(backbone), image, "how many books are there?")
    assert counted.text == "There are two books." and len(counted.phrases) == 2
    assert chat(Perception(backbone), image, "do you see a cup?").text == "No, I see no cups."
    backbone.complete = real
    grounder.close()


def test_a_writer_starts_with_a_capital_and_keeps_its_spans():
    made = Writer().grounded("the mug", [(RED, 0.5)]).plain(" is red.").answer("?")
    assert made.text == "The mug is red." and made.words(made.phrases[0]) == "The mug"
