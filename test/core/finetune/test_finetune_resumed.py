"""Runs that were cut off, ended by a slot or a signal, or made by an older version go on."""

import json
import signal

import pytest
import torch
import yaml
from finetune_runs import SMALL, last_checkpoint, order, readings
from safetensors.torch import load_file, save_file

from clue_ros.cli.main import main
from clue_ros.data import open_data
from clue_ros.finetune.older_runs import adopt
from clue_ros.finetune.recipe import DialogueTask
from clue_ros.finetune.run import finetune
from clue_ros.training.readings import VALIDATION, Readings
from clue_ros.training.recipe_file import TrainingError, hold_recipe
from clue_ros.training.slot import Slot


def test_an_older_run_goes_on_only_with_the_mean_that_it_was_made_with(tmp_path):
    """Before there was a choice every token of a step counted alike."""
    last = tmp_path / "step-000002"
    last.mkdir()
    for name in ("weights", "optimizer"):
        save_file({}, str(last / f"{name}.safetensors"))
    about = {"task": "dialogue", "base": "b", "data": "d", "images": [], "settings": {"seed": 0, "lora": {}}}
    (last / "state.json").write_text(json.dumps({"about": about, "best": None, "step": 2, "place": None}))
    adopt(tmp_path, "loss")
    with pytest.raises(TrainingError, match="dialogue.loss_over was 'tokens', is 'examples'"):
        hold_recipe(tmp_path, "clue finetune dialogue", {"dialogue": DialogueTask()}, ())
    hold_recipe(tmp_path, "clue finetune dialogue", {"dialogue": DialogueTask(loss_over="tokens")}, ())


@pytest.mark.parametrize("task", ["joint", "detector"])
def test_an_interrupted_run_ends_with_the_same_curve_and_weights(task, base, invig, yesno, tmp_path):
    """With dropout, shuffling, several epochs and accumulation, cut in the middle of the second validation interval."""
    changes = dict(steps=6, per_device=2, save_every=4, tap=1, batch=4)
    source = open_data(invig if task == "joint" else yesno)
    finetune(order(task, base, tmp_path / "whole", **changes), source)
    cut = finetune(order(task, base, tmp_path / "cut", slot=Slot(until=3), **changes), source)
    assert not cut["done"] and cut["step"] == 3 and cut["report"] is None
    log = tmp_path / "cut/training" / task / "readings.jsonl"
    log.write_text(log.read_text() + '{"step": 4, "loss": 9e9}\n{"step": 5, "lo')  # written after the last checkpoint
    assert finetune(order(task, base, tmp_path / "cut", **changes), source)["done"]
    assert readings(tmp_path / "cut", task) == readings(tmp_path / "whole", task)
    assert [r["step"] for r in readings(tmp_path / "cut", task)] == [1, 2, 3, 4, 5, 6]
    assert readings(tmp_path / "cut", task, VALIDATION) == readings(tmp_path / "whole", task, VALIDATION) != []
    whole, resumed = (last_checkpoint(tmp_path / n, task) for n in ("whole", "cut"))
    assert whole.keys() == resumed.keys() and all(torch.equal(whole[k], resumed[k]) for k in whole)
    with pytest.raises(TrainingError, match=f"{task}.lr was 0.01, is 0.5"):
        finetune(order(task, base, tmp_path / "cut", **{**changes, "lr": 0.5}), source)


def as_older_versions_wrote_it(run):
    """step-000003/ and best/ with one optimiser's state, and what the run was made with in state.json."""
    last, state = run / "step-000003", json.loads((run / "state.json").read_text())
    recipe = yaml.safe_load((run / "recipe.yaml").read_text())
    for source, folder in (("weights", last), ("best", run / "best")):
        folder.mkdir()
        tensors = load_file(str(run / f"{source}.safetensors"))
        old = {k.replace("/", ".").replace(".", "/", 1).replace("detector/", "cnn/"): v for k, v in tensors.items()}
        save_file(old, str(folder / "weights.safetensors"))
    adapter = sum(k.startswith("adapter.") for k in load_file(str(run / "weights.safetensors")))
    optimizer = {}
    for name, value in load_file(str(run / "optimizer.safetensors")).items():
        part, index, key = name.split("/")
        optimizer[f"{int(part) * adapter + int(index)}/{key}"] = value
    save_file(optimizer, str(last / "optimizer.safetensors"))
    about = {"task": "detector", **recipe["run"], "settings": {**recipe["detector"], "lora": recipe["lora"]}}
    old = {"step": state["step"], "place": state["place"], "best": state["best"]["value"], "about": about}
    (last / "state.json").write_text(json.dumps(old))
    for name in ("weights.safetensors", "best.safetensors", "optimizer.safetensors", "state.json", "recipe.yaml"):
        (run / name).unlink()


def test_a_run_folder_of_an_older_version_goes_on(base, yesno, tmp_path):
    changes = dict(steps=4, per_device=2, tap=1)
    finetune(order("detector", base, tmp_path / "whole", **changes), open_data(yesno))
    finetune(order("detector", base, tmp_path / "cut", slot=Slot(until=3), **changes), open_data(yesno))
    run = tmp_path / "cut/training/detector"
    as_older_versions_wrote_it(run)
    with pytest.raises(TrainingError, match="detector.lr was 0.01, is 0.5"):
        finetune(order("detector", base, tmp_path / "cut", **{**changes, "lr": 0.5}), open_data(yesno))
    finetune(order("detector", base, tmp_path / "cut", **changes), open_data(yesno))
    whole, resumed = (last_checkpoint(tmp_path / n, "detector") for n in ("whole", "cut"))
    assert whole.keys() == resumed.keys() and all(torch.equal(whole[k], resumed[k]) for k in whole)
    assert [r["step"] for r in readings(tmp_path / "cut", "detector")] == [1, 2, 3, 4]
    assert not any(p.is_dir() for p in run.iterdir())


def test_a_time_slot_or_a_signal_ends_the_run_and_the_next_one_goes_on(base, invig, tmp_path, monkeypatch):
    first = finetune(order("dialogue", base, tmp_path / "out", steps=9, slot=Slot.of_minutes(1e-9)), open_data(invig))
    assert not first["done"] and first["step"] == 1 and not (tmp_path / "out/config.json").exists()
    written = Readings.write

    def told_to_stop(self, *args):
        written(self, *args)
        signal.raise_signal(signal.SIGTERM)  # as a batch queue does at the end of a slot

    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(json.dumps({"dialogue": {**SMALL, "steps": 9, "validation": 0}}))
    monkeypatch.setattr(Readings, "write", told_to_stop)
    second = finetune(order("dialogue", base, tmp_path / "out", steps=9), open_data(invig))
    assert not second["done"] and second["step"] == 3, "after one more step"
    assert second["interrupted"] and not first["interrupted"]
    assert (
        main(
            [
                "finetune",
                "dialogue",
                "--base",
                str(base),
                "--data",
                str(invig),
                "--output",
                str(tmp_path / "other"),
                "--config",
                str(recipe),
                "--cpu",
            ]
        )
        == 130
    )
    monkeypatch.undo()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert finetune(order("dialogue", base, tmp_path / "out", steps=9), open_data(invig))["done"]
    assert [r["step"] for r in readings(tmp_path / "out", "dialogue")] == list(range(1, 10))
