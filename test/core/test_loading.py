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
    assert backbone.settings.prefix_attention == "full" and backbone.settings.tap_rows == "all"
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


def test_a_text_model_that_is_not_gemma_2_is_refused(real_layout, tmp_path):
    folder = copy_of(real_layout, tmp_path)
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["model_type"] = "gemma"
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelLoadError, match="gemma"):
        Grounder.from_pretrained(folder)


def test_a_missing_directory_is_named(tmp_path):
    with pytest.raises(ModelLoadError, match="nowhere"):
        Grounder.from_pretrained(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
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


@pytest.mark.parametrize("name", ["model.safetensors", "ambiguity.safetensors", "adapters/dialogue/adapter_model.safetensors"])
def test_a_truncated_file_is_named(tiny_model_dir, tmp_path, name):
    folder = copy_of(tiny_model_dir, tmp_path)
    data = (folder / name).read_bytes()
    (folder / name).write_bytes(data[:len(data) // 2])
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
    (folder / "clue.json").write_text(json.dumps({"tap_layer": 99, "tap_rows": "some"}))
    with pytest.raises(ModelLoadError, match="tap_rows is 'some'.*tap_layer is 99"):
        Grounder.from_pretrained(folder)


def test_a_pickle_is_never_read(tiny_model_dir, tmp_path):
    folder = copy_of(tiny_model_dir, tmp_path)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelLoadError, match="never from pickles"):
        Grounder.from_pretrained(folder)
