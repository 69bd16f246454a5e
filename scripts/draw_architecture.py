#!/usr/bin/env python3
"""Draws docs/images/architecture.svg: what happens to one instruction, and in which folder.

    scripts/draw_architecture.py            writes the file (a test fails when the file is another one)

Standard library only. A mermaid diagram would need a script from elsewhere; this file needs nothing, in the site or out
of it.
"""

from pathlib import Path
from xml.sax.saxutils import escape

TARGET = Path(__file__).resolve().parents[1] / "docs" / "images" / "architecture.svg"
WIDTH, HEIGHT = 1180, 560
# (fill, edge) of each kind of box.
KINDS = {
    "world": ("#eceff1", "#546e7a"),
    "model": ("#e0f2f1", "#00796b"),
    "choice": ("#fff3e0", "#e65100"),
    "talk": ("#ede7f6", "#512da8"),
    "out": ("#e8f5e9", "#2e7d32"),
}

# name: (x, y, width, height, kind, title, lines); the last line of most is the folder.
BOXES = {
    "image": (20, 60, 150, 84, "world", "camera image", ("the newest frame",)),
    "words": (20, 250, 150, 84, "world", "words", ("instruction, answers,", "clicks")),
    "vision": (220, 60, 180, 84, "model", "vision", ("once an image, kept for", "the dialogue · vlm/")),
    "prompt": (220, 250, 180, 84, "model", "prompt", ("one builder for training", "and serving · prompt.py")),
    "decoder": (450, 60, 180, 274, "model", "decoder", ("one LoRA adapter · vlm/",)),
    "map": (690, 60, 190, 84, "choice", "attention map", ("of layer k, from the words", "to the image · vlm/")),
    "gate": (
        940,
        60,
        210,
        84,
        "choice",
        "detector and gate",
        ("CNN on the map, first token:", "P(ambiguous) · ambiguity/"),
    ),
    "decoding": (690, 250, 190, 84, "choice", "what may be said", ("a question, a box or", "nothing · vlm/decoding")),
    "box": (940, 226, 210, 60, "out", "four ⟨loc⟩ tokens", ("a box with its confidence",)),
    "none": (940, 298, 210, 60, "out", "⟨eos⟩ at once", ("nothing there fits the words",)),
    "session": (450, 430, 180, 84, "talk", "dialogue", ("asks, waits, gives up,", "takes back · dialogue/")),
    "question": (690, 430, 190, 84, "talk", "question", ("“the red one or the", "blue one?”")),
    "person": (20, 430, 150, 84, "world", "person", ("hears the question,", "answers")),
    "message": (940, 430, 210, 84, "out", "messages", ("box, mask, point in metres,", "result with error code · ros/")),
}
LAYERS = ((108, 48, "layers 0 … k−1"), (164, 30, "layer k"), (202, 48, "layers above k"), (258, 30, "first token"))

# points of a line, its label and where that stands.
ARROWS = (
    (((170, 102), (220, 102)), "", (0, 0)),
    (((400, 102), (450, 102)), "", (0, 0)),
    (((170, 292), (220, 292)), "", (0, 0)),
    (((400, 292), (450, 292)), "", (0, 0)),
    (((630, 179), (660, 179), (660, 102), (690, 102)), "", (0, 0)),
    (((880, 102), (940, 102)), "", (0, 0)),
    (((630, 292), (690, 292)), "", (0, 0)),
    (((1045, 144), (1045, 184), (785, 184), (785, 250)), "asks only if P(ambiguous) ≥ threshold", (798, 176)),
    (((880, 270), (910, 270), (910, 256), (940, 256)), "", (0, 0)),
    (((880, 314), (910, 314), (910, 328), (940, 328)), "", (0, 0)),
    (((785, 334), (785, 430)), "ambiguous", (794, 386)),
    (((690, 472), (630, 472)), "", (0, 0)),
    (((450, 472), (170, 472)), "speech, console, ROS", (238, 464)),
    (((95, 430), (95, 334)), "", (0, 0)),
    (((1150, 256), (1166, 256), (1166, 472), (1150, 472)), "", (0, 0)),
    (((1045, 358), (1045, 430)), "", (0, 0)),
)


def text(x, y, words, size=13, weight="normal", anchor="middle", fill="#263238"):
    return (
        f'<text x="{x:g}" y="{y:g}" font-size="{size}" font-weight="{weight}" text-anchor="{anchor}" '
        f'fill="{fill}">{escape(words)}</text>'
    )


def box(x, y, width, height, kind, title, lines):
    fill, edge = KINDS[kind]
    parts = [
        (
            f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="9" fill="{fill}" stroke="{edge}" '
            'stroke-width="1.6"/>'
        ),
        text(x + width / 2, y + 25, title, 16, "bold", fill=edge),
    ]
    return parts + [text(x + width / 2, y + 46 + 17 * number, line) for number, line in enumerate(lines)]


def layers():
    x, _, width = BOXES["decoder"][:3]
    parts = []
    for y, height, label in LAYERS:
        tapped = label == "layer k"
        parts += [
            f'<rect x="{x + 14}" y="{y + 14}" width="{width - 28}" height="{height}" rx="4" '
            f'fill="{"#ffe0b2" if tapped else "#ffffff"}" stroke="{"#e65100" if tapped else "#80cbc4"}"/>',
            text(x + width / 2, y + 14 + height / 2 + 5, label),
        ]
    return parts


def arrow(points, label, place):
    path = "M" + " L".join(f"{x} {y}" for x, y in points)
    line = f'<path d="{path}" fill="none" stroke="#455a64" stroke-width="1.6" marker-end="url(#tip)"/>'
    return [line, *([text(*place, label, 12.5, anchor="start", fill="#455a64")] if label else [])]


def drawing():
    """The whole file as text."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        'font-family="system-ui, Roboto, Helvetica, Arial, sans-serif">',
        "<title>From the camera image and the words to a question or a box</title>",
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        '<path d="M0 0 L8 4 L0 8 z" fill="#455a64"/></marker></defs>',
        f'<rect width="{WIDTH}" height="{HEIGHT}" rx="14" fill="#fafaf8"/>',
    ]
    for points, label, place in ARROWS:
        parts += arrow(points, label, place)
    for values in BOXES.values():
        parts += box(*values)
    parts += layers()
    parts.append(text(20, 36, "One instruction, one pass of the model", 17, "bold", "start"))
    return "\n".join([*parts, "</svg>"]) + "\n"


if __name__ == "__main__":
    TARGET.write_text(drawing(), encoding="utf-8")
    print(f"wrote {TARGET}")
