"""What a detector is trained on: a base that fits, names for spare tokens, adapters of its rank; settings by name."""

import argparse
import json

import pytest
import torch
from tokenizers import Tokenizer

from clue_ros.ambiguity.autoregressive import PRIVATE, answer_tokens
from clue_ros.cli.train import add_arguments, run
from clue_ros.grounder import EMBEDDED_MODEL
from clue_ros.training.adapters import LoraSettings, add_adapter, load_adapter_weights
from clue_ros.training.base import UnsupportedBaseError, name_spare_tokens, open_base
from clue_ros.training.recipe import DEFAULT_CONFIG, TrainConfig, read_config
from clue_ros.training.recipe_file import TrainingError
from clue_ros.training.variants import VARIANTS, variant_name, with_variant
from clue_ros.types import ModelLoadError
from clue_ros.vlm.settings import ClueSettings


def test_a_base_with_a_bidirectional_prefix_is_refused_by_name(tiny_model_dir, tmp_path):
    (tmp_path / "config.json").write_text((tiny_model_dir / "config.json").read_text())
    ClueSettings(prefix_attention="full", tap_layer=1).save(tmp_path)
    with pytest.raises(UnsupportedBaseError, match="image_blind"):
        open_base(tmp_path)
    with pytest.raises(ModelLoadError, match="config.json is missing"):
        open_base(tmp_path / "nothing")


def test_a_base_is_loaded_in_float32_without_adapters(tiny_model_dir):
    model = open_base(tiny_model_dir).model
    assert model.dtype == torch.float32 and not any("lora" in n for n, _ in model.named_parameters())
    assert not any(p.requires_grad for p in model.parameters())


def test_spare_tokens_get_names_and_everything_else_stays(tiny_model_dir):
    tokenizer = open_base(tiny_model_dir).tokenizer
    content = json.loads(tokenizer.backend_tokenizer.to_str())
    words = content["model"]["vocab"]
    for n, word in enumerate(("disambiguate", *PRIVATE)):
        words[f"<unused{n:02d}>"] = words.pop(word)
    old = type(tokenizer)(
        tokenizer_object=Tokenizer.from_str(json.dumps(content)),
        pad_token="<pad>",
        eos_token="<eos>",
        bos_token="<bos>",
        unk_token="<unk>",
        padding_side="left",
    )
    new, named = name_spare_tokens(old)
    assert named == ["disambiguate", *PRIVATE] and len(new) == len(old)
    text = "detect the red mug on the left <loc0100> ?"
    assert new.encode(text) == old.encode(text) and new.padding_side == "left" and new.eos_token_id == old.eos_token_id
    assert new.convert_ids_to_tokens(new.encode("disambiguate the mug")) == ["disambiguate", "the", "mug"]
    assert name_spare_tokens(new)[1] == []
    with pytest.raises(UnsupportedBaseError, match="spare"):
        name_spare_tokens(new, ["another", "word"])


def test_no_text_reaches_the_answer_tokens_of_the_shipped_model():
    tokenizer = open_base(EMBEDDED_MODEL).tokenizer
    yes, no = answer_tokens(tokenizer)
    for text in ("<yes> <no>", "yes no", "<yes>", "detect the <no> mug"):
        assert not {yes, no} & set(tokenizer.encode(text, add_special_tokens=False))
    assert "<unk>" not in tokenizer.convert_ids_to_tokens(tokenizer.encode("disambiguate the mug"))


def test_an_adapter_of_another_rank_is_refused(tiny_model_dir):
    base = open_base(tiny_model_dir)
    add_adapter(base.model, "dialogue", None, LoraSettings(r=4, alpha=8))
    with pytest.raises(ModelLoadError, match=r"r is \d+, the run's is 4"):
        load_adapter_weights(base.model, "dialogue", tiny_model_dir / "adapters/dialogue")
    with pytest.raises(ModelLoadError, match="cannot be read"):
        load_adapter_weights(base.model, "dialogue", tiny_model_dir)


def test_variants_have_the_papers_names_and_wrong_settings_are_all_listed(tmp_path):
    for name in VARIANTS:
        assert variant_name(with_variant(TrainConfig().detector, name)) == name
    file = tmp_path / "wrong.yaml"
    file.write_text("detector: {reading: cnn, depth: full, schedule: step}\njoint: {optimizer: sgd}")
    with pytest.raises(TrainingError, match="detector.schedule.*detector.depth.*joint.optimizer"):
        read_config(file)
    with pytest.raises(TrainingError, match="belong to the stage detector"):
        parser = argparse.ArgumentParser()
        add_arguments(parser)
        run(parser.parse_args(["joint", "--variant", "half-last-detect-cnn", "--output", str(tmp_path)]))


def test_the_papers_recipe_is_valid_and_has_its_rates():
    paper = read_config(DEFAULT_CONFIG.parent / "paper.yaml")
    assert (paper.detector.adapter_lr, paper.detector.lr, paper.dialogue.lr) == (5e-6, 1e-4, 1e-4)
    assert paper.detector.schedule == "linear" and paper.dialogue.weight_decay == 1e-4 and paper.lora.alpha == 32
