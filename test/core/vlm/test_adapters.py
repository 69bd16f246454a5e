"""Adapters of other people: every kind that is taken computes what peft computes, every other is refused by its
name.
"""

import json
import warnings

import numpy as np
import pytest
import torch
from peft import EvaConfig, LoHaConfig, LoraConfig, PeftModel, get_peft_model, initialize_lora_eva_weights
from safetensors.torch import load_file, save_file

from clue_ros.training.vision import start
from clue_ros.types import ModelLoadError
from clue_ros.vlm.adapters import DECODER_ONLY, load_adapters
from clue_ros.vlm.paligemma import PaliGemmaBackbone
from clue_ros.vlm.settings import ClueSettings

DECODER = DECODER_ONLY  # what the refusal of the others advises
RGB = np.random.default_rng(0).integers(
    0, 255, (112, 112, 3), dtype=np.uint8
)  # the model's own size: nothing is resized
PREFIX = "clarify the red mug"


def fresh(size):
    """(tokenizer, model) without adapters, always the same, whose decoder does something to its input."""
    tokenizer, model, _ = start(size)
    torch.manual_seed(7)
    with torch.no_grad():
        for parameter in model.model.language_model.layers.parameters():
            if parameter.ndim == 2:
                parameter.normal_(0, 0.25)
    return tokenizer, model.eval()


def saved(size, folder, change=True, **config):
    """An adapter as a notebook makes it, changed as training would, saved by peft; returns its folder."""
    _, model = fresh(size)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peft's remarks on the kinds that need more than their two files
        adapted = get_peft_model(model, LoraConfig(**{"r": 4, "lora_alpha": 8, "target_modules": DECODER, **config}))
        if change:
            shake(adapted)
        target = folder / "adapters" / "dialogue"
        adapted.save_pretrained(target)
    return target


def shake(adapted):
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_" in name:
                parameter += torch.randn(parameter.shape, generator=generator) * 0.1


def inputs(backbone):
    ids = backbone.tokens.prefix(PREFIX).ids
    whole = torch.cat([torch.full((1, backbone.grid**2), backbone.model.config.image_token_id), ids], 1)
    pixels = torch.from_numpy(RGB.transpose(2, 0, 1)[None].copy()).float() / 127.5 - 1
    return dict(
        input_ids=whole,
        pixel_values=pixels,
        attention_mask=torch.ones_like(whole),
        token_type_ids=torch.zeros_like(whole),
    )


def product(size, folder):
    tokenizer, model = fresh(size)
    adapters = load_adapters(model.model.language_model, folder, ["dialogue"])
    settings = ClueSettings(tap_layer=1, detector_adapter="", dialogue_adapter="dialogue")
    return PaliGemmaBackbone(model, tokenizer, settings, adapters, merge="no")


def distances(size, folder):
    """Largest distance of the next token's logits, through the product and through peft, and that of peft's with the
    adapter from those without."""
    backbone = product(size, folder)
    given = inputs(backbone)
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reference = PeftModel.from_pretrained(fresh(size)[1], folder / "adapters" / "dialogue").eval()
        theirs = reference(**given).logits[0, -1]
        with reference.disable_adapter():
            plain = reference(**given).logits[0, -1]
    ours = backbone.prefill(backbone.encode(RGB), PREFIX).logits
    return float((ours - theirs).abs().max()), float((plain - theirs).abs().max())


TAKEN = {
    "plain": {},
    "rank-stabilised": {"use_rslora": True},
    "gaussian": {"init_lora_weights": "gaussian"},
    "random": {"init_lora_weights": False},
    "minor components": {"init_lora_weights": "mica", "target_modules": r".*language_model.*\.(q_proj|up_proj)"},
    "orthogonal": {"init_lora_weights": "orthogonal"},
    "a scale for some, by full path": {"alpha_pattern": {r"^model\.language_model\.layers\.0\.self_attn\.q_proj": 64}},
    "a scale for some, the first pattern counts": {"alpha_pattern": {"q_proj": 64, r"layers\.0\..*": 2}},
    "a rank for some": {"rank_pattern": {"v_proj": 2}, "alpha_pattern": {"v_proj": 16}},
    "rank-stabilised, a rank for some": {"rank_pattern": {"v_proj": 2}, "use_rslora": True},
    "some layers": {"target_modules": ["gate_proj"], "layers_to_transform": [1, 2]},
    "some kinds": {"target_modules": ["gate_proj", "down_proj"]},
    "without a kind": {"exclude_modules": r".*\.mlp\..*"},
    "transposed, which peft ignores for a Linear": {"fan_in_fan_out": True},
}


@pytest.mark.parametrize("kind", TAKEN)
def test_a_kind_that_is_taken_computes_what_peft_computes(tiny_size, tmp_path, kind):
    folder = saved(tiny_size, tmp_path, **TAKEN[kind])
    if "fan_in_fan_out" in TAKEN[kind]:  # peft corrects it before it saves
        edit(folder, fan_in_fan_out=True)
    distance, effect = distances(tiny_size, tmp_path)
    assert effect > 0.1, "the adapter changed nothing, so this test shows nothing"
    assert distance < 2e-4


def test_eva_shares_its_ranks_out_by_pattern_and_is_read_so(tiny_size, tmp_path):
    _, model = fresh(tiny_size)
    backbone = PaliGemmaBackbone(
        *fresh(tiny_size)[::-1], ClueSettings(tap_layer=1, detector_adapter="", dialogue_adapter="")
    )
    config = LoraConfig(
        r=4, lora_alpha=8, target_modules=DECODER, init_lora_weights="eva", eva_config=EvaConfig(rho=2.0)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        adapted = get_peft_model(model, config)
        initialize_lora_eva_weights(
            adapted,
            [inputs(backbone)] * 2,
            forward_fn=lambda m, given: m(**given),
            prepare_model_inputs_fn=None,
            prepare_layer_inputs_fn=None,
            show_progress_bar=False,
        )
        shake(adapted)
        adapted.save_pretrained(tmp_path / "adapters" / "dialogue")
    assert json.loads((tmp_path / "adapters" / "dialogue" / "adapter_config.json").read_text())["rank_pattern"]
    distance, effect = distances(tiny_size, tmp_path)
    assert effect > 0.1 and distance < 2e-4


@pytest.mark.parametrize("kind", ["pissa", "olora"])
def test_a_changed_base_is_refused_and_its_conversion_by_peft_is_taken(tiny_size, tmp_path, kind):
    _, model = fresh(tiny_size)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        adapted = get_peft_model(model, LoraConfig(r=4, lora_alpha=8, target_modules=DECODER, init_lora_weights=kind))
        first = tmp_path / "start"
        adapted.peft_config["default"].init_lora_weights = True  # as peft's own guide has it before the first saving
        adapted.save_pretrained(first)
        adapted.peft_config["default"].init_lora_weights = kind
        shake(adapted)
        adapted.save_pretrained(tmp_path / "mutated" / "adapters" / "dialogue")
        adapted.save_pretrained(
            tmp_path / "converted" / "adapters" / "dialogue", path_initial_model_for_weight_conversion=str(first)
        )
    with pytest.raises(ModelLoadError, match=rf"init_lora_weights.*{kind}.*path_initial_model_for_weight_conversion"):
        product(tiny_size, tmp_path / "mutated")
    distance, effect = distances(tiny_size, tmp_path / "converted")
    assert effect > 0.1 and distance < 2e-4


def edit(folder, **values):
    file = folder / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


REFUSED = {
    "pissa_niter_4": {"init_lora_weights": "pissa_niter_4"},
    "corda": {"init_lora_weights": "corda"},
    "loftq": {"init_lora_weights": "loftq"},
    "lora_ga": {"init_lora_weights": "lora_ga"},
    "a start of next year": {"init_lora_weights": "aurora"},
    "use_dora": {"use_dora": True},
    "alora_invocation_tokens": {"alora_invocation_tokens": [5, 6]},
    "lora_bias": {"lora_bias": True},
    "bias": {"bias": "lora_only"},
    "bias 'all'": {"bias": "all"},
    "modules_to_save": {"modules_to_save": ["lm_head"]},
    "trainable_token_indices": {"trainable_token_indices": [5]},
    "layer_replication": {"layer_replication": [[0, 2], [1, 4]]},
    "target_parameters": {"target_parameters": ["q_proj.weight"]},
    "megatron_config": {"megatron_config": {"a": 1}},
    "use_qalora": {"use_qalora": True},
    "arrow_config": {"arrow_config": {"top_k": 3}},
    "use_bdlora": {"use_bdlora": {"nblocks": 2}},
    "kasa_config": {"kasa_config": {"beta": 1e-4}},
    "monteclora_config": {"monteclora_config": {"a": 1}},
    "peft_type": {"peft_type": "ADALORA"},
    "an entry of next year": {"use_bora": True},
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_not_plain_lora_is_refused_by_its_name(tiny_size, tmp_path, kind):
    folder = saved(tiny_size, tmp_path)
    edit(folder, **REFUSED[kind])
    ((name, value),) = REFUSED[kind].items()
    with pytest.raises(ModelLoadError, match=f"adapter_config.json.*{name}"):
        product(tiny_size, tmp_path)


def test_dora_as_peft_saves_it_is_refused_by_name_even_if_its_config_hides_it(tiny_size, tmp_path):
    edit(saved(tiny_size, tmp_path, use_dora=True), use_dora=False)
    with pytest.raises(ModelLoadError, match="lora_magnitude_vector"):
        product(tiny_size, tmp_path)


def test_another_method_of_pefts_is_refused_by_name(tiny_size, tmp_path):
    adapted = get_peft_model(fresh(tiny_size)[1], LoHaConfig(r=4, target_modules=DECODER))
    adapted.save_pretrained(tmp_path / "adapters" / "dialogue")
    with pytest.raises(ModelLoadError, match="LOHA"):
        product(tiny_size, tmp_path)


@pytest.mark.parametrize(
    "targets", [["q_proj", "v_proj"], "all-linear", ["q_proj", "o_proj", "k_proj", "v_proj", "gate_proj"]]
)
def test_lora_that_also_hits_siglip_is_refused_by_that_name(tiny_size, tmp_path, targets):
    """In this model tower and decoder have the same width, so that the keys' shapes say nothing."""
    assert tiny_size.vision_width == tiny_size.text_width
    saved(tiny_size, tmp_path, target_modules=targets)
    with pytest.raises(ModelLoadError, match=r"vision tower.*target_modules.*language_model"):
        product(tiny_size, tmp_path)


def test_lora_on_the_projector_or_on_nothing_known_is_refused_by_that_name(tiny_size, tmp_path):
    folder = saved(tiny_size, tmp_path, target_modules=r".*multi_modal_projector\.linear")
    with pytest.raises(ModelLoadError, match="multi_modal_projector"):
        product(tiny_size, tmp_path)
    keys = {"lora_A": torch.zeros(4, 32), "lora_B": torch.zeros(32, 4)}
    save_file(
        {f"base_model.model.model.layers.0.self_attn.q_proj.{k}.weight": v for k, v in keys.items()},
        folder / "adapter_model.safetensors",
    )
    with pytest.raises(
        ModelLoadError, match=r"model\.layers\.0\.self_attn\.q_proj"
    ):  # a Gemma 2's own, without PaliGemma
        product(tiny_size, tmp_path)


def test_an_adapter_of_before_transformers_5_is_read_under_its_old_names(tiny_size, tmp_path):
    folder = saved(tiny_size, tmp_path)
    new = product(tiny_size, tmp_path)
    expected = new.prefill(new.encode(RGB), PREFIX).logits.clone()
    file = folder / "adapter_model.safetensors"
    tensors = load_file(file)
    save_file(
        {k.replace("model.model.language_model.", "model.language_model.model."): v for k, v in tensors.items()}, file
    )
    assert "base_model.model.language_model.model.layers.0.mlp.up_proj.lora_A.weight" in load_file(file)
    old = product(tiny_size, tmp_path)
    assert torch.equal(old.prefill(old.encode(RGB), PREFIX).logits, expected)


@pytest.mark.parametrize(
    "values, message",
    [
        ({"r": 5}, "rank 4.*says 5"),
        ({"alpha_pattern": {"(": 3}}, "alpha_pattern"),
        ({"lora_alpha": "much"}, "lora_alpha"),
        ({"r": 0}, "'r'"),
        ({"rank_pattern": [1]}, "rank_pattern"),
    ],
)
def test_a_configuration_that_does_not_fit_its_weights_is_refused(tiny_size, tmp_path, values, message):
    edit(saved(tiny_size, tmp_path), **values)
    with pytest.raises(ModelLoadError, match=message):
        product(tiny_size, tmp_path)


def test_a_configuration_that_is_no_object_is_refused(tiny_size, tmp_path):
    (saved(tiny_size, tmp_path) / "adapter_config.json").write_text("[1]")
    with pytest.raises(ModelLoadError, match="adapter_config.json"):
        product(tiny_size, tmp_path)


def test_the_same_projection_under_two_names_is_refused(tiny_size, tmp_path):
    file = saved(tiny_size, tmp_path) / "adapter_model.safetensors"
    tensors = load_file(file)
    save_file(
        {
            **tensors,
            **{
                k.replace("model.model.language_model.", "model.language_model.model."): v + 1
                for k, v in tensors.items()
            },
        },
        file,
    )
    with pytest.raises(ModelLoadError, match="twice"):
        product(tiny_size, tmp_path)


def test_training_on_from_an_adapter_of_another_scale_is_refused(tiny_size, tmp_path):
    """Its factors under another alpha / r are another adapter."""
    from clue_ros.training.adapters import LoraSettings, add_adapter, load_adapter_weights

    _, model = fresh(tiny_size)
    add_adapter(model, "own", None, LoraSettings(r=4, alpha=8))
    load_adapter_weights(model, "own", saved(tiny_size, tmp_path / "same", lora_alpha=8))
    with pytest.raises(ModelLoadError, match="alpha"):
        load_adapter_weights(model, "own", saved(tiny_size, tmp_path / "other", lora_alpha=16))
    with pytest.raises(ModelLoadError, match="use_dora"):
        load_adapter_weights(model, "own", saved(tiny_size, tmp_path / "dora", lora_alpha=8, use_dora=True))
