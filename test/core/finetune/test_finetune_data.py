"""Finetuning's data: states and labels of a dialogue, splits, shares, resumption, batches, recipes, memory estimate."""

import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from drawn_data import draw, invig_entry, make_invig, write_lines

from clue_ros.configuration import ConfigurationError, from_mapping
from clue_ros.data import ImageFile, Label, MissingDataError, Sample, SampleStream, open_data
from clue_ros.finetune.batch import IGNORE, Collator, steps
from clue_ros.finetune.examples import ExampleStream, choose_splits, examples_of, fixed_examples, state_labels
from clue_ros.finetune.features import FeatureCache
from clue_ros.finetune.memory import Sizes, estimate, operations
from clue_ros.finetune.recipe import DetectorTask, DialogueTask, FinetuneConfig, JointTask, passes_a_step, read_config
from clue_ros.finetune.validation import Held, report_of
from clue_ros.training.adapters import LoraSettings
from clue_ros.training.recipe_file import TrainingError
from clue_ros.training.validation import is_better
from clue_ros.types import Answer, Box, Turn
from clue_ros.vlm.patterns import FULL, IMAGE_BLIND
from clue_ros.vlm.settings import ClueSettings
from clue_ros.vlm.tokens import PromptTokens

IMAGE = ImageFile(Path("a.png"), "a.png", (64, 48))
TURNS = (Turn("Which one?", Answer("the red one")), Turn("This?", Answer("yes")))
BOX = (Box(16, 12, 32, 24),)
RECIPES = sorted((Path(__file__).parents[3] / "clue_ros/finetune").glob("*.yaml"))


@pytest.fixture(scope="module")
def invig(tmp_path_factory):
    return make_invig(tmp_path_factory.mktemp("invig"), train=9, other=4)


@pytest.fixture(scope="module")
def collate(tiny_model_dir):
    """Collator over the embedded model's tokenizer; no model is needed."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_model_dir)
    tokens = PromptTokens(tokenizer, ClueSettings(tap_layer=1), 5, len(tokenizer), "cpu")
    return Collator(tokens, 56, 40, FeatureCache("", None, torch.float32), 2)


def test_a_dialogue_is_ambiguous_until_its_end():
    asked = Sample("1", IMAGE, "the mug", TURNS, BOX, label=Label.AMBIGUOUS)
    assert state_labels(asked) == [True, True, False]
    assert [(e.turn, e.ambiguous) for e in examples_of(asked, DetectorTask())] == [(0, True), (1, True), (2, False)]
    assert [e.turn for e in examples_of(asked, DetectorTask(states="first"))] == [0]
    assert state_labels(replace(asked, boxes=None)) == [True, True, None]
    assert state_labels(Sample("2", IMAGE, "the mug")) == [None]
    assert state_labels(replace(asked, label=Label.UNKNOWN))[0] is True


def test_courtesies_after_the_deciding_answer_are_no_state(tmp_path):
    """The state after the deciding answer is clear, and "OK, here you are." is no question to learn."""
    ann = {
        "questions": ["Which one?", "Is it greenish?", "OK, here you are."],
        "answers": ["The right one.", "Yes.", "Thank you."],
    }
    make_invig(tmp_path)
    write_lines(tmp_path / "invig21k_anns/invig21k_train_anns.jsonl", [invig_entry(0, ann=ann)])
    (sample,) = SampleStream(open_data(tmp_path), "train")
    assert [(e.turn, e.ambiguous) for e in examples_of(sample, DetectorTask())] == [(0, True), (1, True), (2, False)]
    joint = examples_of(sample, JointTask())
    assert [e.ambiguous for e in joint] == [True, True, False]
    assert [e.suffix[:5] for e in joint] == ["which", "is it", "<loc0"]


def test_examples_of_the_three_tasks_share_the_prompt_builder():
    asked = Sample("1", IMAGE, "The mug", TURNS[:1], BOX, label=Label.AMBIGUOUS)
    speak = examples_of(asked, DialogueTask())
    assert [(e.prefix, e.suffix, e.ambiguous) for e in speak] == [
        ("clarify the mug", "which one?", None),
        ("clarify the mug assistant: which one? user: the red one", "<loc0256><loc0256><loc0512><loc0512>", None),
    ]
    detect = examples_of(asked, DetectorTask(prefix="disambiguate"))
    assert detect[1].prefix == "disambiguate the mug assistant: which one? user: the red one"
    assert detect[1].suffix is None
    joint = examples_of(asked, JointTask())
    assert [(e.prefix, e.suffix) for e in joint] == [(e.prefix, e.suffix) for e in speak]
    assert [e.ambiguous for e in joint] == [True, False]
    # Nobody asked about it and nothing tells which one is meant: a label, but no words.
    told = Sample("2", IMAGE, "the mug", label=Label.AMBIGUOUS)
    assert examples_of(told, DialogueTask()) == []
    assert [(e.suffix, e.ambiguous) for e in examples_of(told, JointTask())] == [(None, True)]
    absent = Sample("3", IMAGE, "the mug", boxes=(), label=Label.CLEAR)
    assert [(e.suffix, e.ambiguous) for e in examples_of(absent, JointTask())] == [("", False)]


def test_batches_do_not_depend_on_how_they_are_shared_out(invig, collate):
    source, settings = open_data(invig), DialogueTask(shuffle=5, seed=3)

    def prefixes(rank, world, per_device, passes):
        made = steps(ExampleStream(source, "train", settings), collate, 0, 3, passes, per_device, rank, world)
        return [[b.ids.shape[0] and b for b in s.batches] for s in itertools.islice(made, 3)]

    one = prefixes(0, 1, 4, 2)
    two = [prefixes(rank, 2, 2, 2) for rank in (0, 1)]
    for step in range(3):
        for n in range(2):
            shared = [two[rank][step][n] for rank in (0, 1)]
            assert one[step][n].labels.tolist() == sum((b.labels.tolist() for b in shared), [])
            assert one[step][n].tokens == sum(b.tokens for b in shared)
            assert one[step][n].noise[1] == shared[0].noise[1] == shared[1].noise[1]
            assert shared[0].noise[0] != shared[1].noise[0]


@pytest.mark.parametrize("stop", [0, 1, 7, 23, 40])
def test_a_stream_of_examples_resumes_at_the_very_next_one(invig, stop):
    source, settings = open_data(invig), JointTask(shuffle=4)
    whole = [(e.image.name, e.prefix) for e in itertools.islice(ExampleStream(source, "train", settings), 60)]
    stream = ExampleStream(source, "train", settings)
    list(itertools.islice(stream, stop))
    state = json.loads(json.dumps(stream.state()))
    again = ExampleStream(source, "train", settings, resume=state)
    assert [(e.image.name, e.prefix) for e in itertools.islice(again, 60 - stop)] == whole[stop:]


def test_data_without_anything_to_learn_from_is_refused(tmp_path):
    draw(tmp_path / "a.png")
    write_lines(tmp_path / "n.jsonl", [{"image": "a.png", "size": [64, 48], "expression": "thing"}] * 3)
    with pytest.raises(MissingDataError, match="a detector labels"):
        next(iter(ExampleStream(open_data(tmp_path / "n.jsonl"), "train", DetectorTask(), (1, 0, 0))))


def test_splits_are_the_data_sets_own_or_made(invig, tmp_path):
    own = choose_splits(open_data(invig), DialogueTask())
    assert (own.train, own.valid, own.test, own.fractions) == ("train", "valid", "test", None)
    draw(tmp_path / "a.png")
    write_lines(
        tmp_path / "n.jsonl",
        [{"image": "a.png", "size": [64, 48], "expression": f"thing {n}", "label": "clear"} for n in range(3)],
    )
    made = choose_splits(open_data(tmp_path / "n.jsonl"), DetectorTask())
    assert made.fractions == (0.7, 0.15, 0.15)
    with pytest.raises(TrainingError, match="train_split 'mine'"):
        choose_splits(open_data(invig), DialogueTask(train_split="mine"))
    assert choose_splits(open_data(invig), DialogueTask(valid_split="mine", validation=0)).valid == ""


def test_a_batch_computes_an_image_once_and_marks_what_cannot_be_used(invig, collate, tmp_path):
    source, settings = open_data(invig), DialogueTask(shuffle=0)
    examples = [e for e in fixed_examples(source, "train", settings, None, 30) if len(e.prefix) < 60]
    twice = next(e for e in examples if e.turn == 0)
    batch = collate([twice, replace(twice, prefix="clarify mug")])
    assert len(batch.seen) == 1 and batch.image.tolist() == [0, 0] and batch.seen[0].pixels.shape == (3, 56, 56)
    # The row before the first suffix token is the prefix's newline; the last target is <eos>.
    row = 0
    first = int((batch.targets[row] != IGNORE).nonzero()[0])
    assert first == batch.prefix[row] - 1
    targets = batch.targets[row][batch.targets[row] != IGNORE].tolist()
    assert targets[-1] == collate._tokens.tokenizer.eos_token_id
    assert batch.ids[row, first + 1 : first + len(targets)].tolist() == targets[:-1]
    assert batch.rows[row, :first].any() and not batch.rows[row, first:].any(), "the tap reads words, not the suffix"

    missing = replace(twice, image=ImageFile(tmp_path / "none.jpg", "none.jpg", (64, 48)), ambiguous=True)
    long = replace(twice, prefix="clarify " + "mug " * 60, ambiguous=False)
    before = collate.problems.total
    batch = collate([missing, long, replace(twice, ambiguous=True)])
    assert batch.labels.tolist() == [-1, -1, 1]
    assert (batch.targets[:2] == IGNORE).all() and (batch.targets[2] != IGNORE).any()
    assert collate.problems.total == before + 2


def test_who_sees_whom():
    mask = FULL.mask(torch.tensor([2]), 2, 4)[0, 0].int().tolist()
    assert mask == [[1, 1, 1, 1, 0, 0]] * 4 + [[1, 1, 1, 1, 1, 0], [1, 1, 1, 1, 1, 1]]
    blind = IMAGE_BLIND.mask(torch.tensor([2]), 2, 2)[0, 0].int().tolist()
    assert blind == [[1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]]


@pytest.mark.parametrize("file", RECIPES, ids=lambda f: f.name)
def test_a_shipped_recipe_is_valid_and_opens_with_its_command(file):
    config = read_config(file)
    text = file.read_text()
    assert "clue finetune" in text.split("\n\n")[0] or "clue finetune" in text
    rates = config.dialogue.lr, config.detector.lr, config.detector.cnn_lr, config.joint.lr, config.joint.cnn_lr
    assert rates == (1e-4, 5e-6, 1e-4, 1e-4, 1e-4) and config.lora.dropout == 0.05
    assert (config.lora.r, config.lora.alpha) in ((16, 32), (8, 16))


def test_there_are_recipes():
    assert len(RECIPES) >= 2


def test_a_report_is_json_even_where_a_figure_is_not_defined():
    """One class only has no AUC."""
    one = Held({"loss": 0.5, "auc": float("nan")}, np.array([0.2, 0.6]), np.array([True, True]), ["turn 0", "turn 1"])
    report = json.loads(json.dumps(report_of(one, one, 0.5), allow_nan=False))
    assert report["valid"]["auc"] is None and report["test"]["auc"] is None and report["test"]["recall"] == 0.5
    assert is_better("f1", 0.1, float("nan")) and not is_better("loss", float("nan"), 0.1)
    assert is_better("loss", 0.1, 0.2) and not is_better("auc", 0.1, 0.2)


def test_mistakes_in_a_recipe_are_all_listed(tmp_path):
    with pytest.raises(ConfigurationError, match="did you mean 'batch'.*'detector.steps' must be int"):
        from_mapping(FinetuneConfig, {"dialogue": {"batsch": 3}, "detector": {"steps": "many"}})
    file = tmp_path / "r.yaml"
    file.write_text("detector: {depth: full, precision: fp8, per_device: 0, fractions: [1, 2]}\n")
    with pytest.raises(TrainingError, match="'detector.depth' is 'full' with.*fp8.*per_device.*fractions"):
        read_config(file)
    with pytest.raises(TrainingError, match="multiple of 8"):
        passes_a_step(DialogueTask(batch=12, per_device=2), 4)
    assert passes_a_step(DialogueTask(batch=16, per_device=2), 4) == 2


def test_the_estimate_counts_the_3b_model_as_published(tmp_path):
    """google/paligemma2-3b-mix-448 has 3.03 billion weights; LoRA r = 16 on all 26 layers has 20.8 million."""
    from clue_ros.lab.bench.paligemma2_3b import configuration

    (tmp_path / "config.json").write_text(json.dumps(configuration().to_dict(), default=str))
    sizes = Sizes.read(tmp_path)
    assert sizes.weights == pytest.approx(3.03e9, rel=0.01)
    rows = dict(estimate(tmp_path, DialogueTask(), LoraSettings()))
    assert rows["adapter with gradient and AdamW"] == pytest.approx(16 * 20.77e6, rel=0.01)
    assert 7e9 < rows["total"] < 24e9 and rows["total"] == pytest.approx(sum(rows.values()) / 2)
    small = dict(estimate(tmp_path, DetectorTask(), LoraSettings()))
    assert small["adapter with gradient and AdamW"] < 16 * 2e5, "q and k of one layer"
    kept = dict(estimate(tmp_path, replace(DialogueTask(), checkpointing=False), LoraSettings()))
    assert kept["total"] > rows["total"]
    forward = (
        2 * (1024 + 96) * 2.02e9
    )  # 2 a row and a weight of the decoder without its embedding; attention comes on top
    spared = operations(tmp_path, DialogueTask()) - operations(tmp_path, replace(DialogueTask(), checkpointing=False))
    assert forward < spared < 1.1 * forward, "checkpointing runs the decoder once more"
    assert operations(tmp_path, DetectorTask()) < operations(tmp_path, DialogueTask()) / 3, (
        "14 of 26 layers, one backwards"
    )
