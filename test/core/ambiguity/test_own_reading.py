"""A stranger's own detector: one class and one registration, and everything else knows it.

`Peak` is such a file: how sharply the map of layer k stands out, through two weights of its own.
"""

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from drawn_data import draw
from safetensors.torch import load_file, save_file

from clue_ros.ambiguity.head import Head
from clue_ros.ambiguity.kinds import KINDS
from clue_ros.ambiguity.reading import DetectorKind
from clue_ros.cli.main import main
from clue_ros.data import open_data
from clue_ros.evaluation.detector_suite import kind_of as told_kind
from clue_ros.finetune.recipe import DetectorTask
from clue_ros.finetune.run import Order, finetune
from clue_ros.grounder import Grounder
from clue_ros.training.adapters import LoraSettings
from clue_ros.types import ModelLoadError

pytestmark = pytest.mark.usefixtures("short_reports")
SCENE = np.random.default_rng(4).integers(0, 255, (60, 90, 3), dtype=np.uint8)


class PeakHead(Head):
    def __init__(self):
        super().__init__()
        self.line = torch.nn.Linear(1, 1)

    def forward(self, observed):
        return self.line(observed.flatten(1).mean(1, keepdim=True))[:, 0]

    @torch.no_grad()
    def probability(self, observed):
        return float(self(observed[None].float()).sigmoid()[0])

    def save(self, folder):
        save_file(self.state_dict(), str(Path(folder) / Peak.file))


class Peak(DetectorKind):
    name, file = "peak", "peak.safetensors"

    def new_head(self, tokenizer, channels=(16, 32, 64)):
        return PeakHead()

    def load_head(self, folder, clue, tokenizer, device="cpu"):
        if not (Path(folder) / self.file).is_file():
            raise ModelLoadError(f"{Path(folder) / self.file} is missing")
        head = PeakHead()
        head.load_state_dict(load_file(str(Path(folder) / self.file)))
        return head.eval().to(device)


@pytest.fixture
def peak(monkeypatch):
    monkeypatch.setitem(KINDS, Peak.name, Peak())


def decides_by_its_map(folder):
    """The directory decides, and P(ambiguous) is the two weights' line over the mean of the map that it shows."""
    grounder = Grounder.from_pretrained(folder)
    found = grounder.detect_ambiguity(SCENE, "the red mug")
    line = load_file(str(folder / "peak.safetensors"))
    odds = float(line["line.weight"]) * float(found.attention_map.mean()) + float(line["line.bias"])
    assert found.probability == pytest.approx(1 / (1 + math.exp(-odds)), abs=1e-5)
    decision = grounder.ground(grounder.look(SCENE), "the red mug")
    assert decision.ambiguity.probability == pytest.approx(found.probability, abs=1e-5)
    return float(line["line.weight"])


def test_it_trains_is_exported_decides_and_is_told_by_its_name(peak, tiny_model_dir, scenes, tmp_path):
    recipe = tmp_path / "recipe.yaml"
    detector = {"steps": 2, "batch": 4, "tap": 2, "reading": "peak", "warmup": 1}
    data = {"train_scenes": 20, "validation_scenes": 10}
    recipe.write_text(json.dumps({"data": data, "lora": {"r": 4, "alpha": 8}, "detector": detector}))
    where = ["--base", str(tiny_model_dir), "--data", str(scenes), "--output", str(tmp_path / "run")]
    assert main(["train", "detector", "--config", str(recipe), *where]) == 0
    model = tmp_path / "run/model"
    clue = json.loads((model / "clue.json").read_text())
    assert (clue["detector"], clue["detector_adapter"], clue["tap_layer"], clue["gate"]) == ("peak", "detector", 2, [])
    assert not (model / "ambiguity.safetensors").exists(), "the head of the kind that it replaces goes"
    decides_by_its_map(model)
    assert told_kind(model) == "peak, layer 2"
    assert json.loads((tmp_path / "run/detector/report.json").read_text())["variant"] == "half-last-detect-peak"


def test_it_is_finetuned_with_its_own_rate(peak, tiny_model_dir, tmp_path):
    with open(tmp_path / "yesno.csv", "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["image", "instruction", "label"])
        for n in range(16):
            draw(tmp_path / f"{n}.png", n)
            table.writerow([f"{n}.png", "the red mug", "yes" if n % 2 else "no"])
    settings = DetectorTask(
        reading="peak", steps=2, batch=4, per_device=4, cnn_lr=0.1, warmup=0, precision="fp32", validation=2, workers=1
    )
    order = Order("detector", tiny_model_dir, tmp_path / "model", settings, LoraSettings(r=4, alpha=8), cpu=True)
    assert finetune(order, open_data(tmp_path / "yesno.csv"))["done"]
    torch.manual_seed(0)
    assert abs(decides_by_its_map(tmp_path / "model")) > 0
    assert not (tmp_path / "model/ambiguity.safetensors").exists()


def test_without_the_registration_its_directory_is_refused_by_name(tiny_model_dir, tmp_path):
    import shutil

    copy = shutil.copytree(tiny_model_dir, tmp_path / "model")
    clue = {**json.loads((copy / "clue.json").read_text()), "detector": "peak"}
    (copy / "clue.json").write_text(json.dumps(clue))
    with pytest.raises(ModelLoadError, match="detector is 'peak', must be one of cnn, autoregressive, joint"):
        Grounder.from_pretrained(copy)
