"""What an instruction and the replies so far leave in question, and what to ask next.

The dialogue is replayed from its turns at every decision, so that nothing but the image's answers is kept between
calls: the state is a value, a reply leads to the next one, and a question follows from a state alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Dict, FrozenSet, Sequence, Tuple

from clue_ros.language.describe import (
    Option,
    confirmation_for,
    describing_words,
    options_for,
    question_for,
    tells_apart,
)
from clue_ros.language.phrase import COLORS, GENERIC_NOUN, Request, parse_instruction
from clue_ros.language.positions import choose, position_names
from clue_ros.language.relations import related
from clue_ros.language.reply import Reading, Verdict, read_reply
from clue_ros.perception.candidates import Candidate, matching, nearest, pointed_at, probability_ambiguous, snapped
from clue_ros.perception.perception import IS_THERE, Perception, StockImage
from clue_ros.prompt import MAX_CHARACTERS, clean
from clue_ros.timing import Times, timed
from clue_ros.types import Box, StopTest, Turn
from clue_ros.vlm.passes import EncodedImage

MAX_DESCRIBED = 5  # crops asked about for one question; among more candidates positions and pointing have to do
# useless replies until things are offered one by one (1 where positions were asked for in the first place)
PATIENCE = 2


@dataclass(frozen=True)
class Understanding:
    """Where a dialogue stands: the candidates still in question, surest first; confirmed: the person chose, ask no
    more; useless: replies so far that decided nothing; unknown: words that a closed vocabulary lacks, if that ended
    it."""

    request: Request
    candidates: Tuple[Candidate, ...]
    confirmed: bool = False
    useless: int = 0
    unknown: Tuple[str, ...] = ()

    @property
    def boxes(self) -> Tuple[Box, ...]:
        return tuple(c.box for c in self.candidates)

    @property
    def probability(self) -> float:
        """P(ambiguous) of the candidates."""
        return probability_ambiguous([c.confidence for c in self.candidates])

    def keeping(self, indices: Sequence[int], confirmed: bool = False) -> "Understanding":
        return replace(self, candidates=tuple(self.candidates[i] for i in sorted(indices)), confirmed=confirmed)


class Interpreter:
    """Dialogues about images, with one Perception. `times` collects seconds by stage: detect, describe."""

    def __init__(self, see: Perception):
        self._see = see

    def understand(
        self,
        image: StockImage,
        expression: str,
        turns: Sequence[Turn],
        given: Sequence[Box],
        times: Times,
        should_stop: StopTest,
    ) -> Understanding:
        """Replay the dialogue: what the instruction selects, then what each reply leaves of it."""
        expression = self._see.respelled(expression)
        request = parse_instruction(expression)
        relation = request.relation
        asked = [p for p in (request.phrase, *((relation.phrase, relation.second) if relation else ())) if p]
        unknown = tuple(dict.fromkeys(w for phrase in asked for w in self._see.unknown_words(phrase)))
        state = Understanding(request, (), unknown=unknown)
        if unknown:
            return state
        with timed(times, "detect"):
            otherwise = clean(expression) if not self._see.unknown_words(clean(expression)) else ""
            found = self._see.found(image, request.phrase, should_stop, otherwise)
            state = replace(state, candidates=snapped(found, given) if given and found else found)
            if relation and len(found) > 1:
                others, second = (
                    [c.box for c in self._see.detect(image, phrase, should_stop)] if phrase else None
                    for phrase in (relation.phrase, relation.second)
                )
                state = state.keeping(related(relation.kind, state.boxes, others or (), image.size, second))
            state = state.keeping(choose(request.place, state.boxes, image.size)) if request.place else state
        for turn in turns:
            if not state.candidates or state.unknown:
                break
            state = self._after(image, state, turn, given, times, should_stop)
        return state

    def _after(
        self,
        image: StockImage,
        state: Understanding,
        turn: Turn,
        given: Sequence[Box],
        times: Times,
        should_stop: StopTest,
    ) -> Understanding:
        """The state after one reply."""
        answer = turn.answer
        if answer.point is not None:
            return state.keeping([pointed_at(answer.point, state.boxes)], confirmed=True)
        if answer.box is not None:
            return state.keeping([nearest(Box(*answer.box), state.boxes)], confirmed=True)
        if not state.useless:
            state = self.by_color(image, state, times, should_stop)
        offered = self._offered(image, state, turn.question, times, should_stop)
        known = self._known_words(image, state)
        said = self._see.respelled(answer.text[:MAX_CHARACTERS])
        reading = read_reply(
            said, turn.question, state.request, state.boxes, image.size, known, [(o.words, o.keeps) for o in offered]
        )
        if reading.verdict is Verdict.REFINE:
            return self._refined(image, state, reading, given, times, should_stop)
        if reading.verdict is Verdict.NONE:
            return replace(state, candidates=())
        if reading.verdict is Verdict.USELESS:
            return replace(state, useless=state.useless + 1)
        kept = state.keeping(reading.kept, reading.verdict is Verdict.CONFIRMED)
        if kept.confirmed:
            return kept.keeping([0], True)
        return replace(kept, useless=state.useless + (len(kept.candidates) == len(state.candidates)))

    def _refined(
        self,
        image: StockImage,
        state: Understanding,
        reading: Reading,
        given: Sequence[Box],
        times: Times,
        should_stop: StopTest,
    ) -> Understanding:
        """Ask `detect` for the reply's own words: what it finds among the candidates is kept, with its new confidence;
        what it finds elsewhere replaces them (the first `detect` missed it, or the person corrected the kind of
        thing)."""
        unknown = self._see.unknown_words(reading.phrase)
        if unknown:
            return replace(state, unknown=unknown)
        with timed(times, "detect"):
            found = self._see.detect(image, reading.phrase, should_stop)
        found = snapped(found, given) if given and found else found
        again = matching(state.candidates, [c.box for c in found])
        if reading.negative:
            left = [i for i in range(len(state.candidates)) if i not in again]
            return state.keeping(left) if again and left else replace(state, useless=state.useless + 1)
        if found and not again:  # elsewhere, and so perhaps nowhere
            with timed(times, "detect"):
                found = found if self._see.presence(image, reading.phrase, should_stop) >= IS_THERE else ()
        if not found:
            return replace(state, candidates=()) if reading.refused else replace(state, useless=state.useless + 1)
        if again and not reading.refused:
            found = tuple(c for c in found if matching([c], state.boxes))
        if reading.place:
            found = tuple(found[i] for i in choose(reading.place, [c.box for c in found], image.size))
        same = len(again) == len(state.candidates) == len(found)
        return replace(state, candidates=found, useless=state.useless + same)

    def by_color(self, image: StockImage, state: Understanding, times: Times, should_stop: StopTest) -> Understanding:
        """Of several candidates for "the red mug", those that are red when asked about one by one; all if none or all
        are."""
        wanted = [a for a in state.request.attributes if a in COLORS]
        if not wanted or len(state.candidates) < 2:
            return state
        colors, _ = self._descriptions(image, state, times, should_stop)
        fitting = [i for i, c in enumerate(colors) if set(wanted) & set(c.split())]
        return state.keeping(fitting) if fitting and all(colors) else state

    def _descriptions(
        self, image: StockImage, state: Understanding, times: Times, should_stop: StopTest
    ) -> Tuple[Tuple[str, ...], Tuple[str, ...]]:
        """(colours, captions) of the candidates; captions only where colours do not tell them apart."""
        boxes = state.boxes
        if not self._see.can_describe or len(boxes) > MAX_DESCRIBED:
            return (), ()
        crops: Dict[Box, EncodedImage] = {}
        with timed(times, "describe"):
            noun = GENERIC_NOUN if state.request.generic else state.request.noun
            colors = self._see.colors(image, boxes, noun, should_stop, crops)
            new = tuple("" if c in state.request.attributes else c for c in colors)
            if tells_apart(new) or len(boxes) < 2:
                return colors, ()
            return colors, self._see.captions(image, boxes, should_stop, crops)

    def _known_words(self, image: StockImage, state: Understanding) -> Tuple[FrozenSet[str], ...]:
        """What has been found out about each candidate so far, as sets of words."""
        noun = GENERIC_NOUN if state.request.generic else state.request.noun
        return tuple(describing_words(image.colors.get((b, noun), ""), image.captions.get(b, "")) for b in state.boxes)

    def question(
        self, image: StockImage, state: Understanding, confirm: bool, times: Times, should_stop: StopTest
    ) -> Tuple[str, Tuple[Option, ...]]:
        """(the question, its options). confirm: offer the surest candidate alone, for a yes or no."""
        colors, captions = self._descriptions(image, state, times, should_stop)
        first = options_for(state.request, state.boxes, image.size, colors, captions)
        placed = options_for(state.request, state.boxes, image.size, (), ())
        one_by_one = state.useless >= (1 if first == placed else PATIENCE)
        if not confirm and not one_by_one and len(state.candidates) > 1:
            options = placed if state.useless else first
            return question_for(options, len(state.candidates), state.request), options
        color = colors[0] if colors and colors.count(colors[0]) == 1 else ""
        names = position_names(state.boxes, image.size)
        option = confirmation_for(state.request, state.boxes[0], image.size, color, names[0] if names else None)
        return question_for((option,), len(state.candidates), state.request), (option,)

    def _offered(
        self, image: StockImage, state: Understanding, question: str, times: Times, should_stop: StopTest
    ) -> Tuple[Option, ...]:
        """The options of a question if it is one that this state leads to; empty if somebody else asked it."""
        for confirm in (False, True):
            said, options = self.question(image, state, confirm, times, should_stop)
            if clean(said) == clean(question):
                return options
        return ()


def wants_to_ask(state: Understanding, limit: float, min_confidence: float) -> bool:
    """Whether the candidates leave something to ask: never after the person chose."""
    if state.confirmed or not state.candidates:
        return False
    return state.probability >= limit or state.candidates[0].confidence < min_confidence
