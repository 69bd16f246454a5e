"""One picture an episode: what the camera saw, where the model looked, what it decided and what was said.

Layout, left to right: the first reading, the last reading (after a dialogue), the result; below, the dialogue with
P(ambiguous) beside every decision. Drawn at twice the size and scaled down, so that lines and text are smooth.
"""

from __future__ import annotations

from typing import Any, List, Optional, Sequence, Tuple

import cv2
import numpy as np
from PIL import Image, ImageDraw

from clue_ros.geometry import box_iou
from clue_ros.types import Ambiguity, Box, Decision, Outcome
from clue_ros.visualization import overlay, palette
from clue_ros.visualization.caption_strip import Line, draw_chip, draw_gauge, draw_strip, strip_height
from clue_ros.visualization.debug_image import candidate_labels
from clue_ros.visualization.lettering import clean, draw_plates, fit, font, wrap

WIDTH = 1280  # pixels of the finished picture
_S = 2  # supersampling
_MARGIN = 28 * _S
_GAP = 16 * _S
_MAX_PANEL_HEIGHT = 620 * _S
_LABEL = 34 * _S  # above a panel
_FOOT = 40 * _S  # below a panel


def episode_picture(
    rgb: np.ndarray,
    decisions: Sequence[Optional[Decision]],
    transcript: Sequence[Any],
    truth_box: Optional[Box] = None,
    title: str = "",
    *,
    clicks: Sequence[Tuple[float, float]] = (),
    outcome: str = "",
) -> np.ndarray:
    """Draw one episode.

    Args:
        rgb: uint8[H, W, 3], the camera image.
        decisions: every decision in order; the first and the last reading are shown. None stands for one that is not
            known (the questions before a dialogue is taken up).
        transcript: `Utterance`s (or (speaker, text) pairs) in order, the instruction first. The robot's n-th line is
            taken for the n-th decision and gets its gauge.
        truth_box: where the target truly is, in pixels of `rgb`; drawn dashed, with the IoU.
        title: a small line on top, for example the episode's kind.
        clicks: points at which the person clicked, in pixels of `rgb`.
        outcome: how the dialogue ended where that is not the last decision's outcome, for example "answer timeout".

    Returns: uint8[h, 1280, 3]. Raises InvalidImageError.
    """
    rgb = overlay.check_rgb(rgb)
    lines = _lines(transcript, decisions)
    decisions = [decision for decision in decisions if decision is not None]
    panels = _panels(rgb, decisions, truth_box, clicks, _panel_size(rgb, decisions))
    panel_height, panel_width = panels[0][1].shape[:2]
    expression = decisions[0].expression if decisions else (lines[0].text if lines else "")
    content = WIDTH * _S - 2 * _MARGIN
    heading = wrap(f"“{clean(expression)}”", font(25 * _S, bold=True), content - 230 * _S, max_lines=2)
    head_height = (18 + (20 if title else 0)) * _S + len(heading) * 33 * _S
    panels_top = head_height + 8 * _S
    strip_top = panels_top + _LABEL + panel_height + _FOOT + 18 * _S
    strip = strip_height(lines, content, _S)
    legend = _legend(decisions)
    page = Image.new("RGB", (WIDTH * _S, strip_top + strip + (34 * _S if legend else _MARGIN)), palette.PAPER)
    draw = ImageDraw.Draw(page)
    _draw_heading(draw, title, heading, decisions[-1] if decisions else None, outcome)
    left = (WIDTH * _S - len(panels) * panel_width - (len(panels) - 1) * _GAP) // 2
    for number, (label, image, reading, note) in enumerate(panels):
        x = left + number * (panel_width + _GAP)
        draw.text(
            (x, panels_top + 10 * _S),
            fit(label, font(15 * _S, bold=True), panel_width),
            font=font(15 * _S, bold=True),
            fill=palette.INK,
        )
        y = panels_top + _LABEL
        page.paste(Image.fromarray(image), (x, y))
        draw.rectangle((x, y, x + panel_width - 1, y + panel_height - 1), outline=palette.LINE, width=_S)
        foot = (x, y + panel_height + 12 * _S, x + panel_width)
        if reading is not None:
            draw_gauge(draw, *foot, reading.probability, reading.threshold, reading.is_ambiguous, _S)
        else:
            _draw_note(draw, foot, note)
    draw_strip(draw, lines, _MARGIN, strip_top, content, _S)
    draw.text((_MARGIN, strip_top + strip + 9 * _S), legend, font=font(12 * _S), fill=palette.MUTED)
    small = (page.width // _S, page.height // _S)
    return np.asarray(page.resize(small, Image.Resampling.BOX)).copy()


def _lines(transcript: Sequence[Any], decisions: Sequence[Optional[Decision]]) -> List[Line]:
    """The transcript with each robot line's reading beside it."""
    lines: List[Line] = []
    remaining = iter(decisions)
    for entry in transcript:
        speaker, text = (entry.speaker, entry.text) if hasattr(entry, "text") else (entry[0], entry[1])
        decision = next(remaining, None) if speaker == "robot" else None
        lines.append(Line(str(speaker), str(text), decision.ambiguity if decision is not None else None))
    return lines


def _legend(decisions: Sequence[Decision]) -> str:
    """What the bars and numbers mean, for a reader who sees only this picture."""
    readings = [decision.ambiguity for decision in decisions if decision.ambiguity is not None]
    if not readings:
        return ""
    text = "Bar: probability that the words are ambiguous in this image. Tick: the threshold from which the robot asks."
    numbered = any(reading.is_ambiguous and reading.regions for reading in readings)
    return text + (" Numbered boxes: regions that compete for its attention." if numbered else "")


def _panel_size(rgb: np.ndarray, decisions: Sequence[Decision]) -> Tuple[int, int]:
    """Width and height of a panel in supersampled pixels: all panels fill the row, unless that gets too high."""
    count = 3 if _readings(decisions)[1] is not None else 2
    width = (WIDTH * _S - 2 * _MARGIN - (count - 1) * _GAP) // count
    height = round(width * rgb.shape[0] / rgb.shape[1])
    if height > _MAX_PANEL_HEIGHT:
        width, height = max(240 * _S, round(_MAX_PANEL_HEIGHT * rgb.shape[1] / rgb.shape[0])), _MAX_PANEL_HEIGHT
    return width, max(height, 40 * _S)


def _readings(decisions: Sequence[Decision]) -> Tuple[Optional[Ambiguity], Optional[Ambiguity]]:
    """The first reading, and the last one where there was a dialogue in between."""
    readings = [decision.ambiguity for decision in decisions if decision.ambiguity is not None]
    return (readings[0] if readings else None), (readings[-1] if len(readings) > 1 else None)


def _panels(rgb, decisions, truth_box, clicks, size) -> List[Tuple[str, np.ndarray, Optional[Ambiguity], str]]:
    """(label, uint8[h, w, 3] of `size`, reading to gauge or None, note in place of a gauge) for each panel."""
    scale = (size[0] / rgb.shape[1], size[1] / rgb.shape[0])
    shrinking = scale[0] < 1
    camera = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_CUBIC)
    first, last = _readings(decisions)
    panels = []
    if first is None:
        panels.append(("Camera", camera, None, ""))
    else:
        label = "First reading" if last is not None else "Where it looked"
        panels.append((label, _reading_panel(camera, first, scale), first, ""))
    if last is not None:
        panels.append(("Last reading, after the dialogue", _reading_panel(camera, last, scale), last, ""))
    result, note = camera.copy(), "no decision"
    if decisions:
        note = _draw_result(result, decisions[-1], truth_box, scale)
    elif truth_box is not None:
        overlay.draw_dashed_box(result, overlay.scale_box(truth_box, *scale), palette.TRUTH, 2 * _S)
    for x, y in clicks:
        overlay.draw_click(result, (x * scale[0], y * scale[1]), 2 * _S)
    panels.append(("Decision", result, None, note))
    return panels


def _reading_panel(camera: np.ndarray, reading: Ambiguity, scale: Tuple[float, float]) -> np.ndarray:
    picture = overlay.overlay_attention(camera, reading.attention_map)
    if not reading.is_ambiguous:
        return picture
    for number, region in reversed(list(enumerate(reading.regions, start=1))):
        box = overlay.scale_box(region.box, *scale)
        overlay.draw_box(picture, box, palette.REGION, 2 * _S)
        page = Image.fromarray(picture)
        corner = (min(max(box.x0, 2 * _S), picture.shape[1] - 24 * _S), max(box.y0 - 24 * _S, 2 * _S))
        draw_chip(ImageDraw.Draw(page), corner, str(number), palette.AMBIGUOUS, 13 * _S)
        picture = np.asarray(page).copy()
    return picture


def _draw_result(picture: np.ndarray, decision: Decision, truth_box: Optional[Box], scale: Tuple[float, float]) -> str:
    """Draw the decision's boxes in place; returns the note below the panel."""
    boxes, labels = [overlay.scale_box(box, *scale) for box in decision.candidates], candidate_labels(decision)
    if labels and (decision.box is None or len(labels) > 1):
        draw_plates(picture, boxes, labels, 15 * _S, 2 * _S)
    elif decision.box is None:
        for box in boxes:
            overlay.draw_dashed_box(picture, box, palette.AMBIGUOUS, 2 * _S)
    if decision.box is not None:
        overlay.draw_box(picture, overlay.scale_box(decision.box, *scale), palette.CLEAR, 3 * _S)
    if truth_box is not None:
        overlay.draw_dashed_box(
            picture, overlay.scale_box(truth_box, *scale), palette.TRUTH, _S, shadow=decision.box is None
        )
    if decision.box is not None:
        note = f"confidence {decision.confidence:.2f}"
        return note + (f" · IoU {box_iou(decision.box, truth_box):.2f} with the truth (dashed)" if truth_box else "")
    if decision.outcome is Outcome.ASK:
        return "no box before an answer"
    if decision.outcome is Outcome.UNKNOWN_WORDS:
        return "no box: unknown words"
    return "no box: nothing fits the words"


def _draw_heading(
    draw: ImageDraw.ImageDraw, title: str, heading: Sequence[str], decision: Optional[Decision], outcome: str
) -> None:
    y = 18 * _S
    if title:
        draw.text((_MARGIN, y), fit(title, font(14 * _S), 900 * _S), font=font(14 * _S), fill=palette.MUTED)
        y += 20 * _S
    for line in heading:
        draw.text((_MARGIN, y), line, font=font(25 * _S, bold=True), fill=palette.INK)
        y += 33 * _S
    own = {Outcome.ASK: "asks"}.get(decision.outcome, decision.outcome.value.replace("_", " ")) if decision else ""
    text = outcome.replace("_", " ") or own
    if text:
        color = palette.outcome_color(decision) if text == own else palette.REFUSED
        draw_chip(draw, (WIDTH * _S - _MARGIN, 22 * _S), text, color, 17 * _S, from_right=True)


def _draw_note(draw: ImageDraw.ImageDraw, foot: Tuple[int, int, int], note: str) -> None:
    for number, line in enumerate(wrap(note, font(13 * _S), foot[2] - foot[0], max_lines=2)):
        draw.text((foot[0], foot[1] + number * 16 * _S), line, font=font(13 * _S), fill=palette.MUTED)
