"""A plain download, the same with an adapter, and two data sets."""

import csv

import pytest
from drawn_data import draw, make_invig
from finetune_runs import LORA, started

from clue_ros.finetune.output import write_model
from clue_ros.training.tabletop_model import build_model


@pytest.fixture(autouse=True)
def fresh_state():
    """Accelerate keeps one state a process; these tests start many runs in one."""
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture(scope="session")
def base(tmp_path_factory, tiny_size, gemma_like_tokenizer):
    """A plain download: sharded, soft-capped Gemma 2 layers, no clue.json and no adapters."""
    folder = tmp_path_factory.mktemp("paligemma2-tiny")
    tokenizer = gemma_like_tokenizer
    model = build_model(tokenizer, tiny_size)
    model.config.text_config.attn_logit_softcapping = 50.0
    model.save_pretrained(folder, max_shard_size="150KB")
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def adapted(base, tmp_path_factory):
    """The same with a dialogue adapter that does something, so that all of its weights have gradients from the
    start.
    """
    folder = tmp_path_factory.mktemp("adapted") / "model"
    objective, _, tokenizer, _ = started(base, "dialogue", LORA)
    return write_model(objective, tokenizer, base, folder, None, False, False)


@pytest.fixture(scope="session")
def invig(tmp_path_factory):
    return make_invig(tmp_path_factory.mktemp("invig"), train=12, other=4)


@pytest.fixture(scope="session")
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
