"""One episode without ROS: renderer's view + Grounder + DialogueSession + simulated person -> a scored result.

The ROS demo plays the same episodes over DDS; it takes `derive_episode`, `score_episode` and `EpisodeResult` from here,
so that both mean the same by "success".
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np

from clue_ros.dialogue.session import DialogueSession
from clue_ros.dialogue.steps import Ask, Continue, Finish, Utterance
from clue_ros.geometry import box_iou
from clue_ros.seams import Grounder
from clue_ros.types import Answer, Box, Decision, Turn

FOUND_AT_IOU = 0.5  # the field's Acc@0.5: a box counts from this overlap with the truth


@dataclass(frozen=True)
class Score:
    """`reason`: why the episode failed, in a few words, empty on success; `iou`: None where nothing is to be found."""

    success: bool
    iou: Optional[float]
    reason: str = ""


@dataclass(frozen=True)
class EpisodeResult:
    """What happened in one episode.

    kind: EpisodeKind value; truth: 'clear' | 'ambiguous' | 'absent'; probability: P(ambiguous) of the first reading,
    None if there was none; box: pixels of the view, None if not found; iou: None where nothing was to be found;
    latency_s: seconds spent in the model, all decisions together; outcome: `End` value, or 'error'.
    """

    kind: str
    expression: str
    truth: str
    probability: Optional[float]
    questions: Tuple[str, ...]
    answers: Tuple[str, ...]
    box: Optional[Box]
    iou: Optional[float]
    latency_s: float
    outcome: str
    success: bool
    reason: str = ""
    truth_box: Optional[Box] = None
    clicks: Tuple[Tuple[float, float], ...] = ()
    decisions: Tuple[Decision, ...] = field(default=(), repr=False)
    transcript: Tuple[Utterance, ...] = field(default=(), repr=False)

    def to_dict(self) -> Dict[str, Any]:
        """The JSON row of summary.json and demo.json; without decisions (their maps are arrays)."""
        row = {name: getattr(self, name) for name in "kind expression truth probability outcome success reason".split()}
        row["questions"], row["answers"] = list(self.questions), list(self.answers)
        row["box"] = [round(float(v), 2) for v in self.box] if self.box is not None else None
        row["truth_box"] = [round(float(v), 2) for v in self.truth_box] if self.truth_box is not None else None
        row["probability"] = round(float(self.probability), 4) if self.probability is not None else None
        row["iou"] = round(float(self.iou), 4) if self.iou is not None else None
        row["latency_s"] = round(float(self.latency_s), 4)
        row["transcript"] = [{"speaker": line.speaker, "text": line.text} for line in self.transcript]
        return row


def derive_episode(seed: int, index: int):
    """The episode number `index` of a seed; the kinds take turns, so indices 0 to 5 are one of each.

    Every process that knows (seed, index) gets the same episode.
    """
    from clue_ros.simulation.episodes import EpisodeKind, sample_episode

    kinds = list(EpisodeKind)
    return sample_episode(kinds[index % len(kinds)], np.random.default_rng((seed, index)))


def person_rng(seed: int, index: int) -> np.random.Generator:
    """The random numbers of the simulated person in that episode, apart from the scene's."""
    return np.random.default_rng((seed, index, 1))


def truth_box_of(view: Any, episode: Any) -> Optional[Box]:
    """The target's box in the render, None if the episode has no target."""
    return None if episode.target_index is None else view.objects[episode.target_index].box


def run_episode(
    grounder: Grounder,
    view: Any,
    episode: Any,
    *,
    rng: Optional[np.random.Generator] = None,
    person: Any = None,
    max_questions: int = 3,
    threshold: Optional[float] = None,
    at_question: Callable[[Any, Sequence[Turn]], None] = lambda encoded, turns: None,
    clock: Callable[[], float] = time.monotonic,
) -> EpisodeResult:
    """Play one episode to its end.

    Args:
        grounder: a `Grounder`, or anything with its `encode` and `ground`.
        view: the render of `episode.scene`.
        person: answers questions; by default a SimulatedPerson with the target in mind and random numbers from `rng`.
        max_questions: the dialogue's budget.
        threshold: P(ambiguous) from which the grounder asks; None: its own.
        at_question: called with the encoded image and the turns so far, before each question is put.

    Raises ClueError from the grounder.
    """
    if person is None:
        person = _person(view, episode, rng)
    session = DialogueSession(episode.expression, max_questions=max_questions, now=clock())
    decisions: List[Decision] = []
    began = clock()
    encoded = grounder.encode(view.rgb)
    spent = clock() - began
    step: Any = Continue()
    while not isinstance(step, Finish):
        if isinstance(step, Ask):
            at_question(encoded, session.turns)
            step = session.on_answer(_answer(person, episode, step.question), clock())
            if not isinstance(
                step, (Continue, Finish)
            ):  # an empty answer leaves the question open: nobody else will answer
                step = session.cancel(clock())
            continue
        began = clock()
        decision = grounder.ground(
            encoded, session.expression, session.turns, may_ask=session.may_ask, threshold=threshold
        )
        spent += clock() - began
        decisions.append(decision)
        step = session.on_decision(decision, clock())
    return result_of(session, decisions, episode, truth_box_of(view, episode), spent)


def result_of(
    session: DialogueSession, decisions: Sequence[Decision], episode: Any, truth_box: Optional[Box], latency_s: float
) -> EpisodeResult:
    """The scored result of a finished session."""
    outcome = session.finished.end.value if session.finished is not None else "error"
    box = decisions[-1].box if decisions and outcome == "found" else None
    clicks = tuple(turn.answer.point for turn in session.turns if turn.answer.point is not None)
    score = score_episode(
        episode.truth,
        outcome,
        session.questions_asked,
        box,
        truth_box,
        must_click=bool(episode.answer_by_click),
        clicked=bool(clicks),
    )
    first = decisions[0].ambiguity if decisions else None
    return EpisodeResult(
        kind=getattr(episode.kind, "value", str(episode.kind)),
        expression=episode.expression,
        truth=episode.truth,
        probability=first.probability if first is not None else None,
        questions=tuple(line.text for line in session.transcript if line.speaker == "robot")[: session.questions_asked],
        answers=tuple(line.text for line in session.transcript[1:] if line.speaker == "person"),
        box=box,
        iou=score.iou,
        latency_s=latency_s,
        outcome=outcome,
        success=score.success,
        reason=score.reason,
        truth_box=truth_box,
        clicks=clicks,
        decisions=tuple(decisions),
        transcript=session.transcript,
    )


def failed_result(episode: Any, reason: str) -> EpisodeResult:
    """The result of an episode that broke off with an error; it counts as a failure."""
    return EpisodeResult(
        kind=getattr(episode.kind, "value", str(episode.kind)),
        expression=episode.expression,
        truth=episode.truth,
        probability=None,
        questions=(),
        answers=(),
        box=None,
        iou=None if episode.truth == "absent" else 0.0,
        latency_s=0.0,
        outcome="error",
        success=False,
        reason=reason,
    )


def score_episode(
    truth: str,
    outcome: str,
    questions_asked: int,
    box: Optional[Box],
    truth_box: Optional[Box],
    *,
    must_click: bool = False,
    clicked: bool = False,
) -> Score:
    """Did the episode go as it should?

    clear: found without a question, IoU >= 0.5. ambiguous: at least one question, then IoU >= 0.5 (and answered by a
    click where `must_click`). absent: `not_found` and nothing boxed; "unknown words" fails: it is the wrong reason.
    """
    if truth == "absent":
        success = outcome == "not_found" and box is None
        return Score(success, None, "" if success else f"{outcome} instead of not found")
    if truth not in ("clear", "ambiguous"):
        raise ValueError(f"truth is {truth!r}; it must be clear, ambiguous or absent")
    iou = box_iou(box, truth_box) if box is not None and truth_box is not None else 0.0
    if truth == "clear" and questions_asked:
        return Score(False, iou, "asked although it is clear")
    if truth == "ambiguous" and not questions_asked:
        return Score(False, iou, "did not ask" if outcome == "found" else f"{outcome} instead of a question")
    if box is None or outcome != "found":
        return Score(False, iou, f"{outcome} instead of found")
    if iou < FOUND_AT_IOU:
        return Score(False, iou, f"wrong box (IoU {iou:.2f})")
    if must_click and not clicked:
        return Score(False, iou, "not answered by a click")
    return Score(True, iou)


def picture_of(rgb: np.ndarray, result: EpisodeResult, title: str = "") -> np.ndarray:
    """The episode's picture (see `clue_ros.visualization.episode_picture`), uint8[h, 1280, 3]."""
    from clue_ros.visualization.episode_picture import episode_picture

    last = result.decisions[-1].outcome.value if result.decisions else ""
    return episode_picture(
        rgb,
        result.decisions,
        result.transcript,
        result.truth_box,
        title or result.kind.replace("_", " "),
        clicks=result.clicks,
        outcome="" if result.outcome == last else result.outcome,
    )


def _person(view: Any, episode: Any, rng: Optional[np.random.Generator]) -> Any:
    from clue_ros.simulation.person import SimulatedPerson
    from clue_ros.simulation.scene import ImageSize

    size = ImageSize(view.rgb.shape[1], view.rgb.shape[0])
    return SimulatedPerson(view.objects, episode.target_index, rng or np.random.default_rng(0), size)


def _answer(person: Any, episode: Any, question: str) -> Answer:
    said = Answer(point=tuple(person.click())) if episode.answer_by_click else person.answer(question)
    return Answer(said) if isinstance(said, str) else said
