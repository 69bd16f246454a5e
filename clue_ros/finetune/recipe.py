"""The recipe of a finetuning run: one YAML file, checked at load. The defaults are the paper's (CLUE, III and IV)."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import List, Tuple, Union

from clue_ros.ambiguity.kinds import KINDS
from clue_ros.configuration import choice_problems, range_problems
from clue_ros.training.adapters import LoraSettings
from clue_ros.training.recipe_file import TrainingError, read_recipe
from clue_ros.training.settings import MeasuredSettings
from clue_ros.training.validation import KEEP
from clue_ros.training.variants import setting_problems

TASKS = ("dialogue", "detector", "joint", "answer")
PRECISIONS = ("bf16", "fp32")
STATES = ("all", "first")
LOSS_OVER = ("examples", "tokens")
LEARNS = ("all", "questions", "boxes")
# What may change between an interruption and the resumption: none of it touches the steps that were made.
FREE = (
    "steps",
    "keep_best",
    "wandb",
    "validate_every",
    "keep",
    "save_every",
    "workers",
    "per_device",
    "checkpointing",
    "feature_cache",
    "feature_cache_gb",
)


@dataclass(frozen=True)
class TaskSettings(MeasuredSettings):
    """What the tasks share.

    batch: examples of one optimiser step, over all processes and accumulation; per_device: examples of one pass in one
    process (batch / per_device / processes passes are accumulated); lr: of the adapter; clip: largest gradient norm;
    length: most text tokens of an example, longer ones are left out; precision: 'bf16' (weights and mixed-precision
    passes, adapter and optimiser in float32) or 'fp32'; checkpointing: layers are run again in the backward pass
    instead of kept; start_from: a folder of the base's adapters/ to go on from, empty for a new adapter; shuffle:
    records of the shuffle buffer; fractions: train, valid, test of data without splits of its own; train_split,
    valid_split, test_split: names in the data; validation: examples of it, 0 for none; save_every: steps; metric: empty
    for the task's own; keep: what is exported; workers: decoding threads; feature_cache: folder for vision features on
    disk, empty for none; feature_cache_gb: its limit.
    """

    steps: int = 3000
    per_device: int = 2
    lr: float = 1e-4
    schedule: str = "linear"
    warmup: int = 100
    clip: float = 1.0
    length: int = 256
    precision: str = "bf16"
    checkpointing: bool = True
    start_from: str = ""
    shuffle: int = 10000
    fractions: Tuple[float, ...] = (0.7, 0.15, 0.15)
    train_split: str = "train"
    valid_split: str = "valid"
    test_split: str = "test"
    validation: int = 512
    validate_every: int = 500
    save_every: int = 250
    metric: str = ""
    workers: int = 4
    feature_cache: str = ""
    feature_cache_gb: float = 50.0


@dataclass(frozen=True)
class DialogueTask(TaskSettings):
    """Adapter B: loss on the suffix of cumulatively revealed dialogues, LoRA on all layers. loss_over: 'examples' is
    the paper's L_IVG, the mean over each example's tokens and then over examples; 'tokens' counts every token of a step
    alike, so long questions weigh more. learns: 'all', or as InViG-Base's parts do 'questions' (the questioner) or
    'boxes' (the guesser, after the whole dialogue) only."""

    loss_over: str = "examples"
    learns: str = "all"


@dataclass(frozen=True)
class AnswerTask(DialogueTask):
    """The oracle: as adapter B, but it plays the person, with the target's box in the prefix and the answers as
    suffixes (InViG, IV-A). No robot needs it; `clue evaluate dialogue` and `interactive` do."""


@dataclass(frozen=True)
class DetectorTask(TaskSettings):
    """Adapter A and, with reading 'cnn', the CNN. reading, prefix, depth, finetune: the variant (training/variants.py);
    tap: the layer k, -1 for the base's own; lr: of adapter A, 0 holds it (`finetune: none` has none); cnn_lr: of the
    CNN; states: 'all' reads every state of a dialogue, 'first' the bare instruction only; pos_weight: how much an
    ambiguous example's loss counts beside a clear one's, 0: as often as there are clear ones for each (balanced)."""

    lr: float = 5e-6
    cnn_lr: float = 1e-4
    per_device: int = 8
    reading: str = "cnn"
    prefix: str = "detect"
    depth: str = "half"
    finetune: str = "last"
    tap: int = -1
    states: str = "all"
    pos_weight: float = 1.0


@dataclass(frozen=True)
class JointTask(TaskSettings):
    """One adapter that speaks, and the CNN on the map of layer `tap` of the same pass. ambiguity_weight: its loss's;
    loss_over: as for the dialogue; pos_weight: as for the detector."""

    cnn_lr: float = 1e-4
    ambiguity_weight: float = 0.5
    loss_over: str = "examples"
    tap: int = -1
    states: str = "all"
    pos_weight: float = 1.0


@dataclass(frozen=True)
class FinetuneConfig:
    dialogue: DialogueTask = field(default_factory=DialogueTask)
    detector: DetectorTask = field(default_factory=DetectorTask)
    joint: JointTask = field(default_factory=JointTask)
    answer: AnswerTask = field(default_factory=AnswerTask)
    lora: LoraSettings = field(default_factory=LoraSettings)

    def problems(self) -> List[str]:
        """What is wrong beyond the types, all of it."""
        found: List[str] = []
        for name in TASKS:
            found += setting_problems(getattr(self, name), name) + _task_problems(getattr(self, name), name)
        return found + range_problems(self.lora, "lora", ("r",), 1)


AnyTask = Union[DialogueTask, DetectorTask, JointTask]


def read_config(file: Path) -> FinetuneConfig:
    """Read a YAML recipe. Raises TrainingError listing every problem in it."""
    return read_recipe(FinetuneConfig, file)


def passes_a_step(settings: AnyTask, processes: int) -> int:
    """How many passes a process makes for one optimiser step. Raises TrainingError if the batch does not divide."""
    each = settings.per_device * processes
    if settings.batch % each:
        raise TrainingError(
            f"batch {settings.batch} cannot be shared out among {processes} processes with per_device "
            f"{settings.per_device}: choose a multiple of {each} as batch, or another per_device"
        )
    return settings.batch // each


def _task_problems(settings: TaskSettings, where: str) -> List[str]:
    choices = {"precision": PRECISIONS, "states": STATES, "loss_over": LOSS_OVER, "learns": LEARNS, "keep": KEEP}
    found = choice_problems(settings, where, choices)
    found += range_problems(settings, where, ("per_device", "validate_every", "save_every", "workers", "keep_best"), 1)
    kind = KINDS.get(settings.reading) if isinstance(settings, DetectorTask) else None
    cnn = kind is not None and kind.reads_map  # which learns alone with lr 0
    positive = ("cnn_lr", "clip", "feature_cache_gb") if cnn else ("lr", "cnn_lr", "clip", "feature_cache_gb")
    found += range_problems(settings, where, positive, 0, above=True)
    not_negative = ("lr", "validation", "shuffle", "warmup", "weight_decay", "ambiguity_weight", "pos_weight")
    found += range_problems(settings, where, not_negative, 0)
    if len(settings.fractions) != 3 or min(settings.fractions) < 0 or sum(settings.fractions) <= 0:
        found.append(f"'{where}.fractions' must be three numbers for train, valid and test, got {settings.fractions}")
    return found
