"""The decoder's stages behind eyes: mixtures of scenes and photographs, words that are new, an export that grounds."""

import json
from dataclasses import asdict
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from clue_ros.eyes.sight import Sight, Trained, has_sight, save_sight
from clue_ros.eyes.tower import SightTower
from clue_ros.grounder import Grounder
from clue_ros.photographs.annotations import read_annotations
from clue_ros.simulation.scene import ImageSize
from clue_ros.simulation.scene_data import SceneData
from clue_ros.simulation.words import all_words
from clue_ros.training import base as bases
from clue_ros.training import language_stage
from clue_ros.training.eyes.stages import EyeStages
from clue_ros.training.features import FeatureData, compute_features, features_of, unsqueezed
from clue_ros.training.language_stage import LanguageBatches, LanguageSettings
from clue_ros.training.packing import Packer
from clue_ros.training.tabletop_model import TabletopSize, build_model, build_tokenizer
from clue_ros.training.vision import start

SIZE = {
    "image_size": 56, "patch_size": 14, "vision_width": 32, "vision_layers": 1, "vision_mlp": 32, "vision_heads": 2,
    "text_width": 32, "text_layers": 3, "text_mlp": 32, "text_heads": 2, "text_kv_heads": 1, "head_dim": 16,
}  # fmt: skip


@pytest.fixture
def sighted(tiny_eyes, monkeypatch):
    """Models open the tiny eyes, as shipped ones do those that are shipped."""
    monkeypatch.setattr("clue_ros.eyes.sight.SHIPPED", tiny_eyes.folder)
    return tiny_eyes


@pytest.fixture
def tower(sighted, shape):
    torch.manual_seed(1)
    return SightTower(Sight(sighted.opened, Trained(shape)))


def test_a_decoder_behind_eyes_is_exported_without_a_tower_and_can_be_trained_on(recipe, sighted, tmp_path):
    language = {"steps": 2, "batch": 4, "queries": 4, "tap": 1, "length": 120, "look": [1, 2], "validate_every": 0}
    config = recipe(stages=["eyes", "language", "export", "joint"], size=SIZE, language=language)
    folder, data = tmp_path / "run", tmp_path / "data"
    stages = EyeStages(config, folder, data)
    with pytest.raises(Exception, match="clue train eyes"):
        stages.run("language")
    for stage in ("eyes", "language", "export"):
        stages.run(stage)
    model = folder / "model"
    weights = load_file(model / "model.safetensors")
    assert has_sight(model) and weights and not any("vision_tower" in name for name in weights)
    eyes, trained = load_file(model / "eyes.safetensors"), load_file(folder / "eyes/eyes.safetensors")
    assert all(torch.equal(eyes[name], value) for name, value in trained.items())
    opened = bases.open_base(model)
    assert isinstance(opened.model.model.vision_tower, SightTower) and (opened.side, opened.patch) == (120, 30)
    source = stages._joint_source(opened, False)
    assert source.photographs is not None and sum(p is None for p in source.photographs) == 3 and len(source) == 6


def test_a_batch_holds_pictures_by_weight_and_says_of_photographs_what_they_allow(photos, monkeypatch):
    pictures = read_annotations(photos)
    asked = []
    for name in ("photo_queries", "scene_queries"):
        real = getattr(language_stage, name)
        spy = partial(lambda said, made, *args: (asked.append(said), made(*args))[1], name, real)
        monkeypatch.setattr(language_stage, name, spy)
    count = len(pictures)
    chances = np.array([0.4, 0.4, 0.1, 0.1, 0, 0])
    photographs = [None if i < 2 else photo for i, photo in enumerate(pictures)]
    objects, sizes = [p.objects for p in pictures], [p.size for p in pictures]
    patches = np.zeros((count, 4, 4), np.int8)
    settings = LanguageSettings(queries=4)
    draw = LanguageBatches(
        Packer(build_tokenizer(all_words()), 16), patches, objects, sizes, settings, 4, photographs, chances
    )
    index, pack = draw(np.random.default_rng(0))
    assert index.tolist() == [0, 1, 2, 3] and pack.queries
    assert asked == ["scene_queries"] * 2 + ["photo_queries"] * 2
    data = FeatureData(np.zeros((count, 16, 2)), patches, objects, sizes, photographs=photographs, chances=chances)
    assert set(data.pick(4, np.random.default_rng(0))) == {0, 1, 2, 3}
    _, _, drawn, _ = data.draw(4, np.random.default_rng(0))
    assert drawn == objects[:2]  # other stages say of a picture what only scenes allow


def test_eyes_see_the_squares_of_scenes_in_their_own_proportions(tower, tmp_path):
    rgb = np.random.default_rng(0).integers(0, 255, (2, 120, 120, 3), dtype=np.uint8)
    sizes = [ImageSize(320, 240), ImageSize(60, 90)]
    assert [unsqueezed(square, size).shape[:2] for square, size in zip(rgb, sizes)] == [(120, 160), (90, 60)]
    data = SceneData(rgb, np.zeros((2, 4, 4), np.int8), [(), ()], sizes)
    tower.train()
    seen = features_of(tower, data)
    for i in range(2):
        alone = tower.sight.see(unsqueezed(rgb[i], sizes[i]))
        assert torch.allclose(torch.from_numpy(seen.features[i]).float(), alone[0], atol=1e-2)
    made = compute_features(tower, data, tmp_path, seed=1)
    assert made.features.shape == (2, 16, 32) and np.isfinite(made.features).all()
    again = compute_features(tower, data, tmp_path, seed=1)
    assert np.array_equal(made.features, again.features)


def test_a_model_of_fewer_words_gives_its_rows_to_one_of_more(tiny_size, tmp_path):
    few, many = build_tokenizer(["red", "mug", "old"]), build_tokenizer(["blue", "red", "mug", "box"])
    first, second = build_model(few, tiny_size, 0), build_model(many, tiny_size, 1)
    fresh = second.model.language_model.embed_tokens.weight.detach().clone()
    bases.copy_weights(second, many, bases.Base(few, first))
    rows, before = (m.model.language_model.embed_tokens.weight for m in (second, first))
    for word in ("red", "mug", "<loc0000>", "<loc1023>", "<eos>", "<image>"):
        assert torch.equal(rows[many.convert_tokens_to_ids(word)], before[few.convert_tokens_to_ids(word)]), word
    for word in ("blue", "box"):
        assert torch.equal(rows[many.convert_tokens_to_ids(word)], fresh[many.convert_tokens_to_ids(word)])
    layer = "model.language_model.layers.0.mlp.up_proj.weight"
    assert torch.equal(second.state_dict()[layer], first.state_dict()[layer])
    with pytest.raises(bases.UnsupportedBaseError, match="another size"):
        bases.copy_weights(build_model(many, TabletopSize(), 1), many, bases.Base(few, first))


def test_a_model_with_eyes_keeps_them_when_it_takes_over_a_decoder(tiny_model_dir, tiny_size, tower):
    trained = {name: value.clone() for name, value in tower.state_dict().items()}
    _, model, _ = start(tiny_size, 3, str(tiny_model_dir), tower)
    assert all(torch.equal(value, trained[name]) for name, value in model.model.vision_tower.state_dict().items())
    made = load_file(tiny_model_dir / "model.safetensors")
    name = next(k for k in made if k.endswith("layers.0.mlp.up_proj.weight") and "language" in k)
    assert torch.equal(model.model.language_model.layers[0].mlp.up_proj.weight, made[name].float())
    tokenizer, plain, _ = start(tiny_size, 3)
    with pytest.raises(bases.UnsupportedBaseError, match="frozen eyes.*eyes.yaml"):
        bases.copy_weights(plain, tokenizer, bases.Base(tokenizer, model, folder=tiny_model_dir))


def test_eyes_go_on_from_those_of_a_finished_model(recipe, sighted, shape, tmp_path):
    torch.manual_seed(9)
    trained = Trained(shape)
    save_sight(trained, tmp_path)
    stages = EyeStages(recipe(start={"model": str(tmp_path)}), tmp_path / "run", tmp_path / "data")
    began = stages._trained().state_dict()
    assert all(torch.equal(began[name], value.half().float()) for name, value in trained.state_dict().items())
    assert isinstance(stages._own_eyes(), SightTower)


def labelled_photograph(folder):
    """Three instructions about two photographs, in the form of docs/data.md."""
    meant = {"the red mug": [[4, 4, 20, 30]], "the cup": [[4, 4, 20, 30], [40, 8, 60, 30]], "the bowl": []}
    lines = []
    for number in range(2):
        Image.fromarray(np.full((48, 64, 3), 80 + number, np.uint8)).save(folder / f"{number}.png")
        lines += [
            {
                "image": f"{number}.png",
                "expression": words,
                "boxes": boxes,
                "label": "ambiguous" if boxes[1:] else "clear",
            }
            for words, boxes in meant.items()
        ]
    (folder / "labelled.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return folder / "labelled.jsonl"


def test_what_reads_rendered_scenes_reads_them_through_eyes(recipe, sighted, scenes, tmp_path, monkeypatch):
    """Validation, calibration and masks; the scenes of a recipe with eyes are kept in larger squares."""
    monkeypatch.setattr("clue_ros.training.stages.VALIDATION_BATCHES", 2)
    few = {"steps": 1, "batch": 4, "queries": 4, "tap": 1, "length": 120, "validate_every": 1, "validation": 3}
    sets = recipe().data.sets
    config = recipe(
        stages=["eyes", "language", "export", "joint", "calibrate", "mask"],
        data={
            "train_scenes": 20,
            "validation_scenes": 10,
            "sets": [asdict(one) for one in sets],
            "photographs": [str(labelled_photograph(tmp_path))],
        },
        size=SIZE,
        language={**few, "look": [1, 2]},
        joint=few,
        mask={"steps": 1, "batch": 2, "width": 16, "blocks": 1, "scenes": 4, "validation": 2},
    )
    stages = EyeStages(config, tmp_path / "run", scenes)
    for stage in config.stages:
        stages.run(stage)
    rows = (tmp_path / "run/joint/validation.jsonl").read_text().splitlines()
    assert np.isfinite(json.loads(rows[-1])["loss"])
    model = Grounder.from_pretrained(tmp_path / "run/model")
    decision = model.ground(np.zeros((48, 64, 3), np.uint8), "the red box")
    assert decision.ambiguity.attention_map.shape == (4, 4)
    assert (tmp_path / "run/model/mask.safetensors").is_file() and len(model.backbone.settings.gate) == 3
    report = json.loads((tmp_path / "run/model/calibration.json").read_text())
    assert report["min_confidence"]["fit"] is None and model.min_confidence == 0.5, "two photographs tell nothing"
    scenes_said, of_photographs = report["gate"]["count"], report["gate"]["by_kind"]["photograph"]["count"]
    assert of_photographs and report["absence"]["fit"] == model.backbone.settings.absence
    assert 2 * of_photographs == pytest.approx(scenes_said, rel=0.35), "photographs count as much as scenes"
