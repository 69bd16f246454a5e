"""`clue teach` and `clue ground --taught`, with a model that sees colours."""

import json
from pathlib import Path

import pytest
from coloured_sight import BLUE, RED, ColourSight, CupBackbone, drawn
from PIL import Image

from clue_ros.cli.main import main
from clue_ros.stock.grounder import StockGrounder


@pytest.fixture
def photo(tmp_path, monkeypatch):
    for module in ("loading", "ground", "batch"):
        monkeypatch.setattr(
            f"clue_ros.cli.{module}.load_grounder", lambda args: StockGrounder(CupBackbone(ColourSight()))
        )
    monkeypatch.chdir(tmp_path)
    Image.fromarray(drawn((RED, 40, 50, 90, 120), (BLUE, 200, 60, 260, 140))).save(tmp_path / "table.png")
    return "table.png"


def test_a_thing_is_taught_found_listed_and_forgotten(photo, capsys):
    assert main(["teach", "My Thermos", photo, "--box", "40", "50", "90", "120"]) == 0
    assert "taught my thermos (1 view) from 40 50 90 120" in capsys.readouterr().out
    assert main(["teach", "my thermos", photo, "--click", "60", "100"]) == 0
    assert "(2 views) from 40 50 90 120" in capsys.readouterr().out
    assert main(["ground", photo, "hand me my thermos", "--taught", "taught", "--json", "--no-picture"]) == 0
    row = json.loads(capsys.readouterr().out)
    assert row["outcome"] == "found" and row["box"] == pytest.approx([40, 50, 90, 120], abs=0.5)
    Path("lines.jsonl").write_text(json.dumps({"image": str(photo), "expression": "hand me my thermos"}) + "\n")
    assert main(["ground", "--batch", "lines.jsonl", "--taught", "taught"]) == 0
    assert json.loads(capsys.readouterr().out)["outcome"] == "found"
    assert main(["teach", "--list"]) == 0 and capsys.readouterr().out.startswith("my thermos: 2 views, taught/views/")
    assert main(["teach", "--forget", "my thermos"]) == 0 and main(["teach", "--list"]) == 0
    assert "nothing is taught" in capsys.readouterr().out
    assert main(["ground", photo, "hand me my thermos", "--json", "--no-picture"]) == 0
    assert json.loads(capsys.readouterr().out)["outcome"] == "unknown_words"


@pytest.mark.parametrize(
    "arguments, says",
    [
        (["teach", "part 17"], "clue teach"),
        (["teach", "part 17", "table.png"], "--box"),
        (["teach", "red cup", "table.png", "--click", "60", "100"], "already knows"),
        (["teach", "part 17", "table.png", "--click", "5", "5"], "no thing is seen at 5 5"),
        (["teach", "part 17", "table.png", "--box", "1", "1", "2", "2"], "8 x 8"),
        (["teach", "--forget", "part 17"], "nobody taught"),
        (["teach", "part 17", "--list"], "leave NAME"),
        (["ground", "--batch", "table.png", "--taught", "tought"], "no such folder"),
        (
            ["ground", "table.png", "my thermos", "--taught", "tought", "--no-picture"],
            "tought: there is no such folder",
        ),
        (["ground", "table.png", "leave the cup where it is", "--no-picture"], "what is not wanted"),
    ],
)
def test_wrong_use_is_named(photo, capsys, arguments, says):
    assert main(arguments) == 2
    assert says in capsys.readouterr().err


def test_a_foreign_folder_is_named(photo, tmp_path, capsys):
    (tmp_path / "taught").mkdir()
    (tmp_path / "taught" / "taught.json").write_text("[]")
    assert main(["ground", photo, "my thermos", "--taught", "taught", "--no-picture"]) == 2
    assert "taught.json" in capsys.readouterr().err
