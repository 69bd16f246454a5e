"""The paper's variants side by side, on a tiny checkpoint and small tables."""

import csv
import json

from drawn_data import draw, write_lines
from finetune_runs import SMALL

from clue_ros.cli.main import main


def table(root, count, start):
    for n in range(count):
        draw(root / f"{start + n}.png", start + n)
    rows = [f"{start + n}.png,hand me the red mug,{'yes' if n % 3 else 'no'}" for n in range(count)]
    return write_lines(root / "yesno.csv", ["image,instruction,label", *rows])


def test_variants_are_trained_on_a_mixture_and_judged_on_what_was_held_out(tiny_model_dir, tmp_path, capsys):
    first, second, other = (table(tmp_path / name, 24, 100 * n) for n, name in enumerate("abc"))
    recipe = tmp_path / "recipe.yaml"
    small = {**SMALL, "steps": 1, "warmup": 0, "tap": 1, "pos_weight": 0}
    recipe.write_text(json.dumps({"detector": small, "lora": {"r": 4, "alpha": 8}}))
    where = ["--base", str(tiny_model_dir), "--config", str(recipe), "--output", str(tmp_path / "out"), "--cpu"]
    sets = ["--data", f"{first}=2", "--data", str(second), "--test", str(other)]
    names = "half-last-detect-cnn,half-full-disambig-ar"
    assert main(["finetune", "variants", *where, *sets, "--variant", names.split(",")[0]]) == 0
    before = (tmp_path / "out/half-last-detect-cnn/clue.json").stat().st_mtime_ns
    assert main(["finetune", "variants", *where, *sets, "--variant", names]) == 0
    assert (tmp_path / "out/half-last-detect-cnn/clue.json").stat().st_mtime_ns == before, "what is done is passed over"
    rows = json.loads((tmp_path / "out/table.json").read_text())
    assert [row["variant"] for row in rows] == names.split(",")
    held = rows[0]["held out"]["count"]
    assert 0 < held < 24 and rows[0]["1-yesno"]["count"] == 24 and 0 <= rows[1]["1-yesno"]["f1"] <= 1
    judged = [(tmp_path / "out" / names.split(",")[0] / "judged" / f"held-out-{n}/rows.csv") for n in (0, 1)]
    assert sum(len(list(csv.DictReader(open(file, encoding="utf-8")))) for file in judged) == held
    assert "1-yesno: recall" in (tmp_path / "out/table.csv").read_text().splitlines()[0]
    told = capsys.readouterr().out
    assert "Detector variants" in told and "half-full-disambig-ar" in told
    record = (tmp_path / "out/half-last-detect-cnn/training/detector/recipe.yaml").read_text()
    assert "weight: 2" in record and "pos_weight: 0.0" not in record
    # A further set is judged without training anew; other labels in the same file are refused.
    further = table(tmp_path / "d", 6, 900)
    one = [*where, *sets, "--variant", names.split(",")[0]]
    assert main(["finetune", "variants", *one, "--test", str(further)]) == 0
    rows = {row["variant"]: row for row in json.loads((tmp_path / "out/table.json").read_text())}
    assert rows[names.split(",")[0]]["2-yesno"]["count"] == 6 and rows[names.split(",")[0]]["held out"]["count"] == held
    first.write_text(first.read_text().replace(",no", ",yes", 1))
    capsys.readouterr()
    assert main(["finetune", "variants", *one]) == 2 and "run.annotations" in capsys.readouterr().err
