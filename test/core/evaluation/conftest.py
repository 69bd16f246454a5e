"""Dialogues in our own format that the suites judge a model on."""

import pytest
from drawn_data import draw, write_lines

from clue_ros.measures import dialogue_text


@pytest.fixture
def without_java(monkeypatch):
    """METEOR's program reads its tables for ten seconds; it is tested with the other figures."""
    monkeypatch.setattr(dialogue_text.shutil, "which", lambda name: None)


@pytest.fixture(scope="session")
def dialogues(tmp_path_factory):
    """Two splits of our own format, in words of the embedded model's vocabulary."""
    folder = tmp_path_factory.mktemp("dialogues")
    lines = []
    for n in range(5):
        draw(folder / f"{n}.png", n)
        turns = [
            {"question": "do you mean the red mug or the blue mug ?", "answer": "the red one"},
            {"question": "do you mean the left mug or the right mug ?", "answer": "the left one"},
        ][: n % 3]
        line = {
            "id": str(n),
            "image": f"{n}.png",
            "expression": "hand me the mug",
            "boxes": [[20, 8, 40, 32]],
            "objects": [[0, 0, 10, 10], [20, 8, 41, 32]],
            "turns": turns,
            "split": "test",
            "label": "ambiguous" if turns else "clear",
            "question_candidates": [
                [f"do you mean the {c} {k} ?" for c in ("red", "green", "white") for k in ("ball", "bowl", "can")]
                for _ in turns
            ],
            "answer_candidates": [["the blue one", "green"] for _ in turns],
        }
        lines.append(line)
    lines += [
        {"id": "gone", "image": "0.png", "expression": "the banana", "boxes": [], "label": "clear", "split": "test"},
        {
            "id": "many",
            "image": "0.png",
            "expression": "the mug",
            "boxes": [[0, 0, 5, 5], [20, 8, 40, 32]],
            "label": "ambiguous",
            "split": "test",
        },
        {
            "id": "strange",
            "image": "0.png",
            "expression": "the zebra",
            "boxes": [[0, 0, 5, 5]],
            "label": "clear",
            "split": "test",
        },
        {
            "id": "blind",
            "image": "none.png",
            "size": [9, 9],
            "expression": "the mug",
            "boxes": [[0, 0, 5, 5]],
            "label": "clear",
            "split": "test",
        },
    ]
    write_lines(folder / "data.jsonl", lines)
    return folder / "data.jsonl"
