"""`clue ground` with the embedded model on a rendered scene: the same answer alone, with --json and in a batch."""

import json
from pathlib import Path

import pytest
from PIL import Image

import clue_ros
from clue_ros.cli.main import main
from clue_ros.evaluation.episode_runner import derive_episode
from clue_ros.simulation.renderer import SimulationError, TabletopRenderer

MODEL = Path(clue_ros.__file__).parent / "models" / "tabletop"
pytestmark = pytest.mark.skipif(
    not MODEL.is_dir(), reason="the embedded model clue_ros/models/tabletop is not there yet"
)


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """(photo, expression) of a clear episode."""
    episode = derive_episode(0, 0)
    try:
        with TabletopRenderer(640, 480) as renderer:
            view = renderer.render(episode.scene)
    except SimulationError as error:
        pytest.skip(f"scenes cannot be rendered here: {error}")
    path = tmp_path_factory.mktemp("scene") / "scene.png"
    Image.fromarray(view.rgb).save(path)
    return path, episode.expression


def _json(capsys, *arguments):
    assert main([str(argument) for argument in arguments]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_one_photo(scene, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    photo, expression = scene
    (row,) = _json(capsys, "ground", photo, expression, "--json", "--no-ask")
    assert row["outcome"] in ("found", "not_found") and 0 <= row["ambiguity"] <= 1 and row["question"] is None
    if row["box"]:
        x0, y0, x1, y1 = row["box"]
        assert 0 <= x0 < x1 <= 640 and 0 <= y0 < y1 <= 480
    assert Image.open(tmp_path / "out/ground/scene.png").width == 1280


def test_batch_agrees_with_single_calls(scene, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    photo, expression = scene
    requests = [
        {"image": str(photo), "expression": expression, "turns": []},
        {"image": str(photo), "expression": "the mug", "turns": [["which color ?", "the red one"]]},
        {"image": str(photo), "expression": expression},
    ]
    batch = tmp_path / "b.jsonl"
    batch.write_text("".join(json.dumps(request) + "\n" for request in requests))
    rows = _json(capsys, "ground", "--batch", batch)
    (single,) = _json(capsys, "ground", photo, expression, "--json", "--no-picture")
    for key in ("outcome", "box", "confidence", "ambiguity", "question"):
        assert rows[0][key] == rows[2][key] == single[key]
    (turned,) = _json(
        capsys, "ground", photo, "the mug", "--turn", "which color ?", "the red one", "--json", "--no-picture"
    )
    assert rows[1]["outcome"] == turned["outcome"] and rows[1]["box"] == turned["box"]


def test_a_word_outside_the_vocabulary_gets_no_box(scene, capsys):
    (row,) = _json(capsys, "ground", scene[0], "the flugelhorn", "--json", "--no-picture")
    assert row["outcome"] == "unknown_words" and row["box"] is None and "flugelhorn" in row["unknown_words"]


def test_expressions_that_are_refused(scene, capsys):
    for expression in ("", "   ", "mug " * 2500):
        assert main(["ground", str(scene[0]), expression, "--json", "--no-picture"]) == 2
        captured = capsys.readouterr()
        assert captured.out == "" and captured.err.strip().splitlines()[-1].startswith("clue: ")
