"""A small PaliGemma 2 with the real vocabulary, taught through transformers alone: what our code hears of it."""

from dataclasses import replace

import numpy as np
import pytest
import taught_model as taught
import torch
from safetensors import safe_open
from transformers import AutoTokenizer, PaliGemmaForConditionalGeneration

from clue_ros.ambiguity.detector import AmbiguityDetector
from clue_ros.cli.main import main
from clue_ros.geometry import box_iou
from clue_ros.grounder import Grounder
from clue_ros.masks.segment_codes import SegmentDecoder
from clue_ros.perception.perception import ENDS_FROM, Perception
from clue_ros.seams import Capability
from clue_ros.stock.grounder import StockGrounder
from clue_ros.types import Answer, Box, Outcome, Turn
from clue_ros.vlm.dense import Precision
from clue_ros.vlm.loading import load_directory
from clue_ros.vlm.paligemma import PaliGemmaBackbone

LEFT, RIGHT, BOWL = (Box(*map(float, box)) for box in (taught.LEFT, taught.RIGHT, taught.BOWL))


def same(box, other):
    return box is not None and box_iou(box, other) > 0.97


@pytest.fixture(scope="module")
def backbone(taught_dir):
    return PaliGemmaBackbone.from_pretrained(taught_dir)


@pytest.fixture(scope="module")
def shown():
    return taught.pictures()


@pytest.fixture(scope="module")
def stock(backbone, taught_dir):
    return Grounder.with_backbone(backbone, taught_dir)


@pytest.fixture(scope="module")
def scene(stock, shown):
    return stock.encode(shown["table"])


def test_the_weights_have_learnt_these_lessons():
    with safe_open(taught.FILE, "pt") as stored:
        assert stored.metadata()["lessons"] == taught.signature(), "teach it anew: python test/taught_model.py"


def test_it_says_what_it_was_taught(backbone, shown):
    seen = {name: backbone.encode(picture) for name, picture in shown.items()}
    for lesson in taught.lessons()[::3]:  # the others are heard below
        if lesson.times == 1:
            said = backbone.complete(seen[lesson.picture], lesson.prompt, 96)
            assert said.text == lesson.answer, lesson


def test_transformers_generates_the_same_tokens_from_its_own_processor(backbone, taught_dir, shown):
    theirs = PaliGemmaForConditionalGeneration.from_pretrained(taught_dir, dtype=torch.float32)
    see = taught.processor(backbone.tokenizer)
    image = backbone.encode(shown["table"])
    for prompt in ("detect mug", "describe en", "detect unicorn"):
        given = see(text="<image>" + prompt, images=shown["table"], return_tensors="pt")
        said = theirs.generate(**given, max_new_tokens=32, do_sample=False)[0, given["input_ids"].shape[1] :].tolist()
        assert said == [*backbone.complete(image, prompt, 32).tokens, 1]


@pytest.mark.parametrize("names, files", [("new", 1), ("new", 3), ("old", 1)])
def test_names_and_files_make_no_difference(backbone, taught_dir, tmp_path, monkeypatch, names, files):
    monkeypatch.setattr(AutoTokenizer, "from_pretrained", lambda *_, **__: backbone.tokenizer)
    folder = taught.write(tmp_path / "model", taught_dir, names, files)
    loaded = load_directory(folder, "cpu", Precision(torch.float32, torch.float32)).model.state_dict()
    expected = backbone.model.state_dict()
    assert len(loaded) > 60 and all(torch.equal(loaded[name], expected[name]) for name in expected)


def test_it_asks_in_its_own_words_and_finds_or_does_not(backbone, shown, tmp_path):
    """The base itself speaks, as adapters would: people's question without a mark, a box, nothing there."""
    AmbiguityDetector().save(tmp_path)
    speaking = backbone.with_settings(replace(backbone.settings, gate=(0.0, 1.0, 0.0), dialogue_adapter=""))
    grounder = Grounder.with_backbone(speaking, tmp_path)
    scene = grounder.encode(shown["table"])
    asked = grounder.ground(scene, "Hand me the mug")
    assert asked.outcome is Outcome.ASK and asked.question == "Which one is it?"
    found = grounder.ground(scene, "hand me the bowl")
    assert found.outcome is Outcome.FOUND and same(found.box, BOWL) and found.confidence > 0.9
    assert grounder.ground(scene, "hand me the unicorn").outcome is Outcome.NOT_FOUND


def test_stock_mode_asks_by_colour_and_hears_the_reply(stock, scene):
    assert isinstance(stock, StockGrounder) and stock.backbone.settings.questions == "open"
    asked = stock.ground(scene, "hand me the mug")
    assert asked.outcome is Outcome.ASK and asked.question == "Do you mean the red mug or the blue mug?"
    for reply, box in (("the red one", LEFT), ("the right one", RIGHT)):
        found = stock.ground(scene, "hand me the mug", [Turn(asked.question, Answer(reply))])
        assert found.outcome is Outcome.FOUND and same(found.box, box)
    assert same(stock.ground(scene, "the blue mug").box, RIGHT) and same(stock.ground(scene, "the bowl").box, BOWL)


@pytest.mark.parametrize("thing", ["unicorn", "spoon", "crack", "kettle", "banana"])
def test_what_is_not_there_is_not_found(stock, scene, thing):
    """It says nothing, "no spoon", a box without an area; boxes a bowl or, four times, a mug, and denies them."""
    decision = stock.ground(scene, f"the {thing}")
    assert decision.outcome is Outcome.NOT_FOUND and decision.box is None


def test_a_second_box_is_looked_for_where_the_end_was_in_doubt(backbone, stock, scene):
    """Two of five lessons name two cups: P(ambiguous) says so, where greedy words end after one."""
    greedy = backbone.complete(scene.encoded, "detect cup", 96)
    assert len(greedy.bins) - greedy.bins.count(-1) == 4 and 0.45 < greedy.ending < ENDS_FROM
    decision = stock.ground(scene, "the cup")
    assert decision.outcome is Outcome.FOUND and same(decision.box, LEFT) and len(decision.candidates) == 2
    assert 0.25 < decision.ambiguity.probability < 0.5
    asked = stock.ground(scene, "the cup", threshold=0.25)
    assert asked.outcome is Outcome.ASK and same(asked.candidates[1], RIGHT)


def test_the_floor_lies_between_yes_and_no(stock, scene):
    see = Perception(stock.backbone)
    assert abs(see._presence.floor()) < 5
    assert see.presence(scene, "bowl") > 0.9 and see.presence(scene, "kettle") < 0.1


def test_chat_grounds_its_sentence_and_hears_a_refusal(stock, scene):
    told = stock.chat(scene, "what is on the table?")
    assert told.text == taught.SENTENCE
    boxes = {told.words(phrase).lower(): phrase.box for phrase in told.phrases}
    assert same(boxes["a red mug"], LEFT) and same(boxes["a yellow bowl"], BOWL) and same(boxes["a blue mug"], RIGHT)
    assert stock.chat(scene, "what color is the bowl?").text == "The bowl: yellow."
    assert stock.chat(scene, "how is the weather?").text.endswith("I do not know.")
    assert stock.chat(scene, "how many mugs are there?").text == "There are two mugs."
    assert stock.chat(scene, "is there a kettle?").text == "No, I see no kettles."


def test_segment_codes_become_a_mask_in_the_box(backbone, shown, tmp_path):
    torch.manual_seed(1)
    decoder = SegmentDecoder(code_width=24, channels=16)
    decoder.codebook.normal_()
    decoder.save(tmp_path)
    grounder = Grounder.with_backbone(backbone, tmp_path)
    assert isinstance(grounder, StockGrounder) and Capability.MASKS in grounder.capabilities
    found = grounder.ground(shown["table"], "the red mug", mask=True)
    expected = decoder.eval().paste(taught.SEGMENTS, found.box, (640, 480))
    assert same(found.box, LEFT) and np.array_equal(found.mask, expected) and expected.any()


def test_the_doctor_sees_what_kind_of_download_it_is(taught_dir, capsys):
    assert main(["doctor", "--look", "--model", str(taught_dir)]) == 0
    said = capsys.readouterr().out
    assert "stock mode" in said and 'is there a mug?"' in said and "answer en" not in said and "before 4.52" in said
