"""Detectors, dialogue adapters and oracles: what was trained decides as the trainer did."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from finetune_runs import LORA, SMALL, features_of, order, started

from clue_ros.ambiguity.kinds import KINDS, head_files, is_stock
from clue_ros.ambiguity.readers import AmbiguityReader
from clue_ros.cli.main import main
from clue_ros.data import open_data
from clue_ros.evaluation.oracle import ModelOracle
from clue_ros.evaluation.samples import Selection
from clue_ros.evaluation.subject import CannotAnswerError, Subject
from clue_ros.finetune.examples import examples_of, fixed_examples
from clue_ros.finetune.passes import Route, run_batch
from clue_ros.finetune.recipe import AnswerTask
from clue_ros.finetune.run import finetune
from clue_ros.grounder import Grounder
from clue_ros.training.adapters import NamedParameters
from clue_ros.training.checkpoint import load_modules
from clue_ros.training.recipe_file import TrainingError
from clue_ros.training.variants import VARIANTS
from clue_ros.vlm.paligemma import PaliGemmaBackbone
from clue_ros.vlm.patterns import FULL


@pytest.mark.parametrize("variant", [*VARIANTS, "joint"])
def test_every_detector_trains_and_its_directory_reads_as_the_trainer_did(variant, base, invig, yesno, tmp_path):
    """From a plain download to a directory that decides; P(ambiguous) and map equal those of the training pass."""
    task = "joint" if variant == "joint" else "detector"
    changes = {"tap": 1} if task == "joint" else {"tap": 1, "variant": variant}
    wanted = order(task, base, tmp_path / "model", **changes)
    source = open_data(invig if task == "joint" else yesno)
    result = finetune(wanted, source)
    assert result["done"] and result["step"] == 2 and result["report"]["valid"]["f1"] >= 0
    clue = json.loads((tmp_path / "model/clue.json").read_text())
    kind = {"reading": "joint"} if task == "joint" else VARIANTS[variant]
    assert clue["detector"] == kind["reading"] and clue["tap_layer"] == 1 and clue["gate"] == []
    assert clue["threshold"] == result["report"]["threshold"]
    heads = [file for file in head_files() if (tmp_path / "model" / file).exists()]
    assert heads == [file for file in [KINDS[kind["reading"]].file] if file]
    assert [p.name for p in (tmp_path / "model/adapters").iterdir()] == ["dialogue" if task == "joint" else "detector"]

    # The training pass with the run's weights, against the serving runtime on the directory.
    objective, collator, _, settings = started(base, task, lora=LORA, scale=0, **changes)
    run = tmp_path / "model/training" / task
    head = {"detector": objective.head} if objective.head else {}
    load_modules(run, {"adapter": NamedParameters(objective.named), **head}, keep="best")
    example = fixed_examples(source, "test", settings, None if task == "joint" else (0.7, 0.15, 0.15), 1)[0]
    batch = collator([example])
    with torch.no_grad():
        out = objective(features_of(objective, batch), batch)
    backbone = PaliGemmaBackbone.from_pretrained(tmp_path / "model")
    seen = backbone.encode(example.image.read())
    grounder = Grounder.from_pretrained(tmp_path / "model")
    decision = grounder.ground(example.image.read(), "the thing")
    assert 0 <= decision.ambiguity.probability <= 1 and decision.ambiguity.attention_map.shape == (8, 8)
    start = backbone.prefill(seen, example.prefix, tap=True) if task == "joint" else None
    reading = AmbiguityReader(backbone, objective.head).read(seen, lambda _: example.prefix, start)
    assert reading.probability == pytest.approx(float(out.verdicts.sigmoid()[0]), abs=2e-4)


def test_a_dialogue_adapter_alone_decides_and_a_detector_is_added_beside_it(base, invig, yesno, tmp_path):
    """Run after run into the same directory; the weights are a link; the base stays as it was."""
    before = sorted(p.name for p in base.iterdir())
    finetune(order("dialogue", base, tmp_path / "clue"), open_data(invig))
    clue = json.loads((tmp_path / "clue/clue.json").read_text())
    assert clue["gate"] == [0, 1, 0] and not is_stock(tmp_path / "clue")
    assert Grounder.from_pretrained(tmp_path / "clue").ground(np.zeros((48, 64, 3), np.uint8), "the thing").ambiguity
    shard = next((tmp_path / "clue").glob("model-*.safetensors"))
    assert shard.is_symlink() and shard.resolve().parent == base
    speech = (tmp_path / "clue/adapters/dialogue/adapter_model.safetensors").read_bytes()

    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state(reset_partial_state=True)
    finetune(order("detector", tmp_path / "clue", tmp_path / "clue"), open_data(yesno))
    clue = json.loads((tmp_path / "clue/clue.json").read_text())
    assert (clue["gate"], clue["detector"], clue["tap_layer"]) == ([], "cnn", 2)  # 14 of 26 layers, of 4
    assert (tmp_path / "clue/adapters/dialogue/adapter_model.safetensors").read_bytes() == speech
    assert Grounder.from_pretrained(tmp_path / "clue").ground(np.zeros((48, 64, 3), np.uint8), "the thing").ambiguity
    assert sorted(p.name for p in base.iterdir()) == before


def test_an_oracle_learns_what_it_is_asked_and_leaves_the_robot_as_it_was(base, invig, tmp_path):
    finetune(order("answer", base, tmp_path / "oracle"), open_data(invig))
    assert is_stock(tmp_path / "oracle") and not (tmp_path / "oracle/adapters/dialogue").exists()
    assert json.loads((tmp_path / "oracle/clue.json").read_text()) == {"answer_adapter": "answer"}
    subject = Subject.load(tmp_path / "oracle")
    sample = next(s for s in Selection(invig, split="test") if len(s.turns) > 1)
    example = examples_of(sample, AnswerTask())[1]
    person = ModelOracle(subject).person(sample, sample.pixels(), sample.turns[:1])
    asked = []
    complete = subject.backbone.complete
    subject.backbone.complete = lambda *a, **k: asked.append((a[1], k["adapter"])) or complete(*a, **k)
    person.answer(sample.turns[1].question)
    assert asked == [(example.prefix, "answer")] and example.suffix == "the red one 1."
    subject.backbone.complete = lambda *a, **k: SimpleNamespace(text="the one <loc0012><loc0034> left")
    assert person.answer("which one?").split() == ["the", "one", "left"], "a box is not given away"
    told = person.likelihoods(sample.turns[1].question, [example.suffix, "no"])
    subject.backbone.adapters = frozenset()
    assert not subject.can_answer and len(told) == 2
    with pytest.raises(CannotAnswerError, match="clue finetune answer"):
        person.answer("which one?")
    subject.close()


def test_an_oracle_stands_beside_a_trained_robot(adapted, tiny_model_dir, invig, tmp_path):
    finetune(order("answer", adapted, tmp_path / "both", steps=1), open_data(invig))
    clue, before = (json.loads((f / "clue.json").read_text()) for f in (tmp_path / "both", adapted))
    assert clue == {**before, "answer_adapter": "answer"} and not is_stock(tmp_path / "both")
    with pytest.raises(TrainingError, match="no word 'answer'"):
        finetune(order("answer", tiny_model_dir, tmp_path / "no"), open_data(invig))


def test_a_sweep_runs_the_frozen_model_once_and_reads_every_layer(base, yesno, tmp_path, capsys, monkeypatch):
    config = tmp_path / "small.yaml"
    small = {**SMALL, "shuffle": 20, "cnn_lr": 1e-3, "fractions": [0.6, 0.2, 0.2], "validation": 8}
    config.write_text(yaml.safe_dump({"detector": small}))
    command = ["finetune", "layers", "--base", str(base), "--data", str(yesno), "--config", str(config), "--cpu"]
    command += ["--output", str(tmp_path / "out")]
    assert main(command) == 0 and "map of each layer" in capsys.readouterr().out
    folder = tmp_path / "out/training/layers"
    rows = json.loads((folder / "sweep.json").read_text())["layers"]
    assert [r["layer"] for r in rows] == [0, 1, 2, 3] and all(0 <= r["accuracy"] <= 1 for r in rows)
    assert (folder / "sweep.png").is_file() and (folder / "sweep.csv").is_file()
    # The maps that it kept are those of a pass that taps the layer, and a second run needs no model.
    objective, collate, _, settings = started(base, "detector", tap=2, fractions=(0.6, 0.2, 0.2))
    examples = fixed_examples(open_data(yesno), "test", settings, settings.fractions, 2)
    batch = collate(examples)
    objective.model.disable_adapters()
    with torch.no_grad():
        wanted = run_batch(
            objective.model.model.language_model, features_of(objective, batch), batch, Route(FULL, 2, 2)
        )
    kept = np.load(folder / "maps-test.npy")
    assert np.allclose(kept[:2, 2], wanted.maps.numpy(), atol=2e-3) and kept.shape[1] == 4
    monkeypatch.setattr("clue_ros.finetune.layer_sweep.load_directory", lambda *a: 1 / 0)
    assert main(command) == 0
    # Maps that stand there before the first save are not read as those of other labels.
    (folder / "state.json").unlink()
    other = Path(yesno).with_name("other.csv")
    other.write_text(yesno.read_text().replace(",no", ",yes", 1))
    assert main([str(other) if part == str(yesno) else part for part in command]) == 2
    assert "run.annotations" in capsys.readouterr().err
