"""How much device memory and how many operations a run will need, by arithmetic. Estimates, not measurements.

Only config.json is read. Counted for the memory: frozen weights; the adapter and the CNN with gradient and AdamW's two
moments in float32; what the backward pass keeps of each layer; the insides of the one layer that is being run; the
head's logits; and a fixed amount for the framework. A few large tensors decide, so the sum errs by fragments, not by
factors.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Tuple, cast

from clue_ros.eyes.cost import weights_of, work_of
from clue_ros.eyes.frozen import SHIPPED
from clue_ros.eyes.sight import FILE, has_sight, read_sight_shape
from clue_ros.eyes.weights import read_shape
from clue_ros.finetune.objective import Plan
from clue_ros.finetune.recipe import AnyTask, DetectorTask
from clue_ros.training.adapters import LoraSettings
from clue_ros.types import ModelLoadError
from clue_ros.vlm.model_folder import check_config
from clue_ros.vlm.settings import ClueSettings

GB = 1e9
FRAMEWORK = 1.0 * GB  # context of the device, kernels' work space, fragments
TRAINED = 16  # bytes a trained weight: float32 value, gradient and two moments
TEXT = 96  # tokens of prefix and suffix in an ordinary example
TARGETS = 24  # of which are targets


@dataclass(frozen=True)
class Sizes:
    """Of a PaliGemma configuration. eyes, looks: numbers in frozen eyes and operations on a picture, else 0."""

    width: int
    mlp: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    vision_width: int
    vision_layers: int
    vision_mlp: int
    image_tokens: int
    patch: int
    eyes: int = 0
    looks: int = 0

    @classmethod
    def read(cls, base: Path) -> "Sizes":
        """Raises ModelLoadError for a config.json that is none of a PaliGemma 2."""
        from transformers import PaliGemmaConfig

        file = Path(base) / "config.json"
        try:
            # The class fills in what the file leaves to defaults.
            config = PaliGemmaConfig.from_dict(check_config(file))
            text, vision = cast(Any, config.text_config), cast(Any, config.vision_config)
            return cls(
                text.hidden_size,
                text.intermediate_size,
                text.num_hidden_layers,
                text.num_attention_heads,
                text.num_key_value_heads,
                text.head_dim,
                text.vocab_size,
                vision.hidden_size,
                vision.num_hidden_layers,
                vision.intermediate_size,
                (vision.image_size // vision.patch_size) ** 2,
                vision.patch_size,
                *_eyes(Path(base)),
            )
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise ModelLoadError(f"{file} is no configuration of a PaliGemma model: {error}") from error

    @property
    def projections(self) -> Dict[str, Tuple[int, int]]:
        """(inputs, outputs) of a layer's matrices."""
        q, kv = self.heads * self.head_dim, self.kv_heads * self.head_dim
        return {
            "q": (self.width, q),
            "k": (self.width, kv),
            "v": (self.width, kv),
            "o": (q, self.width),
            "gate": (self.width, self.mlp),
            "up": (self.width, self.mlp),
            "down": (self.mlp, self.width),
        }

    @property
    def weights(self) -> int:
        """Numbers in the checkpoint; the head shares the embedding's."""
        layer = sum(a * b for a, b in self.projections.values())
        w = self.vision_width
        tower = self.vision_layers * (4 * w * w + 2 * w * self.vision_mlp)
        tower += (3 * self.patch**2 + self.image_tokens) * w
        tower = self.eyes or tower
        return self.layers * layer + self.vocabulary * self.width + tower + w * self.width


def _eyes(base: Path) -> Tuple[int, int]:
    """(numbers, operations) of a model folder's eyes, zeros for none. Raises ModelLoadError."""
    if not has_sight(base):
        return 0, 0
    work = work_of(read_sight_shape(base / FILE), read_shape(SHIPPED / "config.json"))
    return weights_of(base), sum(step.flops for step in work)


def lora_weights(sizes: Sizes, plan: Plan, r: int) -> int:
    """Trained numbers of the adapter: r · (inputs + outputs) of every matrix that a loss reaches."""
    whole = sum(r * (a + b) for a, b in sizes.projections.values())
    reached = sum(r * (a + b) for name, (a, b) in sizes.projections.items() if name in ("q", "k"))
    return sum(reached if layer == plan.stop == plan.tap else whole for layer in plan.layers)


def estimate(base: Path, settings: AnyTask, lora: LoraSettings) -> List[Tuple[str, float]]:
    """(what, bytes) of one process, the total last."""
    sizes = Sizes.read(base)
    plan = Plan.of(settings, ClueSettings.load(base, sizes.layers), sizes.layers)
    number = 2 if settings.precision == "bf16" else 4
    rows = sizes.image_tokens + TEXT
    stop = sizes.layers if plan.stop is None else plan.stop
    adapted = [n for n in plan.layers if n < stop]
    # Of one layer: normed inputs and residuals, q k v, the scores in float32 with their capped and soft-maxed copies,
    # the gated product, and for each matrix what dropout keeps for its low-rank branch.
    attention = 5 * sizes.heads * rows * rows * 4
    inputs = sum(a for a, _ in sizes.projections.values())
    heads = (sizes.heads + 2 * sizes.kv_heads) * sizes.head_dim
    products = (8 * sizes.width + 2 * heads + 4 * sizes.mlp + inputs) * rows
    inside = settings.per_device * (attention + products * number)
    kept = settings.per_device * rows * sizes.width * number * len(adapted)
    if not settings.checkpointing:
        kept = inside * len(adapted)
    answers = TARGETS if not isinstance(settings, DetectorTask) else 0 if plan.tap is not None else 1
    parts = [
        ("frozen weights", sizes.weights * number),
        ("adapter with gradient and AdamW", lora_weights(sizes, plan, lora.r) * TRAINED),
        ("layers' inputs, for the backward pass" if settings.checkpointing else "insides of all layers", kept),
        ("insides of the layer at work", inside),
        ("logits", 4 * 4 * settings.per_device * answers * sizes.vocabulary),
        ("vision features", settings.per_device * sizes.image_tokens * (sizes.width + 4 * sizes.vision_width) * 4),
        ("framework", FRAMEWORK),
    ]
    return [*parts, ("total", sum(size for _, size in parts))]


def operations(base: Path, settings: AnyTask) -> float:
    """Multiplications and additions of one example's step, in the large matrix products and the attention.

    2 a weight and row, and 4 a pair of rows, head and channel. The tower runs once, forward only. The layers up to the
    last one in use run forward, are run again where `checkpointing` keeps nothing of them, and pass their activations'
    gradient back, which costs as much as forward; the frozen weights' own gradient is never computed, the adapter's
    products (about 1 %) and the head are left out. Layers below the first adapted one get no gradient.
    """
    sizes = Sizes.read(base)
    plan = Plan.of(settings, ClueSettings.load(base, sizes.layers), sizes.layers)
    rows = sizes.image_tokens + TEXT
    stop = sizes.layers if plan.stop is None else plan.stop
    layer = 2 * rows * sum(a * b for a, b in sizes.projections.values()) + 4 * rows**2 * sizes.heads * sizes.head_dim
    w, patches = sizes.vision_width, sizes.image_tokens
    tower = sizes.vision_layers * (2 * patches * (4 * w * w + 2 * w * sizes.vision_mlp) + 4 * patches**2 * w)
    tower = sizes.looks or tower
    adapted = len([n for n in plan.layers if n < stop])
    backward = adapted * (2 if settings.checkpointing else 1)
    return float(tower + (stop + backward) * layer)
