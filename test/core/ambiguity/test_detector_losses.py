"""What a detector learns from: maps of the layers, answers after the tap, the joint loss."""

import copy
import dataclasses

import numpy as np
import pytest
import torch

from clue_ros.simulation.scene import SceneObject
from clue_ros.training.adapters import TARGETS, add_adapter, named_adapter_parameters
from clue_ros.training.base import open_base
from clue_ros.training.features import FeatureData
from clue_ros.training.joint_stage import JointTrainer, clarify_pack
from clue_ros.training.optimizer import Optimizer, linear
from clue_ros.training.packed import maps_of_layers, packed_logits, packed_maps
from clue_ros.training.packing import IGNORE, Packer
from clue_ros.training.recipe import TrainConfig, read_config
from clue_ros.training.variants import adapted_layers
from clue_ros.types import Box

pytestmark = pytest.mark.usefixtures("short_reports")


def test_only_queries_and_keys_of_the_tap_learn_from_a_map_unless_all_layers_are_adapted(batch):
    base, features, patches, objects, sizes = batch
    for finetune, expected in (("last", {(2, "q_proj"), (2, "k_proj")}), ("all", None)):
        fresh = open_base(base.folder)
        settings = dataclasses.replace(TrainConfig().detector, tap=2, finetune=finetune)
        add_adapter(fresh.model, "detector", adapted_layers(settings, 4))
        packer = Packer(fresh.tokenizer, features.shape[1])
        pack = clarify_pack(packer, objects, sizes, patches, 6, 160, np.random.default_rng(1))
        (packed_maps(fresh.model, features, pack, 2) ** 2).sum().backward()
        moved = {
            (int(k.split("layers.")[1].split(".")[0]), k.split(".lora")[0].rsplit(".", 1)[1])
            for k, p in named_adapter_parameters(fresh.model, "detector")
            if p.grad is not None and p.grad.any()
        }
        if expected is None:
            expected = {(2, "q_proj"), (2, "k_proj")} | {(n, m) for n in (0, 1) for m in TARGETS}
        assert moved == expected


def test_one_pass_gives_the_same_maps_of_every_layer(batch):
    base, features, patches, objects, sizes = batch
    packer = Packer(base.tokenizer, features.shape[1])
    pack = clarify_pack(packer, objects, sizes, patches, 6, 160, np.random.default_rng(1))
    maps = maps_of_layers(base.model, features, pack, range(4))
    for layer in range(4):
        with torch.no_grad():
            assert torch.allclose(maps[layer], packed_maps(base.model, features, pack, layer), atol=1e-4), layer
    assert maps[0].shape[0] == len(pack.queries)


def test_half_depth_reads_the_answer_after_the_tap(batch):
    base, features, patches, objects, sizes = batch
    packer = Packer(base.tokenizer, features.shape[1])
    pack = clarify_pack(packer, objects, sizes, patches, 4, 120, np.random.default_rng(1))
    with torch.no_grad():
        whole, half = packed_logits(base.model, features, pack), packed_logits(base.model, features, pack, 3)
    assert whole.shape == half.shape and not torch.allclose(whole, half, atol=1e-2)


def test_an_ambiguity_that_no_question_resolves_teaches_only_that_a_question_follows(batch):
    base, _, patches, objects, sizes = batch
    five = tuple(
        SceneObject(
            "mug",
            "red",
            "small",
            (0.0, 0.0),
            0.0,
            (0.0, 0.0, 0.0),
            box=Box(20 + 60 * i, 100, 60 + 60 * i, 150),
            visibility=1.0,
            pixels=1500,
        )
        for i in range(5)
    )
    packer = Packer(base.tokenizer, 64)
    pack = clarify_pack(packer, [five], sizes[:1], patches[:1], 8, 300, np.random.default_rng(0))
    alone = [n for n, q in enumerate(pack.queries) if q.segments == (("do", ()),)]
    assert alone and all(pack.queries[n].ambiguous for n in alone)
    for n in alone:
        b, row = pack.closing[n].tolist()
        assert base.tokenizer.convert_ids_to_tokens(int(pack.targets[b, row])) == "do"
        assert int(pack.targets[b, row + 1]) == IGNORE


def test_the_joint_loss_trains_the_adapter_through_the_map(trained, batch, recipe, tmp_path):
    """With the weight of the words at zero the adapter still gets a gradient, from the CNN's loss."""
    base, features, patches, objects, sizes = batch
    fresh, config = open_base(base.folder), read_config(recipe)
    trainer = JointTrainer(
        fresh.model,
        fresh.tokenizer,
        FeatureData(features.numpy(), patches, objects, sizes),
        tmp_path,
        config.language,
        config.joint,
        config.lora,
        fresh.folder,
    )
    with torch.no_grad():
        for _, p in named_adapter_parameters(fresh.model, "dialogue"):
            p.normal_(0, 0.1)
    loss, readings = trainer._loss(0, np.random.default_rng(0))
    rest, _ = JointTrainer._loss(_without_auxiliary(trainer), 0, np.random.default_rng(0))
    assert float((loss - rest).detach()) == pytest.approx(
        config.joint.ambiguity_weight * readings["ambiguity"], rel=0.2
    )
    (loss - rest).backward()
    keys = [
        k
        for k, p in named_adapter_parameters(fresh.model, "dialogue")
        if p.grad is not None and p.grad.abs().max() > 1e-7
    ]
    assert any("layers.2" in k and "q_proj" in k for k in keys) and any("layers.0" in k and "v_proj" in k for k in keys)


def _without_auxiliary(trainer):
    other = copy.copy(trainer)
    other.settings = dataclasses.replace(trainer.settings, ambiguity_weight=0.0)
    return other


def test_each_group_has_its_own_rate_under_one_linear_schedule():
    slow, fast = torch.nn.Parameter(torch.zeros(3)), torch.nn.Parameter(torch.zeros(3))
    optimizer = Optimizer([("slow", slow)], 1e-3, 0.0, "adamw")
    optimizer.add([("fast", fast)], 1e-2, 0.0, "adamw")
    slow.grad, fast.grad = torch.full((3,), 0.1), torch.full((3,), 0.1)
    optimizer.step(linear(0, 10, 2))
    assert float(slow[0]) == pytest.approx(-5e-4, rel=1e-3) and float(fast[0]) == pytest.approx(-5e-3, rel=1e-3)
    assert [linear(n, 10, 2) for n in (0, 1, 2, 6, 10)] == [0.5, 1.0, 1.0, 0.5, 0.0]
    with pytest.raises(ValueError, match="muon, adamw"):
        Optimizer([("x", slow)], 1e-3, 0.0, "sgd")
