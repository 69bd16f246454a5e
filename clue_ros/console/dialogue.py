"""What a page shows of one dialogue: its turns, readings and target."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Tuple

from clue_ros.types import Box

PERSON, ROBOT = "person", "robot"
ACTION, SPEECH = "action", "speech"


@dataclass(frozen=True)
class Reading:
    """One reading of the detector. regions: (box in pixels, strength in [0, 1]); frame, map: ids of pictures."""

    expression: str
    probability: float
    threshold: float
    is_ambiguous: bool
    regions: Tuple[Tuple[Box, float], ...] = ()
    frame: Optional[int] = None
    map: Optional[int] = None


@dataclass(frozen=True)
class Found:
    """A target. position: metres in `frame_id`, None where it is not known; mask: id of a picture."""

    box: Box
    confidence: float
    expression: str = ""
    position: Optional[Tuple[float, float, float]] = None
    frame_id: str = ""
    mask: Optional[int] = None


@dataclass
class Dialogue:
    """One dialogue as it is known so far. Times: `began`, `last_word` monotonic seconds."""

    id: str
    source: str
    named: bool  # the id is the robot's own, not made up here
    began: float
    last_word: float
    open: bool = True
    question: Optional[str] = None
    turns: List[Dict[str, Any]] = field(default_factory=list)
    readings: List[Dict[str, Any]] = field(default_factory=list)
    target: Optional[Dict[str, Any]] = None
    error: Optional[Dict[str, Any]] = None
    chips: Tuple[str, ...] = ()
    inference_s: Optional[float] = None
    response_s: Optional[float] = None
    frame: Optional[int] = None
    outcome: str = ""

    @property
    def expression(self) -> str:
        return self.turns[0]["text"] if self.turns else ""

    @property
    def answered(self) -> bool:
        """Whether the robot has said anything yet."""
        return any(turn["speaker"] == ROBOT for turn in self.turns)

    def as_dict(self) -> Dict[str, Any]:
        """JSON values, as the protocol has them."""
        return {
            "id": self.id, "open": self.open, "question": self.question, "source": self.source,
            "turns": list(self.turns), "readings": [dict(reading) for reading in self.readings], "target": self.target,
            "error": self.error, "chips": list(self.chips),
            "latency": {"inference_s": self.inference_s, "response_s": self.response_s}, "frame": self.frame,
        }  # fmt: skip


NO_DIALOGUE: Dict[str, Any] = {
    "id": None, "open": False, "question": None, "source": None, "turns": [], "readings": [], "target": None,
    "error": None, "chips": [], "latency": {"inference_s": None, "response_s": None}, "frame": None,
}  # fmt: skip
