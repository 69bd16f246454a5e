"""The mask head's training: losses, labels, what matters to an instruction, resuming."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from clue_ros.masks.head import box_cover
from clue_ros.masks.loss import dense_ious, dense_losses
from clue_ros.simulation.mask_queries import mask_queries, relevant_to
from clue_ros.simulation.referring import enumerate_references
from clue_ros.training.base import open_base
from clue_ros.training.mask_stage import MaskScenes, MaskSettings, MaskTrainer, soft_label
from clue_ros.training.slot import Slot, SlotOver

SMALL = MaskSettings(steps=3, batch=3, width=16, blocks=1, validate_every=2, validation=4)


def test_dense_losses_and_ious():
    label = torch.zeros(2, 8, 8)
    label[0, 2:6, 2:6] = 1
    right = torch.where(label > 0, 20.0, -20.0)
    assert dense_losses(right, label).max() < 1e-3 and (dense_ious(right, label) == 1).all()
    assert dense_losses(-right, label).min() > 15
    half = right.clone()
    half[0, 2:4] = -20
    assert dense_ious(half, label).tolist() == [0.5, 1.0]


def test_a_box_covers_cells_by_their_share():
    cover = box_cover(torch.tensor([[0.25, 0.5, 0.875, 1.0], [float("nan")] * 4]), (2, 4))
    assert cover[0].tolist() == [[0, 0, 0, 0], [0, 1, 1, 0.5]] and cover[1].sum() == 0


def test_labels_are_shares_of_cells_and_mirrored_with_their_scene(scenes, data, mask_scenes):
    whole = mask_scenes.instances(0, 128)
    flipped = MaskScenes(scenes / "train", data, mask_scenes.features, np.ones(20, bool)).instances(0, 128)
    assert (flipped == whole[:, ::-1]).all() and whole.max() == len(data.objects[0])
    label = soft_label(whole, (0, 1))
    assert label.shape == (64, 64) and label.sum() * 4 == pytest.approx(np.isin(whole, (1, 2)).sum())


def test_what_matters_to_an_instruction(data):
    """Both things of two phrases, the anchors of a relation, nothing for what is not there; a box makes its object the
    target."""
    seen = {}
    for n in range(40):
        objects, size = data.objects[n % 20], data.sizes[n % 20]
        for reference, matches in enumerate_references(objects, size):
            if reference.relation:
                leans = relevant_to(reference, matches, objects, size)
                anchors = 2 if reference.relation == "between" else 1
                assert set(matches) < set(leans) and len(leans) == len(matches) + anchors
        for query in mask_queries(objects, size, np.random.default_rng(n), 6, known={"clarify", "mug", "red"}):
            seen.setdefault(query.kind, []).append(query)
            assert set(query.prefix.split()) <= {"clarify", "mug", "red"} or "<" in query.prefix
            if query.box is not None:
                assert len(query.target) == 1 and query.target[0] in query.matches
                box = objects[query.target[0]].box
                assert query.box[0] == pytest.approx(box.x0 / size.width, abs=0.2)
            elif len(query.matches) > 1:
                assert query.target is None
    assert all(q.relevant == () and q.target == () and q.box is None for q in seen["absent"])
    assert all(len(set(q.relevant)) >= 2 for q in seen["two things"])


def test_training_resumes_to_the_same_head(scenes, tiny_model_dir, mask_scenes, tmp_path):
    def trainer(folder):
        return MaskTrainer(open_base(tiny_model_dir), mask_scenes, folder, SMALL)

    trainer(tmp_path / "whole").train()
    with pytest.raises(SlotOver):
        trainer(tmp_path / "parts").train(Slot(until=1))
    assert trainer(tmp_path / "parts").train().step == 3
    whole, parts = (load_file(str(tmp_path / name / "weights.safetensors")) for name in ("whole", "parts"))
    assert all(torch.equal(value, parts[name]) for name, value in whole.items())


def test_the_head_learns_the_pixels_in_a_box(base, mask_scenes, tmp_path):
    settings = replace(SMALL, steps=25, batch=4, lr=1e-2, warmup=4, validate_every=0)
    few = MaskTrainer(base, mask_scenes, tmp_path, settings)
    batch = few.batch(mask_scenes, np.arange(4), np.random.default_rng(0))
    before, _ = few.judge(batch)
    for _ in range(settings.steps):
        loss, readings = few.judge(batch)
        loss.backward()
        few.run.optimizer.step(1.0)
    assert loss.item() < 0.8 * before.item() and readings["target_iou"] > 0.25
