"""Every detector variant and the joint mode: from a model directory and configuration alone to one that decides."""

import json

import numpy as np
import pytest

from clue_ros.ambiguity.kinds import KINDS, head_files
from clue_ros.ambiguity.readers import AmbiguityReader
from clue_ros.cli.main import main
from clue_ros.grounder import Grounder
from clue_ros.training.adapters import LoraSettings
from clue_ros.training.base import open_base
from clue_ros.training.detector_stage import DetectorSettings, DetectorTrainer
from clue_ros.training.export import run_settings
from clue_ros.training.features import FeatureData
from clue_ros.training.recipe import read_config
from clue_ros.training.recipe_file import TrainingError
from clue_ros.training.stages import Stages
from clue_ros.training.variants import VARIANTS
from clue_ros.types import ModelLoadError
from clue_ros.vlm.paligemma import PaliGemmaBackbone
from clue_ros.vlm.passes import EncodedImage
from clue_ros.vlm.settings import ClueSettings

pytestmark = pytest.mark.usefixtures("short_reports")
CNN, JOINT = "half-last-detect-cnn", "joint"


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


def test_a_cnn_alone_leaves_no_adapter_and_an_answer_without_one_is_refused(tiny_model_dir, scenes, recipe, tmp_path):
    where = ["--base", str(tiny_model_dir), "--config", str(recipe), "--data", str(scenes), "--output", str(tmp_path)]
    command = ["train", "detector", *where, "--steps", "2", "--set", "detector.finetune=none"]
    assert main([*command, "--set", "detector.reading=autoregressive"]) == 2
    assert main(command) == 0
    assert ClueSettings.load(tmp_path / "model", 4).detector_adapter == ""
    assert [p.name for p in (tmp_path / "model/adapters").iterdir()] == ["dialogue"]
    decision = Grounder.from_pretrained(tmp_path / "model").ground(np.full((48, 64, 3), 90, np.uint8), "the red mug")
    assert 0 <= decision.ambiguity.probability <= 1


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


def test_export_without_a_run_says_what_to_run(tiny_model_dir, recipe, tmp_path):
    with pytest.raises(TrainingError, match="clue train joint"):
        Stages(read_config(recipe), tmp_path, tmp_path, base=tiny_model_dir).export()
    with pytest.raises(ModelLoadError, match="no finished run"):
        run_settings(tmp_path)
