"""The comparison of model directories on held-out scenes, and the calibration that feeds it."""

import csv
import json
import shutil

import pytest

from clue_ros.cli.main import main
from clue_ros.evaluation.detector_suite import Answers, ask_all, held_out_scenes, kind_of, score
from clue_ros.grounder import Grounder
from clue_ros.simulation.dataset import generate
from clue_ros.simulation.scene_data import load
from clue_ros.training.calibrate import calibrate, told
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
    assert (
        main(
            [
                "evaluate",
                "detectors",
                "--models",
                str(tiny_model_dir),
                str(tiny_model_dir),
                "--scenes",
                str(SCENES),
                "--data",
                str(scenes),
                "--output",
                str(output),
            ]
        )
        == 0
    )
    rows = json.loads(output.read_text())["models"]
    assert len(rows) == 2 and rows[0]["detector"] == "cnn, layer 1"
    same = ("f1", "accuracy", "auc", "threshold", "acc_at_50", "clear", "count", "by_kind")
    assert {k: rows[0][k] for k in same} == {k: rows[1][k] for k in same}
    assert 0 < rows[0]["decision_s"] <= rows[0]["turn_s"] and rows[0]["cold_s"] > rows[0]["decision_s"] * 0.5
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
    answers = Answers(
        [0.9 if x else 0.1 for x in label],
        label,
        ["a"] * 16,
        [n // 2 for n in range(16)],
        [0.8] * 6 + [0.2] * 2,
        [{"prefill": 0.02, "detect": 0.01, "generate": 0.05}],
        [{"image": 0.1, "prefill": 0.02, "detect": 0.01}],
    )
    row = score(answers, 0.5)
    assert row["f1"] == row["own_f1"] == row["auc"] == 1.0 and row["count"] == 8 and row["acc_at_50"] == 0.75
    assert (row["decision_s"], row["cold_s"], row["turn_s"]) == (0.03, 0.13, 0.08)
    answers.probability = [0.5] * 16
    assert score(answers, 0.9)["auc"] == 0.5 and score(answers, 0.9)["own_f1"] == 0


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
    assert settings.gate == tuple(round(w, 4) for w in report["weights"]) and settings.threshold == report["threshold"]
    assert json.loads((model / "calibration.json").read_text()) == report
    bins = report["gate"]["reliability"]
    assert report["map alone"]["count"] == report["gate"]["count"] == sum(r["count"] for r in bins)
    gaps = sum(r["count"] * abs(r["said"] - r["ambiguous"]) for r in bins)
    assert report["gate"]["calibration_error"] == pytest.approx(gaps / report["gate"]["count"], abs=2e-4)
    low, high = report["gate"]["calibration_error_interval"]
    assert 0 <= low <= high <= 1 and (model / "reliability.png").stat().st_size > 5000
    lines = told(report)
    assert any("gate" in line and "calibration error of P(ambiguous)" in line for line in lines)
    assert settings.confidence == tuple(report["confidence"]["fit"])
    assert kind_of(model).startswith("cnn, layer 1")


def test_calibration_is_measured_on_scenes_that_the_fit_has_not_seen(tiny_model_dir, tmp_path, monkeypatch):
    """On scenes of odd number the reading says the opposite of what it says on even ones: a fit on half of them must
    look badly calibrated, a fit on what it is measured on would not."""
    from clue_ros.training import calibrate as module

    model = tmp_path / "model"
    shutil.copytree(tiny_model_dir, model)
    found = module._Readings()
    for scene in range(40):
        for label in (True, False):
            reading = 4.0 if label == (scene % 2 == 0) else -4.0
            found.rows.append((reading, 0.0, label, "a", scene))
    monkeypatch.setattr(module, "_read", lambda *_: found)
    report = calibrate(model, None, 40)
    assert report["gate"]["accuracy"] == 0 and report["gate"]["calibration_error"] > 0.9
    assert abs(report["weights"][0]) < 0.05 and report["confidence"]["fit"] == []
