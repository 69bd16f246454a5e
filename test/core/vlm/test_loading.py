"""Model directories: the real checkpoint's layout loads; what is missing, broken or wrong names itself."""

import json
import shutil

import numpy as np
import pytest
import torch

from clue_ros.grounder import Grounder
from clue_ros.training.tabletop_model import build_model
from clue_ros.types import ModelLoadError, Outcome
from clue_ros.vlm.paligemma import PaliGemmaBackbone
from clue_ros.vlm.settings import ClueSettings

IMAGE = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def real_layout(tmp_path_factory, tiny_size, gemma_like_tokenizer):
    """Sharded safetensors with an index, soft-capped Gemma 2 layers, no clue.json and no adapters: a plain download."""
    folder = tmp_path_factory.mktemp("paligemma2-shrunken")
    tokenizer = gemma_like_tokenizer
    model = build_model(tokenizer, tiny_size)
    model.config.text_config.attn_logit_softcapping = 50.0
    model.to(torch.bfloat16).save_pretrained(folder, max_shard_size="40KB")
    tokenizer.save_pretrained(folder)
    assert (folder / "model.safetensors.index.json").exists()
    return folder


def copy_of(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "copy")


def test_a_plain_paligemma_directory_loads_with_the_papers_settings(real_layout):
    backbone = PaliGemmaBackbone.from_pretrained(real_layout)
    assert backbone.settings.prefix_attention == "full" and backbone.settings.tap_rows == "paper"
    assert backbone.settings.tap_layer == 2  # 14 of 26 layers, of 4
    assert backbone.model.model.language_model.layers[0].self_attn.attn_logit_softcapping == 50.0
    assert backbone.attention_map(backbone.encode(IMAGE), "detect the red mug").shape == (8, 8)


def test_a_plain_directory_with_a_detector_grounds_and_knows_any_word(real_layout, tmp_path):
    from clue_ros.ambiguity.detector import AmbiguityDetector

    folder = copy_of(real_layout, tmp_path)
    AmbiguityDetector().save(folder)
    grounder = Grounder.from_pretrained(folder)
    assert grounder.vocabulary is None
    decision = grounder.ground(IMAGE, "the teal teapot", may_ask=False)
    assert decision.outcome in (Outcome.FOUND, Outcome.NOT_FOUND) and decision.unknown_words == ()


def test_a_plain_directory_is_driven_without_training(real_layout):
    from clue_ros.stock.grounder import StockGrounder

    grounder = Grounder.from_pretrained(real_layout)
    assert isinstance(grounder, StockGrounder) and grounder.vocabulary is None
    decision = grounder.ground(IMAGE, "hand me the teal teapot")
    assert decision.outcome in (Outcome.FOUND, Outcome.ASK, Outcome.NOT_FOUND)


def edit(folder, change):
    """Change config.json, and make the weights such that reading them is an error of another name."""
    config = json.loads((folder / "config.json").read_text())
    change(config)
    (folder / "config.json").write_text(json.dumps(config))
    for shard in folder.glob("*.safetensors"):
        shard.write_bytes(b"weights that nobody may read yet")


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c["text_config"].update(model_type="gemma"),
        lambda c: c["text_config"].pop("model_type"),  # as in the first PaliGemma's own file: transformers means gemma
    ],
)
def test_the_first_paligemma_is_refused_before_its_weights_are_read(real_layout, tmp_path, change):
    folder = copy_of(real_layout, tmp_path)
    edit(folder, change)
    with pytest.raises(ModelLoadError, match="text model is 'gemma'.*PaliGemma 2"):
        Grounder.from_pretrained(folder)


@pytest.mark.parametrize(
    "config",
    [
        '{"model_type": "qwen2_vl", "text_config": {}}',
        "[]",
        '{"model_type": "gemma2"}',
        "{",
        '{"model_type": "paligemma", "text_config": 3}',
    ],
)
def test_another_kind_of_model_is_refused_before_its_weights_are_read(real_layout, tmp_path, config):
    folder = copy_of(real_layout, tmp_path)
    (folder / "config.json").write_text(config)
    with pytest.raises(ModelLoadError, match="config.json"):
        Grounder.from_pretrained(folder)


BITSANDBYTES = {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}


@pytest.mark.parametrize(
    "place, said",
    [
        ("", BITSANDBYTES),
        ("", {"quant_method": "gptq", "bits": 4, "group_size": 128}),
        ("text_config", {"quant_method": "awq"}),
        ("vision_config", BITSANDBYTES),
        ("", {"load_in_8bit": True}),
    ],
)
def test_weights_that_others_quantised_are_refused_before_they_are_read(real_layout, tmp_path, place, said):
    folder = copy_of(real_layout, tmp_path)
    edit(folder, lambda c: (c[place] if place else c).update(quantization_config=said))
    with pytest.raises(ModelLoadError, match=rf"quantization_config.*{said.get('quant_method', 'unknown')}.*int8"):
        Grounder.from_pretrained(folder)


@pytest.mark.parametrize("beside", [False, True])
def test_a_tokenizer_without_words_is_refused(real_layout, tmp_path, beside):
    """transformers makes one of the other files: every word is unknown to it, and everything is "not found"."""
    folder = copy_of(real_layout, tmp_path)
    (folder / "tokenizer.json").unlink()
    if beside:
        (folder / "tokenizer.model").write_bytes(b"\n\x0e\n\x05<unk>\x15\x00\x00\x00\x00\x18\x02")
    with pytest.raises(
        ModelLoadError, match="tokenizer.json is missing" + (".*tokenizer.model alone" if beside else "")
    ):
        Grounder.from_pretrained(folder)


def test_a_tokenizer_of_a_larger_vocabulary_than_the_weights_is_refused(real_layout, tmp_path):
    from transformers import AutoTokenizer

    folder = copy_of(real_layout, tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    first = tokenizer.convert_tokens_to_ids("<loc0000>")
    text = (folder / "tokenizer.json").read_text()
    inner = json.loads(text)
    for added in inner["added_tokens"]:
        if added["id"] >= first:
            added["id"] += 5000
    words = inner["model"]["vocab"]
    words.update({f"spare{i}": len(words) + i for i in range(first + 5000 - len(words))})
    (folder / "tokenizer.json").write_text(json.dumps(inner))
    with pytest.raises(ModelLoadError, match="tokenizer.*outputs"):
        Grounder.from_pretrained(folder)


def test_a_missing_directory_is_named(tmp_path):
    with pytest.raises(ModelLoadError, match="nowhere"):
        Grounder.from_pretrained(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json", "tokenizer.json"])
def test_a_missing_file_is_named(tiny_model_dir, tmp_path, name):
    folder = copy_of(tiny_model_dir, tmp_path)
    (folder / name).unlink()
    with pytest.raises(ModelLoadError, match=name):
        Grounder.from_pretrained(folder)


def test_a_missing_shard_is_named(real_layout, tmp_path):
    folder = copy_of(real_layout, tmp_path)
    shard = sorted(folder.glob("model-*.safetensors"))[1]
    shard.unlink()
    with pytest.raises(ModelLoadError, match=shard.name):
        PaliGemmaBackbone.from_pretrained(folder)


@pytest.mark.parametrize(
    "name", ["model.safetensors", "ambiguity.safetensors", "adapters/dialogue/adapter_model.safetensors"]
)
def test_a_truncated_file_is_named(tiny_model_dir, tmp_path, name):
    folder = copy_of(tiny_model_dir, tmp_path)
    data = (folder / name).read_bytes()
    (folder / name).write_bytes(data[: len(data) // 2])
    with pytest.raises(ModelLoadError, match=name.split("/")[1] if "/" in name else name):
        Grounder.from_pretrained(folder)


def test_weights_of_another_shape_are_refused(tiny_model_dir, tmp_path):
    folder = copy_of(tiny_model_dir, tmp_path)
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["intermediate_size"] = 64
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelLoadError, match="model.safetensors"):
        Grounder.from_pretrained(folder)


def test_every_problem_of_clue_json_is_listed(tiny_model_dir, tmp_path):
    folder = copy_of(tiny_model_dir, tmp_path)
    (folder / "clue.json").write_text(json.dumps({"tap_layr": 1, "threshold": "high"}))
    with pytest.raises(ModelLoadError, match="did you mean 'tap_layer'.*'threshold' must be float"):
        Grounder.from_pretrained(folder)
    (folder / "clue.json").write_text(
        json.dumps({"tap_layer": 99, "tap_rows": "some", "questions": "in French", "presence": [1, 2]})
    )
    with pytest.raises(ModelLoadError, match="tap_rows is 'some'.*questions is 'in French'.*tap_layer is 99.*presence"):
        Grounder.from_pretrained(folder)


@pytest.mark.parametrize(
    "path, named, questions",
    [
        ("paligemma2-3b-mix-448", None, "open"),
        ("models--google--paligemma2-10b-mix-448/snapshots/0a1b2c", None, "open"),
        ("paligemma2-28b-pt-896", None, "prefixed"),
        ("robot", "final-hf/paligemma2-3b-mix-448-main/", "open"),
        ("paligemma2-3b-mix-448", "google/paligemma2-3b-pt-448", "prefixed"),
        ("the mix of mine", "", "prefixed"),
    ],
)
def test_questions_are_put_as_the_kind_of_checkpoint_wants_them(tmp_path, path, named, questions):
    folder = tmp_path / path
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({} if named is None else {"_name_or_path": named}))
    assert ClueSettings.load(folder, 26).questions == questions
    (folder / "clue.json").write_text(json.dumps({"questions": "prefixed" if questions == "open" else "open"}))
    assert ClueSettings.load(folder, 26).questions != questions


def test_a_pickle_is_never_read(tiny_model_dir, tmp_path):
    folder = copy_of(tiny_model_dir, tmp_path)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelLoadError, match="never from pickles"):
        Grounder.from_pretrained(folder)


@pytest.mark.parametrize("device", ["cuda:99", "nonsense", "", "cpu:x"])
def test_a_device_that_is_not_there_is_named_in_one_sentence(tiny_model_dir, device):
    with pytest.raises(ModelLoadError, match=f"^the device '{device}' cannot be used here .*: give cpu") as caught:
        Grounder.from_pretrained(tiny_model_dir, device=device)
    assert "\n" not in str(caught.value)
