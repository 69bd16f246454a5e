"""Likelihoods of texts against transformers' own forward pass, and ranking with the embedded model."""

from pathlib import Path

import numpy as np
import pytest
import torch

import clue_ros
from clue_ros.evaluation.episode_runner import derive_episode
from clue_ros.evaluation.subject import CannotAnswerError, Subject, fingerprint
from clue_ros.geometry import to_square
from clue_ros.prompt import oracle_prefix
from clue_ros.simulation.renderer import TabletopRenderer
from clue_ros.training.vision import start
from clue_ros.types import Answer, Box, ModelLoadError, Turn
from clue_ros.vlm.paligemma import PaliGemmaBackbone
from clue_ros.vlm.passes import Likelihood
from clue_ros.vlm.settings import ClueSettings

MODEL = Path(clue_ros.__file__).parent / "models" / "tabletop"
RGB = np.random.default_rng(0).integers(0, 255, (60, 90, 3), dtype=np.uint8)
PREFIX = "clarify hand me the mug"
TEXTS = [
    "do you mean the red mug or the blue mug ?",
    "red",
    "the left one ?",
    "",
    "<loc0100><loc0200><loc0300><loc0400>",
]


def sharp(size):
    """(tokenizer, model) whose logits differ enough for a wrong mask or position to show."""
    tokenizer, model, _ = start(size)
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.model.language_model.layers.parameters():
            if parameter.ndim == 2:
                parameter.normal_(0, 0.25)
        model.lm_head.weight = torch.nn.Parameter(torch.randn_like(model.lm_head.weight) * 0.3)
    return tokenizer, model.eval()


def reference(b, text, blind):
    """log P by one forward pass of transformers over everything."""
    prefix = b.tokens.prefix(PREFIX).ids[0].tolist()
    suffix = [*b.tokenizer.encode(text, add_special_tokens=False), b.tokenizer.eos_token_id]
    image = [b.model.config.image_token_id] * b.grid**2
    ids = torch.tensor([image + prefix + suffix])
    types = torch.tensor([[0] * len(image) + [int(blind)] * len(prefix) + [1] * len(suffix)])
    pixels = torch.from_numpy(to_square(RGB, b.side)).permute(2, 0, 1)[None].float() / 127.5 - 1
    with torch.inference_mode():
        logits = b.model(
            input_ids=ids, token_type_ids=types, attention_mask=torch.ones_like(ids), pixel_values=pixels
        ).logits
    log_p = logits[0, -len(suffix) - 1 : -1].float().log_softmax(-1)
    return float(log_p.gather(1, torch.tensor(suffix)[:, None]).sum()), len(suffix)


@pytest.mark.parametrize("mode", ["full", "image_blind"])
@pytest.mark.parametrize("batch", [1, 3, 8])
def test_likelihoods_are_those_of_transformers(tiny_size, mode, batch):
    tokenizer, model = sharp(tiny_size)
    rows = "last" if mode == "image_blind" else "all"
    clue = ClueSettings(mode, 2, rows, closed_vocabulary=True, detector_adapter="", dialogue_adapter="")
    b = PaliGemmaBackbone(model, tokenizer, clue)
    found = b.likelihoods(b.encode(RGB), PREFIX, TEXTS, batch=batch)
    for text, likelihood in zip(TEXTS, found):
        expected, count = reference(b, text, mode == "image_blind")
        assert likelihood.tokens == count
        assert likelihood.log_probability == pytest.approx(expected, abs=2e-3)
    assert b.likelihoods(b.encode(RGB), PREFIX, []) == []


def test_mean_over_tokens():
    assert Likelihood(-6.0, 3).per_token == -2.0


@pytest.fixture(scope="module")
def subject():
    if not MODEL.is_dir():
        pytest.skip("the embedded model is not there")
    loaded = Subject.load()
    yield loaded
    loaded.close()


def test_the_embedded_model_prefers_a_question_of_its_grammar(subject):
    seen = subject.look(RGB)
    texts = ["do you mean the red mug or the blue mug ?", "mug mug ? blue left the", "or do , the"]
    found = subject.question_likelihoods(seen, "hand me the mug", [], texts)
    assert found[0].per_token == max(f.per_token for f in found)
    again = subject.question_likelihoods(seen, "hand me the mug", [Turn("which mug ?", Answer("the red one"))], texts)
    assert again[0].log_probability != found[0].log_probability


def test_its_own_question_is_likelier_than_others(subject):
    episode = derive_episode(100, 1)  # ambiguous by colour
    with TabletopRenderer(640, 480) as renderer:
        seen = subject.look(renderer.render(episode.scene).rgb)
    own = subject.question(seen, episode.expression, [])
    assert own.endswith("?")
    others = ["do you mean the red bowl or the blue plate ?", "do you mean the front can or the back can ?"]
    found = subject.question_likelihoods(seen, episode.expression, [], [own, *others])
    assert found[0].log_probability > -8 and found[0].per_token == max(f.per_token for f in found)


def test_nobody_plays_the_person_untrained(subject):
    assert not subject.can_answer
    with pytest.raises(CannotAnswerError, match="--oracle-model DIR"):
        subject.answer(subject.look(RGB), "the mug", [], "which one ?", Box(0, 0, 10, 10))


def test_the_answer_prompt_holds_target_and_dialogue():
    turns = [Turn("which color?", Answer("red"))]
    text = oracle_prefix("the mug", turns, "Left or <right>?", Box(0, 0, 90, 60), (90, 60))
    assert text == (
        "answer <loc0000><loc0000><loc1023><loc1023> the mug assistant: which color? user: red "
        "assistant: left or right ? user:"
    )
    assert oracle_prefix("the mug", (), "what?", None, (90, 60)) == "answer the mug assistant: what? user:"


def test_models_are_told_apart_by_what_lies_in_them(tmp_path):
    (tmp_path / "clue.json").write_text("{}")
    (tmp_path / "adapters").mkdir()
    (tmp_path / "adapters" / "gone.json").symlink_to(tmp_path / "nowhere")
    before = fingerprint(tmp_path)
    (tmp_path / "README.md").write_text("other words")
    assert fingerprint(tmp_path) == before
    (tmp_path / "adapters" / "adapter_model.safetensors").write_bytes(b"1")
    assert fingerprint(tmp_path) != before
    with pytest.raises(ModelLoadError, match="does not exist"):
        Subject.load(tmp_path / "none")
