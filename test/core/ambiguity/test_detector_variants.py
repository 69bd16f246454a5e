"""Every detector variant and the joint mode: from a model directory and configuration alone to one that decides."""

import argparse
import copy
import dataclasses
import json

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from clue_ros.ambiguity.autoregressive import PRIVATE, answer_tokens
from clue_ros.ambiguity.kinds import KINDS, head_files
from clue_ros.ambiguity.readers import AmbiguityReader
from clue_ros.cli.main import main
from clue_ros.cli.train import add_arguments, run
from clue_ros.grounder import EMBEDDED_MODEL, Grounder
from clue_ros.simulation.scene import SceneObject
from clue_ros.simulation.scene_data import load
from clue_ros.training.adapters import (
    TARGETS,
    LoraSettings,
    add_adapter,
    load_adapter_weights,
    named_adapter_parameters,
)
from clue_ros.training.base import UnsupportedBaseError, name_spare_tokens, open_base
from clue_ros.training.detector_stage import DetectorSettings, DetectorTrainer
from clue_ros.training.export import run_settings
from clue_ros.training.features import FeatureData, compute_features
from clue_ros.training.joint_stage import JointTrainer, clarify_pack
from clue_ros.training.optimizer import Optimizer, linear
from clue_ros.training.packed import maps_of_layers, packed_logits, packed_maps
from clue_ros.training.packing import IGNORE, Packer
from clue_ros.training.recipe import DEFAULT_CONFIG, TrainConfig, read_config
from clue_ros.training.recipe_file import TrainingError
from clue_ros.training.stages import Stages
from clue_ros.training.variants import VARIANTS, adapted_layers, variant_name, with_variant
from clue_ros.types import Box, ModelLoadError
from clue_ros.vlm.paligemma import PaliGemmaBackbone
from clue_ros.vlm.passes import EncodedImage
from clue_ros.vlm.settings import ClueSettings

pytestmark = pytest.mark.usefixtures("short_reports")

SCENES, HELD = 20, 10  # of the fixture `scenes`, train and validation
CNN, JOINT = "half-last-detect-cnn", "joint"


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    file = tmp_path_factory.mktemp("recipe") / "recipe.yaml"
    small = {"steps": 2, "batch": 4, "tap": 2, "schedule": "linear", "warmup": 1}
    file.write_text(
        json.dumps(
            {
                "data": {"train_scenes": SCENES, "validation_scenes": HELD},
                "lora": {"r": 4, "alpha": 8},
                "language": {"tap": 2, "look": [2, 3]},
                "detector": small,
                "joint": {**small, "start_from": ""},
                "sweep": {"steps": 2, "batch": 4, "validation_batches": 2},
            }
        )
    )
    return file


@pytest.fixture(scope="module")
def trained(tiny_model_dir, scenes, recipe, tmp_path_factory):
    """Output folder of a run by variant name, each trained at most once."""
    root, done = tmp_path_factory.mktemp("runs"), set()

    def of(name):
        if name not in done:
            stage = ["joint"] if name == JOINT else ["detector", "--variant", name]
            assert (
                main(
                    [
                        "train",
                        *stage,
                        "--base",
                        str(tiny_model_dir),
                        "--config",
                        str(recipe),
                        "--data",
                        str(scenes),
                        "--output",
                        str(root / name),
                    ]
                )
                == 0
            )
            done.add(name)
        return root / name

    return of


@pytest.fixture(scope="module")
def batch(tiny_model_dir, scenes, tiny_size, tmp_path_factory):
    """(base, features, patches, objects, sizes) of four scenes."""
    base = open_base(tiny_model_dir)
    data = load(scenes / "train", tiny_size.image_size, tiny_size.patch_size, progress=False)
    source = compute_features(base.model.model.vision_tower, data, tmp_path_factory.mktemp("features"))
    return (base, *source.draw(4, np.random.default_rng(0)))


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_trains_from_a_directory_and_its_export_says_what_it_is(name, trained, tiny_model_dir):
    output, wanted = trained(name), VARIANTS[name]
    clue = json.loads((output / "model/clue.json").read_text())
    assert (clue["detector"], clue["detector_prefix"], clue["detector_depth"]) == (
        wanted["reading"],
        wanted["prefix"],
        wanted["depth"],
    )
    heads = [file for file in head_files() if (output / "model" / file).exists()]
    assert heads == [file for file in [KINDS[wanted["reading"]].file] if file]
    config = json.loads((output / "model/adapters/detector/adapter_config.json").read_text())
    layers = {"half": 3, "full": 4}[wanted["depth"]]
    names = "|".join(str(i) for i in (range(layers) if wanted["finetune"] == "all" else [layers - 1]))
    assert f"layers\\.({names})\\." in config["target_modules"]
    before, after = (p / "adapters/dialogue/adapter_model.safetensors" for p in (tiny_model_dir, output / "model"))
    assert before.read_bytes() == after.read_bytes(), "a detector run leaves the dialogue adapter alone"
    report = json.loads((output / "detector/report.json").read_text())
    assert report["variant"] == name and 0 <= report["f1"] <= 1 and report["count"] > 50


@pytest.mark.parametrize("name", [*VARIANTS, JOINT])
def test_an_exported_variant_decides(name, trained):
    grounder = Grounder.from_pretrained(trained(name) / "model")
    decision = grounder.ground(np.full((48, 64, 3), 90, np.uint8), "the red mug")
    assert 0 <= decision.ambiguity.probability <= 1 and decision.ambiguity.attention_map.shape == (8, 8)


def test_the_joint_model_has_one_adapter_and_a_cnn(trained):
    model = trained(JOINT) / "model"
    assert [p.name for p in (model / "adapters").iterdir()] == ["dialogue"]
    assert (model / "ambiguity.safetensors").exists()
    clue = json.loads((model / "clue.json").read_text())
    assert clue["detector"] == "joint" and clue["detector_adapter"] == "" and clue["tap_layer"] == 2


def test_a_dialogue_run_on_a_directory_leaves_its_detector_alone(tiny_model_dir, scenes, recipe, tmp_path):
    assert (
        main(
            [
                "train",
                "dialogue",
                "--base",
                str(tiny_model_dir),
                "--config",
                str(recipe),
                "--data",
                str(scenes),
                "--steps",
                "2",
                "--output",
                str(tmp_path),
            ]
        )
        == 0
    )
    for same in ("ambiguity.safetensors", "adapters/detector/adapter_model.safetensors"):
        assert (tmp_path / "model" / same).read_bytes() == (tiny_model_dir / same).read_bytes()
    assert json.loads((tmp_path / "model/adapters/dialogue/adapter_config.json").read_text())["r"] == 4
    assert ClueSettings.load(tmp_path / "model", 4) == ClueSettings.load(tiny_model_dir, 4)


@pytest.mark.parametrize("name", ["half-last-disambig-ar", "full-full-disambig-ar"])
def test_serving_gives_the_answer_odds_of_training(name, trained, batch):
    """The exported directory, run as the robot runs it, says yes as often as the packed trainer does."""
    output = trained(name)
    base, features, patches, objects, sizes = batch
    fresh = open_base(base.folder)
    saved = {k: v for k, v in run_settings(output / "detector").items() if k not in ("stage", "lora")}
    trainer = DetectorTrainer(
        fresh.model,
        fresh.tokenizer,
        FeatureData(features.numpy(), patches, objects, sizes),
        output / "detector",
        DetectorSettings(**saved),
        LoraSettings(r=4, alpha=8),
    )
    trainer.model.eval()
    features, pack = trainer.draw(np.random.default_rng(4))
    probability = trainer.logits(features, pack).sigmoid()
    reader = AmbiguityReader.load(output / "model", PaliGemmaBackbone.from_pretrained(output / "model"))
    for n, (image, _) in list(enumerate(pack.closing.tolist()))[:6]:
        encoded = EncodedImage(fresh.model.model.multi_modal_projector(features[image : image + 1]).detach(), 64, 48)
        said = reader.read(encoded, lambda _, n=n: pack.queries[n].prefix, None)
        assert said.probability == pytest.approx(float(probability[n].detach()), abs=1e-4)


def test_only_queries_and_keys_of_the_tap_learn_from_a_map_unless_all_layers_are_adapted(batch):
    base, features, patches, objects, sizes = batch
    for finetune, expected in (("last", {(2, "q_proj"), (2, "k_proj")}), ("all", None)):
        fresh = open_base(base.folder)
        settings = dataclasses.replace(TrainConfig().detector, tap=2, finetune=finetune)
        add_adapter(fresh.model, "detector", adapted_layers(settings, 4))
        packer = Packer(fresh.tokenizer, features.shape[1])
        pack = clarify_pack(packer, objects, sizes, patches, 6, 160, np.random.default_rng(1))
        (packed_maps(fresh.model, features, pack, 2) ** 2).sum().backward()
        moved = {
            (int(k.split("layers.")[1].split(".")[0]), k.split(".lora")[0].rsplit(".", 1)[1])
            for k, p in named_adapter_parameters(fresh.model, "detector")
            if p.grad is not None and p.grad.any()
        }
        if expected is None:
            expected = {(2, "q_proj"), (2, "k_proj")} | {(n, m) for n in (0, 1) for m in TARGETS}
        assert moved == expected


def test_one_pass_gives_the_same_maps_of_every_layer(batch):
    base, features, patches, objects, sizes = batch
    packer = Packer(base.tokenizer, features.shape[1])
    pack = clarify_pack(packer, objects, sizes, patches, 6, 160, np.random.default_rng(1))
    maps = maps_of_layers(base.model, features, pack, range(4))
    for layer in range(4):
        with torch.no_grad():
            assert torch.allclose(maps[layer], packed_maps(base.model, features, pack, layer), atol=1e-4), layer
    assert maps[0].shape[0] == len(pack.queries)


def test_half_depth_reads_the_answer_after_the_tap(batch):
    base, features, patches, objects, sizes = batch
    packer = Packer(base.tokenizer, features.shape[1])
    pack = clarify_pack(packer, objects, sizes, patches, 4, 120, np.random.default_rng(1))
    with torch.no_grad():
        whole, half = packed_logits(base.model, features, pack), packed_logits(base.model, features, pack, 3)
    assert whole.shape == half.shape and not torch.allclose(whole, half, atol=1e-2)


def test_an_ambiguity_that_no_question_resolves_teaches_only_that_a_question_follows(batch):
    base, _, patches, objects, sizes = batch
    five = tuple(
        SceneObject(
            "mug",
            "red",
            "small",
            (0.0, 0.0),
            0.0,
            (0.0, 0.0, 0.0),
            box=Box(20 + 60 * i, 100, 60 + 60 * i, 150),
            visibility=1.0,
            pixels=1500,
        )
        for i in range(5)
    )
    packer = Packer(base.tokenizer, 64)
    pack = clarify_pack(packer, [five], sizes[:1], patches[:1], 8, 300, np.random.default_rng(0))
    alone = [n for n, q in enumerate(pack.queries) if q.segments == (("do", ()),)]
    assert alone and all(pack.queries[n].ambiguous for n in alone)
    for n in alone:
        b, row = pack.closing[n].tolist()
        assert base.tokenizer.convert_ids_to_tokens(int(pack.targets[b, row])) == "do"
        assert int(pack.targets[b, row + 1]) == IGNORE


def test_the_joint_loss_trains_the_adapter_through_the_map(trained, batch, recipe, tmp_path):
    """With the weight of the words at zero the adapter still gets a gradient, from the CNN's loss."""
    base, features, patches, objects, sizes = batch
    fresh, config = open_base(base.folder), read_config(recipe)
    trainer = JointTrainer(
        fresh.model,
        fresh.tokenizer,
        FeatureData(features.numpy(), patches, objects, sizes),
        tmp_path,
        config.language,
        config.joint,
        config.lora,
        fresh.folder,
    )
    with torch.no_grad():
        for _, p in named_adapter_parameters(fresh.model, "dialogue"):
            p.normal_(0, 0.1)
    loss, readings = trainer._loss(0, np.random.default_rng(0))
    rest, _ = JointTrainer._loss(_without_auxiliary(trainer), 0, np.random.default_rng(0))
    assert float((loss - rest).detach()) == pytest.approx(
        config.joint.ambiguity_weight * readings["ambiguity"], rel=0.2
    )
    (loss - rest).backward()
    keys = [
        k
        for k, p in named_adapter_parameters(fresh.model, "dialogue")
        if p.grad is not None and p.grad.abs().max() > 1e-7
    ]
    assert any("layers.2" in k and "q_proj" in k for k in keys) and any("layers.0" in k and "v_proj" in k for k in keys)


def _without_auxiliary(trainer):
    other = copy.copy(trainer)
    other.settings = dataclasses.replace(trainer.settings, ambiguity_weight=0.0)
    return other


def test_the_sweep_writes_a_row_for_every_layer(tiny_model_dir, scenes, recipe, tmp_path, capsys):
    assert (
        main(
            [
                "train",
                "detector",
                "--sweep-layers",
                "--base",
                str(tiny_model_dir),
                "--config",
                str(recipe),
                "--data",
                str(scenes),
                "--output",
                str(tmp_path),
            ]
        )
        == 0
    )
    rows = json.loads((tmp_path / "sweep/sweep.json").read_text())["layers"]
    assert [r["layer"] for r in rows] == [0, 1, 2, 3] and "accuracy" in capsys.readouterr().out
    assert len((tmp_path / "sweep/sweep.csv").read_text().splitlines()) == 5
    assert (tmp_path / "sweep/sweep.png").read_bytes()[:4] == b"\x89PNG"


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
        run(parser.parse_args(["joint", "--variant", CNN, "--output", str(tmp_path)]))


def test_the_papers_recipe_is_valid_and_has_its_rates():
    paper = read_config(DEFAULT_CONFIG.parent / "paper.yaml")
    assert (paper.detector.adapter_lr, paper.detector.lr, paper.dialogue.lr) == (5e-6, 1e-4, 1e-4)
    assert paper.detector.schedule == "linear" and paper.dialogue.weight_decay == 1e-4 and paper.lora.alpha == 32


def test_export_without_a_run_says_what_to_run(tiny_model_dir, recipe, tmp_path):
    with pytest.raises(TrainingError, match="clue train joint"):
        Stages(read_config(recipe), tmp_path, tmp_path, base=tiny_model_dir).export()
    with pytest.raises(ModelLoadError, match="no finished run"):
        run_settings(tmp_path)


def test_each_group_has_its_own_rate_under_one_linear_schedule():
    slow, fast = torch.nn.Parameter(torch.zeros(3)), torch.nn.Parameter(torch.zeros(3))
    optimizer = Optimizer([("slow", slow)], 1e-3, 0.0, "adamw")
    optimizer.add([("fast", fast)], 1e-2, 0.0, "adamw")
    slow.grad, fast.grad = torch.full((3,), 0.1), torch.full((3,), 0.1)
    optimizer.step(linear(0, 10, 2))
    assert float(slow[0]) == pytest.approx(-5e-4, rel=1e-3) and float(fast[0]) == pytest.approx(-5e-3, rel=1e-3)
    assert [linear(n, 10, 2) for n in (0, 1, 2, 6, 10)] == [0.5, 1.0, 1.0, 0.5, 0.0]
    with pytest.raises(ValueError, match="muon, adamw"):
        Optimizer([("x", slow)], 1e-3, 0.0, "sgd")
