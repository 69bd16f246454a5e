"""Small finetuning runs, and what they leave on disk."""

from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file

from clue_ros.finetune.batch import Collator
from clue_ros.finetune.features import FeatureCache, FrozenVision
from clue_ros.finetune.objective import Objective
from clue_ros.finetune.recipe import AnswerTask, DetectorTask, DialogueTask, JointTask
from clue_ros.finetune.run import Order
from clue_ros.training.adapters import LoraSettings, named_adapter_parameters
from clue_ros.training.readings import READINGS, read_lines
from clue_ros.training.variants import with_variant
from clue_ros.vlm.dense import Precision
from clue_ros.vlm.loading import load_directory
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


def order(task, base, output, lora=LORA, **changes):
    """An Order with small settings; fields of Order by their names, the rest are the task's settings."""
    kind = {"dialogue": DialogueTask, "detector": DetectorTask, "joint": JointTask, "answer": AnswerTask}[task]
    own = {k: changes.pop(k) for k in ("slot", "copy_base", "push") if k in changes}
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
