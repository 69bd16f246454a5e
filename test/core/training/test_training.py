"""The trainer itself: every stage runs, saves, resumes to the same weights, and its export grounds."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from clue_ros.configuration import ConfigurationError, from_mapping
from clue_ros.grounder import Grounder
from clue_ros.prompt import DETECT
from clue_ros.simulation.queries import scene_queries
from clue_ros.simulation.scene_data import MIXED, UnknownThingsError, load, patch_owners
from clue_ros.training.base import UnsupportedBaseError
from clue_ros.training.dense import location_loss
from clue_ros.training.language_stage import LanguageSettings, pack_loss
from clue_ros.training.packing import IGNORE, Packer
from clue_ros.training.partial_view import labels_of_seen, partial_features
from clue_ros.training.recipe import DEFAULT_CONFIG, STAGES, StartSettings, TrainConfig, read_config
from clue_ros.training.recipe_file import TrainingError
from clue_ros.training.stages import Stages
from clue_ros.training.tabletop_model import TabletopSize
from clue_ros.training.vision import start
from clue_ros.types import ModelLoadError
from clue_ros.vlm.decoder import logits_of, run_layers
from clue_ros.vlm.patterns import causal_mask

pytestmark = pytest.mark.usefixtures("short_reports")

SCENES, HELD = 20, 10  # of the fixture `scenes`, train and validation


@pytest.fixture(scope="module")
def data(scenes, tiny_size):
    return load(scenes / "train", tiny_size.image_size, tiny_size.patch_size, progress=False)


def small_recipe(file, **more):
    file.write_text(
        json.dumps(
            {
                "data": {"train_scenes": SCENES, "validation_scenes": HELD},
                "size": {
                    "image_size": 112,
                    "vision_width": 32,
                    "vision_layers": 1,
                    "vision_mlp": 32,
                    "vision_heads": 2,
                    "text_width": 32,
                    "text_layers": 4,
                    "text_mlp": 32,
                    "text_heads": 2,
                    "text_kv_heads": 1,
                    "head_dim": 16,
                },
                "vision": {"steps": 2, "batch": 4},
                "language": {"steps": 2, "batch": 4, "queries": 5, "look": [2, 3]},
                "detector": {"steps": 2, "batch": 4, "queries": 4},
                "dialogue": {"steps": 2, "batch": 4, "queries": 4},
                "joint": {"steps": 2, "batch": 4, "queries": 4, "tap": 2},
                "mask": {"steps": 2, "batch": 4, "width": 16, "blocks": 1, "validation": 4},
                **more,
            }
        )
    )
    return read_config(file)


def test_all_stages_from_configuration_alone_and_the_export_grounds(scenes, tmp_path, capsys):
    stages = Stages(small_recipe(tmp_path / "recipe.yaml"), tmp_path / "run", scenes)
    with pytest.raises(TrainingError, match="clue train vision"):
        stages.language()
    for stage in STAGES:
        stages.run(stage)
    assert "F1" in capsys.readouterr().out
    lines = [json.loads(x) for x in (tmp_path / "run/language/readings.jsonl").read_text().splitlines()]
    assert lines[-1]["step"] == 2 and np.isfinite(lines[-1]["loss"])
    decision = Grounder.from_pretrained(tmp_path / "run/model").ground(
        np.zeros((48, 64, 3), np.uint8), "hand me the red mug"
    )
    assert decision.ambiguity.attention_map.shape == (8, 8)
    clue = json.loads((tmp_path / "run/model/clue.json").read_text())
    assert clue["detector"] == "joint" and clue["tap_layer"] == 2 and len(clue["gate"]) == 3
    assert sorted(p.name for p in (tmp_path / "run/model/adapters").iterdir()) == ["dialogue"]


def test_the_recipes_own_stages_lead_to_a_model_that_grounds_in_one_pass(scenes, tmp_path):
    recipe = small_recipe(
        tmp_path / "recipe.yaml",
        stages=list(read_config(DEFAULT_CONFIG).stages),
        vision={"steps": 4, "batch": 4, "seen": 0.5, "whole_from": 0.5},
    )
    stages = Stages(recipe, tmp_path / "run", scenes)
    for stage in recipe.stages:
        stages.run(stage)
    decision = Grounder.from_pretrained(tmp_path / "run/model").ground(np.zeros((48, 64, 3), np.uint8), "the red mug")
    assert decision.ambiguity.attention_map.shape == (8, 8)
    with pytest.raises(TrainingError, match="nonsense"):
        small_recipe(tmp_path / "recipe.yaml", stages=["nonsense"])


def test_training_goes_on_from_a_finished_model(scenes, tmp_path):
    """Vision and language begin with its weights; a model of another size is refused."""
    recipe = small_recipe(tmp_path / "recipe.yaml")
    finished = Stages(recipe, tmp_path / "first", scenes)
    for stage in ("vision", "language", "dialogue", "detector", "export"):
        finished.run(stage)
    more = replace(recipe, start=StartSettings(str(tmp_path / "first/model")))
    _, trained, _ = start(recipe.size, 1, more.start.model)
    _, untrained, _ = start(recipe.size, 1)
    made = load_file(str(tmp_path / "first/model/model.safetensors"))
    name = next(k for k in made if k.endswith("layers.0.mlp.fc1.weight") and "vision" in k)
    own = next(k for k in trained.state_dict() if k.endswith("layers.0.mlp.fc1.weight") and "vision" in k)
    assert torch.equal(trained.state_dict()[own], made[name].float())
    assert not torch.allclose(untrained.state_dict()[own], made[name].float(), atol=0.01)
    stages = Stages(more, tmp_path / "second", scenes)
    stages.run("vision")
    stages.run("language")
    with pytest.raises(TrainingError, match="start.model was"):
        Stages(recipe, tmp_path / "second", scenes).run("language")
    with pytest.raises(UnsupportedBaseError, match="another size"):
        start(TabletopSize(), 0, more.start.model)


def test_a_tower_that_sees_half_of_the_patches_gives_features_and_labels_of_that_half(tiny_size):
    _, model, _ = start(tiny_size)
    tower, images = model.model.vision_tower.eval(), torch.randn(3, 3, tiny_size.image_size, tiny_size.image_size)
    whole, seen = partial_features(tower, images, 1.0)
    assert seen.all() and torch.allclose(whole, tower(images).last_hidden_state, atol=1e-5)
    part, seen = partial_features(tower, images, 0.5)
    assert (seen.reshape(3, -1).sum(1) == seen[0].size // 2).all()
    flat = torch.from_numpy(seen.reshape(3, -1))
    assert (part[~flat] == 0).all() and (part[flat].abs().sum(-1) > 0).all()
    labels = labels_of_seen(np.ones(seen.shape, np.int8), seen)
    assert (labels[seen] == 1).all() and (labels[~seen] == MIXED).all()


def test_scenes_with_things_that_have_no_label_are_refused_by_name(scenes, tmp_path, tiny_size):
    folder = tmp_path / "own"
    folder.mkdir()
    text = (scenes / "train/scenes-00000.jsonl").read_text().replace('"category": "mug"', '"category": "cracker box"')
    (folder / "scenes-00000.jsonl").write_text(text)
    with pytest.raises(UnknownThingsError, match="cracker box.*objects.yaml"):
        load(folder, tiny_size.image_size, tiny_size.patch_size, progress=False)


def test_a_stage_that_was_not_finished_names_the_file(tmp_path, tiny_size):
    from clue_ros.training.export import load_base

    with pytest.raises(ModelLoadError, match="weights.safetensors"):
        load_base(tmp_path, tiny_size)


def test_packed_queries_see_only_themselves(data, tiny_size):
    """A query's logits in a pack equal those of the query alone: the mask keeps the others out."""
    tokenizer, model, _ = start(tiny_size)
    model.eval()
    rng = np.random.default_rng(0)
    packer = Packer(tokenizer, tiny_size.image_tokens)
    queries = scene_queries(data.objects[0], data.sizes[0], rng, 8)
    pack = packer.pack([queries], data.patches[:1], 400)
    features = torch.randn(1, tiny_size.image_tokens, tiny_size.text_width)
    language = model.model.language_model
    with torch.no_grad():
        positions = torch.arange(1, tiny_size.image_tokens + 1)[None]
        cache = run_layers(language, features, positions, keys_only_last=True).cache
        packed = logits_of(
            model,
            run_layers(language, language.embed_tokens(pack.ids), pack.positions, past=cache, mask=pack.mask).hidden,
        )
        assert len(pack.queries) >= 3
        for query, (_, row) in zip(pack.queries, pack.closing.tolist()):
            ids = torch.tensor([packer.prefix_ids(query.prefix)])
            alone = run_layers(
                language,
                language.embed_tokens(ids),
                torch.arange(ids.shape[1])[None] + tiny_size.image_tokens + 1,
                past=cache,
                mask=causal_mask(tiny_size.image_tokens, ids.shape[1]),
            )
            assert torch.allclose(logits_of(model, alone.hidden)[0, -1], packed[0, row], atol=1e-4), query.prefix


def test_the_loss_falls_on_one_batch_and_reaches_every_decoder_weight(data, tiny_size):
    tokenizer, model, _ = start(tiny_size)
    packer = Packer(tokenizer, tiny_size.image_tokens)
    rng = np.random.default_rng(1)
    pack = packer.pack([scene_queries(data.objects[i], data.sizes[i], rng, 5) for i in range(2)], data.patches[:2], 160)
    assert (pack.targets != IGNORE).any()
    features = torch.randn(2, tiny_size.image_tokens, tiny_size.text_width)
    settings = LanguageSettings(tap=1, look=(2, 3))
    optimizer = torch.optim.Adam(model.model.language_model.parameters(), 3e-3)
    losses = []
    for _ in range(25):
        loss, readings = pack_loss(model, features, pack, packer.first_location, settings)
        optimizer.zero_grad()
        loss.backward()
        if not losses:
            silent = [n for n, p in model.model.language_model.named_parameters() if p.grad is None or not p.grad.any()]
            assert silent == []
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.7 * losses[0] and 0 <= readings["branch"] <= 1


def test_the_detector_task_uses_the_serving_prefix(data):
    queries = scene_queries(data.objects[0], data.sizes[0], np.random.default_rng(3), 20, clarify_share=0.0)
    assert queries and all(q.prefix.startswith(DETECT + " ") for q in queries)


def test_near_misses_cost_less_than_far_ones():
    logits = torch.full((3, 1024), -10.0)
    for row, index in enumerate((500, 504, 700)):
        logits[row, index] = 10.0
    losses = location_loss(logits, torch.tensor([500, 500, 500]), sigma=4.0)
    assert losses[0] < losses[1] < losses[2]


def test_patch_owners_say_object_background_or_mixed():
    segmentation = np.full((28, 28), -1, np.int16)
    segmentation[:14, :14] = 3
    segmentation[14:16, 14:28] = 0  # an eighth of the patch: neither object nor background
    assert patch_owners(segmentation, 2, 14).tolist() == [[3, -1], [-1, -2]]


def test_the_shipped_recipe_is_valid_and_mistakes_in_one_are_all_listed():
    config = read_config(DEFAULT_CONFIG)
    assert config.language.tap == config.joint.tap < config.size.text_layers
    with pytest.raises(ConfigurationError, match="did you mean 'steps'.*'vision.batch' must be int"):
        from_mapping(TrainConfig, {"vision": {"stepps": 3, "batch": "many"}})
