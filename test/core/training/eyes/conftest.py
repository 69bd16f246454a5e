"""Tiny frozen eyes, and a recipe for what is trained behind them."""

import json
from functools import partial

import numpy as np
import pytest
import torch
from drawn_photos import LEFT, MIDDLE, RIGHT, line, thing, write
from PIL import Image
from transformers import Dinov2Config, Dinov2Model

from clue_ros.eyes.sight import SightShape
from clue_ros.training.frozen_eyes import LazyEyes
from clue_ros.training.recipe import read_config

SHAPE = SightShape(
    first=56, glances=3, grid=4, width=32, vector=16, features=24, summary=8, patch=14
)  # of features: 3 layers


@pytest.fixture(scope="session")
def shape():
    return SHAPE


@pytest.fixture(scope="session")
def tiny_eyes(tmp_path_factory):
    torch.manual_seed(3)
    config = Dinov2Config(
        hidden_size=8, num_hidden_layers=4, num_attention_heads=2, mlp_ratio=2, image_size=56, patch_size=14
    )
    folder = tmp_path_factory.mktemp("eyes")
    Dinov2Model(config).eval().save_pretrained(folder)
    return LazyEyes(folder)


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    """Six photographs of two sources."""
    desk = [line(thing("mug", LEFT, "red"), thing("bowl", RIGHT)) for _ in range(4)]
    shop = [line(thing("can", MIDDLE, "gray"), exhaustive=False, source="shop") for _ in range(2)]
    return write(tmp_path_factory.mktemp("photos") / "set", *desk, *shop)


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """Three scenes of a folder as `clue scenes` writes it, drawn by hand."""
    folder = tmp_path_factory.mktemp("built") / "set"
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    with open(folder / "scenes-00000.jsonl", "w", encoding="utf-8") as lines:
        for number in range(3):
            rgb, mask = np.full((60, 80, 3), 90, np.uint8), np.zeros((60, 80), np.uint8)
            boxes = [10, 20 + number, 30, 50], [50, 10, 70, 30]
            for index, (x0, y0, x1, y1) in enumerate(boxes):
                rgb[y0:y1, x0:x1], mask[y0:y1, x0:x1] = (200, 40 * index, 30), index + 1
            Image.fromarray(rgb).save(folder / f"images/{number}.webp")
            Image.fromarray(mask).save(folder / f"masks/{number}.png")
            seen = {"size": "small", "visibility": 1.0, "pixels": 400, "point": [0, 0, 1]}
            objects = [{"category": "box", "color": "red", "box": box, **seen} for box in boxes]
            unseen = {**objects[0], "box": None, "pixels": 0, "visibility": 0.0}
            row = {"id": str(number), "width": 80, "height": 60, "objects": [*objects, unseen]}
            lines.write(json.dumps(row) + "\n")
    return folder


@pytest.fixture
def recipe(built, photos, tiny_eyes, tmp_path, monkeypatch):
    """A function of more sections: the recipe of a tiny run, on rendered scenes and photographs."""
    monkeypatch.setattr("clue_ros.training.eyes.stages.LazyEyes", partial(LazyEyes, tiny_eyes.folder))
    sets = [{"name": "built", "scenes": str(built), "weight": 2}, {"name": "photos", "photos": str(photos), "limit": 3}]

    def made(**more):
        shape = {k: getattr(SHAPE, k) for k in SHAPE.__dataclass_fields__}
        few = {"steps": 2, "batch": 4}
        values = {"data": {"sets": sets}, "sight": shape, "patch": few, "crop": few, "neck": few, **more}
        (tmp_path / "recipe.yaml").write_text(json.dumps(values))
        return read_config(tmp_path / "recipe.yaml")

    return made
