"""What every stage's run promises: exact resumption, the best weights, logs, a recipe that may not change unnoticed."""

import json
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from clue_ros.cli.main import main
from clue_ros.processor import has_bfloat16_units
from clue_ros.training import optimizer
from clue_ros.training.checkpoint import kept, load_modules
from clue_ros.training.loop import Run
from clue_ros.training.optimizer import Optimizer, orthogonalize
from clue_ros.training.readings import READINGS, VALIDATION, Readings, read_lines
from clue_ros.training.recipe import DEFAULT_CONFIG, read_config
from clue_ros.training.recipe_file import TrainingError
from clue_ros.training.settings import MeasuredSettings
from clue_ros.training.slot import Slot, SlotOver
from clue_ros.training.stages import Stages
from clue_ros.training.validation import is_better, mean_of_batches

pytestmark = pytest.mark.usefixtures("short_reports")

SCENES, HELD = 20, 10  # of the fixture `scenes`, train and validation
TINY = {
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
    "vision": {"steps": 4, "batch": 4, "validate_every": 2, "validation": 6},
    "language": {"steps": 4, "batch": 4, "queries": 5, "look": [2, 3], "validate_every": 2, "validation": 6},
    "joint": {"steps": 4, "batch": 4, "queries": 4, "tap": 2, "validate_every": 2, "validation": 6},
}


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    file = tmp_path_factory.mktemp("recipe") / "tiny.yaml"
    file.write_text(json.dumps(TINY))
    return file


def log(folder, name):
    return [{k: v for k, v in line.items() if k not in ("at", "seconds")} for line in read_lines(folder / name)]


def same_run(a, b):
    for name in ("weights", "best", "optimizer"):
        left, right = (load_file(str(f / f"{name}.safetensors")) for f in (a, b))
        assert left.keys() == right.keys() and all(torch.equal(left[k], right[k]) for k in left), name
    for name in (READINGS, VALIDATION):
        assert repr(log(a, name)) == repr(log(b, name)) != "[]"  # repr: nan equals itself
    states = [json.loads((f / "state.json").read_text()) for f in (a, b)]
    assert all(state.pop("seconds") > 0 for state in states)
    assert states[0] == states[1]


def test_stages_that_were_cut_off_end_as_if_they_had_not_been(scenes, recipe, tmp_path):
    config = read_config(recipe)
    for stage in ("vision", "language", "joint"):
        Stages(config, tmp_path / "whole", scenes).run(stage)
        with pytest.raises(SlotOver):
            Stages(config, tmp_path / "cut", scenes, slot=Slot(until=3)).run(stage)
        assert json.loads((tmp_path / "cut" / stage / "state.json").read_text())["step"] == 3
        Stages(config, tmp_path / "cut", scenes).run(stage)
        same_run(tmp_path / "whole" / stage, tmp_path / "cut" / stage)
    figures = {
        "vision": {"category", "color", "box", "loss"},
        "joint": {"f1", "auc", "loss", "iou50"},
        "language": {"branch", "bins_off", "mass", "iou50", "loss"},
    }
    for stage, wanted in figures.items():
        lines = log(tmp_path / "cut" / stage, VALIDATION)
        assert [line["step"] for line in lines] == [2, 4] and wanted <= set(lines[0])
        assert all(np.isfinite(line["loss"]) for line in lines)
    # The next stage takes the best: the language run starts from the vision run's best tower.
    start = load_file(str(tmp_path / "whole/vision/best.safetensors"))
    after = load_file(str(tmp_path / "whole/language/weights.safetensors"))
    towers = [k for k in start if k.startswith("tower.")]
    assert towers and all(torch.equal(start[k], after["model.model.vision_tower." + k[6:]]) for k in towers)


def test_two_processes_share_the_batches_and_resume_exactly(scenes, recipe, tmp_path, request):
    config = read_config(recipe)
    Stages(config, tmp_path / "whole", scenes, processes=2).run("vision")
    request.getfixturevalue("quick_processes")
    with pytest.raises(SlotOver):
        Stages(config, tmp_path / "cut", scenes, processes=2, slot=Slot(until=3)).run("vision")
    Stages(config, tmp_path / "cut", scenes, processes=2).run("vision")
    same_run(tmp_path / "whole/vision", tmp_path / "cut/vision")
    Stages(config, tmp_path / "cut", scenes, steps=5).run("vision")  # goes on in one process
    assert json.loads((tmp_path / "cut/vision/state.json").read_text())["step"] == 5


def small_run(folder, values, steps, keep="best", metric="loss", slot=Slot()):
    """A run whose validation gives `values` one after another."""
    torch.manual_seed(0)
    layer, left = nn.Linear(3, 1), iter(values)
    settings = MeasuredSettings(steps=steps, validate_every=1, metric=metric, keep=keep)
    run = Run(folder, {"layer": layer}, Optimizer(layer.named_parameters(), 0.1), settings)

    def loss_of(step, rng):
        return layer(torch.from_numpy(rng.normal(size=(4, 3)).astype(np.float32))).square().mean(), {}

    run.train(settings, loss_of, measure=lambda: {metric: next(left)}, slot=slot)
    return run


@pytest.mark.parametrize("metric, best", [("loss", 2), ("iou50", 4)])
def test_the_best_weights_by_the_metric_are_kept_and_loaded(tmp_path, metric, best):
    small_run(tmp_path / "run", [0.5, 0.1, 0.3, 0.7], 4, metric=metric)
    small_run(tmp_path / "short", [0.5] * best, best, metric=metric)
    assert kept(tmp_path / "run") == {"weights": "best", "step": best}
    assert kept(tmp_path / "run", "last") == {"weights": "last", "step": 4}
    layer = nn.Linear(3, 1)
    load_modules(tmp_path / "run", {"layer": layer})
    assert torch.equal(layer.weight, load_file(str(tmp_path / "short/weights.safetensors"))["layer.weight"])
    load_modules(tmp_path / "run", {"layer": layer}, keep="last")
    assert torch.equal(layer.weight, load_file(str(tmp_path / "run/weights.safetensors"))["layer.weight"])


def test_a_run_that_keeps_the_last_weights_says_so(tmp_path):
    small_run(tmp_path, [0.1, 0.2], 2, keep="last")
    assert kept(tmp_path) == {"weights": "last", "step": 2}


@pytest.mark.parametrize("moved", [0, 1, 2])
def test_a_kill_while_a_checkpoint_is_put_in_place_leaves_a_whole_one(tmp_path, monkeypatch, moved):
    run = small_run(tmp_path, [0.5, 0.4], 2)
    with torch.no_grad():
        run.modules["layer"].weight.add_(1)
    run.step, done, replace = 3, [], Path.replace

    def killed(self, target):
        if len(done) == moved:
            raise SystemExit
        done.append(target)
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(SystemExit):
        run.save()
    monkeypatch.undo()
    layer = nn.Linear(3, 1)
    again = Run(tmp_path, {"layer": layer}, Optimizer(layer.named_parameters(), 0.1), {})
    assert again.step == (3 if moved else 2) and again.best == run.best
    assert torch.equal(layer.weight, run.modules["layer"].weight) == bool(moved)
    again.save()
    assert not list(tmp_path.glob("*.partial"))


def test_the_matrices_shares_of_two_processes_add_up_to_those_of_one(monkeypatch):
    generator = torch.Generator().manual_seed(5)
    matrices = [torch.randn(shape, generator=generator) for shape in ((24, 60), (60, 24), (16, 16), (40, 40), (8, 30))]
    alone = optimizer._orthogonalized(matrices)
    monkeypatch.setattr(optimizer, "world", lambda: 2)
    monkeypatch.setattr(optimizer, "summed", lambda values: values)
    shares = []
    for process in (0, 1):
        monkeypatch.setattr(optimizer, "rank", lambda process=process: process)
        shares.append(optimizer._orthogonalized(matrices))
    for one, first, second in zip(alone, *shares):
        assert torch.equal(first + second, one) and not (first.any() and second.any())
    assert all(any(part.any() for part in share) for share in shares)


@pytest.mark.parametrize("units", [True, False])
def test_orthogonalize_flattens_the_spectrum_in_either_precision(monkeypatch, units):
    if units and not has_bfloat16_units():
        pytest.skip("this processor has no bfloat16 units, where the step would be taken in bfloat16")
    monkeypatch.setattr("clue_ros.training.optimizer.has_bfloat16_units", lambda: units)
    update = orthogonalize(torch.randn(24, 60, generator=torch.Generator().manual_seed(0)))
    singular = torch.linalg.svdvals(update)
    assert update.dtype == torch.float32 and singular.min() > 0.5 and singular.max() < 1.5


def test_nan_is_never_the_best():
    nan = float("nan")
    assert is_better("loss", 0.1, nan) and not is_better("loss", nan, 0.1) and not is_better("auc", nan, nan)
    assert is_better("loss", 0.1, 0.2) and is_better("auc", 0.2, 0.1)


def test_means_of_batches_cover_every_scene_once_and_skip_nan():
    seen = []

    def one(index, rng):
        seen.extend(index.tolist())
        return {"a": float(len(index)), "b": float("nan") if 0 in index else 2.0, "c": float("nan")}

    values = mean_of_batches(10, 4, one)
    assert sorted(seen) == list(range(10))
    assert values["a"] == 5 and values["b"] == 2 and np.isnan(values["c"])


def test_the_end_of_the_slot_stops_at_once_and_within_a_block(tmp_path):
    with pytest.raises(SlotOver):
        small_run(tmp_path, [0.1] * 9, 9, slot=Slot.of_minutes(0))
    assert json.loads((tmp_path / "state.json").read_text())["step"] == 1
    import time

    with pytest.raises(SlotOver):
        with Slot.of_minutes(0.002).interrupting():
            time.sleep(600)


def test_lines_of_lost_steps_are_dropped(tmp_path):
    file = tmp_path / READINGS
    file.write_text('{"step": 1, "loss": 2}\n{"step": 2, "loss": 1}\n{"step": 3, "lo')
    Readings(tmp_path, 1).write(READINGS, 2, {"loss": 0.5})
    assert log(tmp_path, READINGS) == [{"step": 1, "loss": 2}, {"step": 2, "loss": 0.5}]


def test_tensorboard_gets_every_value_where_it_is_installed(tmp_path, monkeypatch):
    written = []

    class SummaryWriter:
        def __init__(self, folder, purge_step):
            written.append((folder, purge_step))

        def add_scalar(self, *item):
            written.append(item)

        def flush(self):
            pass

        close = flush

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", types.SimpleNamespace(SummaryWriter=SummaryWriter))
    monkeypatch.setattr("accelerate.utils.is_tensorboard_available", lambda: True)
    readings = Readings(tmp_path, 3)
    readings.write(READINGS, 4, {"loss": 0.5})
    readings.write(VALIDATION, 4, {"f1": 0.9})
    readings.close()
    assert written == [(str(tmp_path / "tensorboard"), 4), ("readings/loss", 0.5, 4), ("validation/f1", 0.9, 4)]


def test_overrides_go_through_the_checks_of_the_recipe():
    config = read_config(
        DEFAULT_CONFIG, ["language.attention_weight=0", "vision.lr=1e-3", "language.look=[1, 2]", "language.keep=last"]
    )
    assert config.language.attention_weight == 0 and config.vision.lr == 0.001 and config.language.look == (1, 2)
    assert config.language.keep == "last" and config.language.steps == read_config(DEFAULT_CONFIG).language.steps
    with pytest.raises(TrainingError, match="'vision.batch' must be int.*unknown key 'vision.step', did you mean"):
        read_config(DEFAULT_CONFIG, ["vision.steps=3", "vision.step=3", "vision.batch=many"])
    with pytest.raises(TrainingError, match="section.key=value, got 'steps'"):
        read_config(DEFAULT_CONFIG, ["steps"])
    with pytest.raises(TrainingError, match="'language.keep' is 'first'"):
        read_config(DEFAULT_CONFIG, ["language.keep=first"])


def test_a_run_folder_holds_its_recipe_and_refuses_another(scenes, recipe, tmp_path, capsys):
    command = ["train", "vision", "--output", str(tmp_path), "--data", str(scenes), "--config", str(recipe)]
    assert main([*command, "--set", "vision.steps=1", "--set", "vision.lr=0.004"]) == 0
    assert "lr: 0.004" in (tmp_path / "vision/recipe.yaml").read_text()
    assert main([*command, "--set", "vision.steps=2", "--set", "vision.lr=0.004"]) == 0  # steps may grow
    capsys.readouterr()
    assert main([*command, "--set", "vision.lr=0.002", "--set", "data.train_seed=5"]) == 2
    message = capsys.readouterr().err
    assert "vision.lr was 0.004, is 0.002" in message and "data.train_seed was 1, is 5" in message
    assert "steps" not in message.split("(", 1)[1].split(")")[0]
