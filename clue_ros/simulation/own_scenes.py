"""Scenes with objects that users brought: which categories they hold, and what a data set keeps on record of them."""

from __future__ import annotations

import json
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Dict, List, Sequence, Tuple

from clue_ros.language.kinds import fits, noun_of
from clue_ros.simulation.own_files import OwnObjectError
from clue_ros.simulation.own_folder import load_objects
from clue_ros.simulation.own_objects import OwnObject
from clue_ros.simulation.scene_draw import SceneConfig
from clue_ros.simulation.shapes import CATEGORIES, COLORS

RECORD = "own_objects.json"
Weights = Tuple[Tuple[str, float], ...]  # (noun, how often the kinds that it covers are drawn beside the others)


def own_config(objects: Sequence[OwnObject], only_own: bool = False, weights: Weights = ()) -> SceneConfig:
    """Random scenes with these objects among the built-in ones, or of these alone.

    A category is drawn as often as its objects' mean weight says, times the weights of the nouns that fit it.
    """
    own = tuple(dict.fromkeys(o.category for o in objects))
    if only_own:
        config = SceneConfig(categories=own, own=tuple(objects), own_share=1.0)
    else:
        config = SceneConfig(categories=tuple(dict.fromkeys((*CATEGORIES, *own))), own=tuple(objects))
    found = []
    for category in config.categories:
        given = [o.weight for o in objects if o.category == category] or [1.0]
        found.append(sum(given) / len(given) * prod(w for noun, w in weights if fits(noun, category)))
    return config if set(found) == {1.0} else replace(config, category_weights=tuple(found))


def load_for_scenes(folder: Path) -> Tuple[OwnObject, ...]:
    """The objects of a folder. Raises OwnObjectError, also where a noun that the table of kinds lacks means two
    categories."""
    objects = load_objects(folder)
    meanings: Dict[str, str] = {}
    for item in objects:
        for noun in item.nouns:
            if noun_of(noun) is None and meanings.setdefault(noun, item.category) != item.category:
                raise OwnObjectError(
                    f"{folder}: '{noun}' means both '{meanings[noun]}' and '{item.category}' "
                    f"({item.name}); give both the same category in objects.yaml"
                )
    return objects


def remarks(objects: Sequence[OwnObject]) -> List[str]:
    """What a user should know before many scenes are rendered: odd files, and words that people may misunderstand."""
    found = [note for item in objects for note in item.notes]
    for category in sorted({o.category for o in objects}):
        if set(category.split()) & set(COLORS) and noun_of(category) is None:
            found.append(
                f"'{category}' holds a colour word, which people may take for the colour; give it another category"
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
