"""`clue train mask`: the mask head on a finished, frozen model.

    clue train mask --base clue_ros/models/tabletop --data data --output runs/masks

What the head reads is made by the base itself: the tower's features (computed once, or those that the language run in
OUTPUT left), hidden states and attention map at the tap under the dialogue adapter. Labels are the scenes' instance
masks (DATA/masks). Both channels learn from every query that says something about them, by BCE + Dice.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Callable, Dict, List, Optional, Sequence, Tuple, cast

import cv2
import numpy as np
import torch

from clue_ros.geometry import to_square
from clue_ros.masks.head import FINE, RELEVANCE, MaskHead, MaskQueries
from clue_ros.masks.loss import dense_ious, dense_losses
from clue_ros.simulation.dataset import read_scenes
from clue_ros.simulation.mask_queries import MaskQuery, mask_queries
from clue_ros.simulation.scene_data import SceneData, augment, plain
from clue_ros.training.base import Base
from clue_ros.training.device import Device, moved
from clue_ros.training.features import FeatureData, mirrored_ones
from clue_ros.training.full_reader import FullReader, merge_dialogue
from clue_ros.training.loop import Run
from clue_ros.training.optimizer import Optimizer
from clue_ros.training.packed import closing_maps, image_positions
from clue_ros.training.packing import Packer
from clue_ros.training.parallel import world
from clue_ros.training.settings import MeasuredSettings
from clue_ros.training.slot import Slot
from clue_ros.training.validation import chosen_scenes, evaluating, mean_of_batches
from clue_ros.vlm.decoder import image_keys, run_layers, text_queries

Spoil = Callable[[int, int, MaskQuery, np.ndarray], Optional[np.ndarray]]


@dataclass(frozen=True)
class MaskSettings(MeasuredSettings):
    """batch: images of a step; queries: about each; length: packed tokens; scenes: how many the head learns from, 0 for
    all whose features are there; width, blocks: of the head."""

    steps: int = 400
    batch: int = 8
    queries: int = 4
    length: int = 160
    lr: float = 2e-3
    weight_decay: float = 1e-2
    warmup: int = 20
    scenes: int = 3000
    width: int = 96
    blocks: int = 2
    validate_every: int = 150
    validation: int = 32
    keep: str = "last"


@dataclass
class MaskBatch:
    """vision: float[B,N,D]; pixels: float[B,3,S,S]; labels: float32[Q,2,F,F], weights: float32[Q,2], 0 where a channel
    is not taught; kinds: of the queries."""

    vision: torch.Tensor
    pixels: torch.Tensor
    queries: MaskQueries
    labels: torch.Tensor
    weights: torch.Tensor
    kinds: List[str]


class MaskScenes:
    """Scenes with features, images and instance masks, mirrored alike. folder: of the data set."""

    def __init__(self, folder: Path, data: SceneData, features: FeatureData, flips: Optional[np.ndarray] = None):
        self._folder, self.images, self.features = Path(folder) / "masks", data.images, features
        self.flips = np.zeros(len(features), bool) if flips is None else flips
        self._names = [line["id"] for line, _ in zip(read_scenes(folder), range(len(features)))]

    @classmethod
    def of_training(cls, folder: Path, data: SceneData, features: FeatureData, seed: int) -> "MaskScenes":
        return cls(folder, data, features, mirrored_ones(len(features), seed))

    def __len__(self) -> int:
        return len(self.features)

    def instances(self, index: int, side: int) -> np.ndarray:
        """uint8[side,side]: object index + 1, 0 for the background. Raises FileNotFoundError."""
        file = self._folder / f"{self._names[index]}.png"
        mask = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)
        if mask is None:
            raise FileNotFoundError(f"{file} is missing or broken: render the scenes again with clue scenes")
        mask = cv2.resize(mask, (side, side), interpolation=cv2.INTER_NEAREST)
        return mask[:, ::-1] if self.flips[index] else mask


class BaseReader:
    """What a frozen base says about packed queries: its decoder under the dialogue adapter, up to the tap."""

    def __init__(self, base: Base, device: Device = Device()):
        self.model, self.tap = base.model, base.settings.tap_layer
        merge_dialogue(base)
        self.model.to(device.name).eval()
        self.packer = Packer(base.tokenizer, (base.side // base.patch) ** 2)
        self.known = frozenset(base.tokenizer.get_vocab()) if base.settings.closed_vocabulary else None
        self._device = device.name
        sees = base.settings.pattern.image_sees_words or base.settings.pattern.words_see_ahead
        self._full = FullReader(base, device.name) if sees else None

    @torch.no_grad()
    def read(
        self, vision: torch.Tensor, per_image: Sequence[Sequence[MaskQuery]], length: int
    ) -> Tuple[MaskQueries, List[MaskQuery], List[int]]:
        """(queries as the head takes them, those that found room in the pack, the image of each)."""
        if self._full is not None:
            return self._full.read(vision, per_image, length)
        grid = round(vision.shape[1] ** 0.5)
        pack = moved(self.packer.pack(per_image, np.zeros((len(per_image), grid, grid), np.int8), length), self._device)
        language = self.model.model.language_model
        embedded = self.model.model.multi_modal_projector(vision)
        positions = image_positions(embedded)
        image = run_layers(language, embedded, positions, stop=self.tap)
        text = run_layers(
            language, language.embed_tokens(pack.ids), pack.positions, past=image.cache, mask=pack.mask, stop=self.tap
        )
        keys = image_keys(language, self.tap, image.hidden, positions)
        maps = closing_maps(
            language, self.tap, text_queries(language, self.tap, text.hidden, pack.positions), keys, pack
        )
        where, last = pack.closing.unbind(1)
        tokens = pack.positions[where, last] - vision.shape[1]  # positions count from 1 behind the image
        ahead = torch.arange(int(tokens.max()), device=last.device)
        rows = (last[:, None] - tokens[:, None] + 1 + ahead).clamp_max(text.hidden.shape[1] - 1)
        there = ahead < tokens[:, None]
        used = cast(List[MaskQuery], pack.queries)
        boxes = torch.tensor([q.box or (float("nan"),) * 4 for q in used], device=last.device)
        read = MaskQueries(text.hidden[where[:, None], rows], there, maps, boxes.float(), where)
        return read, used, where.tolist()


class MaskTrainer:
    """The head alone is trained. train, held: scenes; held may be None."""

    def __init__(
        self,
        base: Base,
        train: MaskScenes,
        folder: Path,
        settings: MaskSettings = MaskSettings(),
        held: Optional[MaskScenes] = None,
        device: Device = Device(),
    ):
        torch.manual_seed(settings.seed)
        self.settings, self.scenes, self._held, self._device = settings, train, held, device.name
        self.head = new_head(base, settings).to(device.name)
        self._side = base.model.config.vision_config.image_size  # of the squares that serving gives the head
        self.reader = BaseReader(base, device)
        optimizer = Optimizer(self.head.named_parameters(), settings.lr, settings.weight_decay, settings.optimizer)
        self.run = Run(folder, {"mask": self.head}, optimizer, {"stage": "mask", **asdict(settings)}, settings.seed)

    def train(self, slot: Slot = Slot()) -> Run:
        """Raises SlotOver."""
        self.head.train()
        watch = None if self._held is None else partial(self.measure, self._held)
        self.run.train(self.settings, self._loss, title="mask", measure=watch, slot=slot)
        self.head.eval()
        return self.run

    def measure(self, held: MaskScenes) -> Dict[str, float]:
        """Loss and mean IoU at the head's own resolution on held-out scenes."""
        chosen = chosen_scenes(len(held), self.settings.validation)

        def one(index: np.ndarray, rng: np.random.Generator) -> Dict[str, float]:
            loss, readings = self.judge(self.batch(held, chosen[index], rng, shake=False))
            return {**readings, "loss": float(loss)}

        with evaluating(self.head):
            return mean_of_batches(len(chosen), self.settings.batch, one)

    def _loss(self, step: int, rng: np.random.Generator):
        count = min(max(1, self.settings.batch // world()), len(self.scenes))
        index = np.sort(rng.choice(len(self.scenes), count, replace=False))
        return self.judge(self.batch(self.scenes, index, rng))

    def judge(self, batch: MaskBatch) -> Tuple[torch.Tensor, Dict[str, float]]:
        logits = self.head(batch.vision, batch.pixels, batch.queries)
        losses = dense_losses(logits, batch.labels)
        with torch.no_grad():
            ious = dense_ious(logits, batch.labels)
        readings = {
            name: float(ious[:, c][batch.weights[:, c] > 0].mean())
            for c, name in enumerate(("target_iou", "relevance_iou"))
        }
        return (losses * batch.weights).sum() / batch.weights.sum().clamp_min(1), readings

    def batch(self, scenes: MaskScenes, index: np.ndarray, rng: np.random.Generator, shake: bool = True) -> MaskBatch:
        """The queries of some scenes with their labels. shake: exposure and tint of the image are drawn anew."""
        objects, sizes = scenes.features.objects, scenes.features.sizes
        per_image = [mask_queries(objects[i], sizes[i], rng, self.settings.queries, self.reader.known) for i in index]
        return self.assemble(scenes, index, per_image, rng, shake)

    def assemble(
        self,
        scenes: MaskScenes,
        index: np.ndarray,
        per_image: Sequence[Sequence[MaskQuery]],
        rng: np.random.Generator,
        shake: bool = True,
        spoil: Optional[Spoil] = None,
    ) -> MaskBatch:
        """A batch of given queries. spoil: another relevance label, of (scene, number of the query in the batch, query,
        instances); None of it for the true one."""
        vision = scenes.features.rows(index)
        queries, used, where = self.reader.read(vision, per_image, self.settings.length)
        flips = scenes.flips[index]
        images = np.stack([to_square(image, self._side) for image in np.asarray(scenes.images[index])])
        pixels = (
            augment(images, flips, rng)
            if shake
            else plain(np.where(flips[:, None, None, None], images[:, :, ::-1], images))
        )
        labels, weights = self._labels(scenes, index, used, where, round(vision.shape[1] ** 0.5), spoil)
        return moved(
            MaskBatch(vision, torch.from_numpy(pixels), queries, labels, weights, [q.kind for q in used]), self._device
        )

    def _labels(
        self,
        scenes: MaskScenes,
        index: np.ndarray,
        used: Sequence[MaskQuery],
        where: Sequence[int],
        grid: int,
        spoil: Optional[Spoil],
    ) -> Tuple[torch.Tensor, torch.Tensor]:
        side = FINE * grid
        instances = {b: scenes.instances(int(index[b]), 2 * side) for b in set(where)}
        labels, weights = np.zeros((len(used), 2, side, side), np.float32), np.zeros((len(used), 2), np.float32)
        for n, (query, b) in enumerate(zip(used, where)):
            for channel, things in enumerate((query.target, query.relevant)):
                if things is not None:
                    weights[n, channel] = 1
                    labels[n, channel] = soft_label(instances[b], things)
            other = spoil(int(index[b]), n, query, instances[b]) if spoil is not None else None
            if other is not None:
                labels[n, RELEVANCE] = other
        return torch.from_numpy(labels), torch.from_numpy(weights)


def soft_label(instances: np.ndarray, things: Sequence[int]) -> np.ndarray:
    """float32[s/2,s/2] in [0, 1]: the share of each cell that belongs to some objects of uint8[s,s]."""
    mine = np.isin(instances, [i + 1 for i in things]).astype(np.float32)
    return mine.reshape(len(mine) // 2, 2, -1, 2).mean((1, 3))


def new_head(base: Base, settings: MaskSettings) -> MaskHead:
    config = base.model.config
    return MaskHead(
        config.vision_config.hidden_size, config.get_text_config().hidden_size, settings.width, settings.blocks
    )
