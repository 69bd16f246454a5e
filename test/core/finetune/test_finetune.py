"""Finetuning real checkpoints: PaliGemma's inputs; every task trains, resumes, is shared out; the output decides."""

import csv
import json
import signal
import subprocess
import sys
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from drawn_data import draw, make_invig, write_lines
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

from clue_ros.ambiguity.kinds import KINDS, head_files
from clue_ros.ambiguity.readers import AmbiguityReader
from clue_ros.cli.main import main
from clue_ros.data import open_data
from clue_ros.evaluation.held_out import held_out
from clue_ros.evaluation.oracle import ModelOracle
from clue_ros.evaluation.samples import Selection
from clue_ros.evaluation.subject import CannotAnswerError, Subject
from clue_ros.finetune.batch import Collator
from clue_ros.finetune.examples import ExampleStream, choose_splits, examples_of, fixed_examples
from clue_ros.finetune.features import FeatureCache, FrozenVision
from clue_ros.finetune.objective import Objective
from clue_ros.finetune.older_runs import adopt
from clue_ros.finetune.output import write_model
from clue_ros.finetune.passes import Route, run_batch, suffix_logits
from clue_ros.finetune.recipe import AnswerTask, DetectorTask, DialogueTask, JointTask
from clue_ros.finetune.run import Order, finetune
from clue_ros.grounder import Grounder, is_stock
from clue_ros.training.adapters import LoraSettings, NamedParameters, named_adapter_parameters
from clue_ros.training.checkpoint import load_modules
from clue_ros.training.readings import READINGS, VALIDATION, Readings, read_lines
from clue_ros.training.recipe_file import TrainingError, hold_recipe
from clue_ros.training.slot import Slot
from clue_ros.training.tabletop_model import build_model
from clue_ros.training.variants import VARIANTS, with_variant
from clue_ros.vlm.dense import Precision
from clue_ros.vlm.loading import load_directory
from clue_ros.vlm.paligemma import PaliGemmaBackbone
from clue_ros.vlm.patterns import FULL
from clue_ros.vlm.tokens import PromptTokens

LORA = LoraSettings(r=4, alpha=8, dropout=0.05)
STILL = replace(LORA, dropout=0.0)
SMALL = dict(
    steps=2,
    batch=4,
    per_device=4,
    lr=1e-2,
    warmup=1,
    precision="fp32",
    shuffle=20,
    validation=6,
    validate_every=2,
    save_every=1,
    workers=1,
)


@pytest.fixture(autouse=True)
def fresh_state():
    """Accelerate keeps one state a process; these tests start many runs in one."""
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture(scope="module")
def base(tmp_path_factory, tiny_size, gemma_like_tokenizer):
    """A plain download: sharded, soft-capped Gemma 2 layers, no clue.json and no adapters."""
    folder = tmp_path_factory.mktemp("paligemma2-tiny")
    tokenizer = gemma_like_tokenizer
    model = build_model(tokenizer, tiny_size)
    model.config.text_config.attn_logit_softcapping = 50.0
    model.save_pretrained(folder, max_shard_size="150KB")
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def adapted(base, tmp_path_factory):
    """The same with a dialogue adapter that does something, so that all of its weights have gradients from the
    start.
    """
    folder = tmp_path_factory.mktemp("adapted") / "model"
    objective, _, tokenizer, _ = started(base, "dialogue", LORA)
    return write_model(objective, tokenizer, base, folder, None, False, False)


@pytest.fixture(scope="module")
def invig(tmp_path_factory):
    return make_invig(tmp_path_factory.mktemp("invig"), train=12, other=4)


@pytest.fixture(scope="module")
def yesno(tmp_path_factory):
    """The paper's kind of table, without splits: 70/15/15 are made."""
    root = tmp_path_factory.mktemp("yesno")
    with open(root / "yesno.csv", "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["image", "instruction", "label"])
        for n in range(40):
            draw(root / f"{n}.png", n)
            table.writerow([f"{n}.png", f"get the thing {n % 7}", "yes" if n % 2 else "no"])
    return root / "yesno.csv"


def order(task, base, output, lora=LORA, **changes):
    """An Order with small settings; fields of Order by their names, the rest are the task's settings."""
    kind = {"dialogue": DialogueTask, "detector": DetectorTask, "joint": JointTask, "answer": AnswerTask}[task]
    own = {k: changes.pop(k) for k in ("slot", "copy_base") if k in changes}
    variant = changes.pop("variant", None)
    settings = kind(**{**SMALL, **changes})
    return Order(task, base, output, with_variant(settings, variant) if variant else settings, lora, cpu=True, **own)


def readings(output, task, name=READINGS):
    """Lines of the loss curve (VALIDATION: of what was measured), without what depends on the clock."""
    lines = read_lines(Path(output) / "training" / task / name)
    return [{k: v for k, v in line.items() if k not in ("at", "seconds")} for line in lines]


def last_checkpoint(output, task):
    folder = Path(output) / "training" / task
    return {
        **load_file(str(folder / "weights.safetensors")),
        **{f"optimizer/{k}": v for k, v in load_file(str(folder / "optimizer.safetensors")).items()},
    }


def started(base, task, lora=STILL, scale=0.2, **changes):
    """(Objective with a random adapter in evaluation mode, collator, tokenizer, settings of the run)."""
    wanted = order(task, base, "", lora, **changes)
    model, tokenizer, clue, _ = load_directory(base, "cpu", Precision(torch.float32, torch.float32))
    torch.manual_seed(5)
    objective = Objective(model, tokenizer, clue, wanted.settings, lora).eval()
    with torch.no_grad():
        for _, parameter in named_adapter_parameters(model, objective.plan.folder):
            parameter.normal_(0, scale)
    tokens = PromptTokens(tokenizer, clue, model.config.image_token_id, model.lm_head.weight.shape[0], "cpu")
    collator = Collator(tokens, model.config.vision_config.image_size, 256, FeatureCache("", model, torch.float32), 1)
    return objective, collator, tokenizer, wanted.settings


def features_of(objective, batch):
    return FrozenVision(objective.model, FeatureCache("", objective.model, torch.float32)).features(batch)


def test_logits_and_loss_are_those_of_transformers_paligemma(base, invig):
    """Mixed lengths, through an adapter: token types 0 and 1, positions, scaling, loss on suffix and <eos> only."""
    objective, collator, tokenizer, settings = started(base, "dialogue")
    examples = fixed_examples(open_data(invig), "train", settings, None, 5)
    assert {e.turn for e in examples} > {0} and len({len(e.prefix) for e in examples}) > 1
    batch, model = collator(examples), objective.model
    features = features_of(objective, batch)
    with torch.no_grad():
        out = objective(features, batch)
        passed = run_batch(model.model.language_model, features, batch, Route(FULL, None))
        own = suffix_logits(model, passed.text, batch)
    image, count = model.config.image_token_id, features.shape[1]
    losses, lengths = [], []
    for row, example in enumerate(examples):
        prefix = [
            tokenizer.bos_token_id,
            *tokenizer.encode(example.prefix, add_special_tokens=False),
            tokenizer.encode("\n", add_special_tokens=False)[-1],
        ]
        suffix = [*tokenizer.encode(example.suffix, add_special_tokens=False), tokenizer.eos_token_id]
        ids = torch.tensor([[image] * count + prefix + suffix])
        kinds = torch.tensor([[0] * (count + len(prefix)) + [1] * len(suffix)])
        labels = ids.clone()
        labels[0, : count + len(prefix)] = -100
        pixels = torch.stack([batch.seen[int(batch.image[row])].pixels]).float() / 127.5 - 1
        with torch.no_grad():
            theirs = model(
                input_ids=ids,
                pixel_values=pixels,
                attention_mask=torch.ones_like(ids),
                token_type_ids=kinds,
                labels=labels,
            )
        wanted = theirs.logits[0, count + len(prefix) - 1 : -1]
        here = own[: len(suffix)]
        own = own[len(suffix) :]
        assert torch.allclose(here, wanted, atol=2e-4), example.prefix
        one = collator([example])
        with torch.no_grad():
            alone = objective(features_of(objective, one), one)
        assert float(alone.language) == pytest.approx(float(theirs.loss), abs=2e-4)
        losses.append(float(theirs.loss))
        lengths.append(len(suffix))
    assert len(own) == 0 and batch.tokens == sum(lengths) and batch.speaking == len(examples)
    # The paper's L_IVG: the mean over an example's tokens, whatever the lengths of the others.
    assert len(set(lengths)) > 1 and float(out.language) == pytest.approx(sum(losses), rel=1e-4)
    assert objective.words(batch) == len(examples)
    objective.settings = replace(settings, loss_over="tokens")
    with torch.no_grad():
        every = objective(features, batch)
    assert float(every.language) == pytest.approx(sum(a * b for a, b in zip(losses, lengths)), rel=1e-4)
    assert objective.words(batch) == batch.tokens and every.correct == out.correct


@pytest.mark.parametrize("loss_over", ["examples", "tokens"])
def test_a_step_and_a_validation_average_over_examples_as_the_paper_does_or_over_tokens(
    loss_over, base, invig, tmp_path
):
    objective, collator, _, settings = started(base, "dialogue", scale=0.0, loss_over=loss_over, batch=8)
    source = open_data(invig)
    splits = choose_splits(source, settings)
    drawn = list(islice(ExampleStream(source, splits.train, settings, splits.fractions), 8))
    held = fixed_examples(source, splits.valid, settings, splits.fractions, 5)

    def mean(examples):
        with torch.no_grad():
            outs = [(objective(features_of(objective, b), b), b) for b in (collator([e]) for e in examples)]
        each = [float(out.language) if loss_over == "examples" else float(out.language) / b.tokens for out, b in outs]
        weights = [b.tokens if loss_over == "tokens" else 1 for _, b in outs]
        return sum(e * w for e, w in zip(each, weights)) / sum(weights)

    changes = dict(steps=1, batch=8, per_device=2, validation=5, loss_over=loss_over, lr=1e-12)
    finetune(order("dialogue", base, tmp_path, STILL, **changes), source)
    assert readings(tmp_path, "dialogue")[0]["language"] == pytest.approx(mean(drawn), rel=1e-4)
    assert readings(tmp_path, "dialogue", VALIDATION)[0]["language_loss"] == pytest.approx(mean(held), rel=1e-4)


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


def gradients(output, task):
    """By parameter: AdamW's first moment after the first step is a tenth of the gradient (after clipping)."""
    return {k: v for k, v in last_checkpoint(output, task).items() if k.endswith("exp_avg")}


def assert_same_gradients(one, two):
    assert one.keys() == two.keys() and len(one) > 50
    largest = max(float(v.abs().max()) for v in one.values())
    for key in one:
        # The bias of a convolution before a normalisation has gradient 0: there is only rounding to compare.
        scale = max(float(one[key].abs().max()), 1e-2 * largest)
        assert one[key].any() and torch.allclose(one[key], two[key], rtol=0, atol=1e-4 * scale), key


def test_two_processes_of_accelerate_give_the_gradients_of_one(adapted, invig, tmp_path):
    """`accelerate launch` with two CPU processes over gloo, joint task: words, map and the CNN's batch statistics, with
    accumulation."""
    recipe = tmp_path / "recipe.yaml"
    settings = {**SMALL, "batch": 8, "per_device": 2, "tap": 1, "steps": 1, "start_from": "dialogue", "clip": 1e9}
    recipe.write_text(json.dumps({"joint": settings, "lora": {"r": 4, "alpha": 8, "dropout": 0.0}}))
    # Accelerate's own --cpu starts one process only; what --multi_gpu starts, ours keeps on the CPU.
    launch = [
        sys.executable,
        "-m",
        "accelerate.commands.launch",
        "--multi_gpu",
        "--num_processes",
        "2",
        "--num_machines",
        "1",
        "--mixed_precision",
        "no",
        "--dynamo_backend",
        "no",
        "--num_cpu_threads_per_process",
        "1",
        "--main_process_port",
        "0",
        "-m",
        "clue_ros.cli",
        "finetune",
        "joint",
        "--base",
        str(adapted),
        "--data",
        str(invig),
        "--output",
        str(tmp_path / "two"),
        "--config",
        str(recipe),
        "--cpu",
    ]
    process = subprocess.run(launch, capture_output=True, text=True, timeout=240)
    assert process.returncode == 0, process.stderr[-3000:]
    assert process.stdout.count("model directory:") == 1, "one process reports"
    assert json.loads((tmp_path / "two/training/joint/report.json").read_text())["processes"] == 2
    finetune(order("joint", adapted, tmp_path / "one", STILL, **{**settings, "per_device": 4}), open_data(invig))
    for name in (READINGS, VALIDATION):
        one, two = (readings(tmp_path / n, "joint", name) for n in ("one", "two"))
        assert len(one) == len(two) == 1, "one step and one validation, written once"
        assert one[0] == {k: pytest.approx(v, rel=1e-4, abs=1e-5) for k, v in two[0].items()}
    assert_same_gradients(gradients(tmp_path / "one", "joint"), gradients(tmp_path / "two", "joint"))
    means = [last_checkpoint(tmp_path / n, "joint")["detector.body.1.running_mean"] for n in ("one", "two")]
    assert torch.allclose(*means, atol=1e-6)


def test_accumulation_checkpointing_and_cache_change_nothing(adapted, invig, tmp_path):
    """Sums over the step, not means of means; a layer run again draws the same dropout; a cached feature is itself."""
    source, kept = open_data(invig), {}
    once = dict(validation=0, steps=1, clip=1e9, start_from="dialogue")
    runs = {
        "plain": dict(),
        "accumulated": dict(per_device=1),
        "cached": dict(feature_cache=str(tmp_path / "cache")),
        "from the cache": dict(feature_cache=str(tmp_path / "cache")),
        "not checkpointed": dict(checkpointing=False),
    }
    for name, changes in runs.items():
        finetune(order("dialogue", adapted, tmp_path / name, STILL, **once, **changes), source)
        kept[name] = gradients(tmp_path / name, "dialogue")
    files = list((tmp_path / "cache").glob("*/*/*.safetensors"))
    assert files and load_file(str(files[0]))["features"].shape == (64, 32)
    for name in runs:
        assert_same_gradients(kept["plain"], kept[name])
    for on in (True, False):
        finetune(order("dialogue", adapted, tmp_path / f"{on}", LORA, checkpointing=on, **once), source)
    assert_same_gradients(*(gradients(tmp_path / f"{on}", "dialogue") for on in (True, False)))


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
