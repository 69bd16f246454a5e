"""One model on one device as the bench sees it: our path, the plain path, and the counted cost of each step."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Dict, FrozenSet, List, Optional, Sequence

import numpy as np

from clue_ros.ambiguity.detector import AmbiguityDetector
from clue_ros.ambiguity.head import Head
from clue_ros.ambiguity.kinds import is_stock, kind_of
from clue_ros.ambiguity.readers import AmbiguityReader
from clue_ros.eyes.cost import weights_of, work_of
from clue_ros.eyes.sight import Sight
from clue_ros.eyes.tower import SightTower
from clue_ros.grounder import Grounder
from clue_ros.lab.bench import floor, paligemma2_3b
from clue_ros.lab.bench.order import THREE_B, Order
from clue_ros.lab.bench.plain import PlainPath
from clue_ros.lab.bench.random_adapters import put_beside, random_adapters
from clue_ros.lab.bench.scene import Show, noise, rendered
from clue_ros.prompt import CLARIFY, build_prefix, check_expression
from clue_ros.types import Decision, Turn
from clue_ros.vlm.adapters import Adapter
from clue_ros.vlm.decoding import Branch
from clue_ros.vlm.loading import load_directory
from clue_ros.vlm.memory import memory_guard
from clue_ros.vlm.paligemma import PaliGemmaBackbone
from clue_ros.vlm.passes import EncodedImage
from clue_ros.vlm.settings import ClueSettings

QUESTION_TOKENS = 12  # of a question that random weights "ask", as many as a real one has
EXAMPLE_PREFIX = 24  # tokens of a prefix for the estimate of the memory; the exact number hardly matters


class Subject:
    """A loaded model. Every way of using it shares the same weights; `plain` too, unless ours are quantised."""

    def __init__(self, order: Order, backbone: PaliGemmaBackbone, head: Head, show: Show):
        self.order, self.backbone, self.show = order, backbone, show
        self.config = backbone.model.config
        self._head = head
        self._plain: Optional[PlainPath] = None
        self._looks: Optional[Dict[Any, EncodedImage]] = None
        self._ways: Dict[ClueSettings, "Way"] = {}

    @classmethod
    def load(cls, order: Order, show: Optional[Show] = None) -> "Subject":
        """show: None for rendered scenes, or noise for random weights. A download that nobody trained has a random
        detector, for the times. Raises ModelLoadError, OutOfMemoryError."""
        if order.model == THREE_B:
            return cls._random(order)
        backbone = PaliGemmaBackbone.from_pretrained(
            order.folder, order.device, order.precision.storage, quantization=order.quantization, glances=order.glances
        )
        settings = backbone.settings
        if is_stock(order.folder):
            head: Head = AmbiguityDetector().eval().to(order.device)
        else:
            head = kind_of(settings).load_head(order.folder, settings, backbone.tokenizer, order.device)
        return cls(order, backbone, head, show or rendered())

    @classmethod
    def _random(cls, order: Order) -> "Subject":
        show, settings, config = noise(), ClueSettings(), order.configuration()
        with memory_guard("building the 3B architecture"):
            adapters = {
                name: _moved(factors, order.device)
                for name, factors in random_adapters(config, settings.tap_layer).items()
            }
            model = paligemma2_3b.build(config, order.precision.storage, order.device)
            backbone = PaliGemmaBackbone(
                model,
                paligemma2_3b.build_tokenizer(show.words),
                settings,
                adapters,
                precision=order.precision,
                quantization=order.quantization,
            )
        backbone.vocabulary = replace(backbone.vocabulary, question_limit=QUESTION_TOKENS)
        return cls(order, backbone, AmbiguityDetector().eval().to(order.device), show)

    @property
    def plain(self) -> PlainPath:
        """Made when it is first asked for, so that it weighs nothing before."""
        if self._plain is None:
            model, names = self._plain_model(), self.backbone.adapters
            if self.order.model == THREE_B:
                put_beside(model, random_adapters(self.config, self.backbone.settings.tap_layer))
            else:
                load_peft(model, self.order.folder, names)
            self._plain = PlainPath(
                model,
                self.backbone.tokenizer,
                self.backbone.settings,
                names,
                self.backbone.precision,
                self.order.all_logits,
            )
        return self._plain

    def _plain_model(self):
        if self.order.quantization == "none":
            return self.backbone.model
        if self.order.model == THREE_B:
            return paligemma2_3b.build(self.order.configuration(), self.order.precision.storage, self.order.device)
        return load_directory(self.order.folder, self.order.device, self.order.precision).model

    @property
    def sight(self) -> Optional[Sight]:
        """The eyes of a model that has some."""
        tower = self.backbone.model.model.vision_tower
        return tower.sight if isinstance(tower, SightTower) else None

    @property
    def weight_bytes(self) -> int:
        """Adapters apart; of frozen eyes in the precision in which they run."""
        frozen = self.sight.eyes.weight_bytes if self.sight else 0
        return frozen + sum(p.numel() * p.element_size() for p in self.backbone.model.parameters())

    @cached_property
    def see_floor(self) -> floor.Phases:
        """Pixels to projected features."""
        sight = self.sight
        if sight is None:
            return floor.see(self.config)
        return floor.see(self.config, work_of(replace(sight.shape, glances=sight.glances), sight.eyes.shape))

    def keep_looks(self) -> None:
        """Look at a picture once for all rows that want it seen beforehand, where a look takes a minute. What is kept
        of it does not depend on words, so later rows gain nothing by earlier ones."""
        self._looks = {}

    def looked(self, way: "Way", rgb: np.ndarray) -> EncodedImage:
        """A picture with everything done that can be done before anybody speaks."""
        if self._looks is None:
            return way.look(rgb)
        key = (way.settings, id(rgb))
        if key not in self._looks:
            self._looks[key] = way.look(rgb)
        return self._looks[key]

    def way(self, **changes: Any) -> "Way":
        """The model under other settings, for example another prefix_attention. Answers may then be nonsense; the
        work is that of a checkpoint trained so."""
        settings = replace(self.backbone.settings, **changes)
        # The plain path takes a map on a pass of its own.
        settings = replace(settings, detector_adapter=kind_of(settings).adapter(settings))
        if settings not in self._ways:
            self._ways[settings] = Way(self, self.backbone.with_settings(settings), self._head)
        return self._ways[settings]


class Way:
    """One way of using a Subject: the steps that are timed, and what they must cost."""

    def __init__(self, subject: Subject, backbone: PaliGemmaBackbone, head: Head):
        self.subject, self.backbone, self.show = subject, backbone, subject.show
        self.settings = backbone.settings
        self._reader = AmbiguityReader(backbone, head)
        self.kind = self._reader.kind
        self._grounder = Grounder(backbone, self._reader)
        self.said: List[int] = []  # tokens of each sequence generated
        self._count_tokens()

    @property
    def plain(self) -> PlainPath:
        return self.subject.plain.with_settings(self.settings)

    def encode(self, rgb: np.ndarray) -> EncodedImage:
        return self.backbone.encode(rgb)

    def look(self, rgb: np.ndarray) -> EncodedImage:
        """All that can be done before anybody speaks."""
        return self._grounder.look(rgb)

    def detection(self, image, words: str) -> float:
        """The detector alone, from a picture or an encoded one: P(ambiguous) by its reading."""
        encoded = image if isinstance(image, EncodedImage) else self.encode(image)
        return self._reader.read(encoded, lambda task: self.prefix(task, words), None).probability

    def decision(self, image, words: str) -> float:
        """Ask or answer? P(ambiguous) as the gate gives it."""
        return self._grounder.detect_ambiguity(image, words).probability

    def box(self, image, words: str, turns: Sequence[Turn] = ()) -> Decision:
        return self._grounder.ground(image, words, turns, may_ask=False)

    def question(self, image, words: str) -> Decision:
        return self._grounder.ground(image, words, threshold=0.0)

    @property
    def blind(self) -> bool:
        return self.settings.pattern.reusable

    @property
    def detect_task(self) -> str:
        return self.kind.word(self.settings)

    def prefix(self, task: str, words: str, turns: Sequence[Turn] = ()) -> str:
        """The prefix as the Grounder makes it; pictures of the show are SIZE pixels."""
        height, width = self.show.clear_image.shape[:2]
        return build_prefix(task, self.backbone.without_unknown(check_expression(words)), turns, (width, height))

    def length(self, prefix: str) -> int:
        return self.backbone.tokens.prefix(prefix).ids.shape[1]

    def detection_floor(self, words: str, turns: Sequence[Turn] = (), seen: bool = False) -> floor.Phases:
        """Features to map (or to yes and no)."""
        ids, rows = self.backbone.tokens.prefix(self.prefix(self.detect_task, words, turns))
        return floor.detection(
            self.subject.config,
            self.settings.tap_layer,
            ids.shape[1],
            tapped_rows=int(rows.sum()),
            image_blind=self.blind,
            seen=seen,
        )

    def speech_floor(
        self, words: str, tokens: int, turns: Sequence[Turn] = (), seen: bool = False, outputs: int = 0
    ) -> floor.Phases:
        """Features to the last of `tokens` tokens."""
        text = self.length(self.prefix(CLARIFY, words, turns))
        return floor.prefill(self.subject.config, text, image_blind=self.blind, seen=seen) + floor.decode(
            self.subject.config, text, tokens, outputs
        )

    def decision_floor(self, words: str, seen: bool = False) -> floor.Phases:
        if self.kind.one_pass:
            return self.speech_floor(words, 1, seen=seen)
        phases = self.detection_floor(words, seen=seen)
        return phases + self.speech_floor(words, 1, seen=seen) if any(self.settings.gate[1:2]) else phases

    def outcome_floor(
        self, words: str, tokens: int, turns: Sequence[Turn] = (), seen: bool = False, outputs: int = 0
    ) -> floor.Phases:
        """Detector and speech."""
        speech = self.speech_floor(words, tokens, turns, seen, outputs)
        return speech if self.kind.one_pass else self.detection_floor(words, turns, seen) + speech

    def answered(self) -> int:
        """Tokens of the first sequence since the last call (a question may be said again in other words); 0 without
        any."""
        said, self.said[:] = list(self.said), []
        return said[0] if said else 0

    def _count_tokens(self) -> None:
        original = self.backbone.generate

        def counted(start, allowed, *arguments, **options):
            sequence = original(start, allowed, *arguments, **options)
            self.said.append(1 if sequence.branch is Branch.NOTHING else len(sequence.tokens))
            return sequence

        self.backbone.generate = counted


def _moved(adapter: Adapter, device: str) -> Adapter:
    return {
        layer: {name: (down.to(device), up.to(device)) for name, (down, up) in parts.items()}
        for layer, parts in adapter.items()
    }


def load_peft(model, folder: Path, names: FrozenSet[str]) -> None:
    """Put the adapters of a directory beside a transformers model's weights, as a user of peft would."""
    from clue_ros.vlm.quiet import quiet

    for name in sorted(names):
        with quiet():
            model.load_adapter(str(folder / "adapters" / name), adapter_name=name)
    model.eval()


def weight_count(order: Order, config) -> int:
    """Numbers in all weights, frozen eyes among them. Raises ModelLoadError."""
    eyes = weights_of(order.folder) if order.has_eyes else 0
    return paligemma2_3b.parameter_count(config, tower=not eyes) + eyes


def weight_bytes(order: Order, config) -> int:
    return weight_count(order, config) * order.precision.storage.itemsize


def memory_needed(order: Order, config) -> int:
    """Bytes that loading and both paths take at most, roughly: weights, one matrix widened, the plain path's attentions
    of every layer, and the libraries."""
    t = config.text_config
    wide = order.precision.compute.itemsize
    length = floor.image_tokens(config) + EXAMPLE_PREFIX
    weights = weight_bytes(order, config)
    if order.quantization != "none":
        weights *= 2  # the plain path keeps its own
    widest = 2 * t.intermediate_size * t.hidden_size * wide
    attentions = (t.num_hidden_layers + 3) * t.num_attention_heads * length**2 * wide
    caches = 4 * t.num_hidden_layers * t.num_key_value_heads * t.head_dim * (length + 256) * wide
    return int(1.05 * weights) + widest + attentions + 2 * caches + 700_000_000
