"""`clue evaluate tabletop`: what is asked and by whom, both conditions by the command, several processes, the page."""

import csv
from pathlib import Path

import numpy as np
import pytest

import clue_ros
from clue_ros.cli.main import main
from clue_ros.evaluation.rows import read_rows
from clue_ros.evaluation.subject import Subject
from clue_ros.evaluation.suite import run_suite
from clue_ros.evaluation.tabletop_conditions import (
    CONDITIONS,
    IN_DISTRIBUTION,
    OUT_OF_DISTRIBUTION,
    TEST_SEED,
    in_distribution_scene,
)
from clue_ros.evaluation.tabletop_instructions import Instruction, instructions, person_for
from clue_ros.evaluation.tabletop_suite import TabletopSuite
from clue_ros.measures.bootstrap import Estimate
from clue_ros.measures.results import Curve, Measure, Series, by_condition, goal_text, load, together
from clue_ros.processes import Sharing
from clue_ros.simulation.renderer import SimulationError, TabletopRenderer
from clue_ros.simulation.scene import ImageSize, SceneObject
from clue_ros.types import Box

MODEL = Path(clue_ros.__file__).parent / "models" / "tabletop"


@pytest.fixture(scope="module", autouse=True)
def rendering():
    try:
        TabletopRenderer(32, 24).close()
    except SimulationError as error:
        pytest.skip(f"scenes cannot be rendered here: {error}")


def evaluate(*arguments):
    return main(["evaluate", *map(str, arguments)])


def rows_of(folder):
    return list(csv.DictReader((Path(folder) / "rows.csv").open()))


def test_instructions_of_a_scene_are_what_they_say():
    with TabletopRenderer(320, 240) as renderer:
        kinds = set()
        for number in range(4):
            view = renderer.render(in_distribution_scene(TEST_SEED, number), depth=False)
            size = ImageSize(320, 240)
            said = instructions(view.objects, size, np.random.default_rng([3, number]))
            assert said == instructions(view.objects, size, np.random.default_rng([3, number]))
            kinds |= {s.truth for s in said}
            assert all((s.target is None) == (s.truth == "absent") for s in said)
    assert kinds == {"ambiguous", "clear", "absent"}


def thing(color, x, category="banana"):
    return SceneObject(
        category, color, "medium", (0, 0, 0), 0.0, (0, 0, 0), box=Box(x, 10, x + 20, 60), visibility=1.0, pixels=900
    )


def test_a_person_means_the_things_that_the_words_fit():
    objects = [thing("yellow", 10), thing("green", 100), thing("green", 200)]
    said = Instruction("the green banana", "ambiguous", "color_category", 1, (1, 2))
    person = person_for(said, objects, ImageSize(320, 240), np.random.default_rng(0))
    assert "left" in person.answer("do you mean the left banana or the right banana ?")


def test_instructions_are_about_what_is_held_out_where_a_scene_has_it():
    objects = [thing("yellow", 10), thing("green", 100), thing("blue", 200, "mug"), thing("red", 260, "can")]
    told = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        told += instructions(objects, ImageSize(320, 240), rng, lambda item: item.category == "mug")
    clear = [s for s in told if s.truth == "clear"]
    assert clear and all(s.held_out and s.target == 2 for s in clear)
    others = [s for s in told if s.truth == "ambiguous"]
    assert others and all(s.held_out == (2 in s.matches) for s in others)
    plain = instructions(objects, ImageSize(320, 240), np.random.default_rng(0))
    assert not any(s.held_out for s in plain) and {s.truth for s in plain} == {"ambiguous", "clear", "absent"}


def test_the_scenes_of_the_conditions():
    assert IN_DISTRIBUTION.held_out is None and OUT_OF_DISTRIBUTION.seed == 43
    for number in range(6):
        new = OUT_OF_DISTRIBUTION.scene(43, number)
        assert any(map(OUT_OF_DISTRIBUTION.held_out, new.objects)) and new == OUT_OF_DISTRIBUTION.scene(43, number)
        assert not any(map(OUT_OF_DISTRIBUTION.held_out, IN_DISTRIBUTION.scene(TEST_SEED, number).objects))
    assert CONDITIONS["both"] == (*CONDITIONS["in"], *CONDITIONS["out"])
    assert OUT_OF_DISTRIBUTION.slug == "held-out-pairs-shapes-lights"


@pytest.mark.skipif(not MODEL.is_dir(), reason="the embedded model is not there")
def test_tabletop_by_its_command_with_the_embedded_model(tmp_path, capsys):
    assert evaluate("tabletop", "--scenes", 2, "-o", tmp_path / "t") == 0
    out = capsys.readouterr().out
    for label in (
        "ambiguity F1",
        "unambiguous expression, Acc@0.5",
        "interactive success on ambiguous instructions",
        "questions asked on clear instructions",
        "absent target recognised",
        "mean questions on ambiguous",
    ):
        assert label in out
    assert "in distribution" in out and "reached" in out
    results, folder = load(tmp_path / "t")
    goals = {m.name: goal_text(m) for m in results.measures if m.column == "in distribution"}
    beyond = {m.name: goal_text(m) for m in results.measures if m.column == "held-out pairs, shapes, lights"}
    assert list(beyond.values()) == ["≥ 0.85", "≥ 0.8", "≥ 75 %", "≤ 1.6", "≤ 8 %", "≥ 80 %"]
    assert set(beyond) == set(goals)
    assert goals["ambiguity_f1"] == "≥ 0.95" and goals["asked_clear"] == "≤ 3 %"
    assert goals["questions_ambiguous"] == "≤ 1.4"
    assert {r["truth"] for r in rows_of(folder)} == {"ambiguous", "clear", "absent"}
    assert results.pictures and all((folder / p.file).is_file() for p in results.pictures)
    assert evaluate("tabletop", "--scenes", 2, "-o", tmp_path / "t2", "--against", tmp_path / "t") == 0
    again, _ = load(tmp_path / "t2")
    assert again.measures == results.measures and {row[4] for row in again.tables[-1].rows} <= {"no", "-"}
    assert main(["report", str(tmp_path / "t"), str(tmp_path / "t2"), "-o", str(tmp_path / "r.html")]) == 0
    text = (tmp_path / "r.html").read_text()
    assert text.count("data:image/webp;base64,") >= 2 and "side by side" in text and "in distribution" in text


@pytest.fixture(scope="module")
def subject(tiny_model_dir):
    subject = Subject.load(tiny_model_dir)
    yield subject
    subject.close()


def small(subject, **more):
    """Two scenes of each condition, without dialogues of three questions."""
    return TabletopSuite(subject, 2, max_questions=1, **more)


def test_several_processes_give_the_rows_of_one(subject, tmp_path, quick_processes):
    alone = run_suite(small(subject), tmp_path / "one", gallery=1)
    shared = run_suite(small(subject, sharing=Sharing(2)), tmp_path / "two", gallery=1)
    first, second = (read_rows(tmp_path / name / "rows.jsonl") for name in ("one", "two"))
    assert first[0] == second[0]
    probabilities = [[r.pop("probability") for r in rows] for _, rows in (first, second)]
    assert probabilities[0] == pytest.approx(probabilities[1], abs=1e-5)
    for _, rows in (first, second):
        for row in rows:
            row.pop("seconds")
            row["box"] = row["box"] and [round(v) for v in row["box"]]
            row["iou"], row["guess_iou"] = (v if v is None else round(v, 4) for v in (row["iou"], row["guess_iou"]))
    assert first[1] == second[1]
    assert [p.title for p in alone.pictures] == [p.title for p in shared.pictures] and shared.pictures
    assert all((tmp_path / "two" / p.file).stat().st_size > 1000 for p in shared.pictures)


def test_the_conditions_take_turns_and_a_run_goes_on(subject, tmp_path):
    suite, keys = small(subject), []
    for item in suite.judged(()):
        keys.append(item.key)
        if len(keys) == 3:
            break
    assert keys == ["in distribution/0", "held-out pairs, shapes, lights/0", "in distribution/1"]
    assert [item.key for item in suite.judged(keys)] == ["held-out pairs, shapes, lights/1"]
    assert TabletopSuite(subject, 1, conditions=CONDITIONS["out"]).about()["conditions"] == {
        "held-out pairs, shapes, lights": 43
    }


def test_conditions_stand_side_by_side(tmp_path):
    def figure(name, value, column):
        return Measure(name, f"the {name}", Estimate(value, value - 0.1, value + 0.1, 5), "share", 0.5, False, column)

    measures = (figure("a", 0.6, "in"), figure("b", 0.7, "in"), figure("b", 0.2, "out"))
    columns, lines = by_condition(measures)
    assert columns == ("in", "out")
    assert [(label, [m and m.estimate.value for m in found]) for label, found in lines] == [
        ("the a", [0.6, None]),
        ("the b", [0.7, 0.2]),
    ]
    curve = Curve("roc", "ROC", "x", "y", (Series("area", (0, 1), (0, 1)), Series("here", (0.5,), (0.5,))))
    both = together([("in", curve), ("out", curve)])
    assert [(s.label, s.color) for s in both.series] == [
        ("in: area", 0),
        ("in: here", 0),
        ("out: area", 1),
        ("out: here", 1),
    ]
