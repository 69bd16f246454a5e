"""A program of the user's own answers and ranks, as a person does."""

import csv
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from clue_ros.cli.main import main
from clue_ros.evaluation.dialogue_suite import ranks
from clue_ros.evaluation.oracle_command import CommandOracle
from clue_ros.evaluation.samples import Selection
from clue_ros.images.files import ImageArray
from clue_ros.measures.results import load
from clue_ros.types import ClueError
from clue_ros.vlm.likelihood import Likelihood

pytestmark = pytest.mark.usefixtures("without_java")


def evaluate(*arguments):
    return main(["evaluate", *map(str, arguments)])


def rows_of(folder):
    return list(csv.DictReader((Path(folder) / "rows.csv").open()))


ORACLE = """
import json, sys
for line in sys.stdin:
    asked = json.loads(line)
    print(json.dumps({"scores": [-len(c) for c in asked["candidates"]]} if "candidates" in asked else
          {"answer": f"{len(asked['turns'])} {asked['target'][0]:g} {asked['image'][-5:]}"}), flush=True)
"""


@pytest.fixture
def program(tmp_path):
    (tmp_path / "oracle.py").write_text(ORACLE)
    return [sys.executable, str(tmp_path / "oracle.py")]


def test_a_program_answers_and_ranks(tiny_model_dir, dialogues, program, tmp_path, capsys):
    command = ("dialogue", dialogues, "--model", tiny_model_dir, "-o", tmp_path / "d", "--oracle-command", *program)
    assert evaluate(*command) == 0
    rows = [r for r in rows_of(tmp_path / "d") if r["side"] == "answer"]
    assert [r["generated"] for r in rows] == ["0 20 1.png", "0 20 2.png", "1 20 2.png", "0 20 4.png"]
    assert {r["rank"] for r in rows} == {"2.0", "2.5"} and {r["rank_token"] for r in rows} == {""}
    results, _ = load(tmp_path / "d")
    assert results.about["answers"] == " ".join(program) and "Recall@1 of answers (M-VQA)" in capsys.readouterr().out


def test_a_program_is_a_person(dialogues, program):
    told = next(s for s in Selection(dialogues) if len(s.turns) == 2)
    oracle = CommandOracle(program)
    person = oracle.person(replace(told, image=ImageArray(told.pixels())), told.pixels())
    assert person.answer("which one?").text == "0 20 e.png" and person.answer("left?").text == "1 20 e.png"
    oracle.close()
    for line, complaint in (("{}", "must write"), ('{"answer": 3}', "must write"), ("no", "must write"), ("", "ended")):
        broken = CommandOracle([sys.executable, "-c", f"input(); print({line!r})" if line else "input()"])
        with pytest.raises(ClueError, match=complaint):
            broken.person(told, told.pixels()).answer("which one?")
        broken.close()


def test_what_was_really_said_is_no_rival_of_itself():
    found = ranks(
        "The red one.",
        [["the red one.", "blue", "green"]],
        0,
        lambda texts: [Likelihood(-float(n), 1 + n) for n, _ in enumerate(texts)],
    )
    assert found == {"candidates": 2, "rank": 1.0, "rank_token": 1.0}
    assert ranks("a", [], 0, None)["rank"] is None and ranks("a", [["A"]], 0, None)["rank"] is None
