"""What is trained behind frozen eyes: labels, losses, and the stages from a recipe."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from drawn_photos import LEFT, RIGHT, line, thing, write
from safetensors.torch import load_file

from clue_ros.cli.main import main
from clue_ros.eyes.proposals import PatchBoxes
from clue_ros.eyes.sight import SightShape, read_sight_shape
from clue_ros.simulation.scene_data import BACKGROUND, MIXED
from clue_ros.training.eye_settings import PARTS, CropSettings, PatchSettings, SetSettings
from clue_ros.training.eyes.crop_labels import crop_labels
from clue_ros.training.eyes.crop_stage import CropBatch, Crops
from clue_ros.training.eyes.glances import Glanced, in_crops
from clue_ros.training.eyes.labels import COLORS, UNKNOWN, dense_labels, labels_of
from clue_ros.training.eyes.patch_stage import PatchBatch, generalized_overlap, patch_loss
from clue_ros.training.eyes.pictures import open_pictures
from clue_ros.training.eyes.stages import EyeStages
from clue_ros.training.recipe import DEFAULT_CONFIG, TrainConfig, read_config
from clue_ros.training.recipe_file import TrainingError
from clue_ros.training.slot import Slot, SlotOver


@pytest.fixture
def desk(tmp_path):
    folder = write(tmp_path / "desk", line(thing("mug", LEFT, "red"), thing("bowl", RIGHT)))
    return open_pictures(SetSettings(name="desk", photos=str(folder)), tmp_path)


def test_patches_are_labelled_by_the_things_that_own_them(desk):
    labels = labels_of(desk.photographs[0].objects, least=1)
    photo = desk.photographs[0]
    told = dense_labels(np.array([[0, 1, BACKGROUND, MIXED]], np.int8), [photo], labels)
    assert labels.names == ("bowl", "mug", "other")
    assert told.name.tolist() == [[1, 0, 3, UNKNOWN]]
    assert told.color.tolist() == [[COLORS.index("red"), UNKNOWN, len(COLORS), UNKNOWN]]
    assert (told.size == UNKNOWN).all()
    x0, y0, x1, y1 = LEFT
    assert told.bins[0, 0] / 1023 == pytest.approx([y0 / 60, x0 / 80, y1 / 60, x1 / 80], abs=1e-3)
    assert labels_of(photo.objects, least=2).names == ("other",)


def test_a_second_glance_is_about_the_thing_that_its_box_covers(desk):
    labels = labels_of(desk.photographs[0].objects, least=1)
    mug, bowl = (np.array(o.box) / (80, 60, 80, 60) for o in desk.photo(0).objects)
    middle = np.array([0.45, 0.0, 0.55, 0.2])
    half = mug * (1, 1, 1, 0) + (0, 0, 0, (mug[1] + mug[3]) / 2 - 0.02)  # covers less than half of it
    second = {
        "rough": np.array([[mug, bowl, middle, half]], np.float32),
        "score": np.array([[0.9, 0.8, 0.7, 0.6]], np.float32),
    }
    told = crop_labels(Glanced(desk, None), second, labels)
    assert told.name.tolist() == [[1, 0, UNKNOWN, 1]] and told.thing.tolist() == [[1, 1, 0, -1]]
    assert told.color[0, 0] == COLORS.index("red") and told.color[0, 1] == UNKNOWN
    assert told.box[0, 3] == pytest.approx(mug, abs=1e-6)
    shares = told.shares(Glanced(desk, None), CropSettings(rare=1.0, nothing=0.1))
    assert shares.tolist() == pytest.approx([0.5, 1.0, 0.1, 0.5])
    open_desk = replace(desk, photographs=tuple(replace(p, exhaustive=False) for p in desk.photographs))
    assert crop_labels(Glanced(open_desk, None), second, labels).thing[0, 2] == -1  # may be a thing without a box


def test_generalized_overlap_of_equal_touching_and_far_boxes():
    a = torch.tensor([[0.0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 1, 1]])
    b = torch.tensor([[0.0, 0, 1, 1], [1, 0, 2, 1], [3, 0, 4, 1]])
    assert generalized_overlap(a, b).tolist() == pytest.approx([1, 0, -0.5])


def test_the_loss_on_patches_is_least_for_what_is_there():
    owners = torch.tensor([[0, 0, 1, BACKGROUND, MIXED]], dtype=torch.int8)
    boxes = torch.tensor([[[0.0, 0, 0.5, 0.5]] * 2 + [[0.5, 0.5, 1, 1]] + [[0.0] * 4] * 2])
    batch = PatchBatch(torch.zeros(1), torch.zeros(1), owners, boxes)
    sure = torch.tensor([[9.0, 9, 9, -9, 9]])  # whatever is said of the mixed one
    right = patch_loss(PatchBoxes(sure, sure, boxes), batch, PatchSettings())
    wrong = patch_loss(PatchBoxes(sure, sure, boxes.flip(1)), batch, PatchSettings())
    blind = patch_loss(PatchBoxes(-sure, sure, boxes), batch, PatchSettings())
    assert right[0] < 0.01 and wrong[0] > 1 and blind[0] > 1 and right[1]["iou"] == pytest.approx(1)
    nothing = PatchBatch(torch.zeros(1), torch.zeros(1), torch.full_like(owners, BACKGROUND), boxes)
    assert patch_loss(PatchBoxes(-sure.abs(), sure, boxes), nothing, PatchSettings())[0] < 0.01


def test_mirrored_crops_have_mirrored_boxes_and_cells():
    count = 40
    cells = torch.zeros(count, 64, 3)
    cells[:, 8 * 2 + 1] = 1  # row 2, column 1
    pixels = torch.full((count, 64, 48), -1.0)
    pixels[:, 0, :3] = 0.5  # the upper left pixel of the upper left cell
    rough = torch.tensor([0.1, 0.2, 0.3, 0.4]).repeat(count, 1)
    batch = CropBatch(Crops(cells, torch.zeros(count, 2), pixels, rough), *[torch.zeros(count)] * 3, rough.clone())
    batch.shake(np.random.default_rng(0))
    flipped = batch.crops.cells[:, 8 * 2 + 6, 0] == 1
    assert 5 < flipped.sum() < 35 and (batch.crops.cells[~flipped][:, 8 * 2 + 1] == 1).all()
    for boxes in (batch.crops.rough, batch.box):
        assert torch.allclose(boxes[flipped], torch.tensor([0.7, 0.2, 0.9, 0.4]))
        assert torch.equal(boxes[~flipped], rough[~flipped])
    assert (batch.crops.pixels[flipped, 7, 9:12] > -0.9).all() and (batch.crops.pixels[flipped, 0] <= -0.7).all()
    boxes = in_crops(torch.tensor([[0.25, 0.5, 0.5, 0.75]]), torch.tensor([[0.25, 0.25, 0.75, 0.75]]))
    assert boxes.tolist() == [[0, 0.5, 0.5, 1]]


def test_the_stages_of_the_eyes_end_in_files_and_resume_to_the_same_weights(recipe, tmp_path, monkeypatch, capsys):
    whole = EyeStages(recipe(), tmp_path / "whole", tmp_path / "data")
    whole.run("eyes")
    assert "eyes" in capsys.readouterr().out and whole.finished("eyes")
    weights = load_file(tmp_path / "whole/eyes/eyes.safetensors")
    assert {name.split(".")[0] for name in weights} == {"patches", "crops", "neck"}
    assert read_sight_shape(tmp_path / "whole/eyes/eyes.json") == recipe().sight

    cut = EyeStages(recipe(), tmp_path / "cut", tmp_path / "data", slot=Slot(until=1))
    for part in PARTS:
        with pytest.raises(SlotOver):
            cut.run(part)
        EyeStages(recipe(), tmp_path / "cut", tmp_path / "data").run(part)
    EyeStages(recipe(), tmp_path / "cut", tmp_path / "data").run("eyes")
    resumed = load_file(tmp_path / "cut/eyes/eyes.safetensors")
    assert all(torch.equal(weights[name], value) for name, value in resumed.items())

    with pytest.raises(TrainingError, match="patch.lr was"):
        EyeStages(recipe(patch={"steps": 2, "batch": 4, "lr": 0.5}), tmp_path / "cut", tmp_path / "data").run("patch")
    more = EyeStages(recipe(patch={"steps": 3, "batch": 4}), tmp_path / "cut", tmp_path / "data")
    more.run("patch")
    assert not more.finished("eyes")
    with pytest.raises(TrainingError, match="another patch"):
        more.run("crop")


def test_a_neck_imitates_a_finished_models_tower(recipe, tiny_model_dir, built, tmp_path):
    sets = [{"name": "built", "scenes": str(built), "limit": 2, "teach": True}]
    settings = {"data": {"sets": sets}, "start": {"model": str(tiny_model_dir)}}
    shape = {**recipe().sight.__dict__, "grid": 8}
    config = recipe(**settings, sight=shape, crop={"steps": 1, "batch": 4}, patch={"steps": 1, "batch": 2})
    stages = EyeStages(config, tmp_path / "run", tmp_path / "data")
    for part in PARTS:
        stages.run(part)
    line = json.loads((tmp_path / "run/neck/readings.jsonl").read_text().splitlines()[-1])
    assert np.isfinite(line["imitation"]) and line["imitation"] > 0
    config = replace(config, sight=SightShape(**{**shape, "grid": 4}))
    with pytest.raises(TrainingError, match="8 x 8 features"):
        EyeStages(config, tmp_path / "run", tmp_path / "data")._teacher()


def test_the_recipe_of_the_eyes_is_valid():
    config = read_config(DEFAULT_CONFIG.with_name("eyes.yaml"))
    assert [one.name for one in config.data.sets] == ["built", "small", "own", "photos", "composites"]
    assert config.stages[0] == "eyes" and config.sight == SightShape()


def test_a_recipe_says_all_that_is_wrong_with_its_sets(recipe, tmp_path, capsys):
    one = {"name": "a b"}, {"name": "x", "photos": "p", "count": 3}, {"name": "x", "count": 2, "sizes": ["7"]}
    with pytest.raises(TrainingError, match=r"(?s)'a b'.*\[0\].*needs one of.*\[1\].*as another one's.*640x480"):
        recipe(data={"sets": list(one)})
    with pytest.raises(TrainingError, match="data.sets.0..names', did you mean 'name'"):
        recipe(data={"sets": [{"names": "x"}]})
    with pytest.raises(TrainingError, match="names no pictures"):
        EyeStages(TrainConfig(), tmp_path, tmp_path).run("patch")
    (tmp_path / "none.yaml").write_text("{}")
    assert main(["train", "eyes", "--config", str(tmp_path / "none.yaml"), "--output", str(tmp_path / "run")]) != 0
    assert "data.sets" in capsys.readouterr().err
