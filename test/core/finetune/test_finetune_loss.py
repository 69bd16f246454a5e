"""PaliGemma's inputs and loss: as transformers has them, averaged, shared out, accumulated, cached."""

import json
import subprocess
import sys
from dataclasses import replace
from itertools import islice

import pytest
import torch
from finetune_runs import LORA, SMALL, STILL, features_of, last_checkpoint, order, readings, started
from safetensors.torch import load_file

from clue_ros.data import open_data
from clue_ros.finetune.examples import ExampleStream, balance, choose_splits, fixed_examples
from clue_ros.finetune.passes import Route, run_batch, suffix_logits
from clue_ros.finetune.run import finetune
from clue_ros.training.readings import READINGS, VALIDATION
from clue_ros.vlm.patterns import FULL


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
    process = subprocess.run(launch, capture_output=True, text=True, timeout=900)
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


def test_an_ambiguous_example_counts_as_often_as_the_recipe_says(base, yesno):
    source = open_data(yesno)
    plain, collator, _, settings = started(base, "detector", tap=1)
    examples = fixed_examples(source, "train", settings, settings.fractions, 40)
    counts = [sum(e.ambiguous is wanted for e in examples) for wanted in (True, False)]
    splits = choose_splits(source, settings)
    assert balance(source, splits, settings) == pytest.approx(counts[1] / counts[0])
    batches = [collator([e for e in examples if e.ambiguous is wanted][:3]) for wanted in (True, False)]
    features = [features_of(plain, batch) for batch in batches]
    weighted, _, _, _ = started(base, "detector", tap=1, pos_weight=3.0)
    sums = [[float(o.train()(f, b).ambiguity) for f, b in zip(features, batches)] for o in (plain, weighted)]
    assert sums[1] == pytest.approx([3 * sums[0][0], sums[0][1]], rel=1e-4)
    held = [float(o.eval()(features[0], batches[0]).ambiguity) for o in (plain, weighted)]
    assert held[0] == pytest.approx(held[1], rel=1e-4), "what is held out is measured as it is"
