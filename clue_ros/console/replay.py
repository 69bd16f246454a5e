"""Recordings as pages step through them: a bag played to the model once more, episode by episode, step by step.

    recording = read_bag(Path("recordings/kitchen"), grounder)

Only what the operator named when the console started can be opened; pages know ids and numbers. Runs of `clue evaluate`
are in replay_runs.py. Each step is the state of the dialogue after one more line of the robot, made by the same
bookkeeping (dialogues.py) as the live one.
"""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from clue_ros.bags.errors import BagError
from clue_ros.bags.events import NS, WITHDRAWN, Event, Frame, Played
from clue_ros.bags.reading import Bag, TopicNames, choose_topics
from clue_ros.bags.replay import Replay
from clue_ros.bags.stream import events_of
from clue_ros.console.dialogue import ROBOT, SPEECH, Found, Reading
from clue_ros.console.dialogues import Dialogues
from clue_ros.console.pictures import Pictures, encode_frame, pack, to_grey
from clue_ros.console.requests import RequestError
from clue_ros.seams import Grounder
from clue_ros.types import Box, Decision

OPEN_AT_ONCE = 16  # episodes whose pictures are kept

Steps = List[Dict[str, Any]]  # dialogues of the protocol, one a step


class Episode(NamedTuple):
    """build(pictures): its steps, with their pictures on the way into the store."""

    title: str
    build: Callable[[Pictures], Steps]


class Told(NamedTuple):
    """A line, and what is known with it. reading, found: of a robot's line; outcome: of its closing one."""

    speaker: str
    text: str
    at: float
    reading: Optional[Reading] = None
    found: Optional[Found] = None
    outcome: Optional[str] = None
    reason: str = ""


class Recorded:
    """One source. `moment` is for one thread at a time (the server's). end: called at last, in the pictures' thread."""

    def __init__(self, name: str, episodes: Sequence[Episode], end: Callable[[], None] = lambda: None) -> None:
        self.name = name
        self._end = end
        self.pictures = Pictures()
        self._episodes = episodes
        self._built: "OrderedDict[int, Steps]" = OrderedDict()

    def about(self) -> Dict[str, Any]:
        return {"name": self.name, "episodes": len(self._episodes)}

    def moment(self, episode: int, step: int) -> Tuple[Dict[str, Any], Dict[str, Any]]:
        """(the dialogue at that step, where that is). Raises RequestError where there is none."""
        if not 0 <= episode < len(self._episodes):
            raise RequestError(f"this recording has {len(self._episodes)} episodes, counted from 0")
        steps = self._built.pop(episode, None)
        if steps is None:
            steps = self._episodes[episode].build(self.pictures)
        self._built[episode] = steps
        while len(self._built) > OPEN_AT_ONCE:
            self._built.popitem(last=False)
        if not 0 <= step < len(steps):
            raise RequestError(f"this episode has {len(steps)} steps, counted from 0")
        where = {
            "name": self.name,
            "title": self._episodes[episode].title,
            "episode": episode,
            "episodes": len(self._episodes),
            "step": step,
            "steps": len(steps),
        }
        return steps[step], where

    def close(self) -> None:
        self.pictures.settle(self._end)
        self.pictures.close()


def tell(lines: Sequence[Told], frame: Optional[int], source: str = SPEECH) -> Steps:
    """A dialogue's lines -> its steps: after the instruction, and after each line of the robot."""
    dialogues, steps = Dialogues(), []
    for line in lines:
        if line.reading is not None:
            dialogues.read(line.reading, line.at)
        if line.found is not None:
            dialogues.find_target(line.found)
        dialogues.say(line.speaker, line.text, line.at, line.at, line.outcome)
        current = dialogues.current
        if current is None:  # nobody has given an instruction yet
            continue
        current.frame, current.source = frame, source
        if line.outcome is not None and line.outcome != "found":
            current.error = {"code": None, "name": line.outcome.upper(), "text": line.reason or line.text}
        if line.speaker == ROBOT or not steps:
            steps.append(current.as_dict())
    return steps


def read_bag(path: Path, grounder: Grounder) -> Recorded:
    """Plays a bag to the Grounder by the node's rules. Raises BagError where it cannot be read or nobody speaks in
    it.
    """
    with Bag(path) as bag:
        topics = choose_topics(bag, TopicNames())
        images: "OrderedDict[int, np.ndarray]" = OrderedDict()
        episodes: List[Episode] = []
        for played in Replay(grounder).run(_keeping(events_of(bag, topics), images)):
            rgb = None if played.image_stamp is None else images.get(played.image_stamp)
            episodes.append(_episode(played, rgb, bag.start))
    if not episodes:
        raise BagError(
            f"nobody says anything on {topics.speech}: the console needs recorded words (clue evaluate bag --say "
            "can speak for it)"
        )
    return Recorded(Path(path).name, episodes)


def _keeping(events: Iterator[Event], images: "OrderedDict[int, np.ndarray]") -> Iterator[Event]:
    """The same events; the last few frames that were decoded stay in `images`, by their stamps."""
    for event in events:
        if isinstance(event, Frame):
            yield event._replace(rgb=_remember(event, images))
        else:
            yield event


def _remember(frame: Frame, images: "OrderedDict[int, np.ndarray]") -> Callable[[], np.ndarray]:
    def rgb() -> np.ndarray:
        pixels = images[frame.stamp or frame.time] = frame.rgb()
        while len(images) > 4:
            images.popitem(last=False)
        return pixels

    return rgb


def _episode(played: Played, rgb: Optional[np.ndarray], start: int) -> Episode:
    """What is kept of a dialogue is its JPEG, not its pixels."""
    image = None if rgb is None else bytes(encode_frame(0, rgb, live=False).body)
    height, width = (0, 0) if rgb is None else rgb.shape[:2]
    session, decisions = played.session, list(played.decisions)
    seconds = (played.heard - start) / NS
    about = "" if played.corrects is None else f"correction of {session.expression!r}, "
    title = f"{played.words} ({about}{played.outcome.replace('_', ' ')}, at {seconds:.1f} s)"

    def build(pictures: Pictures) -> Steps:
        frame, jpeg = None, image
        if jpeg is not None:
            frame = pictures.keep(lambda number: pack("frame", number, width, height, "image/jpeg", jpeg, live=False))
        left, lines = list(decisions), []
        for n, line in enumerate(session.transcript):
            decision = left.pop(0) if line.speaker == ROBOT and left else None
            last = n == len(session.transcript) - 1 and line.speaker == ROBOT
            lines.append(Told(
                line.speaker, line.text, line.at,
                None if decision is None else reading_of(decision, frame, pictures),
                None if decision is None or decision.box is None or not last else
                Found(decision.box, decision.confidence, session.expression),
                played.outcome if last else None, played.reason,
            ))  # fmt: skip
        steps = tell(lines, frame)
        if played.outcome == WITHDRAWN:
            lines.append(Told(ROBOT, played.reason, played.heard / NS, outcome=WITHDRAWN, reason=played.reason))
            steps = tell(lines, frame)
        if steps[-1]["open"]:  # it ended without a word of the robot: no image came, or it failed
            steps.append(
                {
                    **steps[-1],
                    "open": False,
                    "question": None,
                    "chips": [],
                    "error": {"code": None, "name": played.outcome.upper(), "text": played.reason},
                }
            )
        return steps

    return Episode(title, build)


def reading_of(decision: Decision, frame: Optional[int], pictures: Pictures) -> Optional[Reading]:
    """The reading of a decision; None where it made none (words that the model does not know)."""
    ambiguity = decision.ambiguity
    if ambiguity is None:
        return None
    regions = tuple((Box(*region.box), float(region.strength)) for region in ambiguity.regions)
    heat = pictures.keep_map(to_grey(ambiguity.attention_map)) if np.size(ambiguity.attention_map) else None
    return Reading(
        decision.expression, float(ambiguity.probability), float(ambiguity.threshold), bool(ambiguity.is_ambiguous),
        regions, frame, heat,
    )  # fmt: skip
