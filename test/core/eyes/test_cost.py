"""What eyes cost is what torch counts, and what `clue doctor` and the finetuner say of it."""

import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from clue_ros.eyes.cost import weights_of, work_of
from clue_ros.eyes.frozen import SHIPPED, FrozenEyes
from clue_ros.eyes.sight import WEIGHTS, Sight, SightShape, Trained, save_sight
from clue_ros.finetune.memory import Sizes, operations
from clue_ros.finetune.recipe import JointTask
from clue_ros.lab.bench.order import Order
from clue_ros.lab.bench.subject import weight_count
from clue_ros.lab.doctor.outlook import look
from clue_ros.types import ModelLoadError

SHAPE = SightShape(first=112, glances=3, grid=8, width=32, vector=8, features=72, summary=24)


@pytest.fixture(scope="module")
def trained():
    torch.manual_seed(0)
    return Trained(SHAPE).eval()


@pytest.fixture(scope="module")
def folder(tiny_model_dir, trained, tmp_path_factory):
    """A model folder with eyes in the place of a vision tower."""
    path = tmp_path_factory.mktemp("sighted") / "model"
    shutil.copytree(tiny_model_dir, path)
    weights = load_file(path / "model.safetensors")
    save_file({k: v for k, v in weights.items() if "vision_tower" not in k}, path / "model.safetensors")
    save_sight(trained, path)
    return path


def test_a_picture_costs_what_torch_counts(tiny, trained, picture):
    sight = Sight(FrozenEyes.open(tiny[0], engine="torch-float32"), trained)
    photo = picture(80)[0]
    assert len(sight.first(photo, SHAPE.glances).rough) == SHAPE.glances
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # one operation of its own, which the counter does not know
    try:
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            sight.see(photo)
    finally:
        torch.backends.mha.set_fastpath_enabled(before)
    steps, shape = work_of(SHAPE, sight.eyes.shape), sight.eyes.shape
    constant = 2 * 3 * shape.patch**2 * shape.width * (1 + SHAPE.glances)  # of the CLS tokens, whose pixels are grey
    assert counter.get_total_flops() == sum(step.flops for step in steps) + constant
    assert len(work_of(SightShape(glances=0), shape)) == 2


def test_the_weights_are_those_of_the_files(folder, trained, tmp_path):
    frozen = sum(t.numel() for t in load_file(next(SHIPPED.glob("*.safetensors"))).values())
    assert weights_of(folder) == frozen + sum(p.numel() for p in trained.parameters())
    config = Order(str(folder)).configuration()
    own = sum(t.numel() for t in load_file(folder / "model.safetensors").values())
    assert weight_count(Order(str(folder)), config) == own + weights_of(folder)
    with pytest.raises(ModelLoadError, match=WEIGHTS):
        weights_of(tmp_path)


def test_doctor_and_finetuner_count_the_eyes(folder, tiny_model_dir):
    seen = look(Order(str(folder)))
    assert not seen.problem and "frozen eyes: 112 px and 3 crops of 224 px as 64 tokens" in seen.lines["size"]
    assert seen.lines["size"].startswith("23 million parameters")
    assert look(Order(str(tiny_model_dir))).lines["size"].endswith("112 px as 64 tokens")
    sizes, plain = Sizes.read(folder), Sizes.read(tiny_model_dir)
    assert sizes.weights > 22e6 > plain.weights and plain.eyes == 0
    assert operations(folder, JointTask()) > 1e10 > operations(tiny_model_dir, JointTask())
