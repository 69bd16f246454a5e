"""The kinds of detector by name: the one place where the strings of clue.json and of recipes become objects."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, List, Tuple

from clue_ros.ambiguity.autoregressive import Autoregressive
from clue_ros.ambiguity.cnn import Cnn
from clue_ros.ambiguity.joint import Joint
from clue_ros.ambiguity.reading import DEPTHS, PREFIXES, DetectorKind
from clue_ros.prompt import ANSWER
from clue_ros.types import ModelLoadError
from clue_ros.vlm.settings import FILE, ClueSettings, stated

CNN, AUTOREGRESSIVE, JOINT = Cnn(), Autoregressive(), Joint()
KINDS: Dict[str, DetectorKind] = {kind.name: kind for kind in (CNN, AUTOREGRESSIVE, JOINT)}


def kind_of(clue: ClueSettings, file: object = FILE) -> DetectorKind:
    """The kind that a clue.json names. file: it, for the message. Raises ModelLoadError listing every problem."""
    found: List[str] = []
    for name, allowed in (("detector", KINDS), ("detector_prefix", PREFIXES), ("detector_depth", DEPTHS)):
        if getattr(clue, name) not in allowed:
            found.append(f"{name} is '{getattr(clue, name)}', must be one of {', '.join(allowed)}")
    if found:
        raise ModelLoadError(f"{file}: " + "; ".join(found))
    return KINDS[clue.detector]


def two_pass() -> Tuple[str, ...]:
    """The kinds with a pass and an adapter of their own, which `clue train detector` trains."""
    return tuple(name for name, kind in KINDS.items() if not kind.one_pass)


def head_files() -> Tuple[str, ...]:
    """Every file that some kind keeps its head in."""
    return tuple({kind.file: None for kind in KINDS.values() if kind.file})


def is_stock(folder: Path) -> bool:
    """True for a directory that nobody has trained to ground: neither adapters (an oracle's apart) nor a detector, nor
    a clue.json that names one. Raises ModelLoadError if clue.json cannot be read."""
    folder = Path(folder)
    adapters = [f.name for f in (folder / "adapters").glob("*")]
    if any((folder / file).exists() for file in head_files()) or any(name != ANSWER for name in adapters):
        return False
    return "detector" not in stated(folder)
