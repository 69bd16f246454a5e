"""The machine's limits: the work that a decision needs at least is what torch counts."""

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from clue_ros.lab.bench import floor

TEXT = 9  # tokens of a prefix


def counted(work) -> int:
    """Operations of matrix products by torch's counter, attention as plain products."""
    with torch.inference_mode(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


def test_the_vision_floor_is_what_torch_counts(model):
    pixels = torch.zeros(1, 3, model.config.vision_config.image_size, model.config.vision_config.image_size)
    both = sum(cost.flops for cost in floor.see(model.config))
    assert counted(lambda: model.get_image_features(pixels)) == both


def test_the_decoder_floor_is_what_torch_counts(model):
    config, width, n = model.config, model.config.text_config.hidden_size, floor.image_tokens(model.config)
    length, depth = n + TEXT, config.text_config.num_hidden_layers
    language = model.model.language_model

    def whole():
        hidden = language(inputs_embeds=torch.zeros(1, length, width), use_cache=False).last_hidden_state
        return model.lm_head(hidden[:, -1:])

    expected = (floor.layers(config, depth, length, length) + floor.head(config)).flops
    assert counted(whole) == expected

    cache = language(inputs_embeds=torch.zeros(1, length, width), use_cache=True).past_key_values
    step = counted(
        lambda: model.lm_head(
            language(inputs_embeds=torch.zeros(1, 1, width), past_key_values=cache, use_cache=True).last_hidden_state
        )
    )
    assert step == floor.decode(config, TEXT, 2)[0].flops


def test_the_tap_and_the_last_layer_are_what_torch_counts(model):
    config, t, n = model.config, model.config.text_config, floor.image_tokens(model.config)
    attention, hidden = model.model.language_model.layers[0].self_attn, torch.zeros(1, n + TEXT, t.hidden_size)

    def tap():
        q = attention.q_proj(hidden[:, n:]).view(1, TEXT, -1, t.head_dim).transpose(1, 2)
        k = attention.k_proj(hidden[:, :n]).view(1, n, -1, t.head_dim).transpose(1, 2)
        return q @ k.repeat_interleave(attention.num_key_value_groups, 1).transpose(2, 3)

    assert counted(tap) == floor.tap(config, TEXT).flops

    def last():
        q = attention.q_proj(hidden[:, -1:]).view(1, 1, -1, t.head_dim).transpose(1, 2)
        k, v = (
            p(hidden)
            .view(1, n + TEXT, -1, t.head_dim)
            .transpose(1, 2)
            .repeat_interleave(attention.num_key_value_groups, 1)
            for p in (attention.k_proj, attention.v_proj)
        )
        mixed = ((q @ k.transpose(2, 3)) @ v).flatten(1)[:, None]
        return model.model.language_model.layers[0].mlp(attention.o_proj(mixed))

    assert counted(last) == floor.last_layer(config, n + TEXT, n + TEXT).flops


def test_what_was_seen_beforehand_is_not_in_the_floor(model):
    config = model.config
    cold = floor.total(floor.detection(config, 2, TEXT, tapped_rows=1, image_blind=True))
    seen = floor.total(floor.detection(config, 2, TEXT, tapped_rows=1, image_blind=True, seen=True))
    n = floor.image_tokens(config)
    assert cold.flops - seen.flops == (floor.layers(config, 2, n, n) + floor.keys_only(config, n, values=False)).flops
    assert (
        floor.total(floor.prefill(config, TEXT, image_blind=True, seen=True)).flops
        < floor.total(floor.prefill(config, TEXT, image_blind=True)).flops
    )
    # A slow memory bounds the step that reads all weights for one row, a slow processor the prefill.
    step = floor.decode(config, TEXT, 2)
    assert floor.floor_seconds(step, 1e12, 1e6, 4) == pytest.approx(floor.total(step).elements * 4 / 1e6)
    assert floor.floor_seconds(step, 1e3, 1e12, 4) == pytest.approx(floor.total(step).flops / 1e3)
