"""What a step must cost at least: its matrix products and the bytes that it must read, counted from a configuration.

Pure functions of a PaliGemmaConfig, and of what frozen eyes cost (eyes/cost.py); nothing is run. Counted are the
products of the vision tower, the projector, the decoder's projections and attention, and the head: 2·m·n·k operations
each, as torch.utils.flop_counter counts them (the tests compare the two). Bytes are those of the weights, once a phase,
and of the keys and values that a decode step reads. Norms, activations, softmax and intermediate results cost nothing
here, so the real lower bound lies above this one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Sequence, Tuple

from clue_ros.eyes.cost import Work


@dataclass(frozen=True)
class Cost:
    """One phase that runs after the one before. flops: operations of matrix products; elements: weights and cached keys
    and values that it reads at least once, as numbers (times the bytes a number: bytes); eyes: of frozen eyes, which
    compute in bfloat16 where that is faster, whatever the model does."""

    flops: int
    elements: int
    eyes: bool = False

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.flops + other.flops, self.elements + other.elements)

    def width(self, bytes_per_element: float) -> float:
        """Bytes of a number that the phase reads, where the model's have so many."""
        return min(2, bytes_per_element) if self.eyes else bytes_per_element

    def seconds(self, flops_per_second: float, bytes_per_second: float, bytes_per_element: float) -> float:
        """The roofline: whichever takes longer, computing or reading."""
        return max(self.flops / flops_per_second, self.elements * bytes_per_element / bytes_per_second)


Phases = Tuple[Cost, ...]


def total(phases: Sequence[Cost]) -> Cost:
    return sum(phases, Cost(0, 0))


def floor_seconds(
    phases: Sequence[Cost],
    flops_per_second: float,
    bytes_per_second: float,
    bytes_per_element: float,
    eyes_flops_per_second: float = 0.0,
) -> float:
    """Phases run one after another, so their rooflines add up. eyes_flops_per_second: of products in bfloat16, where
    those are faster than the model's own."""
    fastest = max(flops_per_second, eyes_flops_per_second)
    return sum(
        phase.seconds(fastest if phase.eyes else flops_per_second, bytes_per_second, phase.width(bytes_per_element))
        for phase in phases
    )


def image_tokens(config) -> int:
    vision = config.vision_config
    return (vision.image_size // vision.patch_size) ** 2


def vision(config) -> Cost:
    """The SigLIP tower on one image."""
    c, rows = config.vision_config, image_tokens(config)
    patch = c.num_channels * c.patch_size**2 * c.hidden_size
    layer = 4 * c.hidden_size**2 + 2 * c.hidden_size * c.intermediate_size
    attention = 2 * rows * rows * c.hidden_size
    return Cost(
        2 * rows * (patch + c.num_hidden_layers * layer) + 2 * c.num_hidden_layers * attention,
        patch + c.num_hidden_layers * layer,
    )


def projector(config) -> Cost:
    weights = config.vision_config.hidden_size * config.text_config.hidden_size
    return Cost(2 * image_tokens(config) * weights, weights)


def layers(config, count: int, rows: int, keys: int) -> Cost:
    """`count` whole decoder layers on `rows` tokens that look at `keys` tokens (themselves included)."""
    t = config.text_config
    weights = _projections(t) + _feed_forward(t)
    cached = 2 * (keys - rows) * t.num_key_value_heads * t.head_dim
    return Cost(count * (2 * rows * weights + _attention(t, rows, keys)), count * (weights + cached))


def keys_only(config, rows: int, values: bool = True) -> Cost:
    """The key (and value) projection of one layer on `rows` tokens."""
    t = config.text_config
    weights = (2 if values else 1) * t.hidden_size * t.num_key_value_heads * t.head_dim
    return Cost(2 * rows * weights, weights)


def last_layer(config, rows: int, keys: int) -> Cost:
    """The last layer when only the closing row's output is wanted: keys and values of all rows, the rest for one."""
    t = config.text_config
    rest = 2 * t.hidden_size * t.num_attention_heads * t.head_dim + _feed_forward(t)
    cached = 2 * (keys - rows) * t.num_key_value_heads * t.head_dim
    return keys_only(config, rows) + Cost(2 * rest + _attention(t, 1, keys), rest + cached)


def head(config, outputs: int = 0, rows: int = 1) -> Cost:
    """Logits of `rows` tokens over `outputs` tokens of the vocabulary (0: all)."""
    t = config.text_config
    weights = t.hidden_size * (outputs or t.vocab_size)
    return Cost(2 * rows * weights, weights)


def tap(config, tapped_rows: int) -> Cost:
    """Layer k's share of the map: queries of the tapped text rows, keys of the image, their products."""
    t = config.text_config
    queries = t.hidden_size * t.num_attention_heads * t.head_dim
    products = 2 * tapped_rows * image_tokens(config) * t.num_attention_heads * t.head_dim
    return Cost(2 * tapped_rows * queries + products, queries) + keys_only(config, image_tokens(config), values=False)


def see(config, eyes: Sequence[Work] = ()) -> Phases:
    """Pixels to projected features. eyes: what frozen eyes do in the place of a tower (eyes/cost.py)."""
    looks = tuple(Cost(step.flops, step.numbers, eyes=True) for step in eyes)
    return (*(looks or (vision(config),)), projector(config))


def detection(
    config, tap_layer: int, text: int, *, tapped_rows: int, image_blind: bool = False, seen: bool = False
) -> Phases:
    """Features to map: layers 0 … k-1 whole and the tap. text: tokens of the prefix with <bos> and newline;
    seen: a query-blind image has passed the layers before."""
    n = image_tokens(config)
    if not image_blind:
        return layers(config, tap_layer, n + text, n + text), tap(config, tapped_rows)
    words = (layers(config, tap_layer, text, n + text), _without_image_keys(config, tapped_rows))
    if seen:
        return words
    return (layers(config, tap_layer, n, n), keys_only(config, n, values=False), *words)


def prefill(config, text: int, *, image_blind: bool = False, seen: bool = False) -> Phases:
    """Features to the logits of the first suffix token; of the last layer only the closing row is finished."""
    n, depth = image_tokens(config), config.text_config.num_hidden_layers
    rows = text if image_blind else n + text
    words = (layers(config, depth - 1, rows, n + text), last_layer(config, rows, n + text), head(config))
    if image_blind and not seen:
        return (layers(config, depth - 1, n, n), keys_only(config, n), *words)
    return words


def decode(config, text: int, tokens: int, outputs: int = 0) -> Phases:
    """The steps after the prefill until `tokens` tokens are out: tokens - 1 of them, one row each."""
    n, depth = image_tokens(config), config.text_config.num_hidden_layers
    return tuple(layers(config, depth, 1, n + text + step + 1) + head(config, outputs) for step in range(tokens - 1))


def _projections(t) -> int:
    return t.hidden_size * t.head_dim * 2 * (t.num_attention_heads + t.num_key_value_heads)


def _feed_forward(t) -> int:
    return 3 * t.hidden_size * t.intermediate_size


def _attention(t, rows: int, keys: int) -> int:
    return 2 * 2 * rows * keys * t.num_attention_heads * t.head_dim


def _without_image_keys(config, tapped_rows: int) -> Cost:
    with_keys, keys = tap(config, tapped_rows), keys_only(config, image_tokens(config), values=False)
    return Cost(with_keys.flops - keys.flops, with_keys.elements - keys.elements)
