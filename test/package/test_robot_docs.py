"""docs/robot.md quotes what the node says: every quotation stands in the code."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def texts_of_the_code():
    """Every string of the node's modules, with … for what an f-string fills in."""
    texts = []
    for path in [
        *(ROOT / "clue_ros" / "ros").rglob("*.py"),
        *(ROOT / "clue_ros" / "images").glob("*.py"),
        *(ROOT / "clue_ros" / "fleet").glob("*.py"),
        ROOT / "scripts" / "executable.py.in",
    ]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8").replace("@MODULE@", "module"))):
            if isinstance(node, ast.JoinedStr):
                parts = [part.value if isinstance(part, ast.Constant) else "…" for part in node.values]
                texts.append("".join(parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value)
    return "\n".join(texts)


def quotations():
    """The texts in backticks of the table's second column that are sentences; backticks inside them are the
    message's.
    """
    found = []
    for line in (ROOT / "docs" / "robot.md").read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if line.startswith("| ") and len(cells) == 3 and cells[1].startswith("`"):
            found += [part.strip("`") for part in re.split(r"` (?:and|or) `(?=[a-z…])|`, `", cells[1])]
    return found


def test_every_quotation_is_the_nodes_own():
    code, checked = texts_of_the_code(), 0
    for quotation in quotations():
        for piece in re.split(r"…", re.sub(r"` .*with the parameter's name$|`, or the range$", "", quotation)):
            piece = piece.strip(" :()`,")
            if len(piece) > 8:
                assert piece in code, f"docs/robot.md says {piece!r}, the node does not"
                checked += 1
    assert checked >= 20
