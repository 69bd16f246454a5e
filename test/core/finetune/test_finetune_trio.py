"""InViG-Base: questioner, guesser and oracle, three adapters by one recipe, play together."""

import pytest
from finetune_runs import order

from clue_ros.cli.main import main
from clue_ros.data.formats import open_data
from clue_ros.data.stream import SampleStream
from clue_ros.evaluation.rows import read_rows
from clue_ros.evaluation.subject import Subject
from clue_ros.finetune.run import finetune
from clue_ros.measures.overlap import best_iou
from clue_ros.types import Answer, Turn


def test_three_adapters_play_whole_dialogues(base, invig, tmp_path, monkeypatch):
    for name, task, more in (
        ("asks", "dialogue", {"learns": "questions"}),
        ("boxes", "dialogue", {"learns": "boxes"}),
        ("answers", "answer", {}),
    ):
        finetune(order(task, base, tmp_path / name, **more), open_data(invig))
    asked, answer = [], Subject.answer
    monkeypatch.setattr(Subject, "answer", lambda self, *a: asked.append(self.folder.name) or answer(self, *a))
    told = ["--model", tmp_path / "asks", "--guesser", tmp_path / "boxes", "--oracle-model", tmp_path / "answers"]
    limits = ["--threshold", "0", "--max-questions", "2", "-o", tmp_path / "out"]  # it asks as often as it may
    assert main(["evaluate", "interactive", str(invig), *map(str, [*told, *limits])]) == 0
    about, rows = read_rows(tmp_path / "out/rows.jsonl")
    assert about["model"] == f"{tmp_path / 'asks'}, guesser {tmp_path / 'boxes'}" and "answers" in about["oracle"]
    assert {len(row["questions"]) for row in rows} == {2} and asked == ["answers"] * 2 * len(rows)
    assert {len(row["turn_ious"]) for row in rows} == {3}, "the guesser is asked after every answer"
    questioner, guesser = (Subject.load(tmp_path / name).grounder for name in ("asks", "boxes"))
    sample = next(iter(SampleStream(open_data(invig), "test")))
    row = next(row for row in rows if row["item"] == sample.source_id)
    assert row["questions"][0] == questioner.ground(sample.pixels(), sample.expression, (), threshold=0.0).question
    turns = [Turn(question, Answer(said)) for question, said in zip(row["questions"], row["answers"])]
    found = guesser.ground(sample.pixels(), sample.expression, turns, may_ask=False)
    assert row["iou_last"] == pytest.approx(best_iou(found.box, sample.boxes), abs=1e-4)
    assert main(["evaluate", "interactive", str(invig), "--guesser", str(tmp_path), "--model-command", "cat"]) == 2
