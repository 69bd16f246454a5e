"""The comparison of model directories on held-out scenes, and the calibration that feeds it."""

import csv
import json
import shutil

import numpy as np
import pytest

from clue_ros.cli.main import main
from clue_ros.evaluation.detector_suite import Answers, ask_all, held_out_scenes, kind_of, score
from clue_ros.grounder import Grounder
from clue_ros.simulation.dataset import generate
from clue_ros.training.calibrate import calibrate, calibration_error, reliability
from clue_ros.training.scene_data import load
from clue_ros.types import ClueError
from clue_ros.vlm.settings import ClueSettings

SCENES = 4


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("held-out")
    generate(folder, SCENES, 12, progress=False, shard=SCENES)
    return folder


def test_two_models_get_the_same_questions_and_a_table(tiny_model_dir, scenes, tmp_path, capsys):
    output = tmp_path / "table.json"
    assert main(["evaluate", "detectors", "--models", str(tiny_model_dir), str(tiny_model_dir), "--scenes", str(SCENES),
                 "--data", str(scenes), "--output", str(output)]) == 0
    rows = json.loads(output.read_text())["models"]
    assert len(rows) == 2 and rows[0]["detector"] == "cnn, layer 1"
    same = ("f1", "accuracy", "auc", "threshold", "acc_at_50", "clear", "count", "by_kind")
    assert {k: rows[0][k] for k in same} == {k: rows[1][k] for k in same}
    assert 0 < rows[0]["decision_s"] <= rows[0]["turn_s"] and rows[0]["cold_s"] > rows[0]["decision_s"] * .5
    assert [r["model"] for r in csv.DictReader(output.with_suffix(".csv").open())] == [str(tiny_model_dir)] * 2
    assert "held-out expressions" in capsys.readouterr().out


def test_boxes_of_the_scenes_lie_in_the_pixels_of_their_images(scenes):
    for scene in held_out_scenes(scenes, SCENES):
        height, width = scene.image().shape[:2]
        assert (width, height) == (scene.size.width, scene.size.height)
        assert all(o.box.x1 <= width and o.box.y1 <= height for o in scene.objects if o.box)


def test_a_missing_image_is_named(scenes, tmp_path):
    shutil.copytree(scenes, tmp_path / "broken")
    scene = held_out_scenes(tmp_path / "broken", 1)[0]
    scene.file.unlink()
    with pytest.raises(ClueError, match=scene.file.name):
        scene.image()


def test_scores_of_a_perfect_and_of_a_blind_model():
    label = [True, False] * 8
    answers = Answers([.9 if x else .1 for x in label], label, ["a"] * 16, [n // 2 for n in range(16)], [.8] * 6 + [.2] * 2,
                      [{"prefill": .02, "detect": .01, "generate": .05}], [{"image": .1, "prefill": .02, "detect": .01}])
    row = score(answers, .5)
    assert row["f1"] == row["own_f1"] == row["auc"] == 1.0 and row["count"] == 8 and row["acc_at_50"] == .75
    assert (row["decision_s"], row["cold_s"], row["turn_s"]) == (.03, .13, .08)
    answers.probability = [.5] * 16
    assert score(answers, .9)["auc"] == .5 and score(answers, .9)["own_f1"] == 0


def test_asking_is_repeatable(tiny_model_dir, scenes):
    one, two = (ask_all(Grounder.from_pretrained(tiny_model_dir), held_out_scenes(scenes, 2)) for _ in range(2))
    assert one.probability == pytest.approx(two.probability, abs=1e-5) and one.iou == pytest.approx(two.iou, abs=1e-6)
    assert len(one.cold) == 2 and len(one.warm) == len(one.probability) - 2


def test_calibration_writes_gate_threshold_and_confidence(tiny_model_dir, scenes, tmp_path, tiny_size):
    model = tmp_path / "model"
    shutil.copytree(tiny_model_dir, model)
    data = load(scenes, tiny_size.image_size, tiny_size.patch_size, progress=False)
    report = calibrate(model, data, SCENES)
    settings = ClueSettings.load(model, 4)
    assert len(settings.gate) == 3 and settings.threshold == report["gate"]["threshold"]
    assert json.loads((model / "calibration.json").read_text())["map alone"]["count"] == report["gate"]["count"]
    assert settings.confidence == tuple(report["confidence"]["fit"])
    assert kind_of(model).startswith("cnn, layer 1")


def test_reliability_of_known_confidences():
    confidence, right = np.array([.95, .95, .95, .95, .15, .15]), np.array([True, True, True, False, False, False])
    rows = reliability(confidence, right)
    assert [(r["from"], r["count"], r["right"]) for r in rows] == [(.1, 2, 0.0), (.9, 4, .75)]
    assert calibration_error(confidence, right) == pytest.approx((4 * .2 + 2 * .15) / 6)
