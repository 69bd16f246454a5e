"""A small recipe, runs of every variant (each trained once), and four scenes with the base."""

import json

import numpy as np
import pytest

from clue_ros.cli.main import main
from clue_ros.simulation.scene_data import load
from clue_ros.training.base import open_base
from clue_ros.training.features import compute_features

SCENES, HELD = 20, 10  # of the fixture `scenes`, train and validation
CNN, JOINT = "half-last-detect-cnn", "joint"


@pytest.fixture(scope="session")
def recipe(tmp_path_factory):
    file = tmp_path_factory.mktemp("recipe") / "recipe.yaml"
    small = {"steps": 2, "batch": 4, "tap": 2, "schedule": "linear", "warmup": 1}
    file.write_text(
        json.dumps(
            {
                "data": {"train_scenes": SCENES, "validation_scenes": HELD},
                "lora": {"r": 4, "alpha": 8},
                "language": {"tap": 2, "look": [2, 3]},
                "detector": small,
                "joint": {**small, "start_from": ""},
                "sweep": {"steps": 2, "batch": 4, "validation_batches": 2},
            }
        )
    )
    return file


@pytest.fixture(scope="session")
def trained(tiny_model_dir, scenes, recipe, tmp_path_factory):
    """Output folder of a run by variant name, each trained at most once."""
    root, done = tmp_path_factory.mktemp("runs"), set()

    def of(name):
        if name not in done:
            stage = ["joint"] if name == JOINT else ["detector", "--variant", name]
            assert (
                main(
                    [
                        "train",
                        *stage,
                        "--base",
                        str(tiny_model_dir),
                        "--config",
                        str(recipe),
                        "--data",
                        str(scenes),
                        "--output",
                        str(root / name),
                    ]
                )
                == 0
            )
            done.add(name)
        return root / name

    return of


@pytest.fixture(scope="session")
def batch(tiny_model_dir, scenes, tiny_size, tmp_path_factory):
    """(base, features, patches, objects, sizes) of four scenes."""
    base = open_base(tiny_model_dir)
    data = load(scenes / "train", tiny_size.image_size, tiny_size.patch_size, progress=False)
    source = compute_features(base.model.model.vision_tower, data, tmp_path_factory.mktemp("features"))
    return (base, *source.draw(4, np.random.default_rng(0)))
