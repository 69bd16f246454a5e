"""The tiny model, the scenes with its features, and a model directory with a mask head."""

import pytest

from clue_ros.simulation.scene_data import load
from clue_ros.training.base import open_base
from clue_ros.training.features import features_of
from clue_ros.training.mask_stage import MaskScenes, MaskSettings
from clue_ros.training.recipe import DataSettings, TrainConfig
from clue_ros.training.stages import Stages

SMALL = MaskSettings(steps=3, batch=3, width=16, blocks=1, validate_every=2, validation=4)


@pytest.fixture(scope="session")
def base(tiny_model_dir):
    return open_base(tiny_model_dir)


@pytest.fixture(scope="session")
def data(scenes, tiny_size):
    return load(scenes / "train", tiny_size.image_size, tiny_size.patch_size, progress=False)


@pytest.fixture(scope="session")
def mask_scenes(scenes, data, base):
    return MaskScenes(scenes / "train", data, features_of(base.model.model.vision_tower, data))


@pytest.fixture(scope="session")
def with_head(scenes, tiny_model_dir, tmp_path_factory):
    """A model directory as `clue train mask` writes it."""
    config = TrainConfig(data=DataSettings(train_scenes=20, validation_scenes=20), mask=SMALL)
    output = tmp_path_factory.mktemp("run")
    Stages(config, output, scenes, base=tiny_model_dir).run("mask")
    return output / "model"
