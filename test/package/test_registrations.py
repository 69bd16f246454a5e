"""Kinds of detector and attention patterns are asked, never compared by name: a new one is one registration."""

from __future__ import annotations

import ast
from typing import Iterator, Set

import pytest
from rooms import ROOT

from clue_ros.ambiguity.kinds import KINDS
from clue_ros.ambiguity.reading import DEPTHS, PREFIXES
from clue_ros.training.variants import FINETUNES, VARIANTS
from clue_ros.vlm.patterns import PATTERNS, TAP_ROWS

# Some of the names are words of other things too (a stage "joint", a word "last"): what they are compared with tells.
HOLDERS = {
    **dict.fromkeys(("detector", "kind", "reading"), KINDS),
    **dict.fromkeys(("prefix_attention", "attention", "pattern"), PATTERNS),
    **dict.fromkeys(("detector_depth", "depth"), DEPTHS),
    "detector_prefix": PREFIXES,
    "finetune": FINETUNES,
    "tap_rows": TAP_ROWS,
    "variant": VARIANTS,
}
OWN = {"cnn", "autoregressive", "image_blind", *VARIANTS}


def comparisons(tree: ast.AST) -> Iterator[ast.AST]:
    """Where a program chooses by one of the names: ==, in, match, or a table at the place of use."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            parts = [node.left, *node.comparators]
        elif isinstance(node, ast.Match):
            parts = [node.subject, *(case.pattern for case in node.cases)]
        elif isinstance(node, ast.Subscript) and isinstance(node.value, ast.Dict):
            parts = [node.slice, *(key for key in node.value.keys if key is not None)]
        else:
            continue
        said = strings(parts)
        if said & OWN or any(said & set(HOLDERS.get(name, ())) for name in identifiers(parts)):
            yield node


def strings(parts: list) -> Set[str]:
    return {c.value for p in parts for c in ast.walk(p) if isinstance(c, ast.Constant) and isinstance(c.value, str)}


def identifiers(parts: list) -> Set[str]:
    """Names and attributes, and strings that are keys (settings["detector"])."""
    found = set()
    for part in parts:
        for node in ast.walk(part):
            if isinstance(node, (ast.Attribute, ast.Name)):
                found.add((node.attr if isinstance(node, ast.Attribute) else node.id).lstrip("_"))
            elif isinstance(node, ast.Subscript):
                found |= strings([node.slice])
            elif isinstance(node, ast.Call):
                found |= strings(node.args[:1])
    return found


def test_no_file_compares_the_names_of_detectors_and_attention_patterns():
    files, found = sorted((ROOT / "clue_ros").rglob("*.py")), []
    for path in files:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found += [f"{path.relative_to(ROOT)}:{node.lineno}: {ast.unparse(node)}" for node in comparisons(tree)]
    assert len(files) > 300 and not found, "ask KINDS or PATTERNS for the object instead:\n" + "\n".join(found)


@pytest.mark.parametrize(
    "text",
    [
        'settings.detector == "joint"',
        'run.get("reading") == "cnn"',
        'clue["detector"] in ("joint", "else")',
        's.depth != "half"',
        'kind == "image_blind"',
        '{"full": 1}[settings.prefix_attention]',
        'match detector:\n    case "joint":\n        pass',
    ],
)
def test_the_check_sees_every_form(text):
    assert list(comparisons(ast.parse(text)))


@pytest.mark.parametrize("text", ['stage == "joint"', 'word == "last"', "settings.detector == other.detector"])
def test_the_check_leaves_other_words_alone(text):
    assert not list(comparisons(ast.parse(text)))


def test_a_registered_name_is_the_name_that_the_object_has():
    for registry in (KINDS, PATTERNS):
        assert all(name == entry.name for name, entry in registry.items())
    assert all(pattern.tap_rows in TAP_ROWS for pattern in PATTERNS.values())
