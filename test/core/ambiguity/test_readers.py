"""Ways to read ambiguity, from clue.json alone: which layers run, what comes out, what is missing by name."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from clue_ros.ambiguity.gate import calibrated
from clue_ros.ambiguity.kinds import AUTOREGRESSIVE, is_stock
from clue_ros.ambiguity.readers import AmbiguityReader
from clue_ros.belief.grounder import BeliefGrounder
from clue_ros.grounder import Grounder
from clue_ros.types import ModelLoadError, Outcome, OutOfMemoryError
from clue_ros.vlm.decoder_plan import DecoderPlan
from clue_ros.vlm.memory import memory_guard
from clue_ros.vlm.paligemma import PaliGemmaBackbone

SCENE = np.random.default_rng(4).integers(0, 255, (60, 90, 3), dtype=np.uint8)
WORDS = "the red mug"


def grounder_of(folder, tmp_path, **changes):
    """A Grounder of a copy of a directory with a changed clue.json."""
    copy = tmp_path / "model"
    if not copy.exists():
        shutil.copytree(folder, copy)
    values = {**json.loads((copy / "clue.json").read_text()), **changes}
    (copy / "clue.json").write_text(json.dumps(values))
    return Grounder.from_pretrained(copy)


@pytest.fixture
def passes(monkeypatch):
    """(rows, layers run) of every pass through a decoder."""
    seen = []
    run = DecoderPlan.run

    def counted(self, hidden, place, cache, **how):
        seen.append((hidden.shape[1], self.depth if how.get("stop") is None else how["stop"]))
        return run(self, hidden, place, cache, **how)

    monkeypatch.setattr(DecoderPlan, "run", counted)
    return seen


KINDS = [
    dict(detector="cnn"),
    dict(detector="cnn", detector_prefix="disambiguate"),
    dict(detector="autoregressive"),
    dict(detector="autoregressive", detector_prefix="disambiguate", detector_depth="full"),
    dict(detector="joint"),
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: "-".join(k.values()))
@pytest.mark.parametrize("attention", ["image_blind", "full"])
def test_every_kind_runs_from_its_settings(tiny_model_dir, tmp_path, kind, attention):
    grounder = grounder_of(
        tiny_model_dir,
        tmp_path,
        **kind,
        prefix_attention=attention,
        tap_rows="last" if attention == "image_blind" else "all",
    )
    reading = grounder.detect_ambiguity(SCENE, WORDS)
    assert 0 <= reading.probability <= 1 and reading.attention_map.shape == (8, 8)
    assert reading.attention_map.min() == 0 and reading.attention_map.max() == pytest.approx(1, abs=1e-5)
    decision = grounder.ground(SCENE, WORDS)
    assert decision.ambiguity.probability == pytest.approx(reading.probability, abs=1e-6)
    assert decision.outcome in (Outcome.FOUND, Outcome.ASK, Outcome.NOT_FOUND)


def test_the_cnn_runs_no_layer_above_its_tap(tiny_model_dir, tmp_path, passes):
    grounder = grounder_of(tiny_model_dir, tmp_path, gate=[])
    grounder.detect_ambiguity(SCENE, WORDS)
    assert passes == [(64, 2), (passes[1][0], 1)]  # the image up to the keys of layer 1, the words up to its input
    passes.clear()
    grounder.detect_ambiguity(grounder.encode(SCENE), WORDS)
    assert len(passes) == 2


def test_one_pass_reads_the_map_of_the_prefill_that_speaks(tiny_model_dir, tmp_path, passes):
    grounder = grounder_of(tiny_model_dir, tmp_path, detector="joint")
    seen = grounder.look(SCENE)
    assert passes == [(64, 4)]
    passes.clear()
    grounder.ground(seen, WORDS, may_ask=False)
    assert passes[0][1] == 4 and [rows for rows, _ in passes[1:]] == [1] * (len(passes) - 1)
    assert len(passes) == 4  # the words, then three of the four location tokens


def test_a_half_depth_answer_is_the_one_of_transformers_with_fewer_layers(tiny_model_dir, tmp_path):
    """k = 1: layers 0 and 1, final norm, head, softmax over yes and no: against a model cut to two layers."""
    from clue_ros.ambiguity.autoregressive import answer_tokens

    grounder = grounder_of(tiny_model_dir, tmp_path, detector="autoregressive", detector_adapter="")
    backbone = grounder.backbone
    image = backbone.encode(SCENE)
    odds = AmbiguityReader(backbone, AUTOREGRESSIVE.new_head(backbone.tokenizer)).read(
        image, lambda task: f"{task} {WORDS}", None
    )
    language = backbone.model.model.language_model
    kept, language.layers = language.layers, language.layers[:2]
    ids = backbone.tokens.prefix(f"detect {WORDS}").ids
    with torch.inference_mode():
        embedded = torch.cat([image.features, language.embed_tokens(ids)], 1)
        count = image.features.shape[1]
        length = embedded.shape[1]
        allowed = torch.ones(length, length, dtype=torch.bool)
        allowed[:count, count:] = False
        allowed[count:, count:] = torch.ones(length - count, length - count, dtype=torch.bool).tril()
        mask = torch.zeros(1, 1, length, length).masked_fill(~allowed, torch.finfo(torch.float32).min)
        out = language(
            inputs_embeds=embedded,
            attention_mask={"full_attention": mask, "sliding_attention": mask},
            position_ids=torch.arange(1, length + 1)[None],
            use_cache=False,
        )
        logits = backbone.model.lm_head(out.last_hidden_state[:, -1])[0]
    language.layers = kept
    logits = 30 * torch.tanh(logits / 30)
    assert odds.probability == pytest.approx(
        float(logits[list(answer_tokens(backbone.tokenizer))].softmax(-1)[0]), abs=1e-4
    )


def test_what_a_detector_lacks_is_named(tiny_model_dir, tmp_path):
    (tmp_path / "a").mkdir()
    shutil.copytree(tiny_model_dir, tmp_path / "a" / "model")
    (tmp_path / "a" / "model" / "ambiguity.safetensors").unlink()
    with pytest.raises(ModelLoadError, match="ambiguity.safetensors is missing"):
        grounder_of(tiny_model_dir, tmp_path / "a")
    shutil.rmtree(tmp_path / "a" / "model" / "adapters" / "dialogue")
    shutil.copy(tiny_model_dir / "ambiguity.safetensors", tmp_path / "a" / "model")
    with pytest.raises(ModelLoadError, match="adapters/dialogue is missing.*joint"):
        grounder_of(tiny_model_dir, tmp_path / "a", detector="joint")
    with pytest.raises(ModelLoadError, match="detector is 'magic'.*detector_depth is 'third'"):
        grounder_of(tiny_model_dir, tmp_path / "a", detector="magic", detector_depth="third")


def test_a_box_that_is_not_sure_enough_is_asked_about(tiny_model_dir, tmp_path):
    grounder = grounder_of(tiny_model_dir, tmp_path, gate=[0.0, 0.0, -9.0])  # never ambiguous by the detector
    first = grounder.ground(SCENE, WORDS)
    assert first.outcome is Outcome.FOUND and 0 < first.confidence < 1
    doubtful = grounder.ground(SCENE, WORDS, min_confidence=1.0)
    assert doubtful.outcome is Outcome.ASK and doubtful.question.endswith("?")
    assert grounder.ground(SCENE, WORDS, min_confidence=1.0, may_ask=False).outcome is Outcome.FOUND
    assert grounder.ground(SCENE, WORDS, min_confidence=first.confidence * 0.99).outcome is Outcome.FOUND


@pytest.mark.parametrize("least, outcome", [(0.0, Outcome.FOUND), (1.0, Outcome.ASK)])
def test_a_checkpoint_says_itself_from_which_confidence_on_it_is_sure_enough(tiny_model_dir, tmp_path, least, outcome):
    grounder = grounder_of(tiny_model_dir, tmp_path, gate=[0.0, 0.0, -9.0], min_confidence=least)
    assert grounder.min_confidence == least and BeliefGrounder(grounder).min_confidence == least
    assert grounder.ground(SCENE, WORDS, min_confidence=None).outcome is outcome
    assert grounder.ground(SCENE, WORDS).outcome is Outcome.FOUND  # where nobody wants to hear of doubts


def test_a_confidence_that_none_can_have_is_refused(tiny_model_dir, tmp_path):
    with pytest.raises(ModelLoadError, match=r"min_confidence is 1.5, must lie in \[0, 1\]"):
        grounder_of(tiny_model_dir, tmp_path, min_confidence=1.5)


def test_a_doubtful_box_does_not_become_nothing_there(tiny_model_dir, tmp_path, monkeypatch):
    """First token: a box is likeliest, then nothing, then a question. Doubt asks; it takes nothing back."""
    grounder = grounder_of(tiny_model_dir, tmp_path, gate=[0.0, 0.0, -9.0])
    vocabulary, prefill = grounder.backbone.vocabulary, grounder._decider._prefill

    def reluctant(*arguments):
        start = prefill(*arguments)
        start.logits = start.logits.clone()
        words = torch.ones_like(start.logits, dtype=torch.bool)
        words[vocabulary.first_location : vocabulary.first_location + 1024] = False
        start.logits[vocabulary.eos] = start.logits[~words].logsumexp(0) - 0.5
        words[vocabulary.eos] = False
        start.logits[words] -= 30
        return start

    monkeypatch.setattr(grounder._decider, "_prefill", reluctant)
    assert grounder.ground(SCENE, WORDS).outcome is Outcome.FOUND
    doubtful = grounder.ground(SCENE, WORDS, min_confidence=1.0)
    assert doubtful.outcome is Outcome.ASK and doubtful.question.endswith("?")


def test_the_confidence_is_scaled_as_fitted(tiny_model_dir, tmp_path):
    raw = grounder_of(tiny_model_dir, tmp_path, gate=[0.0, 0.0, -9.0]).ground(SCENE, WORDS).confidence
    fitted = grounder_of(tiny_model_dir, tmp_path, confidence=[2.0, 0.5]).ground(SCENE, WORDS).confidence
    assert fitted == pytest.approx(calibrated(raw, (2.0, 0.5))) and fitted != raw
    assert calibrated(0.3, ()) == 0.3 and calibrated(0.5, (3.0, 0.0)) == pytest.approx(0.5)


def test_running_out_of_memory_has_a_name_and_leaves_the_model_usable(tiny_model_dir, monkeypatch):
    grounder = Grounder.from_pretrained(tiny_model_dir)
    before = grounder.ground(SCENE, WORDS, may_ask=False)
    run = DecoderPlan.run

    def greedy(self, *rest, **how):
        torch.empty(1 << 60, dtype=torch.uint8)  # more than any machine has: the allocator's own error
        return run(self, *rest, **how)

    monkeypatch.setattr(DecoderPlan, "run", greedy)
    with pytest.raises(OutOfMemoryError, match="grounding an instruction.*quantization"):
        grounder.ground(SCENE, WORDS)
    monkeypatch.setattr(DecoderPlan, "run", run)
    assert grounder.ground(SCENE, WORDS, may_ask=False).box == before.box
    for error in (MemoryError(), torch.OutOfMemoryError("CUDA out of memory. Tried to allocate")):
        with pytest.raises(OutOfMemoryError, match="memory ran out while thinking"), memory_guard("thinking"):
            raise error
    with pytest.raises(RuntimeError, match="shape"), memory_guard("thinking"):
        raise RuntimeError("a wrong shape is no lack of memory")


def test_a_directory_that_nobody_trained_is_stock(tiny_model_dir, tmp_path):
    copy = shutil.copytree(tiny_model_dir, tmp_path / "copy")
    assert not is_stock(copy)
    shutil.rmtree(copy / "adapters")
    assert not is_stock(copy)
    (copy / "ambiguity.safetensors").unlink()
    assert not is_stock(copy)  # its clue.json still names a detector: an incomplete directory, not a plain one
    (copy / "clue.json").unlink()
    assert is_stock(copy)
    (copy / "clue.json").write_text('{"name": "the \\"detector\\" is not a key here"}')
    assert is_stock(copy)
    (copy / "clue.json").write_text('{"\\u0064etector": "cnn"}')  # the key, in other signs
    assert not is_stock(copy)
    for broken in ("{", "[1]", "[" * 5000, "\xff"):
        (copy / "clue.json").write_text(broken, encoding="latin-1")
        with pytest.raises(ModelLoadError, match="clue.json"):
            is_stock(copy)


def test_settings_of_a_loaded_model_can_be_changed(tiny_model_dir):
    backbone = PaliGemmaBackbone.from_pretrained(tiny_model_dir)
    other = backbone.with_settings(replace(backbone.settings, prefix_attention="full", tap_rows="all"))
    image = backbone.encode(SCENE)
    assert not torch.allclose(
        backbone.prefill(image, f"clarify {WORDS}").logits, other.prefill(image, f"clarify {WORDS}").logits, atol=1e-3
    )
    assert backbone.settings.prefix_attention == "image_blind"
    assert AmbiguityReader.load(tiny_model_dir, other).tapped is False
