"""The losses of the three tasks as one module, which Accelerate distributes.

dialogue   cross-entropy of the suffix and <eos>, adapter B on all layers
detector   binary cross-entropy of "ambiguous": of the CNN on the map of layer k, or of yes against no at its end
joint      both, from the same pass, through one adapter

Sums, not means: the trainer divides by what the whole step holds over all processes, so a batch means the same however
it is shared out. The CNN normalises over its batch, so in training it runs on the maps of all processes together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, NamedTuple, Optional, Tuple

import torch
import torch.nn.functional as F
from torch import nn

from clue_ros.ambiguity.detector import AmbiguityDetector
from clue_ros.finetune.batch import IGNORE, Batch
from clue_ros.finetune.passes import Passed, Route, closing_logits, run_batch, suffix_logits
from clue_ros.finetune.recipe import AnyTask, DetectorTask, DialogueTask
from clue_ros.training.adapters import LoraSettings, add_adapter, named_adapter_parameters
from clue_ros.training.variants import adapted_layers
from clue_ros.vlm.answers import answer_tokens
from clue_ros.vlm.settings import ClueSettings


class Losses(NamedTuple):
    """language: sum over this process's targets; ambiguity: sum over labelled rows, of all processes divided by their
    number where the CNN read all maps; correct: targets whose token was the likeliest; verdicts: float32[B], log-odds
    of "ambiguous" of this process's rows, nan where there is no label or no detector."""

    language: torch.Tensor
    ambiguity: torch.Tensor
    correct: torch.Tensor
    verdicts: torch.Tensor


@dataclass(frozen=True)
class Plan:
    """A task on a model of so many layers. folder: under adapters/; layers: that get LoRA; tap: the layer k."""

    folder: str
    layers: Tuple[int, ...]
    tap: Optional[int]
    stop: Optional[int]

    @classmethod
    def of(cls, settings: AnyTask, base: ClueSettings, count: int) -> "Plan":
        """base: the base's clue.json; count: decoder layers of the model."""
        if isinstance(settings, DialogueTask):
            return cls("dialogue", tuple(range(count)), None, None)
        tap = base.tap_layer if settings.tap < 0 else settings.tap
        if not isinstance(settings, DetectorTask):
            return cls("dialogue", tuple(range(count)), tap, None)
        half = settings.depth == "half"
        layers = adapted_layers(_Variant(settings.depth, settings.finetune, tap), count)
        # A map needs of layer k its queries and keys only; an answer comes after layer k, or after all.
        stop = tap if settings.reading == "cnn" else tap + 1 if half else None
        return cls("detector", tuple(layers), tap if settings.reading == "cnn" else None, stop)


class _Variant(NamedTuple):
    depth: str
    finetune: str
    tap: int


class Objective(nn.Module):
    """A frozen model with one new adapter, and the CNN where the task has one.

    named: the adapter's weights that a loss reaches. Through a map these are all of the layers below k, and of layer k
    q_proj and k_proj; its v, o, gate, up and down stay at their start and are frozen here, which spares their memory
    and tells DistributedDataParallel not to wait for them.
    """

    def __init__(self, model, tokenizer, base: ClueSettings, settings: AnyTask, lora: LoraSettings):
        super().__init__()
        self.model, self.settings = model, settings
        self.plan = Plan.of(settings, base, model.config.get_text_config().num_hidden_layers)
        add_adapter(model, self.plan.folder, self.plan.layers, lora)
        model.set_adapter(self.plan.folder)
        reads_map = self.plan.tap is not None
        self.detector = AmbiguityDetector(base.detector_channels) if reads_map else None
        self._answers = answer_tokens(tokenizer) if isinstance(settings, DetectorTask) and not reads_map else None
        first = min(self.plan.layers) if settings.checkpointing else None
        self._route = Route(base.prefix_attention == "image_blind", self.plan.stop, self.plan.tap, first)
        self.named = self._reached()
        self.processes, self.gather = 1, None

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
            language = F.cross_entropy(logits, targets, reduction="sum")
            correct = (logits.argmax(-1) == targets).sum().float()
        ambiguity, verdicts = self._ambiguity(passed, batch, zero)
        return Losses(language, ambiguity, correct, verdicts)

    def _ambiguity(self, passed: Passed, batch: Batch, zero: torch.Tensor) -> Tuple[torch.Tensor, torch.Tensor]:
        known = batch.labels >= 0
        verdicts = torch.full_like(batch.labels, float("nan"))
        if self._answers is not None:
            said = closing_logits(self.model, passed.text, batch, self.plan.stop is None)
            odds = said[:, self._answers[0]] - said[:, self._answers[1]]
            # With two tokens cross-entropy is the binary one on the difference of their logits.
            loss = F.binary_cross_entropy_with_logits(odds[known], batch.labels[known], reduction="sum")
            return loss, torch.where(known, odds.detach(), verdicts)
        if self.detector is None:
            return zero, verdicts
        maps, labels, own = passed.maps, batch.labels, slice(0, len(batch.labels))
        if self.training and self.gather is not None:
            maps, labels, own = self._of_all(maps, labels)
        counts = labels >= 0
        if not counts.any():
            # Nobody knows a label: the CNN is named in the graph all the same, or its gradients would be waited for.
            return maps.sum() * 0 + sum(p.sum() for p in self.detector.parameters()) * 0, verdicts
        if self.training:
            torch.manual_seed(batch.noise[1])
        with torch.autocast(maps.device.type, enabled=False):
            odds = self.detector(maps[counts])
            loss = F.binary_cross_entropy_with_logits(odds, labels[counts], reduction="sum") / self.processes_heard
        every = torch.full_like(labels, float("nan")).masked_scatter(counts, odds.detach())
        return loss, every[own]

    @property
    def processes_heard(self) -> int:
        """How many processes compute the same CNN loss."""
        return self.processes if self.training else 1

    def _of_all(self, maps: torch.Tensor, labels: torch.Tensor) -> Tuple[torch.Tensor, torch.Tensor, slice]:
        """Maps and labels of all processes in their order, this one's with its graph.

        Every process computes the loss of all maps and takes the gradient of its own; the mean over processes that
        DistributedDataParallel forms is right for the CNN, where all are equal, and for the adapter with this factor.
        """
        rank, others = self.gather(maps.detach(), labels)
        here = slice(rank * len(maps), (rank + 1) * len(maps))
        processes = self.processes
        if maps.requires_grad:
            maps.register_hook(lambda gradient: gradient * processes)
        every, known = others
        return torch.cat([every[: here.start], maps, every[here.stop :]]), known, here
