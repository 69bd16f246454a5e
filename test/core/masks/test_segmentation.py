"""RES on RefCOCO's own files: COCO's segmentations, and the figures."""

import csv
import json

import numpy as np
import pytest
from drawn_data import make_ivm, make_refcoco

from clue_ros.cli.main import main
from clue_ros.data import SampleStream, open_data
from clue_ros.data.coco_masks import ReferenceMasks, pixels_of
from clue_ros.grounder import Grounder
from clue_ros.measures.results import load

SQUARE = [[4, 6, 13, 6, 13, 25, 4, 25]]


def with_segments(root):
    folder = make_refcoco(root)
    file = next(folder.rglob("instances.json"))
    instances = json.loads(file.read_text())
    for item in instances["annotations"]:
        item["segmentation"] = SQUARE
    instances["annotations"][-1]["segmentation"] = {"size": [48, 64], "counts": [0, 48 * 64]}
    file.write_text(json.dumps(instances))
    return folder


def test_polygons_and_run_lengths_are_pixels():
    square = pixels_of(SQUARE, (64, 48))
    assert square.sum() == 200 and square[6:26, 4:14].all()
    twice = pixels_of([*SQUARE, [30, 6, 39, 6, 39, 25, 30, 25]], (64, 48))
    assert twice.sum() == 400
    # Column by column: 3 off, 2 on, … as pycocotools encodes a 2x1 block at (1, 1) of a 4x3 image.
    runs = {"size": [3, 4], "counts": [4, 2, 6]}
    assert pixels_of(runs, (4, 3)).tolist() == [[0, 0, 0, 0], [0, 1, 0, 0], [0, 1, 0, 0]]
    assert (pixels_of({"size": [3, 4], "counts": "426"}, (4, 3)) == pixels_of(runs, (4, 3))).all()
    long = {"size": [10, 20], "counts": [50, 100, 40, 10]}
    # 50 -> two characters; the fourth run is told as its difference to the second, -90.
    packed = {"size": [10, 20], "counts": "b1T3X1VM"}
    assert (pixels_of(packed, (20, 10)) == pixels_of(long, (20, 10))).all()


@pytest.mark.parametrize(
    "broken",
    [
        "x",
        [[1, 2, 3]],
        [[1, 2, 3, 4, 5, float("nan")]],
        {"size": [3, 4], "counts": [5]},
        {"size": [4, 3], "counts": [12]},
    ],
)
def test_a_broken_segmentation_is_refused(broken):
    with pytest.raises(ValueError):
        pixels_of(broken, (4, 3))


def test_segmentation_by_its_command(with_head, tiny_model_dir, tmp_path, capsys):
    data = with_segments(tmp_path / "coco")
    masks = ReferenceMasks(open_data(data))
    assert sorted(int(masks.of(s).sum()) for s in SampleStream(open_data(data))) == [200, 200, 200, 48 * 64]
    command = ["evaluate", "segmentation", str(data), "-o", str(tmp_path / "out"), "--split", "testA"]
    assert main([*command, "--model", str(with_head)]) == 0
    results, _ = load(tmp_path / "out")
    (row,) = csv.DictReader((tmp_path / "out/rows.csv").open())
    found = {m.name: m.estimate.value for m in results.measures}
    assert found["miou"] == found["ciou"] == pytest.approx(float(row["inside"]) / (48 * 64))
    assert found["p_at_50"] == float(found["miou"] >= 0.5) and np.isfinite(found["miou"])
    assert main([*command, "--model", str(tiny_model_dir)]) == 2
    assert "gives no masks" in capsys.readouterr().err


def test_relevance_on_heat_maps_by_its_command(with_head, tmp_path):
    file, out = make_ivm(tmp_path), tmp_path / "out"
    command = ["evaluate", "segmentation", str(file), "-o", str(out), "--limit", "2", "--model", str(with_head)]
    assert main(command) == 0
    first = next(iter(SampleStream(open_data(file))))
    said = Grounder.from_pretrained(with_head).relevance(first.pixels(), first.expression) >= 0.5
    truth = open_data(file).heat(first) >= 0.5
    row = next(csv.DictReader((out / "rows.csv").open()))
    assert (int(row["inside"]), int(row["union"])) == (int((said & truth).sum()), int((said | truth).sum()))
    assert truth.sum() == pytest.approx(32 * 32, rel=0.1)
