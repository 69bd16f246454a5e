"""Finetuning real checkpoints by command: tasks, what is trained, what cannot start, real vocabularies."""

import json
import shutil

import numpy as np
import pytest
import torch
from drawn_data import draw, write_lines
from finetune_runs import SMALL, features_of, last_checkpoint, order, readings, started
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

from clue_ros.cli.main import main
from clue_ros.data import open_data
from clue_ros.evaluation.held_out import held_out
from clue_ros.evaluation.samples import Selection
from clue_ros.eyes.sight import Sight, SightShape, Trained, save_sight
from clue_ros.finetune.examples import fixed_examples
from clue_ros.finetune.run import finetune
from clue_ros.grounder import Grounder
from clue_ros.training.readings import VALIDATION
from clue_ros.training.recipe_file import TrainingError
from clue_ros.training.slot import Slot
from clue_ros.vlm.dense import Precision
from clue_ros.vlm.loading import load_directory

FLOAT32 = Precision(torch.float32, torch.float32)


@pytest.mark.parametrize("task", ["dialogue", "detector", "joint"])
def test_every_task_trains_on_the_real_vocabulary(
    task, taught_dir, real_tokenizer, invig, yesno, tmp_path, monkeypatch
):
    monkeypatch.setattr(AutoTokenizer, "from_pretrained", lambda *_, **__: real_tokenizer)  # its file is read once
    monkeypatch.setattr(type(real_tokenizer), "save_pretrained", lambda *_, **__: ())
    changes = {} if task == "dialogue" else {"tap": 1}
    wanted = order(task, taught_dir, tmp_path / "model", save_every=2, validation=2, **changes)
    result = finetune(wanted, open_data(yesno if task == "detector" else invig))
    assert result["done"] and result["step"] == 2
    losses = [line["loss"] for line in readings(tmp_path / "model", task)]
    assert losses and np.isfinite(losses).all()
    adapter = load_file(str(next((tmp_path / "model/adapters").glob("*/adapter_model.safetensors"))))
    assert any(tensor.any() for name, tensor in adapter.items() if "lora_B" in name)


def test_only_what_a_loss_reaches_is_trained_and_the_best_weights_are_exported(base, yesno, tmp_path):
    """Through a map: q and k of layer k, nothing else of it; with `finetune: all` also everything below."""
    last, _, _, _ = started(base, "detector", tap=2)
    reached = {n.split(".layers.")[1].split(".lora")[0] for n, _ in last.named}
    assert reached == {"2.self_attn.q_proj", "2.self_attn.k_proj"}
    every, collator, _, settings = started(base, "detector", tap=2, finetune="all")
    assert {n.split(".layers.")[1].split(".")[0] for n, _ in every.named} == {"0", "1", "2"}
    batch = collator(fixed_examples(open_data(yesno), "train", settings, settings.fractions, 3))
    every(features_of(every, batch), batch).ambiguity.backward()
    assert all(p.grad is not None and p.grad.any() for _, p in every.named)
    trained = {id(p) for _, p in every.named} | {id(p) for p in every.head.parameters()}
    assert all(p.requires_grad == (id(p) in trained) for p in every.parameters())

    finetune(
        order("detector", base, tmp_path / "out", steps=4, validate_every=1, metric="ambiguity_loss"), open_data(yesno)
    )
    lines = readings(tmp_path / "out", "detector", VALIDATION)
    report = json.loads((tmp_path / "out/training/detector/report.json").read_text())
    assert report["best"] == pytest.approx(min(r["ambiguity_loss"] for r in lines), rel=1e-5)
    assert report["valid"]["ambiguity_loss"] == pytest.approx(report["best"], abs=1e-5)
    best = load_file(str(tmp_path / "out/training/detector/best.safetensors"))
    exported = load_file(str(tmp_path / "out/ambiguity.safetensors"))
    assert all(torch.equal(best[f"detector.{k}"], v) for k, v in exported.items())
    assert report["test"]["count"] > 0 and set(report["test"]["by_kind"]) == {"turn 0"}


@pytest.mark.parametrize("changes", [{"finetune": "none"}, {"lr": 0.0}])
def test_the_cnn_alone_learns_on_full_attention(changes, base, yesno, tmp_path):
    """`finetune: none` has no adapter, lr 0 one that stays at its start; both read the frozen model's own map."""
    finetune(order("detector", base, tmp_path / "out", steps=3, tap=1, **changes), open_data(yesno))
    weights = last_checkpoint(tmp_path / "out", "detector")
    adapter = {k: v for k, v in weights.items() if k.startswith("adapter.")}
    assert bool(adapter) == ("lr" in changes) and not any(v.any() for k, v in adapter.items() if "lora_B" in k)
    kept = json.loads((tmp_path / "out/clue.json").read_text())["detector_adapter"]
    assert kept == ("detector" if adapter else "") and (tmp_path / "out/adapters/detector").exists() == bool(adapter)
    grounder = Grounder.from_pretrained(tmp_path / "out")
    assert grounder.ground(np.zeros((48, 64, 3), np.uint8), "the thing").ambiguity is not None


def test_bfloat16_weights_train_a_float32_adapter(base, invig, tmp_path):
    result = finetune(order("joint", base, tmp_path / "out", precision="bf16", tap=1), open_data(invig))
    assert result["done"] and np.isfinite(result["report"]["valid"]["loss"])
    kinds = {v.dtype for k, v in last_checkpoint(tmp_path / "out", "joint").items() if k.startswith("adapter.")}
    assert kinds == {torch.float32}
    assert Grounder.from_pretrained(tmp_path / "out").ground(np.zeros((48, 64, 3), np.uint8), "the thing").ambiguity


def test_the_loss_falls_and_the_command_line_says_so(base, tmp_path, capsys):
    draw(tmp_path / "a.png")
    turn = {"question": "which one?", "answer": "this"}
    write_lines(
        tmp_path / "data.jsonl",
        [
            {
                "image": "a.png",
                "size": [64, 48],
                "expression": "the thing",
                "turns": [turn],
                "label": "ambiguous",
                "split": s,
            }
            for s in ("train", "valid", "test")
        ],
    )
    recipe = tmp_path / "recipe.yaml"
    settings = {**SMALL, "lr": 2e-2, "validation": 0, "save_every": 50}
    recipe.write_text(json.dumps({"dialogue": settings, "lora": {"r": 4, "alpha": 8}}))
    command = [
        "finetune",
        "dialogue",
        "--base",
        str(base),
        "--data",
        str(tmp_path / "data.jsonl"),
        "--cpu",
        "--config",
        str(recipe),
        "--output",
        str(tmp_path / "out"),
        "--copy-base",
    ]
    assert main([*command, "--steps", "15"]) == 0
    losses = [r["loss"] for r in readings(tmp_path / "out", "dialogue")]
    assert len(losses) == 15 and losses[-1] < 0.7 * losses[0]
    out = capsys.readouterr().out
    assert "model directory:" in out and not any(p.is_symlink() for p in (tmp_path / "out").iterdir())
    assert main(["finetune", "detector", "--base", str(base), "--estimate"]) == 0
    told = capsys.readouterr().out
    assert "an estimate, not a measurement" in told and "time, by arithmetic" in told
    assert main(["finetune", "detector", "--base", str(tmp_path), "--estimate"]) == 2
    assert "config.json is missing" in capsys.readouterr().err


def test_the_embedded_model_class_trains_too(tiny_model_dir, yesno, tmp_path):
    """image_blind, a closed vocabulary: spare tokens get the names of the answers, and the tokenizer is written."""
    rows = [f"{n}.png,hand me the red mug,{'yes' if n % 2 else 'no'}" for n in range(40)]
    (tmp_path / "mugs.csv").write_text("\n".join(["image,instruction,label", *rows]))
    finetune(
        order("detector", tiny_model_dir, tmp_path / "out", variant="half-full-disambig-ar", tap=1),
        open_data(tmp_path / "mugs.csv", images=yesno.parent),
    )
    decision = Grounder.from_pretrained(tmp_path / "out").ground(np.zeros((48, 64, 3), np.uint8), "the red mug")
    assert decision.ambiguity is not None


def test_a_model_with_eyes_learns_from_whole_pictures(tiny_model_dir, yesno, tmp_path, monkeypatch):
    """Not from squares; and what the eyes saw is kept like a tower's features."""
    folder, looked, see = tmp_path / "sighted", [], Sight.see
    shutil.copytree(tiny_model_dir, folder)
    weights = load_file(folder / "model.safetensors")
    save_file({k: v for k, v in weights.items() if "vision_tower" not in k}, folder / "model.safetensors")
    save_sight(Trained(SightShape(first=112, glances=0, grid=8, width=32)), folder)
    monkeypatch.setattr(Sight, "see", lambda sight, rgb, *rest: looked.append(rgb.shape[:2]) or see(sight, rgb, *rest))
    rows = [f"{n}.png,hand me the red mug,{'yes' if n % 2 else 'no'}" for n in range(8)]
    (tmp_path / "mugs.csv").write_text("\n".join(["image,instruction,label", *rows]))
    finetune(
        order("detector", folder, tmp_path / "out", tap=1, feature_cache=str(tmp_path / "seen"), validation=2),
        open_data(tmp_path / "mugs.csv", images=yesno.parent),
    )
    size = Image.open(yesno.parent / "0.png").size[::-1]
    assert set(looked) == {size} and size[0] != size[1]
    kept = load_file(next((tmp_path / "seen").glob("*/*/*.safetensors")))["features"]
    assert kept.shape == (64, 32)
    assert not any(p.requires_grad for p in load_directory(folder, "cpu", FLOAT32).model.parameters())
    decision = Grounder.from_pretrained(tmp_path / "out").ground(np.zeros((48, 64, 3), np.uint8), "the red mug")
    assert decision.ambiguity is not None


def test_a_run_knows_its_annotations(base, tmp_path):
    """Resumed on flipped labels, or finished and given another file: refused, and its threshold stays."""
    for n in range(40):
        draw(tmp_path / f"{n}.png", n)
    rows = [f"{n}.png,the thing {n % 7}" for n in range(40)]
    files = []
    for turn, name in enumerate(("first.csv", "flipped.csv")):
        labelled = [f"{row},{'yes' if n % 2 == turn else 'no'}" for n, row in enumerate(rows)]
        files.append(write_lines(tmp_path / name, ["image,instruction,label", *labelled]))
    first, second = files
    assert finetune(order("detector", base, tmp_path / "out", slot=Slot(until=1)), open_data(first))["done"] is False
    with pytest.raises(TrainingError, match="annotations"):
        finetune(order("detector", base, tmp_path / "out"), open_data(second))
    assert finetune(order("detector", base, tmp_path / "out"), open_data(first))["done"]
    decides = (tmp_path / "out" / "clue.json").read_bytes()
    with pytest.raises(TrainingError, match="annotations"):
        finetune(order("detector", base, tmp_path / "out"), open_data(second))
    assert (tmp_path / "out" / "clue.json").read_bytes() == decides
    selection, told = held_out(tmp_path / "out", Selection(first))
    assert selection.split == "test" and "held-out part" in told
    trained_on = {sample.image.name for sample in Selection(first, split="train", fractions=(0.7, 0.15, 0.15))}
    assert len(np.load(tmp_path / "out/training/detector/images.npy")) == len(trained_on)
    chosen = ["--split", "train", "--fractions", "70", "15", "15", "-o", str(tmp_path / "judged")]
    assert main(["evaluate", "ambiguity", str(first), "--model", str(tmp_path / "out"), *chosen]) == 2


def test_a_run_that_cannot_start_says_why(base, invig, yesno, tmp_path):
    with pytest.raises(TrainingError, match="batch 4 cannot be shared out.*multiple of 3"):
        finetune(order("dialogue", base, tmp_path / "a", per_device=3), open_data(invig))
    with pytest.raises(TrainingError, match="layers 0 to 3"):
        finetune(order("joint", base, tmp_path / "b", tap=4), open_data(invig))
    with pytest.raises(TrainingError, match="metric 'f1' is none of this task's"):
        finetune(order("dialogue", base, tmp_path / "c", metric="f1"), open_data(invig))
    with pytest.raises(TrainingError, match="no valid_split 'held'; it has test, train, valid"):
        finetune(order("dialogue", base, tmp_path / "d", valid_split="held"), open_data(invig))
    (tmp_path / "e").mkdir()
    (tmp_path / "e/config.json").write_text("{}")
    with pytest.raises(TrainingError, match="already holds a model that is not built on"):
        finetune(order("detector", base, tmp_path / "e"), open_data(yesno))
