"""Typed errors of the ROS side and their translation, in one place, to the error codes of action/Ground.

Every error that a client can meet is a `ClueError`; its text says what to do and becomes `error_msg`.
"""

from __future__ import annotations

from clue_ros.action import Ground
from clue_ros.dialogue.steps import End
from clue_ros.images.encodings import UnsupportedEncodingError
from clue_ros.taught.refusals import NameRefusedError, NothingToTeachError
from clue_ros.types import (
    Cancelled,
    ClueError,
    InvalidExpressionError,
    InvalidImageError,
    ModelFailedError,
    ModelLoadError,
    ModelUnavailableError,
    OutOfMemoryError,
)  # fmt: skip

Code = Ground.Result
# 7005 -> "NOT_FOUND". A field's default (..__DEFAULT) is a constant too, but no error code.
CODE_NAMES = {
    getattr(Code, name): name
    for name in dir(Code)
    if name.isupper() and type(getattr(Code, name)) is int and not name.endswith("__DEFAULT")
}


class DepthMessageError(ClueError):
    """A depth image or its camera_info cannot be used; the target is then published without a position."""


class NoPositionError(ClueError):
    """Why a target has no position, and what to do; `kind` names the reason, the text also its numbers."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class NoImageError(ClueError):
    """No camera frame arrived in time, or the newest one is too old."""


class UnknownCameraError(ClueError):
    """A goal names a camera that the node does not have; the text lists those it has."""


class UnknownParameterError(ClueError):
    """A parameter was given at start whose name is nearly that of one that exists; the text names both."""


class MissingPackageError(ClueError):
    """A parameter asks for something whose ROS package is not installed; the text names both."""


class DialogueEnded(ClueError):
    """A dialogue was ended from outside with error `code`: cancel, preemption, deactivation, time."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


# The first class that fits wins, so subclasses stand before their bases.
_CODES = (
    (UnsupportedEncodingError, Code.UNSUPPORTED_ENCODING),
    (InvalidImageError, Code.INVALID_IMAGE),
    (InvalidExpressionError, Code.INVALID_EXPRESSION),
    (NameRefusedError, Code.INVALID_EXPRESSION),
    (NothingToTeachError, Code.NOT_FOUND),
    (NoImageError, Code.NO_IMAGE),
    (UnknownCameraError, Code.UNKNOWN_CAMERA),
    (OutOfMemoryError, Code.OUT_OF_MEMORY),
    (ModelFailedError, Code.MODEL_ERROR),
    (ModelUnavailableError, Code.MODEL_UNAVAILABLE),
    (Cancelled, Code.NOT_ACTIVE),  # only reached when the node itself stopped the model
)

END_CODES = {
    End.FOUND: Code.NONE,
    End.NOT_FOUND: Code.NOT_FOUND,
    End.UNKNOWN_WORDS: Code.UNKNOWN_WORDS,
    End.AMBIGUOUS: Code.AMBIGUOUS,
    End.ANSWER_TIMEOUT: Code.ANSWER_TIMEOUT,
    End.TIMEOUT: Code.TIMEOUT,
    End.CANCELED: Code.CANCELED,
    End.ABANDONED: Code.ABANDONED,
}


def error_code(error: BaseException) -> int:
    """The action's error code for an exception; UNKNOWN for one that nothing above names."""
    if isinstance(error, DialogueEnded):
        return error.code
    for kind, code in _CODES:
        if isinstance(error, kind):
            return code
    return Code.UNKNOWN


def from_model(error: Exception) -> ClueError:
    """What a failure inside the Grounder means to a client; the original stays as `__cause__` of the caller's raise."""
    if isinstance(error, ClueError):
        return error
    if _starved(error):
        return OutOfMemoryError(f"out of memory ({error}): free the device's memory or use a smaller model")
    return ModelFailedError(f"the model failed ({type(error).__name__}: {error}); the node's log has the traceback")


def from_load(error: Exception, name: str) -> ClueError:
    """The same for a model that did not load; `name` says which."""
    if isinstance(error, ClueError):
        return error
    if _starved(error):
        return OutOfMemoryError(
            f"{name} does not fit into the memory ({error}): free it, set the parameter quantization to int8 or"
            " int4, dtype to bfloat16, or take a smaller model"
        )
    return ModelLoadError(f"{name}: {type(error).__name__}: {error}")


def _starved(error: Exception) -> bool:
    """torch is not imported here: its OutOfMemoryError is a RuntimeError known by name or, on the CPU, by its text."""
    text = str(error)
    named = type(error).__name__ == "OutOfMemoryError" or "out of memory" in text or "can't allocate memory" in text
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and named)
