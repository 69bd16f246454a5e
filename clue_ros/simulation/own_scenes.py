"""Scenes with objects that users brought: which categories they hold, and what a data set keeps on record of them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Dict, List, Sequence, Tuple

from clue_ros.simulation.own_files import OwnObjectError
from clue_ros.simulation.own_folder import load_objects
from clue_ros.simulation.own_objects import OwnObject
from clue_ros.simulation.scene import SceneConfig
from clue_ros.simulation.shapes import CATEGORIES, COLORS
from clue_ros.simulation.words import NOUNS

RECORD = "own_objects.json"


def own_config(objects: Sequence[OwnObject], only_own: bool = False) -> SceneConfig:
    """Random scenes with these objects among the built-in ones, or of these alone.

    A built-in category stays away where an own one's name ends in its noun: beside a cracker box, "the box" is no
    longer clear.
    """
    own = tuple(dict.fromkeys(o.category for o in objects))
    if only_own:
        return _weighted(SceneConfig(categories=own, own=tuple(objects), own_share=1.0))
    heads = {noun.split()[-1] for o in objects for noun in o.nouns if o.category not in CATEGORIES}
    built_in = [c for c in CATEGORIES if c in own or not heads & set(NOUNS[c])]
    return _weighted(SceneConfig(categories=(*built_in, *(c for c in own if c not in built_in)), own=tuple(objects)))


def _weighted(config: SceneConfig) -> SceneConfig:
    """A category is drawn as often as its objects' mean weight says; without weights all alike."""
    weights = {c: [o.weight for o in config.own if o.category == c] or [1.0] for c in config.categories}
    means = tuple(sum(w) / len(w) for w in weights.values())
    return config if set(means) == {1.0} else replace(config, category_weights=means)


def load_for_scenes(folder: Path) -> Tuple[OwnObject, ...]:
    """The objects of a folder. Raises OwnObjectError, also where one noun means two categories."""
    objects = load_objects(folder)
    meanings: Dict[str, str] = {}
    for item in objects:
        for noun in item.nouns:
            if meanings.setdefault(noun, item.category) != item.category:
                raise OwnObjectError(
                    f"{folder}: '{noun}' means both '{meanings[noun]}' and '{item.category}' "
                    f"({item.name}); give both the same category in objects.yaml"
                )
    return objects


def remarks(objects: Sequence[OwnObject]) -> List[str]:
    """What a user should know before many scenes are rendered: odd files, and words that people may misunderstand."""
    found = [note for item in objects for note in item.notes]
    categories = {o.category for o in objects}
    for category in sorted(categories):
        words = category.split()
        if set(words) & set(COLORS):
            found.append(
                f"'{category}' holds a colour word, which people may take for the colour; give it another category"
            )
        if len(words) > 1 and words[-1] in categories:
            found.append(
                f"a '{category}' is a '{words[-1]}' as well, yet 'the {words[-1]}' selects only the other "
                f"category; give both the category '{words[-1]}'"
            )
    return found


def describe(item: OwnObject) -> str:
    """One line, such as "025_mug: mug, red, 12.0 x 9.3 x 8.1 cm, 16384 triangles"."""
    sides = " x ".join(f"{100 * side:.1f}" for side in item.extent)
    return (
        f"{item.name}: {' / '.join(item.nouns)}, {item.color or 'no colour word'}, {sides} cm, "
        f"{len(item.triangles)} triangles"
    )


def keep_record(output: Path, objects: Sequence[OwnObject], only_own: bool) -> None:
    """Writes what a data set is made of beside it. Raises OwnObjectError if the folder was begun with other objects."""
    record = {
        "only_own": only_own,
        "objects": {
            o.name: {
                "category": list(o.nouns),
                "color": o.color,
                "size": o.size,
                "triangles": len(o.triangles),
                "extent": [round(float(v), 4) for v in o.extent],
                **({} if o.weight == 1 else {"weight": o.weight}),
            }
            for o in objects
        },
    }
    path = output / RECORD
    before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
    if any(output.glob("scenes-*.jsonl")) and before != (record if objects else None):
        raise OwnObjectError(
            f"{output}: was begun with other objects or settings ({RECORD}); choose another --output, or delete it"
        )
    if objects:
        output.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
