"""Which weights are kept, what a run tells others, and how it grows."""

import json
import sys
from types import SimpleNamespace

import pytest
import torch
from drawn_data import make_invig
from finetune_runs import features_of, order, readings, started
from safetensors.torch import load_file

from clue_ros.data import open_data
from clue_ros.finetune import card
from clue_ros.finetune.examples import examples_of, fixed_examples
from clue_ros.finetune.recipe import DialogueTask
from clue_ros.finetune.run import finetune
from clue_ros.finetune.validation import boxes_iou
from clue_ros.geometry import box_iou
from clue_ros.location import bins_to_box
from clue_ros.training.readings import VALIDATION
from clue_ros.training.recipe_file import TrainingError


def test_the_box_that_is_measured_is_the_one_that_plain_decoding_gives(base, invig):
    """Token by token through the whole model with the prefix grown by what was said, rows of mixed lengths."""
    objective, collator, _, settings = started(base, "dialogue")
    examples = fixed_examples(open_data(invig), "train", settings, None, 12)
    batch = collator(examples)
    features = features_of(objective, batch)
    with torch.no_grad():
        ious = boxes_iou(objective, collator, features, examples, batch)
    boxed = [e for e in examples if e.suffix.startswith("<loc")]
    assert 2 <= len(boxed) < len(examples) and len(ious) == len(boxed)
    first, model = collator.first_location, objective.model
    for example, iou in list(zip(boxed, ious))[:3]:
        one = collator([example])
        ids, image = one.ids[0, : one.prefix[0]].tolist(), model.config.image_token_id
        count = features.shape[1]
        for _ in range(4):
            row = torch.tensor([[image] * count + ids])
            kinds = torch.tensor([[0] * (count + int(one.prefix[0])) + [1] * (len(ids) - int(one.prefix[0]))])
            pixels = one.seen[0].pixels[None].float() / 127.5 - 1
            with torch.no_grad():
                out = model(
                    input_ids=row, pixel_values=pixels, attention_mask=torch.ones_like(row), token_type_ids=kinds
                )
            ids.append(first + int(out.logits[0, -1, first : first + 1024].argmax()))
        given = [i - first for i in ids[-4:]]
        truth = [int(example.suffix[n * 9 + 4 : n * 9 + 8]) for n in range(4)]
        assert iou == pytest.approx(box_iou(bins_to_box(given, 1, 1), bins_to_box(truth, 1, 1)))


def test_a_checkpoint_is_chosen_by_its_boxes_the_best_few_stay_and_the_run_may_grow(base, tmp_path, monkeypatch):
    logged = []
    run = SimpleNamespace(log=lambda values, step: logged.append((step, set(values))), finish=lambda: None)
    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=lambda **how: run))
    source = open_data(make_invig(tmp_path / "invig", train=4, other=4))
    changes = dict(validate_every=1, metric="iou50", keep_best=2, wandb="trial")
    finetune(order("dialogue", base, tmp_path / "out", steps=3, **changes), source)
    folder = tmp_path / "out/training/dialogue"
    lines = readings(tmp_path / "out", "dialogue", VALIDATION)
    assert all(0 <= line["iou50"] <= 1 for line in lines)
    report = json.loads((folder / "report.json").read_text())
    assert report["metric"] == "iou50" and report["best"] == max(line["iou50"] for line in lines)
    assert len(list(folder.glob("best-*.safetensors"))) == 2
    ranked = json.loads((folder / "state.json").read_text())["ranked"]
    best = load_file(str(folder / "best.safetensors"))
    kept = load_file(str(folder / f"best-{ranked[0][0]:06d}.safetensors"))
    assert all(torch.equal(best[k], kept[k]) for k in best)
    assert {step for step, _ in logged} == {1, 2, 3} and any("validation/iou50" in names for _, names in logged)
    assert finetune(order("dialogue", base, tmp_path / "out", steps=4, **changes), source)["step"] == 4


def test_wandb_is_asked_for_and_missing(base, invig, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(TrainingError, match="pip install wandb"):
        finetune(order("dialogue", base, tmp_path / "out", wandb="trial"), open_data(invig))


def test_questioner_and_guesser_learn_their_part_only(invig):
    for sample in fixed_samples(invig):
        parts = {n: [e.suffix for e in examples_of(sample, DialogueTask(learns=n))] for n in ("questions", "boxes")}
        assert parts["questions"] + parts["boxes"] == [e.suffix for e in examples_of(sample, DialogueTask())]
        assert all(s.startswith("<loc") for s in parts["boxes"])
        assert not any(s.startswith("<loc") for s in parts["questions"])


def fixed_samples(invig):
    from clue_ros.data import SampleStream

    return list(SampleStream(open_data(invig), "train"))


def test_a_card_says_what_was_trained_and_the_base_never_leaves(base, invig, tmp_path, monkeypatch):
    sent = {}
    api = SimpleNamespace(create_repo=lambda *a, **k: None, upload_folder=lambda **how: sent.update(how))
    monkeypatch.setattr("huggingface_hub.HfApi", lambda: api)
    output = tmp_path / "out"
    finetune(order("dialogue", base, output, steps=1, warmup=0, push="somebody/clue"), open_data(invig))
    told = (output / "README.md").read_text()
    assert f"Base `{base.name}`" in told and "| loss |" in told and str(tmp_path) not in told
    assert sent["repo_id"] == "somebody/clue" and not any("model" in p for p in sent["allow_patterns"])
    (output / "README.md").write_text("my own words")
    card.write_card(output, {})
    assert (output / "README.md").read_text() == "my own words"

    def fails(**how):
        raise OSError("401 unauthorised")

    api.upload_folder = fails
    with pytest.raises(TrainingError, match="is complete, but somebody/clue cannot be pushed: 401"):
        card.push(output, "somebody/clue")
