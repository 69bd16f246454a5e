"""The debug image of the node: one overlay and one line of text, in a few milliseconds for 640x480."""

from __future__ import annotations

from typing import Optional, Sequence

import numpy as np
from PIL import Image, ImageDraw

from clue_ros.belief import marks
from clue_ros.types import Ambiguity, Box, Decision, Outcome
from clue_ros.visualization import lettering, overlay, palette


def draw_debug(
    rgb: np.ndarray,
    decision: Optional[Decision] = None,
    *,
    ambiguity: Optional[Ambiguity] = None,
    caption: Optional[str] = None,
    opacity: float = 0.8,
) -> np.ndarray:
    """The image with the attention map, the competing regions, the final box and a one-line caption over its foot.

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
    numbered = decision is not None and marks.asked_about(decision.question) > 0
    if ambiguity is not None and ambiguity.is_ambiguous and not numbered:
        overlay.draw_regions(picture, ambiguity.regions, width)
    if numbered:
        _draw_marks(picture, decision.candidates, width)
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


def _draw_marks(picture: np.ndarray, candidates: Sequence[Box], width: int) -> None:
    """Every candidate's box with its number from 1 on a plate in its middle, in place."""
    size = int(np.clip(picture.shape[0] / 18, 14, 48))
    sheet = Image.fromarray(picture)
    draw, face = ImageDraw.Draw(sheet), lettering.font(size)
    for number, box in enumerate(candidates, 1):
        (x, y), half = box.center, 0.7 * size
        draw.rectangle(tuple(box), outline=(255, 255, 255), width=width)
        draw.rectangle((x - half, y - half, x + half, y + half), fill=(0, 0, 0), outline=(255, 255, 255), width=width)
        draw.text((x, y), str(number), font=face, fill=(255, 255, 255), anchor="mm")
    picture[:] = np.asarray(sheet)


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
