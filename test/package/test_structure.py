"""Arrows point down: a room imports only rooms below it in the table of docs/architecture.md, and no file is in a
circle.
"""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Dict, Iterator, Set, Tuple

from rooms import ROOT, rooms_of_the_architecture

PACKAGE = ROOT / "clue_ros"
GENERATED = ("msg", "srv", "action")


def modules() -> Iterator[Path]:
    return (path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def file_of(dotted: str) -> Path:
    """The file behind clue_ros.a.b; raises KeyError for what is none of ours."""
    path = ROOT.joinpath(*dotted.split("."))
    for file in (path.with_suffix(".py"), path / "__init__.py"):
        if file.is_file():
            return file
    raise KeyError(dotted)


def imported(path: Path) -> Iterator[Tuple[Path, int]]:
    """The files of the package that a file imports anywhere in it, with the line; not what only type checkers read."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for block in [node for node in ast.walk(tree) if isinstance(node, ast.If)]:
        if isinstance(block.test, ast.Name) and block.test.id == "TYPE_CHECKING":
            block.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            names = [(f"{node.module}.{alias.name}", node.module) for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [(alias.name, alias.name) for alias in node.names]
        else:
            continue
        for name, module in names:
            parts = name.split(".")
            if parts[0] != "clue_ros" or len(parts) == 1 or parts[1] in GENERATED:
                continue
            try:
                file = file_of(name)
            except KeyError:
                file = file_of(module)
            if file != PACKAGE / "__init__.py":
                yield file, node.lineno


def room_of(path: Path) -> str:
    inside = path.relative_to(PACKAGE)
    return inside.name if len(inside.parts) == 1 else inside.parent.as_posix() + "/"


def test_a_room_imports_only_what_stands_below_it():
    floors = {room: number for number, room in enumerate(rooms_of_the_architecture())}
    climbs = []
    for path in modules():
        for other, line in imported(path):
            above, below = room_of(path), room_of(other)
            if floors[below] < floors[above]:
                climbs.append(f"{path.relative_to(ROOT)}:{line} imports {other.relative_to(ROOT)}")
    assert not climbs, "these imports climb:\n" + "\n".join(climbs)


def test_what_asks_a_model_knows_it_by_the_protocol_only():
    """Rooms that a model of another kind must find unchanged: of vlm/ they see the protocol, what it hands over, the
    checkpoint's settings and running out of memory."""
    rooms = {"belief/", "stock/", "chat/", "masks/", "ambiguity/", "perception/", "evaluation/", "deciding.py"}
    seam = {f"vlm/{name}.py" for name in ("backbone", "passes", "decoding", "settings", "memory")}
    found = {room: set() for room in rooms}
    for path in modules():
        if room_of(path) in rooms:
            found[room_of(path)] |= {str(other.relative_to(PACKAGE)) for other, _ in imported(path)}
    reaches = {room: sorted(n for n in names - seam if n.startswith("vlm/")) for room, names in found.items()}
    assert not any(reaches.values()), reaches
    # The check saw them; chat/ asks through perception/.
    assert all("vlm/backbone.py" in names for room, names in found.items() if room != "chat/")


def test_no_file_is_in_a_circle():
    graph: Dict[Path, Set[Path]] = {path: {other for other, _ in imported(path)} - {path} for path in modules()}
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle
    assert len(graph) > 300  # the check saw the package


def test_tests_stand_as_what_they_test():
    """test/core/ROOM for clue_ros/ROOM, test/ros/PART for clue_ros/ros/PART; what is about no one room stands above."""
    for tests, package in ((ROOT / "test" / "core", PACKAGE), (ROOT / "test" / "ros", PACKAGE / "ros")):
        rooms = {path.parent.name for path in tests.glob("*/test_*.py")}
        assert len(rooms) >= 8 and not [room for room in rooms if not (package / room / "__init__.py").is_file()]
