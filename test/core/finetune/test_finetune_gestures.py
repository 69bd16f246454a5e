"""Clicks, boxes and scribbles as answers: what a checkpoint is trained on, and that it learns from them."""

import pytest
from drawn_data import draw, write_lines
from finetune_runs import order, readings

from clue_ros.data.formats import open_data
from clue_ros.data.stream import SampleStream
from clue_ros.finetune.examples import examples_of
from clue_ros.finetune.recipe import DialogueTask
from clue_ros.finetune.run import finetune
from clue_ros.location import point_to_text
from clue_ros.prompt import answer_text
from clue_ros.types import Answer, Box

CORNER = [[20, 40], [20, 30], [20, 20], [30, 20], [40, 20]]  # a bent stroke: its mean is not on it
GESTURES = {"point": [30, 20], "box": [20, 10, 40, 30], "scribble": CORNER}


def lines(root, gestures):
    written = []
    for n, (kind, value) in enumerate(gestures):
        draw(root / f"{n}.png", n)
        turn = {"question": "which one?", "answer": {kind: value}}
        line = {"image": f"{n}.png", "size": [64, 48], "expression": "the mug", "turns": [turn]}
        written.append({**line, "boxes": [[20, 8, 40, 32]], "label": "ambiguous"})
    return write_lines(root / "gestures.jsonl", written)


def test_a_gesture_stands_in_the_prompt_as_it_does_when_the_robot_is_asked(tmp_path):
    samples = list(SampleStream(open_data(lines(tmp_path, GESTURES.items()))))
    served = [Answer(point=(30, 20)), Answer(box=Box(20, 10, 40, 30)), Answer(point=(20, 30))]
    for sample, answer in zip(samples, served, strict=True):
        last = examples_of(sample, DialogueTask())[-1]
        assert last.prefix.endswith(f"user: {answer_text(answer, sample.size)}")
        where = answer.box.center if answer.box else answer.point
        assert where and point_to_text(where, *sample.size) in last.prefix and str(last.suffix).count("<loc") == 4
    assert samples[2].turns[0].answer.point == (20, 30), "a point of the stroke, not beside it"


@pytest.mark.parametrize("stroke", [[], "here", [[1]], [[0, "x"]], {"x": 1}])
def test_a_broken_scribble_is_refused(stroke, tmp_path):
    stream = SampleStream(open_data(lines(tmp_path, [("scribble", stroke)])))
    assert not list(stream) and stream.problems.total == 1


def test_the_loss_on_gestures_falls(base, tmp_path):
    data = open_data(lines(tmp_path, list(GESTURES.items()) * 2))
    changes = {"learns": "boxes", "steps": 12, "validation": 0, "fractions": (1.0, 0.0, 0.0), "save_every": 12}
    assert finetune(order("dialogue", base, tmp_path / "out", **changes), data)["done"]
    losses = [line["loss"] for line in readings(tmp_path / "out", "dialogue") if "loss" in line]
    assert losses[-1] < 0.9 * losses[0]
