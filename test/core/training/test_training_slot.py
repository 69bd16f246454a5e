"""Time slots, batches made ahead, devices, ablations."""

import json
import os
import signal
import threading
import time

import numpy as np
import pytest
import torch

from clue_ros.cli.main import main
from clue_ros.lab.ablation import ABLATIONS, Variant, read_variants
from clue_ros.simulation.queries import scene_queries
from clue_ros.simulation.scene_data import augment, augmented, load
from clue_ros.training.ahead import Ahead
from clue_ros.training.device import Device, GpuSettings, moved, scaled
from clue_ros.training.joint_stage import JointSettings
from clue_ros.training.language_stage import LanguageBatches, LanguageSettings
from clue_ros.training.packing import Packer
from clue_ros.training.recipe import DEFAULT_CONFIG, on_card, read_config
from clue_ros.training.recipe_file import TrainingError
from clue_ros.training.slot import SlotOver
from clue_ros.training.stages import Stages
from clue_ros.training.vision import VisionSettings, start, train_vision
from clue_ros.types import ClueError

pytestmark = pytest.mark.usefixtures("short_reports")

SCENES, HELD = 20, 10  # of the fixture `scenes`, train and validation


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    file = tmp_path_factory.mktemp("recipe") / "tiny.yaml"
    file.write_text(
        json.dumps(
            {
                "stages": ["vision", "language", "export", "joint", "calibrate"],
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
                "vision": {"steps": 2, "batch": 4, "validation": 6},
                "language": {"steps": 2, "batch": 4, "queries": 5, "look": [2, 3], "validation": 6},
                "joint": {"steps": 2, "batch": 4, "queries": 4, "tap": 2, "validation": 6},
            }
        )
    )
    return file


def test_a_signal_to_processes_that_share_a_stage_is_an_interruption_and_the_slots_end_is_not(
    recipe, tmp_path, monkeypatch, capsys
):
    def stopped(self, stage):
        raise SlotOver

    monkeypatch.setattr(Stages, "run", stopped)
    command = ["train", "vision", "--output", str(tmp_path), "--config", str(recipe)]
    assert main(command) == 130 and "interrupted" in capsys.readouterr().err
    assert main([*command, "--minutes", "5"]) == 0 and "goes on" in capsys.readouterr().out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_parent_alone_ends_the_processes_that_share_a_stage_once_they_have_saved(
    number, scenes, recipe, tmp_path, quick_processes
):
    def interrupt():
        end = time.monotonic() + 600
        while not (tmp_path / "vision/readings.jsonl").exists() and time.monotonic() < end:
            time.sleep(0.02)
        os.kill(os.getpid(), number)

    config = read_config(recipe, ["vision.steps=4000", "vision.validate_every=0"])
    sender = threading.Thread(target=interrupt)
    sender.start()
    with pytest.raises(KeyboardInterrupt):
        Stages(config, tmp_path, scenes, processes=2).run("vision")
    sender.join()
    assert 0 < json.loads((tmp_path / "vision/state.json").read_text())["step"] < 4000


def test_batches_made_ahead_are_those_made_on_demand(scenes, tiny_size, quick_processes):
    data = load(scenes / "train", tiny_size.image_size, tiny_size.patch_size, progress=False)
    packer = Packer(start(tiny_size)[0], tiny_size.image_tokens)
    make = LanguageBatches(packer, data.patches, data.objects, data.sizes, LanguageSettings(queries=4), 2)

    def seeds(step):
        return [7, step]

    with Ahead(make, seeds, 4) as alone, Ahead(make, seeds, 4, workers=1) as ahead:
        pairs = [(alone.batch(n), ahead.batch(n)) for n in range(4)]
    for (index, pack), (other, same) in pairs:
        assert index.tolist() == other.tolist() and pack.queries == same.queries
        assert all(torch.equal(v, getattr(same, k)) for k, v in vars(pack).items() if torch.is_tensor(v))
    assert len({tuple(index.tolist()) for (index, _), _ in pairs}) > 1


def test_slots_of_no_time_end_well_and_the_last_one_finishes(scenes, recipe, tmp_path, capsys):
    command = ["train", "all", "--output", str(tmp_path), "--data", str(scenes), "--config", str(recipe)]
    assert main([*command, "--minutes", "0"]) == 0
    assert "the same command goes on" in capsys.readouterr().out
    assert not (tmp_path / "vision/state.json").exists()
    assert main([*command, "--minutes", "30", "--device", "cpu"]) == 0
    assert "all stages are done" in capsys.readouterr().out
    card = (tmp_path / "model/clue.json").stat().st_mtime_ns
    assert main(command) == 0  # nothing is left to do, so nothing is done
    assert (tmp_path / "model/clue.json").stat().st_mtime_ns == card
    stages = Stages(read_config(recipe, ["language.steps=3"]), tmp_path, scenes)
    assert stages.finished("vision") and not stages.finished("language")


def test_ablations_run_from_one_start_and_are_written(scenes, recipe, tmp_path, capsys):
    common = ["--output", str(tmp_path), "--data", str(scenes), "--config", str(recipe)]
    assert main(["train", "vision", *common]) == 0
    variants = tmp_path / "variants.yaml"
    variants.write_text(
        "language: {baseline: {}, no supervision: {language.attention_weight: 0}, "
        "untrained: {language.pretrained_tower: false}, one: {language.pick: 1}}"
    )
    command = ["train", "ablate", *common, "--ablations", str(variants), "--steps", "2"]
    assert main(command) == 0
    assert "no supervision" in capsys.readouterr().out
    folder = tmp_path / "ablate/language"
    rows = json.loads((folder / "ablations.json").read_text())["variants"]
    assert [r["variant"] for r in rows] == ["baseline", "no supervision", "untrained", "one"]
    assert all([p["step"] for p in r["curve"]] == [1, 2] and r["seconds"] > 0 for r in rows)
    assert len({r["loss"] for r in rows}) == 4
    assert len((folder / "ablations.csv").read_text().splitlines()) == 5
    assert (folder / "ablations.png").read_bytes()[:4] == b"\x89PNG"
    assert main([*command, "--only", "twelve"]) == 2 and "no variant twelve" in capsys.readouterr().err


def test_the_shipped_ablations_are_changes_of_the_shipped_recipe():
    for stage in ("language", "vision"):
        variants = read_variants(ABLATIONS, stage)
        assert variants[0] == Variant("baseline", ())
        plain = read_config(DEFAULT_CONFIG)
        assert all(read_config(DEFAULT_CONFIG, v.overrides) != plain for v in variants[1:])


def test_a_card_scales_batches_and_rates_by_its_section():
    config = read_config(DEFAULT_CONFIG, ["gpu.batch=3", "gpu.rate=2"])
    card = on_card(config)
    assert card.language.batch == 3 * config.language.batch and card.vision.lr == 2 * config.vision.lr
    both = scaled(JointSettings(), GpuSettings(batch=2, rate=0.5))
    assert (both.lr, both.cnn_lr, both.batch) == (JointSettings().lr / 2, JointSettings().cnn_lr / 2, 24)
    with pytest.raises(TrainingError, match="'gpu.precision' is 'half'"):
        read_config(DEFAULT_CONFIG, ["gpu.precision=half"])


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a card")
def test_a_card_that_is_not_there_is_an_error_with_advice(tmp_path, capsys):
    assert main(["train", "vision", "--output", str(tmp_path), "--device", "cuda"]) == 2
    assert "--device cpu" in capsys.readouterr().err
    with pytest.raises(ClueError):
        Device.open("cuda", GpuSettings(), 2)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA card: loss on a card beside the CPU's")
def test_a_card_computes_what_the_cpu_does(scenes, tmp_path, tiny_size):
    data, losses = load(scenes / "train", tiny_size.image_size, tiny_size.patch_size, progress=False), []
    for device in (Device(), Device.open("cuda", GpuSettings(precision="fp32"), 1)):
        train_vision(data, tmp_path / device.name, VisionSettings(steps=1, batch=4), tiny_size, device=device)
        losses.append(json.loads((tmp_path / device.name / "readings.jsonl").read_text())["loss"])
    assert losses[0] == pytest.approx(losses[1], rel=0.05)  # which patches teach boxes is drawn on the device


def test_a_bfloat16_tower_trains(scenes, tmp_path, tiny_size):
    """On the CPU too, where the recipe wants it; without bf16 units it is emulated."""
    data, losses = load(scenes / "train", tiny_size.image_size, tiny_size.patch_size, progress=False), []
    for precision in ("fp32", "bf16"):
        train_vision(data, tmp_path / precision, VisionSettings(steps=2, batch=4, precision=precision), tiny_size)
        losses.append(json.loads((tmp_path / precision / "readings.jsonl").read_text())["loss"])
    assert losses[0] != losses[1] and losses[0] == pytest.approx(losses[1], rel=0.02)


def test_a_bfloat16_decoder_computes_the_same_loss_but_for_rounding(scenes, tmp_path, recipe):
    """Two stages, each in both precisions: what is learnt in the first is what the second goes on from."""
    losses = {}
    for precision in ("fp32", "bf16"):
        few = [f"{stage}.{rest}" for stage in ("language", "joint") for rest in (f"precision={precision}", "steps=1")]
        run_dir = tmp_path / precision
        config = read_config(recipe, few)
        stages = Stages(config, run_dir, scenes)
        for stage in ("vision", "language", "export", "joint"):
            stages.run(stage)
        files = [run_dir / stage / "readings.jsonl" for stage in ("language", "joint")]
        losses[precision] = [json.loads(file.read_text())["loss"] for file in files]
    assert losses["fp32"] != losses["bf16"] and losses["fp32"] == pytest.approx(losses["bf16"], rel=0.03)


def test_images_are_jittered_on_a_device_as_on_the_cpu():
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), np.uint8)
    flips = np.array([True, False, True])
    there = augmented(torch.from_numpy(images), flips, np.random.default_rng(5))
    assert np.allclose(there.numpy(), augment(images, flips, np.random.default_rng(5)), atol=1e-6)


def test_a_pack_moves_as_a_whole(scenes, tiny_size):
    data = load(scenes / "train", tiny_size.image_size, tiny_size.patch_size, progress=False)
    tokenizer, _, _ = start(tiny_size)
    queries = scene_queries(data.objects[0], data.sizes[0], np.random.default_rng(0), 4)
    pack = Packer(tokenizer, tiny_size.image_tokens).pack([queries], data.patches[:1], 160)
    there = moved((pack, torch.zeros(2)), "meta")
    assert there[1].is_meta and all(t.is_meta for t in vars(there[0]).values() if torch.is_tensor(t))
    assert there[0].queries == pack.queries and not pack.ids.is_meta
