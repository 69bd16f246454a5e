"""The losses of the tasks as one module, which Accelerate distributes.

dialogue   cross-entropy of the suffix and <eos>, adapter B on all layers
answer     the same, of the oracle's adapter
detector   binary cross-entropy of "ambiguous": of the CNN on the map of layer k, or of yes against no at its end
joint      both, from the same pass, through one adapter

Sums, not means: the trainer divides by what the whole step holds over all processes, so a batch means the same however
it is shared out. The CNN normalises over its batch, so in training it runs on the maps of all processes together.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Callable, List, NamedTuple, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import nn

from clue_ros.ambiguity.head import Head
from clue_ros.ambiguity.kinds import JOINT, KINDS
from clue_ros.ambiguity.reading import DIALOGUE, DetectorKind
from clue_ros.finetune.batch import IGNORE, Batch
from clue_ros.finetune.passes import Passed, Route, closing_logits, run_batch, suffix_logits
from clue_ros.finetune.recipe import AnswerTask, AnyTask, DetectorTask, DialogueTask
from clue_ros.prompt import ANSWER
from clue_ros.training.adapters import LoraSettings, add_adapter, named_adapter_parameters
from clue_ros.training.variants import adapted_layers
from clue_ros.vlm.settings import ClueSettings

# (this process's number, the tensors of all processes one after another)
Gather = Callable[..., Tuple[int, Sequence[torch.Tensor]]]


class Losses(NamedTuple):
    """language: sum over this process's rows of the mean over a row's targets, or over its targets; ambiguity: sum over
    labelled rows, of all processes divided by their number where the CNN read all maps; correct: targets whose
    token was the likeliest; verdicts: float32[B], log-odds of "ambiguous" of this process's rows, nan where there is no
    label or no detector."""

    language: torch.Tensor
    ambiguity: torch.Tensor
    correct: torch.Tensor
    verdicts: torch.Tensor


@dataclass(frozen=True)
class Plan:
    """A task on a model of so many layers. kind: of detector, None without one; folder: under adapters/; layers: that
    get LoRA; tap: the layer k whose map is read, None for no map; stop: layers that run, None for all."""

    kind: Optional[DetectorKind]
    folder: str
    layers: Tuple[int, ...]
    tap: Optional[int]
    stop: Optional[int]

    @classmethod
    def of(cls, settings: AnyTask, base: ClueSettings, count: int) -> "Plan":
        """base: the base's clue.json; count: decoder layers of the model."""
        if isinstance(settings, DialogueTask):
            folder = ANSWER if isinstance(settings, AnswerTask) else DIALOGUE
            return cls(None, folder, tuple(range(count)), None, None)
        tap = base.tap_layer if settings.tap < 0 else settings.tap
        if not isinstance(settings, DetectorTask):
            return cls(JOINT, JOINT.folder, tuple(range(count)), tap, None)
        kind, layers = KINDS[settings.reading], adapted_layers(replace(settings, tap=tap), count)
        return cls(kind, kind.folder, tuple(layers), tap if kind.reads_map else None, kind.stop(settings.depth, tap))


class Objective(nn.Module):
    """A frozen model with one new adapter (`finetune: none`: without), and the detector's head where the task has one.

    named: the adapter's weights that a loss reaches. Through a map these are all of the layers below k, and of layer k
    q_proj and k_proj; its v, o, gate, up and down stay at their start and are frozen here, which spares their memory
    and tells DistributedDataParallel not to wait for them.
    """

    def __init__(self, model, tokenizer, base: ClueSettings, settings: AnyTask, lora: LoraSettings):
        super().__init__()
        self.model, self.settings = model, settings
        self.plan = Plan.of(settings, base, model.config.get_text_config().num_hidden_layers)
        add_adapter(model, self.plan.folder, self.plan.layers, lora)
        if self.plan.layers:
            model.set_adapter(self.plan.folder)
        kind = self.plan.kind
        self.head: Optional[Head] = None if kind is None else kind.new_head(tokenizer, base.detector_channels)
        first = min(self.plan.layers, default=None) if settings.checkpointing else None
        self._route = Route(base.pattern, self.plan.stop, self.plan.tap, first)
        self.named = self._reached()
        self.processes = 1
        self.gather: Optional[Gather] = None  # set where there are several

    def _reached(self) -> List[Tuple[str, nn.Parameter]]:
        found, dead = [], self.plan.stop if self.plan.stop == self.plan.tap else None
        for name, parameter in named_adapter_parameters(self.model, self.plan.folder):
            parameter.data = parameter.data.float()
            last = dead is not None and f".layers.{dead}." in name
            reached = not last or ".q_proj." in name or ".k_proj." in name
            parameter.requires_grad_(reached)
            if reached:
                found.append((name, parameter))
        return found

    def train(self, mode: bool = True) -> "Objective":
        super().train(mode)
        for part in (self.model.model.vision_tower, self.model.model.multi_modal_projector):
            part.eval()
        return self

    def forward(self, features: torch.Tensor, batch: Batch) -> Losses:
        """features: float[B,N,W] of every row. Dropout draws from `batch.noise` in training."""
        if self.training:
            torch.manual_seed(batch.noise[0])
        passed = run_batch(self.model.model.language_model, features, batch, self._route)
        zero = passed.text.new_zeros((), dtype=torch.float32)
        language, correct = zero, zero
        if not isinstance(self.settings, DetectorTask):
            logits, targets = suffix_logits(self.model, passed.text, batch), batch.targets[batch.targets != IGNORE]
            each = F.cross_entropy(logits, targets, reduction="none")
            language = (each / self._lengths(batch)).sum()
            correct = (logits.argmax(-1) == targets).sum().float()
        ambiguity, verdicts = self._ambiguity(passed, batch, zero)
        return Losses(language, ambiguity, correct, verdicts)

    def next_logits(self, features: torch.Tensor, batch: Batch) -> torch.Tensor:
        """float32[targets,V]: what the text rows that have a target would say next."""
        passed = run_batch(self.model.model.language_model, features, batch, replace(self._route, tap=None))
        return suffix_logits(self.model, passed.text, batch)

    def words(self, batch: Batch) -> int:
        """What the sum `language` of a batch is divided by for its mean."""
        return batch.tokens if self._every_token else batch.speaking

    @property
    def _every_token(self) -> bool:
        return isinstance(self.settings, DetectorTask) or self.settings.loss_over == "tokens"

    def _lengths(self, batch: Batch) -> torch.Tensor:
        """float32[targets]: how many targets the row of each one has, or 1 where every token counts alike."""
        there = batch.targets != IGNORE
        counts = there.sum(1, keepdim=True).expand_as(there)[there].float()
        return torch.ones_like(counts) if self._every_token else counts

    def _ambiguity(self, passed: Passed, batch: Batch, zero: torch.Tensor) -> Tuple[torch.Tensor, torch.Tensor]:
        known = batch.labels >= 0
        verdicts = torch.full_like(batch.labels, float("nan"))
        if self.head is None:
            return zero, verdicts
        if passed.maps is None:
            odds = self.head(closing_logits(self.model, passed.text, batch, self.plan.stop is None))
            loss = self._verdict_loss(odds[known], batch.labels[known])
            return loss, torch.where(known, odds.detach(), verdicts)
        maps, labels, own = passed.maps, batch.labels, slice(0, len(batch.labels))
        if self.training and self.gather is not None:
            maps, labels, own = self._of_all(self.gather, maps, labels)
        counts = labels >= 0
        if not counts.any():
            # Nobody knows a label: the CNN is named in the graph all the same, or its gradients would be waited for.
            return maps.sum() * 0 + sum(p.sum() for p in self.head.parameters()) * 0, verdicts
        if self.training:
            torch.manual_seed(batch.noise[1])
        with torch.autocast(maps.device.type, enabled=False):
            odds = self.head(maps[counts])
            loss = self._verdict_loss(odds, labels[counts]) / self.processes_heard
        every = torch.full_like(labels, float("nan")).masked_scatter(counts, odds.detach())
        return loss, every[own]

    def _verdict_loss(self, odds: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        weight = odds.new_tensor(getattr(self.settings, "pos_weight", 1.0)) if self.training else None
        return F.binary_cross_entropy_with_logits(odds, labels, pos_weight=weight, reduction="sum")

    @property
    def processes_heard(self) -> int:
        """How many processes compute the same CNN loss."""
        return self.processes if self.training else 1

    def _of_all(
        self, gather: Gather, maps: torch.Tensor, labels: torch.Tensor
    ) -> Tuple[torch.Tensor, torch.Tensor, slice]:
        """Maps and labels of all processes in their order, this one's with its graph.

        Every process computes the loss of all maps and takes the gradient of its own; the mean over processes that
        DistributedDataParallel forms is right for the CNN, where all are equal, and for the adapter with this factor.
        """
        rank, others = gather(maps.detach(), labels)
        here = slice(rank * len(maps), (rank + 1) * len(maps))
        processes = self.processes
        if maps.requires_grad:
            maps.register_hook(lambda gradient: gradient * processes)
        every, known = others
        return torch.cat([every[: here.start], maps, every[here.stop :]]), known, here
