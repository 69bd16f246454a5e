"""What was taught, in one folder that survives restarts and can be copied to another robot.

    taught.json          names, and for each the views: when, and where the thing's box lies
    views/ID.png         the square that a second glance looks at: the picture of the thing, for people too
    vectors.safetensors  what eyes make of the views, so that the next start looks at none again (memory.py)

A view's picture is written first, taught.json last and in one step: it names only what is there. Vectors of other eyes
are made anew. Whoever changes the folder holds its lock and reads it anew before, so a robot and `clue teach` may share
it.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import uuid
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, FrozenSet, Iterator, List, Optional, Sequence, Tuple

import numpy as np
from PIL import Image

from clue_ros.configuration import ConfigurationError, from_mapping
from clue_ros.taught.names import as_name, check_not_known
from clue_ros.taught.refusals import NameRefusedError
from clue_ros.taught.views import View, is_view
from clue_ros.types import ClueError

FILE, PICTURES, FORMAT = "taught.json", "views", 1
_ID = re.compile(r"[0-9a-f]{12}")


class TaughtStoreError(ClueError):
    """A folder of taught things cannot be read, written or has no room; the text names the file or the limit."""


@dataclass(frozen=True)
class Limits:
    """Most things in a folder, and most views of one."""

    things: int = 200
    views: int = 8


@dataclass(frozen=True)
class KeptView:
    """id: of its picture's file; box: shares of that picture."""

    id: str
    box: Tuple[float, ...]


@dataclass(frozen=True)
class Thing:
    """name: as names.as_name gives it; views: oldest first."""

    name: str
    views: Tuple[KeptView, ...]


@dataclass(frozen=True)
class _Folder:
    format: int
    things: Tuple[Thing, ...]


class TaughtStore:
    """One folder. What it holds is read when it is opened, and again by `reload` and before every change."""

    def __init__(self, folder: Path, limits: Limits = Limits()):
        """folder: made when the first thing is taught. Raises TaughtStoreError naming a file that is corrupt, foreign
        or missing."""
        self.folder, self.limits = Path(folder), limits
        self._things: Tuple[Thing, ...] = ()
        self.reload()

    @property
    def things(self) -> Tuple[Thing, ...]:
        """In the order in which they were first taught."""
        return self._things

    @property
    def names(self) -> Tuple[str, ...]:
        return tuple(thing.name for thing in self._things)

    def reload(self) -> bool:
        """Read the folder anew; whether it changed. Raises TaughtStoreError, and then keeps what it had."""
        before, self._things = self._things, _read(self.folder)
        return self._things != before

    def add(self, name: str, view: View, vocabulary: Optional[FrozenSet[str]] = None, shadow: bool = False) -> Thing:
        """Keep a view of a thing, a new one or one more view of one that is known.

        name: as a person says it; vocabulary: words of the model in use, None for an open one; shadow: the name may
        hide words that the model knows.

        Raises NameRefusedError, TaughtStoreError at a limit or where the folder cannot be written.
        """
        name = as_name(name)
        with self._changing():
            old = next((thing for thing in self._things if thing.name == name), None)
            if old is None:
                if not shadow:
                    check_not_known(name, vocabulary)
                if len(self._things) >= self.limits.things:
                    raise TaughtStoreError(
                        f"{self.folder} holds {len(self._things)} things, its limit: forget one before '{name}'"
                    )
                old = Thing(name, ())
            if len(old.views) >= self.limits.views:
                raise TaughtStoreError(
                    f"'{name}' has {len(old.views)} views, the limit: forget it and show it anew, or keep these"
                )
            kept = KeptView(uuid.uuid4().hex[:12], tuple(round(v, 4) for v in view.box))
            self._write_picture(kept.id, view.picture)
            new = replace(old, views=(*old.views, kept))
            others = [new if thing.name == name else thing for thing in self._things]
            self._commit(tuple(others if old.views else [*others, new]))
            return new

    def forget(self, name: str) -> Thing:
        """Drop a thing with all its views. Raises NameRefusedError for one that nobody taught, TaughtStoreError."""
        wanted = as_name(name)
        with self._changing():
            gone = next((thing for thing in self._things if thing.name == wanted), None)
            if gone is None:
                known = ", ".join(self.names[:20]) or "nothing yet"
                raise NameRefusedError(f"nobody taught '{wanted}'; taught: {known}")
            self._commit(tuple(thing for thing in self._things if thing is not gone))
            for view in gone.views:
                self.picture_file(view.id).unlink(missing_ok=True)
            return gone

    def picture_file(self, view: str) -> Path:
        """The picture of a view, by its id."""
        return self.folder / PICTURES / f"{view}.png"

    def view(self, kept: KeptView) -> View:
        """Raises TaughtStoreError naming a picture that is missing, broken or none of a view."""
        file = self.picture_file(kept.id)
        try:
            with Image.open(file, formats=["PNG"]) as image:
                picture = np.array(image)
        except Exception as error:  # decoders raise nearly every type for damaged files
            raise TaughtStoreError(f"{file} is missing or broken: {error}") from error
        if not is_view(picture):
            raise TaughtStoreError(f"{file} is no picture of a view: {picture.dtype}{list(picture.shape)}")
        box = kept.box
        return View(picture, (box[0], box[1], box[2], box[3]))

    @contextmanager
    def _changing(self) -> Iterator[None]:
        try:
            (self.folder / PICTURES).mkdir(parents=True, exist_ok=True)
            with open(self.folder / ".lock", "a") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                self.reload()
                yield
        except OSError as error:
            raise TaughtStoreError(f"{self.folder} cannot be written: {error}") from error

    def _write_picture(self, view: str, picture: np.ndarray) -> None:
        partial = self.folder / PICTURES / f".{view}.png"
        Image.fromarray(picture).save(partial, format="PNG")
        os.replace(partial, self.picture_file(view))

    def _commit(self, things: Tuple[Thing, ...]) -> None:
        partial = self.folder / f".{FILE}"
        with open(partial, "w", encoding="utf-8") as out:
            json.dump(asdict(_Folder(FORMAT, things)), out, indent=1)
            out.flush()
            os.fsync(out.fileno())
        os.replace(partial, self.folder / FILE)
        self._things = things


def _read(folder: Path) -> Tuple[Thing, ...]:
    file = folder / FILE
    if not file.exists():
        if folder.exists() and not folder.is_dir():
            raise TaughtStoreError(f"{folder} is a file, not a folder of taught things")
        return ()
    try:
        said: Any = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise TaughtStoreError(f"{file} cannot be read: {error}") from error
    if not isinstance(said, dict) or not isinstance(said.get("things"), list) or said.get("format") != FORMAT:
        raise TaughtStoreError(f"{file} holds no taught things of format {FORMAT}")
    things = tuple(_thing(entry, file) for entry in said["things"])
    names: List[str] = [thing.name for thing in things]
    if len(set(names)) != len(names):
        raise TaughtStoreError(f"{file}: a name stands there twice")
    return things


def _thing(entry: Any, file: Path) -> Thing:
    """Raises TaughtStoreError."""
    try:
        views = [from_mapping(KeptView, view) for view in entry["views"]]
        name = as_name(entry["name"])
    except (ConfigurationError, NameRefusedError, TypeError, KeyError, AttributeError) as error:
        raise TaughtStoreError(f"{file}: an entry is broken: {error}") from error
    for view in views:
        if not _ID.fullmatch(view.id) or not _is_box(view.box):
            raise TaughtStoreError(f"{file}: a view of '{name}' is broken")
    if name != entry["name"] or not views:
        raise TaughtStoreError(f"{file}: '{entry['name']}' is no name with views")
    return Thing(name, tuple(views))


def _is_box(box: Sequence[float]) -> bool:
    return len(box) == 4 and 0 <= box[0] < box[2] <= 1 and 0 <= box[1] < box[3] <= 1
