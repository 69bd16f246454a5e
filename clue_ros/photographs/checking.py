"""What a folder of annotated photographs holds, and what is wrong with it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Sequence, Tuple

from clue_ros.images.files import header_size
from clue_ros.photographs.annotations import Photograph, read_annotations
from clue_ros.problems import BrokenImageError, Kind, Place, Problems


@dataclass(frozen=True)
class Counts:
    """photographs; of each source: photographs, of these exhaustive, things; of each name: things, of these with a
    colour, sources; of each licence: photographs, '' for what stands in the folder's own list."""

    photographs: int
    sources: Dict[str, Tuple[int, int, int]]
    names: Dict[str, Tuple[int, int, int]]
    licences: Dict[str, int]

    def to_dict(self) -> Dict[str, Any]:
        return {
            "photographs": self.photographs,
            "sources": {k: dict(zip(("photographs", "exhaustive", "things"), v)) for k, v in self.sources.items()},
            "names": {k: dict(zip(("things", "colored", "sources"), v)) for k, v in self.names.items()},
            "licences": self.licences,
        }


def check(path: Path) -> Tuple[Counts, Problems]:
    """Counts and problems of a folder with annotations.jsonl; every image's header is read. Raises MissingDataError."""
    problems = Problems()
    photographs = read_annotations(path, problems=problems)
    for photo in photographs:
        for file in (photo.image, *([photo.mask] if photo.mask else [])):
            try:
                real = header_size(file.path)
                if real != file.size:
                    raise BrokenImageError(f"is {real[0]}x{real[1]}, the line says {file.size[0]}x{file.size[1]}")
            except BrokenImageError as error:
                problems.add(Kind.IMAGE, Place(file.name, 0), error)
    return count(photographs), problems


def count(photographs: Sequence[Photograph]) -> Counts:
    """The most frequent first."""
    sources: Dict[str, list] = {}
    for photo in photographs:
        sources.setdefault(photo.source, []).append(photo)
    things = [(o.category, bool(o.color), photo.source) for photo in photographs for o in photo.objects]
    colored = Counter(name for name, has, _ in things if has)
    spread = Counter(name for name, _ in {(name, source) for name, _, source in things})
    return Counts(
        len(photographs),
        {
            name: (len(own), sum(p.exhaustive for p in own), sum(len(p.objects) for p in own))
            for name, own in sorted(sources.items(), key=lambda item: -len(item[1]))
        },
        {name: (n, colored[name], spread[name]) for name, n in Counter(name for name, _, _ in things).most_common()},
        dict(Counter(photo.licence for photo in photographs).most_common()),
    )
