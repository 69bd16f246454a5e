"""Arrays of a whole set in memory-mapped files, filled picture by picture, and known by what they were made of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Dict, Mapping, Tuple, cast

import numpy as np

MARK = "made.json"


class Cache:
    """A folder of arrays of `count` rows. Filling goes on where it was cut off; arrays that were made of something
    else, or have other shapes, begin anew."""

    def __init__(self, folder: Path, made_of: str, count: int, rows: Mapping[str, Tuple[type, Tuple[int, ...]]]):
        """made_of: a name for everything that the arrays follow from; rows: of each array its dtype and a row's
        shape."""
        self.folder, self.made_of, self.count = Path(folder), made_of, count
        self.folder.mkdir(parents=True, exist_ok=True)
        shapes = {name: [np.dtype(kind).name, count, *shape] for name, (kind, shape) in rows.items()}
        self._about = {"made_of": made_of, "arrays": shapes}
        self.done = self._done_before()
        self._arrays: Dict[str, np.ndarray] = {}
        for name, (kind, shape) in rows.items():
            file = self.folder / f"{name}.npy"
            mode = ("r" if self.whole else "r+") if self.done else "w+"
            size = None if self.done else (count, *shape)
            self._arrays[name] = np.lib.format.open_memmap(file, mode, kind, size)

    @property
    def whole(self) -> bool:
        return self.done == self.count

    def __getitem__(self, name: str) -> np.ndarray:
        return self._arrays[name]

    def filled(self, done: int) -> None:
        """The first `done` rows are right."""
        for array in self._arrays.values():
            cast(np.memmap, array).flush()
        self.done = done
        partial = (self.folder / MARK).with_suffix(".partial")
        partial.write_text(json.dumps({**self._about, "done": done}), encoding="utf-8")
        partial.replace(self.folder / MARK)

    def _done_before(self) -> int:
        file = self.folder / MARK
        try:
            mark = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        except ValueError:
            return 0
        there = all((self.folder / f"{name}.npy").is_file() for name in self._about["arrays"])
        return mark["done"] if there and {k: mark.get(k) for k in self._about} == self._about else 0
