"""`clue evaluate chat DATA --predictions FILE`: another model's answers, in COCO's layout, scored without a model."""

import json
import sys

import pytest
from drawn_data import draw, write_lines

from clue_ros.chat.question import understand
from clue_ros.cli.main import main
from clue_ros.evaluation.chat_suite import BENCHMARK
from clue_ros.measures.results import load

# name, xywh of what stands in image 7; image 8 holds a truck.
THINGS = [("person", [4, 6, 10, 20]), ("dog", [30, 8, 20, 30]), ("hot dog", [52, 2, 10, 10])]


@pytest.fixture
def coco(tmp_path):
    names = ["person", "dog", "hot dog", "truck"]
    for n in (7, 8):
        draw(tmp_path / "img" / f"{n:012d}.jpg", n)
    images = [{"id": n, "file_name": f"{n:012d}.jpg", "width": 64, "height": 48} for n in (7, 8)]
    boxes = [{"image_id": 7, "bbox": box, "category_id": names.index(name)} for name, box in THINGS]
    boxes.append({"image_id": 8, "bbox": [0, 0, 60, 40], "category_id": 3})
    categories = [{"id": n, "name": name} for n, name in enumerate(names)]
    file = tmp_path / "instances_val2017.json"
    file.write_text(json.dumps({"images": images, "annotations": boxes, "categories": categories}))
    return file


def grounding(phrase, x, y, width, height):
    return {"phrase": phrase, "box": [x, y, x + width, y + height]}


def evaluate(coco, lines, *more):
    given = write_lines(coco.parent / "given.jsonl", lines)
    out = coco.parent / "out"
    images = ("--images", str(coco.parent / "img"))
    code = main(["evaluate", "chat", str(coco), *images, "--predictions", str(given), "-o", str(out), "--fresh", *more])
    return code, out


ANSWER = {
    "image": "000000000007.jpg",
    "answer": "A man in a red shirt feeds a hot dog to two dogs.",
    "groundings": [
        grounding("A man in a red shirt", *THINGS[0][1]),  # right
        grounding("a hot dog", *THINGS[1][1]),  # the dog's box
        grounding("a hot dog", *THINGS[2][1]),  # right
        grounding("two dogs", *THINGS[1][1]),  # right
        grounding("two dogs", 0, 30, 8, 8),  # nothing there
        grounding("a frisbee", *THINGS[0][1]),  # not in the answer's words, and wrong
    ],
}


def test_another_models_answers_are_scored_by_hand(coco, capsys):
    code, out = evaluate(coco, [ANSWER, {"image": "nobody.jpg", "groundings": []}])
    assert code == 0
    found = {m.name: m.estimate for m in load(out)[0].measures}
    assert found["grounded_precision"].value == pytest.approx(3 / 6)
    assert found["grounded_recall"].value == pytest.approx(
        3 / 4
    )  # the truck of image 8 counts although nothing is said
    assert found["grounded_f1"].value == pytest.approx(0.6)
    said = capsys.readouterr().out
    assert "1 images have no answer" in said and "1 answers of the file are about no image" in said
    rows = [json.loads(line) for line in (out / "rows.jsonl").read_text().splitlines()]
    assert rows[0]["about"]["model"].endswith("given.jsonl") and rows[1]["rows"][0]["question"] == BENCHMARK
    assert rows[1]["rows"][0]["answer"] == ANSWER["answer"] + " [a frisbee]"


JUDGE = (
    "import sys, json\nfor line in sys.stdin:\n e = json.loads(line)\n"
    " print(json.dumps({'means': e['phrase'] == 'a hot dog' and e['name'] == 'dog'}), flush=True)"
)


def test_a_program_may_judge_the_words(coco, capsys):
    code, out = evaluate(coco, [ANSWER], "--judge-command", sys.executable, "-c", JUDGE)
    assert code == 0
    results = load(out)[0]
    assert results.measures[0].estimate.value == pytest.approx(1 / 6)  # what this judge, and nobody else, calls right
    assert results.about["matching"]["rule"] == "command"
    for judge, message in (("print('yes')", "must write JSON objects"), ("print('{}')", "must say"), ("", "ended")):
        assert evaluate(coco, [ANSWER], "--judge-command", sys.executable, "-c", judge)[0] == 2
        assert message in capsys.readouterr().err
    assert evaluate(coco, [ANSWER], "--judge-command", "/no/such/program")[0] == 2
    assert "cannot be started" in capsys.readouterr().err


def test_boxes_of_other_forms_and_coco_ids(coco, capsys):
    (name, (x, y, width, height)) = THINGS[0]
    share = {"phrase": name, "box": [x / 64, y / 48, width / 64, height / 48]}
    lines = [{"image": 7, "answer": "a person", "groundings": [share]}]
    code, out = evaluate(coco, lines, "--boxes", "xywh01")
    assert code == 0 and load(out)[0].measures[0].estimate.value == 1.0
    assert evaluate(coco, lines)[0] == 2
    assert "look like shares of the image; give --boxes xyxy01" in capsys.readouterr().err


@pytest.mark.parametrize(
    "line, message",
    [
        ({"answer": "x", "groundings": []}, "needs 'image'"),
        ({"image": "a", "groundings": [{"phrase": "x", "box": [1, 2]}]}, "a box must be 4 numbers"),
        ({"image": "a", "groundings": ["x"]}, "'phrase' and 'box'"),
        ("{", "given.jsonl:1"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_line(coco, capsys, line, message):
    assert evaluate(coco, [line])[0] == 2
    error = capsys.readouterr().err
    assert message in error and "given.jsonl:1" in error


def test_a_file_of_answers_needs_data_and_no_model(coco, capsys):
    given = write_lines(coco.parent / "given.jsonl", [ANSWER])
    assert main(["evaluate", "chat", "--predictions", str(given), "-o", str(coco.parent / "o")]) == 2
    assert "give DATA" in capsys.readouterr().err
    assert evaluate(coco, [ANSWER], "--model", "x")[0] == 2
    assert evaluate(coco, [ANSWER, ANSWER])[0] == 2 and "a second answer" in capsys.readouterr().err


def test_the_embedded_model_understands_the_benchmarks_question():
    assert understand(BENCHMARK).unknown == () and understand(BENCHMARK).category is None
