"""The types of clue_ros as JSON and arrays, both ways, and its errors as codes. See wire.py for the form."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from clue_ros.chat.answer import GroundedAnswer, Phrase
from clue_ros.fleet import wire
from clue_ros.fleet.wire import TooLongError, WireError
from clue_ros.seams import Capability, MissingCapabilityError
from clue_ros.types import (
    Ambiguity,
    Answer,
    Box,
    Cancelled,
    ClueError,
    Decision,
    InvalidAnswerError,
    InvalidExpressionError,
    InvalidImageError,
    ModelFailedError,
    Outcome,
    OutOfMemoryError,
    Region,
    Turn,
)

Fields = Dict[str, Any]
MAX_TURNS, MAX_BOXES = 100, 1000
MAX_WORDS = 100_000  # of a vocabulary
# code: (the error, HTTP status); the first that fits wins.
ERRORS: Mapping[str, Tuple[type, int]] = {
    "too_long": (TooLongError, 413),
    "bad_request": (WireError, 400),
    "invalid_image": (InvalidImageError, 422),
    "invalid_expression": (InvalidExpressionError, 422),
    "invalid_answer": (InvalidAnswerError, 422),
    "cancelled": (Cancelled, 499),
    "missing_capability": (MissingCapabilityError, 501),
    "out_of_memory": (OutOfMemoryError, 507),
    "model_failed": (ModelFailedError, 500),
}


def error_said(error: Exception) -> Tuple[int, Fields]:
    """(HTTP status, JSON) of what a Grounder raised; what it did not raise on purpose is `model_failed`."""
    said = {"text": str(error) or type(error).__name__}
    if isinstance(error, MissingCapabilityError):
        said["capability"] = error.capability.value
    for code, (kind, status) in ERRORS.items():
        if isinstance(error, kind):
            return status, {"error": code, **said}
    if not isinstance(error, ClueError):
        said["text"] = f"the model failed ({type(error).__name__}: {error}); the server's log has the traceback"
    return 500, {"error": "model_failed", **said}


def error_of(fields: Mapping[str, Any]) -> ClueError:
    """What to raise for it on the other side."""
    code, said = wire.text(fields, "error"), wire.text(fields, "text", "")
    if code == "missing_capability":
        return MissingCapabilityError(_capability(fields.get("capability")))
    kind = ERRORS.get(code, (ModelFailedError, 0))[0]
    return kind(said)


def _capability(value: Any) -> Capability:
    try:
        return Capability(value)
    except ValueError as error:
        raise WireError(f"there is no capability {str(value)[:40]!r}") from error


def capabilities_of(value: Any) -> "frozenset[Capability]":
    return frozenset(_capability(name) for name in wire.items(value, "capabilities", 20))


# Boxes and turns.


def box_of(value: Any, name: str = "a box") -> Box:
    numbers = wire.items(value, name, 4)
    if len(numbers) != 4:
        raise WireError(f"{name} is not [x0, y0, x1, y1]")
    x0, y0, x1, y1 = (wire.number(n, name) for n in numbers)
    return Box(x0, y0, x1, y1)


def boxes_of(value: Any, name: str) -> Tuple[Box, ...]:
    return tuple(box_of(box, name) for box in wire.items(value, name, MAX_BOXES))


def boxes_said(boxes: Sequence[Box]) -> List[List[float]]:
    return [[float(n) for n in box] for box in boxes]


def answer_said(answer: Optional[Answer]) -> Optional[Fields]:
    if answer is None:
        return None
    point = None if answer.point is None else [float(n) for n in answer.point]
    return {"text": answer.text, "point": point, "box": None if answer.box is None else boxes_said([answer.box])[0]}


def answer_of(value: Any, name: str = "an answer") -> Optional[Answer]:
    if value is None:
        return None
    fields = wire.mapping(value, name)
    wire.only(fields, "text", "point", "box")
    point, box = fields.get("point"), fields.get("box")
    if point is not None:
        numbers = wire.items(point, "a point", 2)
        if len(numbers) != 2:
            raise WireError("a point is not [x, y]")
        point = (wire.number(numbers[0], "a point"), wire.number(numbers[1], "a point"))
    return Answer(wire.text(fields, "text", ""), point, None if box is None else box_of(box))


def turns_said(turns: Sequence[Turn]) -> List[List[Any]]:
    return [[turn.question, answer_said(turn.answer)] for turn in turns]


def turns_of(value: Any) -> Tuple[Turn, ...]:
    turns = []
    for pair in wire.items(value, "turns", MAX_TURNS):
        question, said = (wire.items(pair, "a turn", 2) + [None, None])[:2]
        answer = answer_of(said)
        if not isinstance(question, str) or len(question) > wire.MAX_TEXT or answer is None:
            raise WireError("a turn is not [question, answer]")
        turns.append(Turn(question, answer))
    return tuple(turns)


# What a Grounder gives back.


def ambiguity_said(ambiguity: Ambiguity) -> Tuple[Fields, np.ndarray]:
    regions = [
        [*boxes_said([r.box])[0], float(r.peak[0]), float(r.peak[1]), float(r.strength)] for r in ambiguity.regions
    ]
    said = {
        "probability": float(ambiguity.probability), "threshold": float(ambiguity.threshold),
        "is_ambiguous": bool(ambiguity.is_ambiguous), "regions": regions,
    }  # fmt: skip
    return said, ambiguity.attention_map


def ambiguity_of(value: Any, heat: Any) -> Ambiguity:
    fields = wire.mapping(value, "ambiguity")
    regions = []
    for said in wire.items(fields.get("regions"), "regions", MAX_BOXES):
        numbers = [wire.number(n, "a region") for n in wire.items(said, "a region", 7)]
        if len(numbers) != 7:
            raise WireError("a region is not [x0, y0, x1, y1, x, y, strength]")
        x0, y0, x1, y1, x, y, strength = numbers
        regions.append(Region(Box(x0, y0, x1, y1), (x, y), strength))
    if not isinstance(heat, np.ndarray) or heat.dtype != np.float32 or heat.ndim != 2:
        raise WireError("an ambiguity has no map")
    return Ambiguity(
        wire.number(fields.get("probability"), "probability"), wire.number(fields.get("threshold"), "threshold"),
        wire.yes(fields, "is_ambiguous", False), heat, tuple(regions),
    )  # fmt: skip


def decision_said(decision: Decision) -> Tuple[Fields, List[np.ndarray]]:
    """Everything but the expression, which the client knows."""
    arrays: List[np.ndarray] = []
    reading = None
    if decision.ambiguity is not None:
        reading, heat = ambiguity_said(decision.ambiguity)
        arrays.append(heat)
    if decision.mask is not None:
        arrays.append(decision.mask)
    said = {
        "outcome": decision.outcome.value, "ambiguity": reading, "mask": decision.mask is not None,
        "box": None if decision.box is None else boxes_said([decision.box])[0],
        "confidence": float(decision.confidence), "question": decision.question,
        "unknown_words": list(decision.unknown_words), "candidates": boxes_said(decision.candidates),
        "belief": [float(p) for p in decision.belief],
        "latency_s": {name: float(s) for name, s in decision.latency_s.items()},
    }  # fmt: skip
    return said, arrays


def decision_of(fields: Fields, arrays: Sequence[Any], expression: str) -> Decision:
    try:
        outcome = Outcome(fields.get("outcome"))
    except ValueError as error:
        raise WireError(f"there is no outcome {str(fields.get('outcome'))[:40]!r}") from error
    reading, box, left = fields.get("ambiguity"), fields.get("box"), list(arrays)
    wanted = int(reading is not None) + int(wire.yes(fields, "mask", False))
    if len(left) != wanted:
        raise WireError(f"a decision has {len(left)} arrays in the place of {wanted}")
    return Decision(
        outcome, expression,
        ambiguity=None if reading is None else ambiguity_of(reading, left.pop(0)),
        box=None if box is None else box_of(box),
        confidence=wire.number(fields.get("confidence"), "confidence"),
        question=wire.text(fields, "question"),
        unknown_words=_words(fields),
        candidates=boxes_of(fields.get("candidates"), "candidates"),
        latency_s=_seconds(fields),
        mask=left.pop(0) if left else None,
        belief=tuple(wire.number(p, "belief") for p in wire.items(fields.get("belief"), "belief", MAX_BOXES)),
    )  # fmt: skip


def chat_said(answer: GroundedAnswer) -> Fields:
    phrases = [[p.start, p.end, boxes_said([p.box])[0], float(p.confidence)] for p in answer.phrases]
    return {
        "text": answer.text, "phrases": phrases,
        "unknown_words": list(answer.unknown_words), "latency_s": {k: float(v) for k, v in answer.latency_s.items()},
    }  # fmt: skip


def chat_of(fields: Fields, question: str) -> GroundedAnswer:
    words, phrases = wire.text(fields, "text"), []
    for said in wire.items(fields.get("phrases"), "phrases", MAX_BOXES):
        if len(wire.items(said, "a phrase", 4)) != 4:
            raise WireError("a phrase is not [start, end, box, confidence]")
        start, end = (wire.whole(n, "a phrase", len(words)) for n in said[:2])
        phrases.append(Phrase(start, end, box_of(said[2]), wire.number(said[3], "a phrase")))
    return GroundedAnswer(question, words, tuple(phrases), _words(fields), _seconds(fields))


def _words(fields: Fields) -> Tuple[str, ...]:
    words = wire.items(fields.get("unknown_words"), "unknown_words", MAX_BOXES)
    return tuple(wire.text({"a word": word}, "a word") for word in words)


def _seconds(fields: Fields) -> Dict[str, float]:
    times = wire.mapping(fields.get("latency_s"), "latency_s")
    return {name: wire.number(seconds, "latency_s") for name, seconds in times.items()}
