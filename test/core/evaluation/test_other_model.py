"""Another model in the same suites: its answers from a file, or from a program that is asked. No model is loaded."""

import csv
import json
import sys

import pytest
from drawn_data import draw, write_lines

from clue_ros.cli.main import main
from clue_ros.measures.results import load

TURN = {"question": "which one ?", "answer": "the red one"}


@pytest.fixture
def data(tmp_path):
    """Four samples with a target; the first two with a dialogue, the last one ambiguous without."""
    lines = []
    for n in range(4):
        draw(tmp_path / f"{n}.png", n)
        line = {"id": f"s{n}", "image": f"{n}.png", "expression": "the mug", "boxes": [[20, 8, 40, 32]]}
        candidates = {"question_candidates": [["is it left ?", "it is the one over there ?"]], "turns": [TURN]}
        lines.append({**line, "label": "clear" if n == 2 else "ambiguous", **(candidates if n < 2 else {})})
    return write_lines(tmp_path / "data.jsonl", lines)


def run(suite, data, *more):
    """(exit code, measures by name, rows)."""
    out = data.parent / f"out-{suite}"
    code = main(["evaluate", suite, str(data), "-o", str(out), "--fresh", "--pictures", "0", *map(str, more)])
    if code:
        return code, {}, []
    rows = list(csv.DictReader((out / "rows.csv").open()))
    return code, {m.name: m.estimate.value for m in load(out)[0].measures}, rows


def test_boxes_from_a_file(data, tmp_path, capsys):
    lines = [
        {"id": "s0", "box": [20, 8, 40, 32]},
        {"id": "s0", "box": [0, 0, 5, 5], "turns": 0},
        {"id": "s1", "box": None},
        {"id": "nobody", "box": [0, 0, 1, 1]},
    ]
    file = write_lines(tmp_path / "boxes.jsonl", lines)
    code, found, rows = run("grounding", data, "--predictions", file)
    assert code == 0 and found["acc_at_50"] == pytest.approx(1 / 3)  # s0 right, s1 nothing, s2 without a line
    assert [(r["item"], r["history"], r["iou"]) for r in rows[:4]] == [
        ("s0", "full history", "1.0"),
        ("s0", "without last 1", "0.0"),
        ("s0", "without last 2", "0.0"),
        ("s0", "without last 3", "0.0"),
    ]
    assert [r["item"] for r in rows if r["unanswered"]] == ["s2"]
    assert "1 samples have no prediction" in capsys.readouterr().out
    shares = write_lines(tmp_path / "shares.jsonl", [{"id": "s0", "box": [20 / 64, 8 / 48, 40 / 64, 32 / 48]}])
    assert run("grounding", data, "--predictions", shares)[0] == 2
    assert "--boxes xyxy01" in capsys.readouterr().err
    assert run("grounding", data, "--predictions", shares, "--boxes", "xyxy01")[1]["acc_at_50"] == pytest.approx(1 / 3)


def test_yes_or_no_from_a_file(data, tmp_path):
    said = {"s0": True, "s1": 0.2, "s2": 0.9, "s3": 0.5}  # labels: yes, yes, no, yes
    file = write_lines(tmp_path / "said.jsonl", [{"id": k, "ambiguous": v} for k, v in said.items()])
    _, found, _ = run("ambiguity", data, "--predictions", file)
    assert found["accuracy"] == 0.5 and found["f1"] == pytest.approx(2 / 3)


PROGRAM = """
import json, sys
for line in sys.stdin:
    asked = json.loads(line)
    if "candidates" in asked:
        said = {"scores": [-len(c) for c in asked["candidates"]]}
    elif asked["task"] == "question":
        said = {"question": "is it " + asked["id"] + " ?"}
    elif asked["task"] == "ambiguous":
        said = {"ambiguous": asked["id"] != "s2"}
    elif asked["task"] == "chat":
        said = {"answer": "A mug.", "groundings": [{"phrase": "A mug", "box": [20, 8, 40, 32]}]}
    elif asked["may_ask"] and not asked["turns"]:
        said = {"question": "which one?"}
    else:
        right = not asked["turns"] or asked["turns"][0]["answer"] == "the good one"
        said = {"box": [20, 8, 40, 32] if right else [0, 0, 9, 9]}
    print(json.dumps(said), flush=True)
"""
ORACLE = """
import sys
for line in sys.stdin:
    print('{"answer": "the good one"}', flush=True)
"""


@pytest.fixture
def program(tmp_path):
    for name, text in (("model.py", PROGRAM), ("oracle.py", ORACLE)):
        (tmp_path / name).write_text(text)
    return lambda name: (sys.executable, tmp_path / f"{name}.py")


def test_a_program_is_asked_in_every_suite(data, program, tmp_path):
    model = ("--model-command", *program("model"))
    assert run("ambiguity", data, *model)[1]["f1"] == 1.0
    assert run("grounding", data, *model)[1]["acc_at_50"] == pytest.approx(1 / 3)  # the recorded answer misleads it
    code, found, rows = run("dialogue", data, *model)
    assert code == 0 and found["question_mean_rank"] == 1.0 and rows[0]["generated"] == "is it s0 ?"
    code, found, rows = run("interactive", data, *model, "--oracle-command", *program("oracle"))
    assert code == 0 and found["ivg_success"] == 1.0
    assert {r["answers"] for r in rows} == {'["the good one"]'}
    things = [{"image": "0.png", "size": [64, 48], "instances": [{"box": [20, 8, 40, 32], "name": "mug"}]}]
    assert run("chat", write_lines(tmp_path / "things.jsonl", things), *model)[1]["grounded_f1"] == 1.0


@pytest.mark.parametrize(
    "line, complaint",
    [
        ({"box": [0, 0, 1, 1]}, "needs 'id'"),
        ({"id": "s0", "box": [0, 0, 1], "turns": 1}, "4 numbers"),
        ({"id": "s0", "turns": -1, "box": None}, "'turns' must be"),
        ({"id": "s0", "boxes": []}, "holds no predictions"),
    ],
)
def test_what_a_file_cannot_say(data, tmp_path, line, complaint, capsys):
    file = write_lines(tmp_path / "bad.jsonl", [line])
    assert run("grounding", data, "--predictions", file)[0] == 2 and complaint in capsys.readouterr().err


def test_wrong_use_and_programs_that_say_nonsense(data, tmp_path, capsys):
    file = write_lines(tmp_path / "a.jsonl", [{"id": "s0", "box": None}, {"id": "s0", "box": None}])
    assert run("grounding", data, "--predictions", file)[0] == 2 and "a second 'box'" in capsys.readouterr().err
    assert run("grounding", data, "--predictions", file, "--model-command", "true")[0] == 2
    assert "give one of" in capsys.readouterr().err
    for said, complaint in (({"ambiguous": 7}, "0 … 1"), ("no", "JSON")):
        text = json.dumps(said) if isinstance(said, dict) else said
        code = f"import sys\nfor line in sys.stdin: print({text!r}, flush=True)"
        assert run("ambiguity", data, "--model-command", sys.executable, "-c", code)[0] == 2
        assert complaint in capsys.readouterr().err
