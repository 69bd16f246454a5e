"""The eyes as a whole, on a random backbone: what comes out, what a model folder holds, and serving beside
transformers."""

from __future__ import annotations

import copy
import json
import shutil
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from clue_ros.eyes import sight as sight_module
from clue_ros.eyes.crops import cut
from clue_ros.eyes.frozen import FrozenEyes
from clue_ros.eyes.sight import FILE, MOST_GLANCES, WEIGHTS, Sight, SightShape, Trained, has_sight, save_sight
from clue_ros.lab.bench.plain import PlainPath
from clue_ros.types import ModelLoadError
from clue_ros.vlm.dense import Precision
from clue_ros.vlm.paligemma import PaliGemmaBackbone

SHAPE = SightShape(first=112, glances=3, grid=8, width=32, vector=8, features=72, summary=24)


@pytest.fixture(scope="module")
def trained():
    torch.manual_seed(0)
    made = Trained(SHAPE).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(parameter.half())  # as a file holds them
    return made


@pytest.fixture(scope="module")
def sight(tiny, trained):
    return Sight(FrozenEyes.open(tiny[0], engine="torch-float32"), trained)


@pytest.fixture(scope="module")
def photo():
    rng = np.random.default_rng(4)
    rgb = np.full((90, 160, 3), 120, np.uint8)
    rgb[30:60, 20:50] = rng.integers(0, 255, (30, 30, 3))
    rgb[40:70, 100:130] = (200, 30, 30)
    return rgb


def test_a_picture_of_any_size_becomes_the_decoders_grid(sight, photo):
    seen = sight.see(photo)
    assert seen.shape == (1, 64, 32) and seen.dtype == torch.float32
    assert torch.equal(seen, sight.see(photo.copy()))
    assert sight.see(photo[:, :40]).shape == (1, 64, 32)
    assert sight.see(np.zeros((5, 3, 3), np.uint8)).isfinite().all()


def test_the_budget_says_how_many_crops_are_looked_at(sight, photo, monkeypatch):
    looked = []
    glance = sight.eyes.glance
    monkeypatch.setattr(sight.eyes, "glance", lambda rgb: looked.append(rgb.shape[:2]) or glance(rgb))
    none, two = sight.see(photo, 0), sight.see(photo, 2)
    assert looked == [(1, 112), (1, 112), (2, 224)]
    assert not torch.allclose(none, two)


def test_a_second_glance_that_moves_nothing_gives_the_first_ones_boxes(sight, photo):
    first = sight.first(photo, 3)
    second = sight.second(photo, first.rough)
    assert len(first.rough) == 3
    np.testing.assert_allclose(second.boxes[0], first.rough, atol=1e-5)


@pytest.fixture(scope="module")
def folder(tiny_model_dir, tiny, trained, tmp_path_factory):
    """A model folder without a vision tower of its own."""
    path = tmp_path_factory.mktemp("sighted") / "model"
    shutil.copytree(tiny_model_dir, path)
    weights = load_file(path / "model.safetensors")
    save_file({k: v for k, v in weights.items() if "vision_tower" not in k}, path / "model.safetensors")
    save_sight(trained, path)
    return path


@pytest.fixture
def shipped(tiny, monkeypatch):
    """The tiny backbone in the place of the one that ships, in float32."""
    monkeypatch.setattr(sight_module, "SHIPPED", tiny[0])
    opened = FrozenEyes.open
    monkeypatch.setattr(FrozenEyes, "open", lambda path, device, engine: opened(path, device, "torch-float32"))


def test_a_folder_gives_the_eyes_that_were_saved(folder, sight, photo, shipped):
    assert has_sight(folder)
    assert torch.equal(Sight.open(folder).see(photo), sight.see(photo))


def test_serving_gives_what_transformers_gives_on_these_eyes(folder, sight, photo, shipped):
    backbone = PaliGemmaBackbone.from_pretrained(folder, dtype="float32")
    image = backbone.encode(photo)
    assert torch.equal(image.tower, sight.see(photo))
    plain = PlainPath(
        backbone.model, backbone.tokenizer, backbone.settings, frozenset(), Precision(torch.float32, torch.float32)
    )
    torch.testing.assert_close(image.features, plain.features(photo), atol=1e-4, rtol=1e-4)
    ours = backbone.prefill(image, "clarify the red mug", "").logits
    torch.testing.assert_close(ours, plain.logits(photo, "clarify the red mug", ""), atol=1e-3, rtol=1e-3)


def test_the_budget_of_a_backbone_is_that_of_its_eyes(folder, sight, photo, shipped):
    for glances in (0, 3, 8, None):
        backbone = PaliGemmaBackbone.from_pretrained(folder, dtype="float32", glances=glances)
        assert torch.equal(
            backbone.encode(photo).tower, sight.see(photo, SHAPE.glances if glances is None else glances)
        )


@pytest.mark.parametrize("glances", [-1, MOST_GLANCES + 1, 1.5, True])
def test_a_budget_that_no_picture_can_have_is_refused(folder, tiny_model_dir, shipped, glances):
    for path in (folder, tiny_model_dir):
        with pytest.raises(ModelLoadError, match=f"glances is {glances}, must be a whole number from 0 to 64"):
            PaliGemmaBackbone.from_pretrained(path, glances=glances)


def test_a_model_without_eyes_says_that_it_has_no_glances_to_spend(tiny_model_dir, photo, caplog):
    backbone = PaliGemmaBackbone.from_pretrained(tiny_model_dir, dtype="float32", glances=3)
    assert "glances is 3" in caplog.text and str(tiny_model_dir) in caplog.text
    caplog.clear()
    same = PaliGemmaBackbone.from_pretrained(tiny_model_dir, dtype="float32")
    assert not caplog.text
    assert torch.equal(same.encode(photo).features, backbone.encode(photo).features)


def test_what_is_wrong_with_a_folder_is_named(folder, trained, tmp_path, shipped):
    def broken(name):
        path = tmp_path / name
        shutil.copytree(folder, path)
        return path

    (broken("none") / WEIGHTS).unlink()
    other = broken("other")
    (other / FILE).write_text(json.dumps({**asdict(SHAPE), "vector": 9}))
    odd = broken("odd")
    (odd / FILE).write_text(json.dumps({**asdict(SHAPE), "first": 113}))
    fewer = broken("fewer")
    (fewer / FILE).write_text(json.dumps({**asdict(SHAPE), "glances": -1}))
    strange = broken("strange")
    (strange / FILE).write_text('{"glimpses": 3}')
    wide = broken("wide")
    save_sight(Trained(replace(SHAPE, width=16)), wide)
    for name, told in {
        "none": WEIGHTS, "other": "does not fit", "odd": "whole patches", "fewer": "glances", "strange": "glimpses",
        "wide": "32",
    }.items():  # fmt: skip
        with pytest.raises(ModelLoadError, match=told):
            PaliGemmaBackbone.from_pretrained(tmp_path / name)


def test_things_are_what_the_second_glances_saw_and_cost_nothing_after_see(sight, photo, monkeypatch):
    sight.see(photo)
    monkeypatch.setattr(sight.eyes, "glance", None)  # would fail
    things = sight.things(photo.copy())
    assert (
        things.vectors.shape == (3, 8)
        and things.boxes.shape == (3, 4)
        and ((things.sure > 0) & (things.sure < 1)).all()
    )
    monkeypatch.undo()
    assert not np.array_equal(sight.things(photo[:, ::-1].copy()).vectors, things.vectors)


def test_the_vector_of_a_crop_is_that_of_the_glance_which_cut_it(sight, photo):
    first = sight.first(photo, 1)
    box = first.rough[0] * (160, 90, 160, 90)
    crop, (left, top, side) = cut(photo, box)
    inside = (box - (left, top, left, top)) / side
    seen = sight.second(photo, first.rough).vectors[0].numpy()
    np.testing.assert_allclose(sight.vectors(crop[None], inside[None]), seen, atol=1e-4)
    assert sight.vectors(np.zeros((0, 224, 224, 3), np.uint8), np.zeros((0, 4))).shape == (0, 8)


def test_the_fingerprint_is_of_what_reads_the_crops(sight, trained):
    other = copy.deepcopy(trained)
    with torch.no_grad():
        other.patches.thing.bias.add_(1)
    assert Sight(sight.eyes, other).fingerprint == sight.fingerprint
    with torch.no_grad():
        other.crops.vector.bias.add_(1)
    assert Sight(sight.eyes, other).fingerprint != sight.fingerprint
