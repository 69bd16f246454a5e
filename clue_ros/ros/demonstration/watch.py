"""What the demo hears on the topics, put together again: lines, readings, the target, and how it ended."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Callable, List, Optional, Tuple

from lifecycle_msgs.srv import GetState
from rclpy.node import Node
from std_msgs.msg import UInt32

from clue_ros.dialogue.steps import PERSON, ROBOT, Utterance
from clue_ros.evaluation.episode_runner import EpisodeResult, score_episode, truth_box_of
from clue_ros.msg import Ambiguity as AmbiguityMsg
from clue_ros.msg import Target, Turn
from clue_ros.ros.demonstration.scripted_scene import LATCHED, closing_of
from clue_ros.ros.wire.messages import msg_to_attention_map, msg_to_box, stamp_to_seconds
from clue_ros.types import Ambiguity, Decision, Outcome, Region

GRACE_S = 0.4  # for what belongs to a line but comes on another topic

_FINAL = {"found": Outcome.FOUND, "not_found": Outcome.NOT_FOUND, "unknown_words": Outcome.UNKNOWN_WORDS}


@dataclass
class Line:
    """One line of the dialogue; `ambiguity` is the reading behind a robot's line, None where it has none."""

    speaker: str
    text: str
    stamp: float  # seconds, the node's clock
    heard: float  # monotonic seconds here
    ambiguity: Optional[Ambiguity] = None
    closing: Optional[str] = None  # the outcome that it announces


@dataclass
class Dialogue:
    """One dialogue as it is heard. `settled` is true once a line's companions are here, or overdue."""

    lines: List[Line] = field(default_factory=list)
    readings: List[Ambiguity] = field(default_factory=list)
    target: Optional[Target] = None

    @property
    def expression(self) -> str:
        return self.lines[0].text if self.lines else ""

    @property
    def outcome(self) -> Optional[str]:
        return self.lines[-1].closing if self.lines else None

    def settled(self, line: Line) -> bool:
        """Whether all that belongs to a line has come: its reading, and the target of the last one."""
        complete = line.speaker == PERSON or line.ambiguity is not None
        if line.closing == "found":
            complete = complete and self.target is not None
        return complete or time.monotonic() - line.heard > GRACE_S

    def hear(self, turn: Turn) -> None:
        closing = closing_of(turn.text, self.expression) if turn.speaker == ROBOT and self.lines else None
        line = Line(turn.speaker, turn.text, stamp_to_seconds(turn.stamp), time.monotonic(), closing=closing)
        self.lines.append(line)
        self._match()

    def read(self, message: AmbiguityMsg) -> None:
        self.readings.append(_ambiguity(message))
        self._match()

    def latency_s(self) -> float:
        """Seconds that the person waited for the robot: from each line of hers to the robot's next."""
        pairs = zip(self.lines, self.lines[1:])
        return sum(b.stamp - a.stamp for a, b in pairs if a.speaker == PERSON and b.speaker == ROBOT)

    def decisions(self) -> Tuple[Decision, ...]:
        """The node's decisions, as far as the topics tell."""
        decided = []
        for line in self.lines:
            if line.speaker != ROBOT or (
                line.closing is not None and line.closing not in _FINAL and line.ambiguity is None
            ):
                continue
            outcome = Outcome.ASK if line.closing is None else _FINAL.get(line.closing, Outcome.ASK)
            found = outcome is Outcome.FOUND and self.target is not None
            decided.append(
                Decision(
                    outcome=outcome,
                    expression=self.expression,
                    ambiguity=line.ambiguity,
                    box=msg_to_box(self.target.box) if found else None,
                    confidence=self.target.confidence if found else 0.0,
                    question=line.text if line.closing is None else "",
                )
            )
        return tuple(decided)

    def result(self, view: Any, episode: Any, scripted: bool) -> EpisodeResult:
        """Scored against the episode's truth; nobody knows the truth of what a person at the terminal has in mind."""
        decisions = self.decisions()
        box = decisions[-1].box if decisions else None
        questions = tuple(line.text for line in self.lines if line.speaker == ROBOT and line.closing is None)
        answers = tuple(line.text for line in self.lines[1:] if line.speaker == PERSON)
        clicks = tuple(filter(None, map(_click, answers)))
        truth_box = truth_box_of(view, episode) if scripted else None
        outcome = self.outcome or "no_result"
        first = decisions[0].ambiguity if decisions else None
        success, iou, reason = True, None, ""
        if scripted:
            score = score_episode(
                episode.truth, outcome, len(questions), box, truth_box,
                must_click=episode.answer_by_click, clicked=bool(clicks),
            )  # fmt: skip
            success, iou, reason = score.success, score.iou, score.reason
        return EpisodeResult(
            kind=episode.kind.value if scripted else "person",
            expression=self.expression or episode.expression,
            truth=episode.truth if scripted else "unknown",
            probability=first.probability if first is not None else None,
            questions=questions,
            answers=answers,
            box=box,
            iou=iou,
            latency_s=self.latency_s(),
            outcome=outcome,
            success=success,
            reason=reason,
            truth_box=truth_box,
            clicks=clicks,
            decisions=decisions,
            transcript=tuple(Utterance(line.speaker, line.text, line.stamp) for line in self.lines),
        )

    def _match(self) -> None:
        """The n-th reading belongs to the robot's n-th line; unknown words and time-outs have none and come last."""
        spoken = [line for line in self.lines if line.speaker == ROBOT]
        for line, reading in zip(spoken, self.readings):
            if line.ambiguity is None and (line.closing in (None, "found", "not_found", "ambiguous")):
                line.ambiguity = reading


class Watcher(Node):
    """The demo's own node: announces episodes, listens, and asks the clue node for its state."""

    def __init__(self, namespace: str) -> None:
        super().__init__("demo", namespace=namespace)
        self.dialogue = Dialogue()
        self.scene: Optional[int] = None
        self._episode = self.create_publisher(UInt32, "episode", LATCHED)
        self._state = self.create_client(GetState, "clue/get_state")
        keep: List[Tuple[type, str, Callable]] = [
            (Turn, "turn", lambda message: self.dialogue.hear(message)),
            (AmbiguityMsg, "ambiguity", lambda message: self.dialogue.read(message)),
            (Target, "target", lambda message: setattr(self.dialogue, "target", message)),
        ]
        for kind, topic, callback in keep:
            self.create_subscription(kind, topic, callback, 50)
        self.create_subscription(UInt32, "scene", lambda message: setattr(self, "scene", message.data), LATCHED)

    def announce(self, index: int) -> None:
        self.dialogue = Dialogue()
        self._episode.publish(UInt32(data=index))

    def ask_state(self) -> Optional[Any]:
        """A future of the clue node's lifecycle state, None while its service is not there."""
        return self._state.call_async(GetState.Request()) if self._state.service_is_ready() else None

    @property
    def everybody_is_here(self) -> bool:
        """Whether the nodes have discovered each other, as far as this one can see."""
        heard = all(self.count_publishers(topic) > 0 for topic in ("turn", "ambiguity", "target", "scene", "speech"))
        ears = all(self.count_subscribers(topic) > 0 for topic in ("speech", "image", "utterance"))
        return heard and ears and self.count_subscribers("scene") > 1 and self.count_publishers("image") > 0


def _ambiguity(message: AmbiguityMsg) -> Ambiguity:
    regions = tuple(
        Region(msg_to_box(region.box), (region.peak_x, region.peak_y), region.strength) for region in message.regions
    )
    heat = msg_to_attention_map(message)
    return Ambiguity(message.probability, message.threshold, message.is_ambiguous, heat, regions)


def _click(text: str) -> Optional[Tuple[float, float]]:
    """The point of a "(click x y)" line."""
    words = text.strip("()").split()
    return (float(words[1]), float(words[2])) if len(words) == 3 and words[0] == "click" else None
