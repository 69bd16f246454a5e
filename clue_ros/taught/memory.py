"""A store as eyes see it: the look of every view, made once and kept in vectors.safetensors beside the store."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Dict, FrozenSet, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from clue_ros.eyes.crops import SIDE
from clue_ros.eyes.sight import Sight
from clue_ros.taught.looks import COLOURS, looks
from clue_ros.taught.store import KeptView, TaughtStore, TaughtStoreError, Thing
from clue_ros.taught.views import View

FILE = "vectors.safetensors"
BATCH = 16  # views looked at together
LOOKS = "looks 1"  # how they are made of what the eyes say: other ones are made anew


class Shown(NamedTuple):
    """name: of a thing; looks: float32[V,·] (looks.py), one for each view."""

    name: str
    looks: np.ndarray


class TaughtMemory:
    """A TaughtStore behind the eyes of one model. Not thread-safe."""

    def __init__(self, store: TaughtStore, sight: Sight):
        """Looks at the views that these eyes have not seen yet. Raises TaughtStoreError."""
        self.store, self.sight = store, sight
        self._eyes = f"{sight.fingerprint} {LOOKS}"
        self._vectors: Dict[str, np.ndarray] = _read(store.folder / FILE, self._eyes, sight.shape.vector + COLOURS)
        self._refresh()

    @property
    def things(self) -> Tuple[Shown, ...]:
        return self._shown

    def reload(self) -> None:
        """Take over what another program taught or forgot. Raises TaughtStoreError."""
        if self.store.reload():
            self._refresh()

    def add(self, name: str, view: View, vocabulary: Optional[FrozenSet[str]] = None, shadow: bool = False) -> Thing:
        """As TaughtStore.add."""
        thing = self.store.add(name, view, vocabulary, shadow)
        self._refresh()
        return thing

    def forget(self, name: str) -> Thing:
        """As TaughtStore.forget."""
        thing = self.store.forget(name)
        self._refresh()
        return thing

    def warm_up(self) -> None:
        """Look at nothing once, so that the first lesson is not the slow one."""
        self.sight.vectors(np.zeros((1, SIDE, SIDE, 3), np.uint8), np.array([[0.25, 0.25, 0.75, 0.75]], np.float32))

    def _refresh(self) -> None:
        views = {view.id: view for thing in self.store.things for view in thing.views}
        missing = [view for id_, view in views.items() if id_ not in self._vectors]
        for start in range(0, len(missing), BATCH):
            self._look(missing[start : start + BATCH])
        stale = [id_ for id_ in self._vectors if id_ not in views]
        for id_ in stale:
            del self._vectors[id_]
        self._shown = tuple(
            Shown(thing.name, np.stack([self._vectors[view.id] for view in thing.views])) for thing in self.store.things
        )
        if missing or stale:
            self._write()

    def _look(self, kept: Sequence[KeptView]) -> None:
        seen = looks_in(self.sight, [self.store.view(view) for view in kept])
        self._vectors.update({view.id: look for view, look in zip(kept, seen)})

    def _write(self) -> None:
        """Without it (a folder that cannot be written) the next start looks again."""
        file = self.store.folder / FILE
        partial = file.with_name(f".{FILE}.{os.getpid()}")
        try:
            save_file(self._vectors, partial, {"eyes": self._eyes})
            os.replace(partial, file)
        except (OSError, SafetensorError):
            partial.unlink(missing_ok=True)


def looks_in(sight: Sight, views: Sequence[View]) -> np.ndarray:
    """float32[V,·]: the look of the thing in each view."""
    boxes = np.array([view.box for view in views], np.float32)
    said = sight.vectors(np.stack([view.picture for view in views]), boxes)
    return np.concatenate([
        looks(said[n : n + 1], view.picture, boxes[n : n + 1] * SIDE) for n, view in enumerate(views)
    ])  # fmt: skip


def _read(file: Path, eyes: str, width: int) -> Dict[str, np.ndarray]:
    """Vectors by view's id; none of other eyes. Raises TaughtStoreError naming a corrupt or foreign file."""
    if not file.exists():
        return {}
    try:
        with safe_open(file, "np") as opened:
            if (opened.metadata() or {}).get("eyes") != eyes:
                return {}
            found = {name: opened.get_tensor(name) for name in opened.keys()}
    except (SafetensorError, OSError) as error:
        raise TaughtStoreError(f"{file} is corrupt: {error}; delete it, and the views are looked at again") from error
    odd = [n for n, v in found.items() if v.dtype != np.float32 or v.shape != (width,) or not np.isfinite(v).all()]
    if odd:
        raise TaughtStoreError(f"{file} holds no vectors of views ('{odd[0][:40]}'): delete it")
    return found
