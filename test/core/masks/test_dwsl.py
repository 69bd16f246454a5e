"""Labels that are spoilt, the judge that tells them from clean ones, and the comparison of trainings."""

import json

import numpy as np
import pytest
import torch

from clue_ros.cli.main import main
from clue_ros.lab.dwsl import SPOILS, Comparison, DwslSettings, spoilt_label, weight_of
from clue_ros.training.base import open_base
from clue_ros.training.mask_stage import soft_label


def test_labels_are_spoilt_in_every_way():
    instances = np.zeros((256, 256), np.uint8)
    instances[60:100, 60:100], instances[150:190, 150:190] = 1, 2
    rng, true = np.random.default_rng(0), soft_label(instances, (0,))
    spoilt = {kind: spoilt_label(kind, instances, (0,), rng) for kind in SPOILS}
    assert spoilt["missing"].sum() == 0 and (spoilt["wrong"] == soft_label(instances, (1,))).all()
    assert (spoilt["grown"] >= true).all() and spoilt["grown"].sum() > 1.5 * true.sum()
    assert spoilt["shifted"].sum() == pytest.approx(true.sum()) and (spoilt["shifted"] * true).sum() < 0.6 * true.sum()
    assert (spoilt_label("missing", instances, (0, 1), rng) == soft_label(instances, (1,))).all()
    assert weight_of(torch.tensor([0.0, 0.05, 0.4, 1.0])).tolist() == pytest.approx([0.1, 0.1, 0.4, 1.0])


def test_the_judge_tells_clean_from_spoilt_labels_and_the_comparison_is_written(
    scenes, tiny_model_dir, mask_scenes, tmp_path
):
    settings = DwslSettings(clean=6, mixed=12, steps=2, judge_steps=2, batch=3, queries=3, held=4)
    compared = Comparison(open_base(tiny_model_dir), mask_scenes, mask_scenes, tmp_path, settings)
    batch, kinds = compared.batch(np.arange(8, 14), True)
    again, _ = compared.batch(np.arange(8, 14), True)
    clean, none = compared.batch(np.arange(8, 14), False)
    assert torch.equal(batch.labels, again.labels) and set(none) == {"clean"} and set(kinds) - {"clean"} <= set(SPOILS)
    same = [(batch.labels[n, 1] == clean.labels[n, 1]).all().item() for n in range(len(kinds))]
    assert all(same[n] for n, kind in enumerate(kinds) if kind == "clean") and sum(same) < len(same)
    result = compared.run()
    assert set(result["relevance_iou"]) == {"dwsl", "plain", "clean_few"} and "clean" in result["weights"]
    assert json.loads((tmp_path / "dwsl.json").read_text()) == result
    assert Comparison(open_base(tiny_model_dir), mask_scenes, mask_scenes, tmp_path, settings).run() == result


def test_the_comparison_by_its_command(scenes, tiny_model_dir, tmp_path, monkeypatch, capsys):
    from clue_ros.lab import studies

    small = DwslSettings(clean=6, mixed=12, steps=2, judge_steps=2, batch=3, queries=3, held=4)
    monkeypatch.setattr(studies, "DwslSettings", lambda: small)  # the command's own sizes need 888 scenes
    assert (
        main(
            [
                "train",
                "dwsl",
                "--base",
                str(tiny_model_dir),
                "--data",
                str(scenes),
                "--output",
                str(tmp_path),
                "--steps",
                "1",
                "--set",
                "data.train_scenes=20",
                "--set",
                "data.validation_scenes=20",
                "--set",
                "data.varied=false",
            ]
        )
        == 0
    )
    result = json.loads((tmp_path / "dwsl" / "dwsl.json").read_text())
    assert set(result["relevance_iou"]) == {"dwsl", "plain", "clean_few"}
    assert "comparison: " in capsys.readouterr().out
