"""What is said, read and found, put together to dialogues: pure bookkeeping, fed by whoever hears it.

The node tells of a dialogue on several topics, and ROS keeps no order between them. So everything that belongs to a
dialogue may come before or after its neighbours; what names a dialogue's id is believed before what only comes at its
time.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Any, Deque, Dict, List, Optional, Sequence, Tuple

from clue_ros.console.chips import chips_for
from clue_ros.console.dialogue import ACTION, PERSON, ROBOT, SPEECH, Dialogue, Found, Reading
from clue_ros.dialogue.stopping import is_stop
from clue_ros.types import Box

HISTORY = 50  # finished dialogues that are remembered
MAX_TURNS = 100  # of one dialogue; the node's own budget of questions keeps far below


class Dialogues:
    """The dialogue that is open, or was the last, and those that are over. For one thread."""

    def __init__(self) -> None:
        self.current: Optional[Dialogue] = None
        self.finished: Deque[Dialogue] = deque(maxlen=HISTORY)  # newest first
        self._expected: "OrderedDict[str, Tuple[Optional[str], str]]" = OrderedDict()  # id: (its words, its source)
        self._aside: List[str] = []  # the person's words with which a target was taken back, not yet heard as a turn
        self._made_up = 0

    @property
    def expression(self) -> str:
        """The instruction of the current dialogue; empty without one."""
        return "" if self.current is None else self.current.expression

    def find(self, number: str) -> Optional[Dialogue]:
        if self.current is not None and self.current.id == number:
            return self.current
        return next((dialogue for dialogue in self.finished if dialogue.id == number), None)

    def expect(self, number: str, words: Optional[str], source: str = ACTION) -> None:
        """A dialogue of this id is about to begin with these words; None: with whatever is said next."""
        self._expected[number] = (None if words is None else _plain(words), source)
        while len(self._expected) > HISTORY:
            self._expected.popitem(last=False)

    def forget(self, number: str) -> None:
        """It will not begin."""
        self._expected.pop(number, None)

    # What is said.

    def say(self, speaker: str, text: str, at: float, now: float, outcome: Optional[str] = None) -> None:
        """A line of the dialogue. at: unix seconds; now: monotonic; outcome: what a closing line announces, as in
        'found' or 'not_found'; None: any other line."""
        turn = {"speaker": speaker, "text": text, "at": at}
        if speaker == PERSON:
            self._hear(turn, now)
        elif self.current is not None:
            self._add(self.current, turn)
            if outcome is not None:
                self._close(self.current, outcome)
            elif self.current.open:
                self.current.question = text
                self._offer_chips(self.current)

    def _hear(self, turn: Dict[str, Any], now: float) -> None:
        current, text = self.current, turn["text"]
        if current is not None and not current.open and text in self._aside:
            self._aside.remove(text)
            self._add(current, turn)
            return
        due = self._due(text)
        goes_on = current is not None and current.open and due is None
        if current is not None and goes_on and (current.question is not None or is_stop(text)):
            self._add(current, turn)
            current.question, current.chips, current.last_word = None, (), now
            return
        self._begin(turn, now, *(due or (None, SPEECH)))

    def _due(self, text: str) -> Optional[Tuple[str, str]]:
        """(id, source) of the expected dialogue that begins with this text."""
        words = _plain(text)
        for number, (expected, source) in self._expected.items():
            if expected == words:
                del self._expected[number]
                return number, source
        for number, (expected, source) in self._expected.items():
            if expected is None:
                del self._expected[number]
                return number, source
        return None

    def _begin(self, turn: Dict[str, Any], now: float, number: Optional[str], source: str) -> Dialogue:
        if self.current is not None:
            self._close(self.current, "preempted")
        named = number is not None
        if number is None:
            self._made_up += 1
            number = f"spoken-{self._made_up}"
        self.current = Dialogue(number, source, named, now, now, turns=[turn])
        return self.current

    # What is known of a dialogue by its id.

    def progress(self, number: str, question: str, now: float, source: str = ACTION) -> None:
        """The dialogue of this id is at work, or asks `question`."""
        current = self.current
        if current is not None and current.id == number:
            if question and current.open and current.question is None and current.turns[-1]["speaker"] == ROBOT:
                current.question = question
                self._offer_chips(current)
            return
        if self.find(number) is not None:
            return
        if current is not None and current.open and not current.named and not current.answered:
            self._expected.pop(number, None)
            current.id, current.source, current.named = number, source, True
        elif current is not None and current.open and self._took_anothers_word(current, number):
            turn = current.turns.pop()
            self._expected.pop(number, None)
            self._begin(turn, now, number, source)
        elif number not in self._expected:
            self.expect(number, None, source)

    def _took_anothers_word(self, current: Dialogue, number: str) -> bool:
        """Whether the last line of the open dialogue was not an answer, but the instruction of the dialogue
        `number`.
        """
        if len(current.turns) < 2:
            return False
        last = current.turns[-1]
        if last["speaker"] != PERSON or current.question is not None:
            return False
        words = self._expected.get(number, (None, ""))[0]
        return words is None or words == _plain(last["text"])

    def read(self, reading: Reading, now: float) -> Optional[Dialogue]:
        """A reading, for the dialogue that is open or was the last; None without any."""
        current = self.current
        if current is None:
            return None
        current.readings.append({
            "step": len(current.readings) + 1, "expression": reading.expression, "probability": reading.probability,
            "threshold": reading.threshold, "is_ambiguous": reading.is_ambiguous, "frame": reading.frame,
            "map": reading.map, "latency_s": round(max(0.0, now - current.last_word), 3) if current.open else None,
            "regions": [{**_box(box), "score": score} for box, score in reading.regions],
        })  # fmt: skip
        del current.readings[:-MAX_TURNS]
        if reading.frame is not None:
            current.frame = reading.frame
        if current.question is not None:
            self._offer_chips(current)
        return current

    def find_target(self, found: Found, number: str = "") -> Optional[Dialogue]:
        """A target, of the dialogue of this id; without an id, or with one that nobody knows, of the current one."""
        dialogue = self.find(number)
        if dialogue is None:
            dialogue = self.current
            if dialogue is None or (dialogue.named and number):
                return None
            if number:
                dialogue.id, dialogue.named = number, True
        dialogue.target = {
            **_box(found.box), "confidence": found.confidence,
            "position": None if found.position is None else list(found.position), "frame_id": found.frame_id,
            "mask": found.mask, "expression": found.expression,
        }  # fmt: skip
        return dialogue

    def end(
        self, number: str, outcome: str, error: Optional[Tuple[int, str, str]] = None,
        turns: Optional[Sequence[Dict[str, Any]]] = None, inference_s: Optional[float] = None,
        response_s: Optional[float] = None,
    ) -> Optional[Dialogue]:  # fmt: skip
        """A dialogue gave its result. error: (code, name, text); turns: all that was said, where the result tells
        it.
        """
        self._expected.pop(number, None)
        dialogue = self.find(number)
        if dialogue is None:
            return None
        if error is not None:
            dialogue.error = {"code": error[0], "name": error[1], "text": error[2]}
        if turns:
            dialogue.turns = list(turns)[:MAX_TURNS]
        dialogue.inference_s, dialogue.response_s = inference_s, response_s
        dialogue.outcome = outcome
        self._close(dialogue, outcome)
        return dialogue

    def take_back(self, corrects: str, words: str, begins: Optional[str] = None, now: float = 0.0) -> None:
        """The target of `corrects` holds no longer, because the person said `words`. begins: id of the dialogue that
        looks for another one; None: nothing takes its place."""
        old = self.find(corrects)
        if old is not None:
            old.target = None
        if begins is not None:
            self.progress(begins, "", now, SPEECH)
        elif self.current is not None and not self.current.open:
            heard = any(turn["text"] == words for turn in self.current.turns)
            if not heard:
                self._aside = [words]

    def history(self) -> List[Dict[str, str]]:
        """Finished dialogues, newest first."""
        return [{"id": d.id, "expression": d.expression, "outcome": d.outcome} for d in self.finished]

    def close_all(self, outcome: str) -> None:
        """The robot is gone: what is open is over."""
        self._expected.clear()
        if self.current is not None:
            self._close(self.current, outcome)

    def _add(self, dialogue: Dialogue, turn: Dict[str, Any]) -> None:
        if len(dialogue.turns) < MAX_TURNS:
            dialogue.turns.append(turn)

    def _close(self, dialogue: Dialogue, outcome: str) -> None:
        if not dialogue.open:
            return
        dialogue.open, dialogue.question, dialogue.chips = False, None, ()
        dialogue.outcome = dialogue.outcome or outcome
        self.finished.appendleft(dialogue)

    def _offer_chips(self, dialogue: Dialogue) -> None:
        last = dialogue.readings[-1]["regions"] if dialogue.readings else ()
        regions = [Box(r["x"], r["y"], r["x"] + r["width"], r["y"] + r["height"]) for r in last]
        dialogue.chips = chips_for(dialogue.question or "", regions)


def _box(box: Box) -> Dict[str, float]:
    return {
        "x": round(box.x0, 2),
        "y": round(box.y0, 2),
        "width": round(box.x1 - box.x0, 2),
        "height": round(box.y1 - box.y0, 2),
    }


def _plain(words: str) -> str:
    return " ".join(words.casefold().split())
