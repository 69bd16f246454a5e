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
from clue_ros.taught.views import NothingToTeachError, View, view_of
from clue_ros.types import Answer, Box

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
        views = [self.store.view(view) for view in kept]
        boxes = np.array([view.box for view in views], np.float32)
        said = self.sight.vectors(np.stack([view.picture for view in views]), boxes)
        for n, (id_, view) in enumerate(zip((view.id for view in kept), views)):
            self._vectors[id_] = looks(said[n : n + 1], view.picture, boxes[n : n + 1] * SIDE)[0]

    def _write(self) -> None:
        """Without it (a folder that cannot be written) the next start looks again."""
        file = self.store.folder / FILE
        partial = file.with_name(f".{FILE}.{os.getpid()}")
        try:
            save_file(self._vectors, partial, {"eyes": self._eyes})
            os.replace(partial, file)
        except (OSError, SafetensorError):
            partial.unlink(missing_ok=True)


def box_around(sight: Sight, rgb: np.ndarray, point: Tuple[float, float]) -> Optional[Box]:
    """The box in pixels of the smallest thing around a click, as the second glances see it; None where they see none.

    rgb: uint8[H,W,3]; point: x, y in pixels.
    """
    height, width = rgb.shape[:2]
    boxes = [Box(*(float(v) for v in box * (width, height, width, height))) for box in sight.things(rgb).boxes]
    x, y = point
    around = [box for box in boxes if box.x0 <= x <= box.x1 and box.y0 <= y <= box.y1 and box.area > 0]
    return min(around, key=lambda box: box.area, default=None)


def teach(
    memory: TaughtMemory, name: str, rgb: np.ndarray, shown: Answer, shadow: bool = False,
    vocabulary: Optional[FrozenSet[str]] = None,
) -> Tuple[Thing, Box]:  # fmt: skip
    """Keep a view of what a box is drawn around, or a click is on; the thing with all its views, and that box.

    name: as a person says it; rgb: uint8[H,W,3]; shown: a box or a point in pixels; shadow, vocabulary: as for
    TaughtStore.add.

    Raises NothingToTeachError where there is no thing, NameRefusedError, TaughtStoreError.
    """
    box = shown.box
    if box is None and shown.point is not None:
        box = box_around(memory.sight, rgb, shown.point)
    if box is None:
        x, y = shown.point or (0.0, 0.0)
        raise NothingToTeachError(f"no thing is seen at {x:.0f} {y:.0f}: draw a box around it instead of a click")
    return memory.add(name, view_of(rgb, box), vocabulary, shadow), box


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
