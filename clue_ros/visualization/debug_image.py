"""The debug image of the node: one overlay and one line of text, in a few milliseconds for 640x480."""

from __future__ import annotations

from typing import Optional, Sequence

import numpy as np
from PIL import Image, ImageDraw

from clue_ros.belief import marks
from clue_ros.types import Ambiguity, Decision, Outcome
from clue_ros.visualization import lettering, overlay, palette


def draw_debug(
    rgb: np.ndarray,
    decision: Optional[Decision] = None,
    *,
    ambiguity: Optional[Ambiguity] = None,
    caption: Optional[str] = None,
    opacity: float = 0.8,
) -> np.ndarray:
    """The image with the attention map, the competing regions (or the candidates, with their numbers or what is
    believed of each), the final box and a one-line caption over its foot.

    Args:
        rgb: uint8[H, W, 3], the image the decision is about.
        decision: what the grounder decided; None draws only what `ambiguity` and `caption` give.
        ambiguity: a reading without a decision (service DetectAmbiguity); the decision's own by default.
        caption: text instead of the one made from the decision; "" for none.

    Returns: uint8[H, W, 3] of the same size, a new array. Raises InvalidImageError.
    """
    rgb = overlay.check_rgb(rgb)
    if ambiguity is None and decision is not None:
        ambiguity = decision.ambiguity
    picture = overlay.overlay_attention(rgb, ambiguity.attention_map if ambiguity else None, opacity)
    width = overlay.line_width(picture.shape)
    labels = candidate_labels(decision)
    if ambiguity is not None and ambiguity.is_ambiguous and not labels:
        overlay.draw_regions(picture, ambiguity.regions, width)
    if decision is not None and labels:
        size = int(np.clip(picture.shape[0] / 18, 14, 48))
        lettering.draw_plates(picture, decision.candidates, labels, size, width)
    if decision is not None and decision.box is not None:
        overlay.draw_box(picture, decision.box, palette.CLEAR, 2 * width)
    text = caption_of(decision, ambiguity) if caption is None else caption
    return _letter(picture, text, palette.outcome_color(decision)) if text else picture


def caption_of(decision: Optional[Decision], ambiguity: Optional[Ambiguity]) -> str:
    """One line: the outcome, its key value and P(ambiguous)."""
    parts = []
    if decision is not None:
        parts.append(
            {
                Outcome.FOUND: f"found {decision.confidence:.2f}: {decision.expression}",
                Outcome.ASK: f"asks: {decision.question}",
                Outcome.NOT_FOUND: f"not found: {decision.expression}",
                Outcome.UNKNOWN_WORDS: "unknown words: " + ", ".join(decision.unknown_words),
            }[decision.outcome]
        )
    if ambiguity is not None:
        parts.insert(0, f"P(ambiguous) {ambiguity.probability:.2f}")
    return "  |  ".join(parts)


def candidate_labels(decision: Optional[Decision]) -> Sequence[str]:
    """What stands on each of a decision's candidates: the numbers of a question of numbers, else the belief in per
    cent; empty where there is neither."""
    if decision is None:
        return ()
    if marks.asked_about(decision.question):
        return [str(number) for number in range(1, len(decision.candidates) + 1)]
    return [f"{100 * p:.0f}%" for p in decision.belief]


def _letter(picture: np.ndarray, text: str, color: palette.Color) -> np.ndarray:
    """Write `text` on a dark band over the foot of the picture; a picture too low for text stays as it is."""
    height, width = picture.shape[:2]
    size = int(np.clip(height / 30, 11, 36))
    band = min(int(size * 1.9), height)
    if height < 3 * size:
        return picture
    strip = Image.fromarray((picture[height - band :] * 0.25).astype(np.uint8))
    draw = ImageDraw.Draw(strip)
    bar = max(4, size // 3)
    draw.rectangle((0, 0, bar - 1, band), fill=color)
    face = lettering.font(size)
    draw.text(
        (2 * bar, band / 2), lettering.fit(text, face, width - 3 * bar), font=face, fill=(255, 255, 255), anchor="lm"
    )
    picture[height - band :] = np.asarray(strip)
    return picture
