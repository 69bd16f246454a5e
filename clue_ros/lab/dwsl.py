"""`clue train dwsl`: discriminator-weighted training of the relevance map on labels of mixed quality, beside its
rivals.

    clue train dwsl --base clue_ros/models/tabletop --data data --output runs/dwsl

Instruction-Guided Visual Masking, Eqs. 1 to 3 and Fig. 11: few scenes have clean labels (D_e), many have labels of
which most are spoilt (D_o: shifted, grown, missing, of the wrong thing). A discriminator learns to tell the two sets
apart (Eq. 1); f(d) = min(max(0.1, d), 1) then weighs every label of both (Eq. 2). Compared with every label at weight
1, and with the clean few alone: the same head, steps and batches, measured on held-out scenes with clean labels.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from clue_ros.masks.head import RELEVANCE, Block, MaskHead, MaskQueries
from clue_ros.masks.loss import dense_ious, dense_losses
from clue_ros.simulation.mask_queries import MaskQuery, mask_queries
from clue_ros.training.base import Base
from clue_ros.training.loop import Run
from clue_ros.training.mask_stage import MaskBatch, MaskScenes, MaskSettings, MaskTrainer, new_head, soft_label
from clue_ros.training.optimizer import Optimizer
from clue_ros.training.settings import LoopSettings
from clue_ros.training.slot import Slot
from clue_ros.training.validation import evaluating

SPOILS = ("shifted", "grown", "missing", "wrong")
CLEAN = "clean"
ARMS = ("dwsl", "plain", "clean_few")
FLOOR = 0.1  # of f(d)


@dataclass(frozen=True)
class DwslSettings:
    """clean, mixed: scenes of D_e and D_o; spoilt: share of D_o's labels; steps, judge_steps: of each arm and of the
    discriminator; batch: images of a step; queries: labelled instructions of a scene, always the same ones."""

    clean: int = 40
    mixed: int = 800
    spoilt: float = 0.7
    steps: int = 150
    judge_steps: int = 100
    batch: int = 4
    queries: int = 4
    lr: float = 2e-3
    judge_lr: float = 1e-3
    held: int = 48
    seed: int = 0


class LabelJudge(nn.Module):
    """d(image, words, label) as a logit float32[Q]: two convolutions over the label map, cross-attention to the words,
    beside the features of the patches that it covers."""

    def __init__(self, vision_width: int, text_width: int, width: int = 64, heads: int = 4):
        super().__init__()
        self.label = nn.Sequential(
            nn.Conv2d(1, width // 2, 4, stride=4), nn.GELU(), nn.Conv2d(width // 2, width, 2, stride=2)
        )
        self.vision = nn.Linear(vision_width, width)
        self.states_norm, self.words = nn.LayerNorm(text_width), nn.Linear(text_width, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(2))
        self.verdict = nn.Sequential(nn.Linear(2 * width, width), nn.GELU(), nn.Linear(width, 1))

    def forward(self, vision: torch.Tensor, queries: MaskQueries, labels: torch.Tensor) -> torch.Tensor:
        """vision: float[B,N,D]; labels: float32[Q,8g,8g] in [0, 1]."""
        marks = self.label(labels[:, None]).flatten(2).transpose(1, 2)
        x = marks + self.vision(vision.float())[queries.image]
        words = self.words(self.states_norm(queries.states.float()))
        for block in self.blocks:
            x = block(x, words, queries.there)
        covered = F.adaptive_avg_pool2d(labels[:, None], round(x.shape[1] ** 0.5)).flatten(1)[..., None]
        inside = (x * covered).sum(1) / covered.sum(1).clamp_min(1)
        return self.verdict(torch.cat([x.mean(1), inside], 1))[:, 0]


def weight_of(probability: torch.Tensor) -> torch.Tensor:
    """f(d) = min(max(0.1, d), 1)."""
    return probability.clamp(FLOOR, 1.0)


def spoilt_label(kind: str, instances: np.ndarray, relevant: Sequence[int], rng: np.random.Generator) -> np.ndarray:
    """float32[s/2,s/2]: the label of some objects of uint8[s,s] (index + 1), made wrong in one way of SPOILS."""
    relevant = list(relevant)
    if kind == "missing":
        return soft_label(instances, relevant[1:] if len(relevant) > 1 else ())
    if kind == "wrong":
        others = [i for i in range(int(instances.max())) if i not in relevant]
        return soft_label(instances, [int(rng.choice(others))] if others else ())
    label = soft_label(instances, relevant)
    side = label.shape[0]
    if kind == "grown":
        reach = int(rng.integers(side // 16, side // 8 + 1))
        return cv2.dilate(label, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1)))
    down, across = (int(rng.integers(side // 12, side // 5)) * int(rng.choice((-1, 1))) for _ in range(2))
    return cv2.warpAffine(label, np.array([[1, 0, across], [0, 1, down]], np.float32), (side, side))


class Comparison:
    """The three arms and the discriminator, each a run folder in `folder`; interrupted, it goes on."""

    def __init__(
        self,
        base: Base,
        train: MaskScenes,
        held: MaskScenes,
        folder: Path,
        settings: DwslSettings = DwslSettings(),
        slot: Slot = Slot(),
    ):
        self._folder, self._settings, self._slot = Path(folder), settings, slot
        self._base, self._train, self._held = base, train, held
        self._maker = MaskTrainer(base, train, self._folder / "maker", MaskSettings(queries=settings.queries))
        self._clean = np.arange(min(settings.clean, len(train) // 2))
        self._mixed = np.arange(len(self._clean), min(len(train), settings.clean + settings.mixed))

    def run(self) -> Dict:
        """Train what is missing; returns and writes OUTPUT/dwsl.json. Raises SlotOver."""
        s = self._settings
        arms: Dict[str, MaskHead] = {}
        judge = self._judge()
        for arm in ARMS:
            arms[arm] = self._head(arm, judge)
        result = {"settings": asdict(s), "relevance_iou": {}, "loss": {}, "weights": self._weights(judge)}
        for arm, head in arms.items():
            result["relevance_iou"][arm], result["loss"][arm] = self._measured(head)
        (self._folder / "dwsl.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
        return result

    def batch(
        self, index: np.ndarray, spoilt: bool, scenes: Optional[MaskScenes] = None
    ) -> Tuple[MaskBatch, List[str]]:
        """The labelled queries of some scenes, the same each time, and how each label was spoilt. spoilt: as in D_o."""
        scenes, s = scenes or self._train, self._settings
        kinds: List[str] = []
        per_image: List[List[MaskQuery]] = []
        for i in index:
            drawn = mask_queries(
                scenes.features.objects[i],
                scenes.features.sizes[i],
                np.random.default_rng([s.seed, int(i), 5]),
                s.queries,
                self._maker.reader.known,
            )
            per_image.append([replace(q, box=None, target=None) for q in drawn])

        def spoil(scene: int, number: int, query: MaskQuery, instances: np.ndarray) -> Optional[np.ndarray]:
            rng = np.random.default_rng([s.seed, scene, *query.prefix.encode()])  # the same however it is drawn
            if not spoilt or not query.relevant or rng.random() >= s.spoilt:
                kinds.append(CLEAN)
                return None
            kinds.append(str(rng.choice(SPOILS)))
            return spoilt_label(kinds[-1], instances, query.relevant, rng)

        made = self._maker.assemble(scenes, index, per_image, np.random.default_rng(0), shake=False, spoil=spoil)
        return made, kinds

    def _judge(self) -> LabelJudge:
        """Eq. 1. Half of D_o's part are scenes of D_e with labels as D_o has them, so that no scene gives itself
        away.
        """
        s, config = self._settings, self._base.model.config
        torch.manual_seed(s.seed)
        judge = LabelJudge(config.vision_config.hidden_size, config.get_text_config().hidden_size)
        run = Run(
            self._folder / "judge",
            {"judge": judge},
            Optimizer(judge.named_parameters(), s.judge_lr, 0.05, "adamw"),
            {"stage": "judge", **asdict(s)},
            s.seed,
        )

        def loss_of(step: int, rng: np.random.Generator):
            own = rng.choice(self._clean, min(s.batch, len(self._clean)), replace=False)
            half = max(1, len(own) // 2)
            others = np.concatenate(
                [
                    rng.choice(self._clean, half, replace=False),
                    rng.choice(self._mixed, max(1, len(own) - half), replace=False),
                ]
            )
            expert, _ = self.batch(own, False)
            mixture, _ = self.batch(others, True)
            said = [self._judged(judge, b) for b in (expert, mixture)]
            loss = F.softplus(-said[0]).mean() + F.softplus(said[1]).mean()
            return loss, {
                name: float(logits.detach().sigmoid().mean()) for name, logits in zip(("expert", "mixture"), said)
            }

        run.train(LoopSettings(steps=s.judge_steps, warmup=10), loss_of, title="judge", slot=self._slot)
        return judge.eval()

    def _judged(self, judge: LabelJudge, batch: MaskBatch) -> torch.Tensor:
        return judge(batch.vision, batch.queries, batch.labels[:, RELEVANCE])

    def _head(self, arm: str, judge: LabelJudge) -> MaskHead:
        s = self._settings
        torch.manual_seed(s.seed)
        head = new_head(self._base, MaskSettings())
        run = Run(
            self._folder / arm,
            {"mask": head},
            Optimizer(head.named_parameters(), s.lr, 1e-2, "adamw"),
            {"stage": "mask", **asdict(s)},
            s.seed,
        )

        def loss_of(step: int, rng: np.random.Generator):
            few = arm == "clean_few"
            pool = self._clean if few else np.concatenate([self._clean, self._mixed])
            index = rng.choice(pool, min(s.batch, len(pool)), replace=False)
            losses, weights = [], []
            for spoilt in (False, True):
                part = index[index >= len(self._clean)] if spoilt else index[index < len(self._clean)]
                if not len(part):
                    continue
                batch, _ = self.batch(part, spoilt)
                taught = batch.weights[:, RELEVANCE]
                if arm == "dwsl":
                    with torch.no_grad():
                        taught = taught * weight_of(self._judged(judge, batch).sigmoid())
                logits = head(batch.vision, batch.pixels, batch.queries)[:, RELEVANCE]
                losses.append((dense_losses(logits, batch.labels[:, RELEVANCE]) * taught).sum())
                weights.append(float(batch.weights[:, RELEVANCE].sum()))
            return torch.stack(losses).sum() / max(1.0, sum(weights)), {}

        run.train(LoopSettings(steps=s.steps, warmup=10), loss_of, title=arm, slot=self._slot)
        return head.eval()

    @torch.no_grad()
    def _weights(self, judge: LabelJudge) -> Dict[str, Dict[str, float]]:
        """Mean d and f(d) of labels by how they were spoilt, on scenes of D_o (Fig. 11 b)."""
        found: Dict[str, List[float]] = {}
        for part in np.array_split(self._mixed[:32], min(8, len(self._mixed))):
            batch, kinds = self.batch(part, True)
            for kind, d in zip(kinds, self._judged(judge, batch).sigmoid().tolist()):
                found.setdefault(kind, []).append(d)
        return {
            k: {"d": float(np.mean(v)), "f": float(np.clip(v, FLOOR, 1).mean()), "count": len(v)}
            for k, v in sorted(found.items())
        }

    @torch.no_grad()
    def _measured(self, head: MaskHead) -> Tuple[float, float]:
        """(mean IoU, mean loss) of the relevance map on the held-out scenes, clean labels."""
        ious, losses = [], []
        with evaluating(head):
            for part in np.array_split(np.arange(len(self._held)), max(1, len(self._held) // 8)):
                batch, _ = self.batch(part, False, self._held)
                there = batch.weights[:, RELEVANCE] > 0
                logits = head(batch.vision, batch.pixels, batch.queries)[there, RELEVANCE]
                ious += dense_ious(logits, batch.labels[there, RELEVANCE]).tolist()
                losses += dense_losses(logits, batch.labels[there, RELEVANCE]).tolist()
        return float(np.mean(ious)), float(np.mean(losses))


def told(result: Dict) -> List[str]:
    """The comparison in lines."""
    lines = [
        f"{arm:>10}: relevance IoU {result['relevance_iou'][arm]:.3f}, loss {result['loss'][arm]:.3f}" for arm in ARMS
    ]
    return lines + [
        f"labels {kind}: mean d {v['d']:.2f}, weight {v['f']:.2f} ({v['count']})"
        for kind, v in result["weights"].items()
    ]
