"""The suite of taught things on drawn scenes, where what must come out is known."""

import json
from types import SimpleNamespace

import cv2
import pytest
from coloured_sight import BLUE, GREEN, RED, ColourSight, CupBackbone, drawn

from clue_ros.evaluation.suite import run_suite
from clue_ros.evaluation.taught_fit import episodes, figures, fitted
from clue_ros.evaluation.taught_suite import TaughtSuite, lessons
from clue_ros.stock.grounder import StockGrounder
from clue_ros.taught.matching import RULE, Rule, rule_of, save_rule
from clue_ros.types import ClueError, ModelLoadError

PLACES = ((40, 50, 90, 120), (200, 60, 260, 140))
COLOURS = {"red_mug": RED, "blue_mug": BLUE, "green_box": GREEN}


def line(number, *shapes):
    objects = [
        {"category": shape.split("_")[1], "shape": shape, "box": list(map(float, PLACES[n])), "visibility": 0.9}
        for n, shape in enumerate(shapes)
    ]
    return {"id": f"{number:06d}", "width": 320, "height": 240, "objects": objects}


LINES = [line(n, *shapes) for n, shapes in enumerate(
    [["red_mug"]] * 5 + [["red_mug", "red_mug"]] + [["blue_mug"]] * 5 + [["green_box"], ["green_box", "blue_mug"]]
)]  # fmt: skip


@pytest.fixture
def scenes(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "scenes-00000.jsonl").write_text("\n".join(json.dumps(one) for one in LINES))
    for one in LINES:
        rgb = drawn(*((COLOURS[o["shape"]], *map(int, o["box"])) for o in one["objects"]))
        cv2.imwrite(str(tmp_path / "images" / f"{one['id']}.webp"), rgb[..., ::-1], [cv2.IMWRITE_WEBP_QUALITY, 101])
    return tmp_path


def subject(sight):
    return SimpleNamespace(grounder=StockGrounder(CupBackbone(sight)), about=lambda: {"model": "drawn"})


def test_a_thing_is_never_asked_for_where_it_was_shown():
    found = lessons(LINES)
    assert [lesson.thing for lesson in found] == ["blue_mug", "red_mug"]  # the box stands in too few scenes
    for lesson in found:
        shown = {scene for scene, _ in lesson.shown}
        assert len(shown) == 3
        for trial in lesson.trials:
            things = [o["shape"] for o in LINES[trial.scene]["objects"]]
            kinds = [o["category"] for o in LINES[trial.scene]["objects"]]
            assert things.count(lesson.thing) == {"one": 1, "two": 2}.get(trial.case, 0) == len(trial.boxes)
            assert trial.scene not in shown and (lesson.kind in kinds) == (trial.case != "absent")
    assert lessons(LINES) == found != lessons(LINES, seed=1)


def test_what_eyes_that_tell_colours_apart_find(scenes, tmp_path):
    results = run_suite(TaughtSuite(subject(ColourSight()), scenes), tmp_path / "out", gallery=1)
    figures = {(m.name, m.column): m.estimate.value for m in results.measures}
    for column in ("1 view", "3 views"):
        assert figures["one", column] == figures["likest", column] == figures["absent", column] == 1
        assert figures["look-alike", column] == 0 and figures["f1", column] == 1
    assert len(results.pictures) == 1 and all(m.reached is not False for m in results.measures)


def test_eyes_that_see_one_colour_take_the_look_alike(scenes, tmp_path, monkeypatch):
    monkeypatch.setattr("coloured_sight._unlike_grey", lambda pixels: (1.0, 0.0, 0.0))
    monkeypatch.setattr("clue_ros.taught.grounder.rule_of", lambda _: Rule(colours=0.0))
    results = run_suite(TaughtSuite(subject(ColourSight()), scenes), tmp_path / "out", gallery=0)
    figures = {(m.name, m.column): (m.estimate.value, m.reached) for m in results.measures}
    assert figures["look-alike", "1 view"] == (1, False) and figures["absent", "1 view"] == (0, False)


def test_a_rule_is_fitted_to_what_the_eyes_tell_apart_and_kept_in_the_models_folder(scenes, tmp_path):
    things = episodes(TaughtSuite(subject(ColourSight()), scenes))
    assert sorted({e.case for thing in things for e in thing}) == ["absent", "look-alike", "one", "two"]
    all_right = {"one": 1, "f1": 1, "look-alike": 0, "absent": 1}
    assert figures(things, Rule(least=-2.0, near=5.0), 1) == {**all_right, "look-alike": 1, "absent": 0}
    rule = fitted(things)
    assert figures(things, rule, 1) == figures(things, rule, 3) == all_right
    assert rule_of(tmp_path) == rule_of(None) == Rule() != rule
    assert save_rule(rule, tmp_path) == tmp_path / RULE and rule_of(tmp_path) == rule
    for broken in ("{", '{"least": "x"}', '{"leest": 1}', '{"least": NaN}'):
        (tmp_path / RULE).write_text(broken)
        with pytest.raises(ModelLoadError, match=RULE):
            rule_of(tmp_path)


def test_a_model_without_eyes_and_a_folder_without_scenes_are_named(scenes, tmp_path):
    with pytest.raises(ClueError, match="eyes.safetensors"):
        TaughtSuite(subject(None), scenes)
    with pytest.raises(ClueError, match="clue scenes"):
        TaughtSuite(subject(ColourSight()), tmp_path / "nowhere")
