"""Who sees whom: serving's chunks are training's one mask, for the two patterns and for one that is only registered."""

import json
import shutil

import numpy as np
import pytest
import torch

from clue_ros.grounder import Grounder
from clue_ros.vlm.decoder import logits_of, run_layers
from clue_ros.vlm.paligemma import PaliGemmaBackbone
from clue_ros.vlm.patterns import FULL, IMAGE_BLIND, PATTERNS, AttentionPattern

SCENE = np.random.default_rng(4).integers(0, 255, (60, 90, 3), dtype=np.uint8)
PREFIX = "clarify the red mug"
# Image tokens see only each other; the words see the image and all words.
WORDS_WHOLE = AttentionPattern("words_whole", False, True, tap_rows="all", sliding_windows=False)
# The image sees the words, each of which sees only what stands before it.
WORDS_CAUSAL = AttentionPattern("words_causal", True, False, tap_rows="last", sliding_windows=False)
EVERY = (FULL, IMAGE_BLIND, WORDS_WHOLE, WORDS_CAUSAL)


@pytest.mark.parametrize("pattern", EVERY, ids=lambda p: p.name)
def test_the_chunks_of_serving_see_what_one_mask_shows(pattern):
    count, length, suffix = 3, 4, 2
    whole = pattern.mask(torch.tensor([length]), count, length + suffix)
    assert whole.shape == (1, 1, 9, 9)
    bare = pattern.mask(torch.tensor([length]), count, length)
    everywhere = torch.ones_like(bare)
    own = pattern.whole_mask(count, length)
    assert torch.equal(everywhere if own is None else own, bare)
    if pattern.reusable:
        assert not whole[..., :count, count:].any(), "an image that sees a word cannot be kept for another"
        for more in (0, suffix):
            own = pattern.prefix_mask(count, length, more)
            wanted = whole[..., count : count + length + more, : count + length + more]
            assert torch.equal(torch.ones_like(wanted) if own is None else own, wanted)
    assert torch.equal(whole[0, 0, count + length :].int(), torch.ones(suffix, 9).tril(count + length).int())


@pytest.mark.parametrize("pattern", EVERY, ids=lambda p: p.name)
def test_a_registered_pattern_decides_and_runs_as_its_mask_says(pattern, tiny_model_dir, tmp_path, monkeypatch):
    monkeypatch.setitem(PATTERNS, pattern.name, pattern)
    copy = shutil.copytree(tiny_model_dir, tmp_path / "model")
    clue = {**json.loads((copy / "clue.json").read_text()), "prefix_attention": pattern.name}
    (copy / "clue.json").write_text(json.dumps({**clue, "tap_rows": pattern.tap_rows, "dialogue_adapter": ""}))
    backbone = PaliGemmaBackbone.from_pretrained(copy)
    image, ids = backbone.encode(SCENE), backbone.tokens.prefix(PREFIX).ids
    language, count = backbone.model.model.language_model, image.features.shape[1]
    with torch.inference_mode():
        hidden = torch.cat([image.features, language.embed_tokens(ids)], 1)
        length = hidden.shape[1]
        mask = pattern.mask(torch.tensor([ids.shape[1]]), count, ids.shape[1])
        passed = run_layers(language, hidden, torch.arange(1, length + 1)[None], mask=mask)
        expected = logits_of(backbone.model, passed.hidden[:, -1])[0]
    cold = backbone.prefill(image, PREFIX).logits
    assert torch.allclose(cold, expected, atol=1e-4)
    ahead = backbone.encode(SCENE)
    backbone.look(ahead)
    assert bool(ahead.caches) == pattern.reusable
    assert torch.allclose(backbone.prefill(ahead, PREFIX).logits, expected, atol=1e-4)
    decision = Grounder.from_pretrained(copy).ground(SCENE, "the red mug")
    assert 0 <= decision.ambiguity.probability <= 1
