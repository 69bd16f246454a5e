"""`clue positions`: the table of drivers' ways, and that its truth is not made by what it measures."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from clue_ros.cli.main import main
from clue_ros.lab import positions
from clue_ros.lab.positions import CASES, COLUMNS, measure


def test_the_table(tmp_path, capsys):
    assert main(["positions", "--cards", "16", "--json", str(tmp_path / "p.json"), "--markdown"]) == 0
    rows = json.loads((tmp_path / "p.json").read_text())["rows"]
    assert [row["case"] for row in rows] == [case.name for case in CASES] and tuple(rows[0]) == COLUMNS
    assert len(list(csv.DictReader((tmp_path / "p.csv").open()))) == len(CASES)
    assert capsys.readouterr().out.count("\n") == len(CASES) + 2
    for row in rows:
        assert row["placed"] == 16 and row["median_mm"] < 3.0 and row["point_px"] < 0.01, row
    wrong = {row["case"]: row["k_alone_mm"] for row in rows}
    assert wrong.pop("raw, no distortion") < 1.0 and min(wrong.values()) > 2.0, "else the cases show nothing"
    assert main(["positions", "--cards", "0"]) == 2


@pytest.mark.parametrize("broken", ["distortion", "fx"])
def test_it_sees_a_wrong_camera(monkeypatch, broken):
    real = positions.camera_model

    def wrong(*args):
        model = real(*args)
        return type(model)(
            **{**vars(model), **({"distortion": ()} if broken == "distortion" else {"fx": model.fx * 1.05})}
        )

    monkeypatch.setattr(positions, "camera_model", wrong)
    assert measure(CASES[1], 6)["median_mm"] > 2.0 and np.isfinite(measure(CASES[1], 6)["point_px"])
