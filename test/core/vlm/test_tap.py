"""The own decoder pass against transformers' full forward: the tap's map, the logits of every decoded token,
adapters.
"""

import numpy as np
import pytest
import torch

from clue_ros.training.tabletop_model import build_model, build_tokenizer
from clue_ros.training.vision import start
from clue_ros.vlm.decoding import Branch, ConstrainedSequence
from clue_ros.vlm.paligemma import PaliGemmaBackbone
from clue_ros.vlm.settings import ClueSettings

PREFIX = "detect hand me the red mug assistant: left or right ? user: <loc0100><loc0900> left"
SCENE = np.random.default_rng(0).integers(0, 255, (60, 90, 3), dtype=np.uint8)


def backbone(size, mode, rows="all", softcap=None, layer=2):
    tokenizer, model, _ = start(size)
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.model.language_model.layers.parameters():
            if parameter.ndim == 2:
                parameter.normal_(0, 0.25)  # sharp attention: a flat map would hide a difference
    for block in model.model.language_model.layers:
        block.self_attn.attn_logit_softcapping = softcap
    settings = ClueSettings(mode, layer, rows, closed_vocabulary=True, detector_adapter="", dialogue_adapter="")
    return PaliGemmaBackbone(model.eval(), tokenizer, settings)


def reference_forward(b, encoded, ids, mode, prefix_length):
    """transformers on the whole sequence: (logits float32[L,V], attentions of every layer)."""
    count = encoded.features.shape[1]
    model = b.model
    image_ids = torch.full((1, count), model.config.image_token_id)
    everything = torch.cat([image_ids, ids], 1)
    types = torch.ones_like(everything)
    types[:, :count] = 0
    if mode == "full":
        types[:, count : count + prefix_length] = 0
    embedded = model.get_input_embeddings()(ids)
    out = model.model(
        inputs_embeds=torch.cat([encoded.features, embedded], 1),
        token_type_ids=types,
        attention_mask=torch.ones_like(everything),
        output_attentions=True,
    )
    logits = model.lm_head(out.last_hidden_state).float()
    cap = model.config.get_text_config().final_logit_softcapping
    return (cap * torch.tanh(logits / cap))[0], out.attentions


@pytest.mark.parametrize(
    "mode, rows, softcap",
    [
        ("full", "all", None),
        ("full", "all", 8.0),
        ("full", "paper", None),
        ("image_blind", "last", None),
        ("image_blind", "all", 8.0),
    ],
)
def test_the_map_equals_equations_1_and_2_on_full_attention(tiny_size, mode, rows, softcap):
    b = backbone(tiny_size, mode, rows, softcap)
    with torch.inference_mode():
        encoded = b.encode(SCENE)
        got = b.attention_map(encoded, PREFIX)
        words = b.tokenizer.encode(PREFIX, add_special_tokens=False)
        ids = torch.tensor([[b.tokenizer.bos_token_id, *words, b.tokenizer.convert_tokens_to_ids("\n")]])
        _, attentions = reference_forward(b, encoded, ids, mode, ids.shape[1])
        count = encoded.features.shape[1]
        attention = attentions[b.settings.tap_layer][0][:, count:, :count]  # [H, text rows, image keys]
        chosen = {
            "last": attention[:, -1:],
            "all": attention[:, 2:-1],  # without <bos>, "detect" and the newline
            "paper": torch.cat([attention[:, :1], attention[:, 2:]], 1),
        }[rows]
        renormalised = chosen / (chosen.sum(-1, keepdim=True) + 1e-12)
        vector = renormalised.mean((0, 1))
        expected = (vector - vector.min()) / (vector.max() - vector.min())
    assert got.shape == (8, 8)
    assert float(got.std()) > 0.05
    assert torch.allclose(got.flatten(), expected, atol=1e-4)


@pytest.mark.parametrize("mode", ["full", "image_blind"])
@pytest.mark.parametrize("branch", [Branch.BOX, Branch.QUESTION])
def test_every_decoded_token_sees_the_logits_of_the_full_forward(tiny_size, monkeypatch, mode, branch):
    b = backbone(tiny_size, mode)
    seen = []
    feed = ConstrainedSequence.feed
    monkeypatch.setattr(ConstrainedSequence, "feed", lambda self, logits: (seen.append(logits), feed(self, logits))[1])
    with torch.inference_mode():
        encoded = b.encode(SCENE)
        sequence = b.generate(b.prefill(encoded, PREFIX), frozenset({branch}))
        words = b.tokenizer.encode(PREFIX, add_special_tokens=False)
        prefix = [b.tokenizer.bos_token_id, *words, b.tokenizer.convert_tokens_to_ids("\n")]
        logits, _ = reference_forward(b, encoded, torch.tensor([prefix + sequence.tokens]), mode, len(prefix))
    start_row = encoded.features.shape[1] + len(prefix) - 1
    assert len(seen) == len(sequence.tokens) >= (4 if branch is Branch.BOX else 2)
    first = b.vocabulary.first_location
    for step, own in enumerate(seen):
        expected = logits[start_row + step]
        if len(own) < len(expected):  # within a box only the locations' logits are computed
            assert branch is Branch.BOX and step > 0
            expected = expected[first : first + 1024]
        assert torch.allclose(own, expected, atol=2e-4), f"token {step}"


def test_the_features_are_those_of_the_model_from_pixels(tiny_size):
    b = backbone(tiny_size, "full")
    square = np.random.default_rng(2).integers(0, 255, (112, 112, 3), dtype=np.uint8)
    pixels = torch.from_numpy(square).permute(2, 0, 1)[None].float() / 127.5 - 1
    with torch.inference_mode():
        expected = b.model.get_image_features(pixels).pooler_output
        assert torch.allclose(b.encode(square).features, expected, atol=1e-5)


def test_adapters_apply_where_they_belong_and_switch_back(tiny_model_dir):
    b = PaliGemmaBackbone.from_pretrained(tiny_model_dir)
    assert b.adapters == {"detector", "dialogue"}
    encoded = b.encode(SCENE)
    with_detector = b.attention_map(encoded, PREFIX)
    box = b.generate(b.prefill(encoded, PREFIX), frozenset({Branch.BOX})).bins
    again = b.attention_map(b.encode(SCENE), PREFIX)
    plain = PaliGemmaBackbone(b.model, b.tokenizer, b.settings)
    assert torch.equal(with_detector, again)
    assert not torch.allclose(with_detector, plain.attention_map(plain.encode(SCENE), PREFIX), atol=1e-3)
    assert box != plain.generate(plain.prefill(plain.encode(SCENE), PREFIX), frozenset({Branch.BOX})).bins


def test_the_tokenizer_keeps_newline_and_locations_apart():
    tokenizer = build_tokenizer(["red", "mug", "don't", "?"])
    assert tokenizer.convert_ids_to_tokens(tokenizer.encode("Red mug? don't <loc0007>\n")) == [
        "red",
        "mug",
        "?",
        "don't",
        "<loc0007>",
        "\n",
    ]
    assert build_model(tokenizer, seed=1).lm_head.weight.shape[0] == len(tokenizer)
