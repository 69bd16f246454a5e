"""Why something is not taught."""

from __future__ import annotations

from clue_ros.types import ClueError


class NameRefusedError(ClueError):
    """A name that cannot be taught; the text says why and what to do."""


class KnownNameError(NameRefusedError):
    """The model has words for this name, and hiding them was not allowed: ask whether it may be."""


class NothingToTeachError(ClueError):
    """The box or click that was given holds no thing that could be taught; the text says why."""
