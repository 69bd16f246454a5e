"""What can be wrong with a bag; what can be wrong with an image in it is in clue_ros/images/messages.py. Every text
says what to do."""

from __future__ import annotations

from clue_ros.types import ClueError


class BagError(ClueError):
    """A bag cannot be read or written; the text names the file and the reason."""


class MissingTopicError(BagError):
    """A topic that is needed is not in the bag, or is of another type; the text lists what is there."""


class TruthError(BagError):
    """A truth message or line makes no sense; the text says which one and why."""
