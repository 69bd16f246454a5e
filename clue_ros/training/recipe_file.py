"""A recipe as a file: read under checks, changed from the command line, and held by the run folder that it made."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any, Dict, List, Mapping, Protocol, Sequence, Type, TypeVar

from clue_ros.configuration import ConfigurationError, from_mapping
from clue_ros.training.parallel import rank
from clue_ros.types import ClueError

RECORD, STATE = "recipe.yaml", "state.json"
DATA_CHANGED = "are others: the data set's files do not hold what the run was made on"


class Checked(Protocol):
    """A recipe as a dataclass that says what is wrong with it beyond its types."""

    def problems(self) -> List[str]: ...


Recipe = TypeVar("Recipe", bound=Checked)


class TrainingError(ClueError):
    """A run cannot start or go on; the text says what to do."""


def read_recipe(kind: Type[Recipe], file: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a YAML recipe.

    overrides: 'section.key=value' each.
    Raises TrainingError listing every problem in it.
    """
    import yaml

    try:
        values = yaml.safe_load(Path(file).read_text(encoding="utf-8")) or {}
        recipe = from_mapping(kind, overridden(values, overrides) if overrides else values)
        if recipe.problems():
            raise ConfigurationError("; ".join(recipe.problems()))
        return recipe
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ConfigurationError) as error:
        raise TrainingError(f"the recipe {file} cannot be used: {error}") from error


def overridden(values: Any, overrides: Sequence[str]) -> Dict:
    """A recipe's mapping with 'section.key=value' put in, values written as in YAML (1e-3 is a number too). Raises
    ConfigurationError naming all that are no such thing; what they mean is checked with the recipe."""
    import yaml

    found = json.loads(json.dumps(values))  # a copy, lists and mappings included
    wrong = [text for text in overrides if not re.fullmatch(r"\w+(\.\w+)+=.*", text, re.DOTALL)]
    if wrong or not isinstance(found, dict):
        raise ConfigurationError(
            "--set takes section.key=value, got " + ", ".join(f"'{w}'" for w in wrong)
            if wrong
            else "the file must be a mapping of names to values"
        )
    for text in overrides:
        path, _, written = text.partition("=")
        value = yaml.safe_load(written)
        if isinstance(value, str) and re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)[eE][+-]?\d+", value):
            value = float(value)
        *sections, key = path.split(".")
        place = found
        for section in sections:
            place = place.setdefault(section, {})
            if not isinstance(place, dict):
                raise ConfigurationError(f"--set {text}: '{section}' is no section")
        place[key] = value
    return found


def hold_recipe(
    folder: Path, command: str, sections: Mapping[str, Any], free: Sequence[str], begun: Sequence[str] = (STATE,)
) -> None:
    """Write the sections of a recipe that a run uses into its folder (one process does).

    sections: dataclasses or mappings by name.
    free: keys that may change when the run goes on, because the loss curve of the steps that were made is none of
        theirs.
    begun: patterns of files of which one stands in the folder once a run has begun.
    Raises TrainingError, naming what differs, if the folder holds a run that was made with others.
    """
    import yaml

    new = json.loads(json.dumps({k: _mapping(v) for k, v in sections.items()}))
    folder = Path(folder)
    file = folder / RECORD
    if file.is_file() and any(any(folder.glob(name)) for name in begun):
        old = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
        differing = [
            f"{name}.{key} {DATA_CHANGED}"
            if key == "annotations"
            else f"{name}.{key} was {old[name][key]!r}, is {value!r}"
            for name, part in new.items()
            for key, value in part.items()
            if key not in free and key in old.get(name, {}) and old[name][key] != value
        ]
        if differing:
            raise TrainingError(
                f"{folder} holds a run with another recipe ({'; '.join(differing[:6])}): give the same one to go on "
                f"(only these may change: {', '.join(free)}), choose another --output, or delete the folder to start "
                "anew"
            )
    if rank() > 0:
        return
    folder.mkdir(parents=True, exist_ok=True)
    lines = [
        f"# The recipe as used by: {command}\n",
        yaml.safe_dump(new, sort_keys=False, default_flow_style=None, width=120),
    ]
    partial = file.with_suffix(".partial")
    partial.write_text("".join(lines), encoding="utf-8")
    partial.replace(file)


def _mapping(section: Any) -> Any:
    return asdict(section) if is_dataclass(section) and not isinstance(section, type) else section
