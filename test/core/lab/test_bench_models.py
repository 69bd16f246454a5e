"""The models that are made for a measurement: random 3B weights, widened modules, loading within a limit."""

import numpy as np
import pytest
import torch

from clue_ros.lab.bench import floor, paligemma2_3b
from clue_ros.lab.bench.order import Order
from clue_ros.lab.bench.plain import PlainPath, computing_in
from clue_ros.lab.bench.random_adapters import put_beside, random_adapters
from clue_ros.lab.bench.subject import memory_needed
from clue_ros.training.vision import start
from clue_ros.vlm.dense import Precision, Scratch
from clue_ros.vlm.paligemma import PaliGemmaBackbone
from clue_ros.vlm.settings import ClueSettings

PICTURE = np.random.default_rng(0).integers(0, 255, (60, 90, 3), dtype=np.uint8)


def test_the_3b_configuration_has_the_parameters_of_the_real_one():
    config = paligemma2_3b.configuration()
    padding = (paligemma2_3b.VOCABULARY - 257_152) * config.text_config.hidden_size
    assert paligemma2_3b.parameter_count(config) - padding == 3_032_979_696
    assert floor.image_tokens(config) == 1024
    needed = memory_needed(Order("3b"), config)
    assert 6.1e9 < needed < 11e9


def test_the_random_model_is_whole(model):
    """Built without a second copy, it has the buffers and the kind of numbers that transformers' own constructor
    gives."""
    built = paligemma2_3b.build(model.config, torch.bfloat16)
    assert {p.dtype for p in built.parameters()} == {torch.bfloat16}
    assert built.lm_head.weight.data_ptr() == built.model.language_model.embed_tokens.weight.data_ptr()
    ours, theirs = dict(built.named_buffers()), dict(model.named_buffers())
    assert ours.keys() == theirs.keys()
    for name, buffer in theirs.items():
        assert torch.allclose(ours[name].float(), buffer.float(), atol=0.1 if name.endswith("embed_scale") else 0), name
    for name, parameter in built.named_parameters():
        assert torch.isfinite(parameter).all(), name
        assert parameter.ndim == 1 or 0.015 < float(parameter.float().std()) < 0.025, name


def test_the_stand_in_tokenizer_has_the_real_layout():
    tokenizer = paligemma2_3b.build_tokenizer(["hand", "me", "the", "mug"])
    assert tokenizer.convert_tokens_to_ids(["<loc0000>", "<loc1023>", "<seg000>", "<image>"]) == [
        256_000,
        257_023,
        257_024,
        257_152,
    ]
    ids = tokenizer.encode("Hand me <loc0012> the mug?\n", add_special_tokens=False)
    assert tokenizer.convert_ids_to_tokens(ids) == ["hand", "me", "<loc0012>", "the", "mug", "?", "\n"]


def test_widened_modules_compute_what_float32_ones_do(tiny_size, model):
    tokenizer = start(tiny_size)[0]
    settings = ClueSettings("full", 2, "all", closed_vocabulary=True)
    narrow = paligemma2_3b.build(model.config, torch.bfloat16)
    wide = paligemma2_3b.build(model.config, torch.float32)
    wide.load_state_dict({k: v.float() for k, v in narrow.state_dict().items()})
    precision, plain32 = Precision(torch.bfloat16, torch.float32), Precision(torch.float32, torch.float32)
    with computing_in(precision, narrow, Scratch()):
        mixed = PlainPath(narrow, tokenizer, settings, frozenset(), plain32)
        exact = PlainPath(wide, tokenizer, settings, frozenset(), plain32)
        # The pixels are rounded to the weights' dtype first, so only nearly the same.
        assert torch.allclose(mixed.features(PICTURE), exact.features(PICTURE), atol=2e-3)
        assert mixed.features(PICTURE).dtype == torch.float32
        assert mixed.attention_map(PICTURE, "detect the red mug").dtype == torch.float32
    assert all("forward" not in module.__dict__ for module in narrow.modules())


def test_random_adapters_do_the_same_on_both_sides(tiny_size):
    """As bare factors in ours, through peft in the plain path."""
    tokenizer, model, _ = start(tiny_size)
    settings = ClueSettings("full", 2, "all", closed_vocabulary=True)
    adapters = random_adapters(model.config, 2)
    with torch.no_grad():
        for factors in adapters.values():
            for parts in factors.values():
                for down, _ in parts.values():
                    down.mul_(30)  # so that they show in a model of this size
    backbone = PaliGemmaBackbone(model.eval(), tokenizer, settings, adapters, merge="no")
    prefix = "clarify the red mug"
    image = backbone.encode(PICTURE)
    bare = backbone.complete(image, prefix, limit=5, adapter="")
    ours = backbone.complete(image, prefix, limit=5, adapter="dialogue")
    detected = backbone.attention_map(image, "detect the red mug")
    put_beside(model, adapters)
    plain = PlainPath(model, tokenizer, settings, backbone.adapters, backbone.precision)
    assert plain.generate(PICTURE, prefix, len(ours.tokens)) == ours.tokens != bare.tokens
    assert torch.allclose(plain.attention_map(PICTURE, "detect the red mug"), detected, atol=1e-3)


@pytest.mark.parametrize("quantization, dtype", [("int8", "bfloat16")])  # test_shards.py has every pair, smaller
def test_loading_takes_little_more_than_what_stays(tmp_path, gemma_like_tokenizer, quantization, dtype):
    """A model of many layers in several files: no file and no form of it is ever there whole beside what stays."""
    from clue_ros.lab.bench.footprint import footprint
    from clue_ros.lab.bench.random_folder import write_random_folder
    from clue_ros.training.tabletop_model import TabletopSize, configuration
    from clue_ros.vlm.quantization import stays
    from clue_ros.vlm.skeleton import skeleton

    size = TabletopSize(
        image_size=112, vision_width=64, vision_layers=2, vision_mlp=64, vision_heads=2,
        text_width=512, text_layers=40, text_mlp=2048, text_heads=8, text_kv_heads=4, head_dim=64,
    )  # fmt: skip
    config = configuration(gemma_like_tokenizer, size)
    write_random_folder(tmp_path, config, gemma_like_tokenizer, shard_bytes=80_000_000)
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 2
    found = footprint(tmp_path, dtype, quantization)
    model = skeleton(config)
    model.tie_weights()
    expected = stays(model, getattr(torch, dtype), quantization)
    assert expected > 60_000_000 and abs(found.stays / expected - 1) < 0.1, (expected, found)
    # The widest matrix in the making and torch's own buffers do not grow with a model: 24 MB are left to them here.
    assert found.loading - found.stays <= max(0.15 * found.stays, 24_000_000), found
    assert found.dtype == dtype and found.outcome in ("found", "not_found")
