"""What depends on the pieces of Gemma 2's vocabulary: prompts, questions word for word, words that are banned."""

import numpy as np
import pytest
import torch

from clue_ros.language.questions import is_broken
from clue_ros.training.vision import start
from clue_ros.vlm.banned_words import BannedWords
from clue_ros.vlm.decoding import Branch
from clue_ros.vlm.paligemma import PaliGemmaBackbone
from clue_ros.vlm.settings import ClueSettings


@pytest.fixture(scope="module")
def real(tiny_size, real_tokenizer):
    """A tiny model with the real vocabulary; what it says is scripted below."""
    model = start(tiny_size)[1]
    model.resize_token_embeddings(257216, mean_resizing=False)
    model.config.image_token_id = 257152
    settings = ClueSettings(tap_layer=1, detector_adapter="", dialogue_adapter="")
    return PaliGemmaBackbone(model.eval(), real_tokenizer, settings)


def scripted(backbone, monkeypatch, *texts):
    """A model that would like to say the first text best, the second next, …; after any words it goes on with the best
    of those that begin with them."""
    eos = backbone.vocabulary.eos
    lines = [(*backbone.tokenizer.encode(text, add_special_tokens=False), eos) for text in texts]
    said = []

    def decode(begin, sequence, should_stop):
        while not sequence.finished:
            logits = torch.full((257216,), -50.0)
            at = len(sequence.tokens)
            for place, line in enumerate(reversed(lines)):
                if list(line[:at]) == sequence.tokens and at < len(line):
                    logits[line[at]] = place
            assert logits.max() > -50, f"nothing follows {backbone.text_of(sequence)!r}"
            sequence.feed(logits)
        said.append(backbone.text_of(sequence))
        return sequence

    monkeypatch.setattr(backbone.runner, "decode", decode)
    return said


def ask(backbone, *without):
    return backbone.text_of(backbone.generate(None, frozenset({Branch.QUESTION}), None, without))


@pytest.mark.parametrize(
    "prompt",
    [
        "detect the red mug",
        "clarify hand me the mug",
        "answer en what color is the mug?",
        "caption en",
        "segment mug",
        "clarify the mug assistant: the left one or the right one? user: <loc0100><loc0900> left",
        "detect Müller's café-crème",
        "disambiguate the 2nd one",
        "detect <loc0512><loc0003>",
    ],
)
def test_a_prompt_has_the_tokens_of_transformers_processor(real, real_tokenizer, prompt):
    from transformers import PaliGemmaProcessor, SiglipImageProcessor

    shrink = SiglipImageProcessor(size={"height": 112, "width": 112}, image_seq_length=64)
    shrink.image_seq_length = 64
    given = PaliGemmaProcessor(shrink, real_tokenizer)(text="<image>" + prompt, images=np.zeros((9, 9, 3), np.uint8))
    ids = np.asarray(given["input_ids"]).ravel().tolist()
    assert ids.count(257152) == 64 and ids[64:] == real.tokens.prefix(prompt).ids[0].tolist()


@pytest.mark.parametrize(
    "line",
    [
        "What color is it",
        "Is it the one on the left.",
        "I can see two of them, the left one or the right one",
        "OK, here you are.",
        "Is it red?",
        "Do you mean the one that that man holds? Or the other one?",
        "the cup near the bottle",
        "Left or right ?",
        "How about this one: the white cup (with a handle)?",
    ],
)
def test_a_taught_question_is_said_word_for_word_whatever_it_ends_with(real, monkeypatch, line):
    """As people's robot lines are: some without a mark, some of two sentences."""
    scripted(real, monkeypatch, line)
    sequence = real.generate(None, frozenset({Branch.QUESTION}))
    assert real.text_of(sequence) == line and sequence.complete and not is_broken(line)


@pytest.mark.parametrize(
    "word, first, second",
    [
        ("yellow", "do you mean the yellow mug or the yellow mug ?", "do you mean the left mug or the right mug ?"),
        ("yellow", "Yellow mug or yellow mug?", "Left mug or right mug?"),
        ("corkscrew", "do you mean the corkscrew or the corkscrew ?", "do you mean the cork of the crew ?"),
        ("corkscrew", "corkscrew left or corkscrew right", "cork left or crew right"),
        ("red-and-white", "is it the red-and-white cup", "is it the and - white cup"),
        (
            "checkerboard",
            "the mug on the checkerboard or the mug beside the checkerboard",
            "the mug on the check or the board",
        ),
    ],
)
def test_a_banned_word_is_not_said_again_and_its_pieces_may_be(real, monkeypatch, word, first, second):
    scripted(real, monkeypatch, first, second)
    assert ask(real) == first
    assert ask(real, word) == second


def test_a_word_of_several_tokens_in_several_places_is_avoided_in_each(real, monkeypatch):
    said = scripted(
        real,
        monkeypatch,
        "a corkscrew on a corkscrew",
        "a corkscrew on a table",
        "a mug on a corkscrew",
        "a mug on a table",
    )
    assert ask(real, "corkscrew") == "a mug on a table"
    assert len(said) <= 4


def test_a_model_that_has_nothing_else_to_say_comes_to_an_end(real, monkeypatch):
    """Whatever it says then is judged by what called it."""
    best = 100

    def decode(begin, sequence, should_stop):
        ids = [*real.tokenizer.encode("the corkscrew", add_special_tokens=False)]
        while not sequence.finished:
            logits = torch.zeros(257216)
            logits[ids[len(sequence.tokens) % len(ids)]] = best
            sequence.feed(logits)
        return sequence

    monkeypatch.setattr(real.runner, "decode", decode)
    assert ask(real, "corkscrew")


def test_a_word_of_a_closed_vocabulary_is_its_one_token(tiny_size):
    tokenizer, _, _ = start(tiny_size)
    banned = BannedWords.of(lambda text: tokenizer.encode(text, add_special_tokens=False), ("yellow", "mug"))
    assert banned.tokens == set(tokenizer.convert_tokens_to_ids(["yellow", "mug"])) and not banned.runs


def test_the_real_vocabulary_bans_every_spelling_of_a_word_and_no_piece_of_another(real_tokenizer):
    banned = BannedWords.of(lambda text: real_tokenizer.encode(text, add_special_tokens=False), ("yellow", "corkscrew"))
    assert banned.tokens >= set(real_tokenizer.convert_tokens_to_ids(["yellow", "▁yellow", "Yellow", "▁Yellow"]))
    assert all("yellow" in piece.lower() for piece in real_tokenizer.convert_ids_to_tokens(sorted(banned.tokens)))
    assert not banned.tokens & set(real_tokenizer.convert_tokens_to_ids(["cor", "ks", "crew", "▁corks"]))
    assert banned.found(real_tokenizer.encode("the left corkscrew", add_special_tokens=False)) == 2
    assert banned.found(real_tokenizer.encode("the crew and the cork", add_special_tokens=False)) is None
