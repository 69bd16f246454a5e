"""What is timed: each row names our call, the plain path's run that does the same, and the counted floor.

Further rows come from functions added to ROW_PROVIDERS, for example what the ROS side adds to a decision.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Callable, List, Optional, Sequence

import numpy as np

from clue_ros.ambiguity.kinds import CNN, JOINT
from clue_ros.eyes.crops import SIDE
from clue_ros.eyes.frozen import SHIPPED, FrozenEyes, engines
from clue_ros.eyes.sight import FILE, read_sight_shape
from clue_ros.lab.bench import floor
from clue_ros.lab.bench.subject import Subject, Way
from clue_ros.location import BINS
from clue_ros.prompt import CLARIFY
from clue_ros.vlm.patterns import IMAGE_BLIND


@dataclass(frozen=True)
class PlainRun:
    """What the plain path does for a row: the map of `detect` and then `speak` with as many tokens as ours said.
    features_only: only the vision pass."""

    way: Way
    rgb: np.ndarray
    detect: str = ""
    speak: str = ""
    features_only: bool = False

    def group(self):
        """Runs with equal groups do the same work up to their tokens."""
        return self.way.blind, bool(self.detect), self.way.length(self.speak) if self.speak else 0


@dataclass(frozen=True)
class Row:
    """ours: the timed call, given what `prepare` (not timed) returned; phases: its counted cost, given the tokens that
    it produced; plain: None where there is no such thing; way: the settings it runs under; light: worth its time even
    where one call takes half a minute; plain_when_slow: so is the plain path beside it."""

    id: str
    title: str
    way: Way
    ours: Callable[[Any], Any]
    phases: Optional[Callable[[int], floor.Phases]] = None
    plain: Optional[PlainRun] = None
    prepare: Optional[Callable[[], Any]] = None
    speaks: bool = False
    note: str = ""
    light: bool = True
    plain_when_slow: bool = True


RowProvider = Callable[[Subject], Sequence[Row]]


def standard(subject: Subject) -> List[Row]:
    """From a cold image, under the checkpoint's own settings; and a second turn on the same image."""
    way, show = subject.way(), subject.show
    see = subject.see_floor
    detect = lambda words, turns=(): way.prefix(way.detect_task, words, turns)  # noqa: E731
    speak = lambda words, turns=(): way.prefix(CLARIFY, words, turns)  # noqa: E731
    joint = way.kind.one_pass
    reads_speech = joint or any(way.settings.gate[1:2])
    return [
        Row(
            "box",
            "clear instruction → box",
            way,
            lambda _: way.box(show.clear_image, show.clear),
            lambda n: see + way.outcome_floor(show.clear, n, outputs=BINS),
            PlainRun(way, show.clear_image, detect(show.clear), speak(show.clear)),
            speaks=True,
            note="one pass" if joint else "",
        ),
        Row(
            "vision",
            "vision pass",
            way,
            lambda _: way.encode(show.clear_image),
            lambda _: see,
            PlainRun(way, show.clear_image, features_only=True),
        ),
        Row(
            "detection",
            "detection alone",
            way,
            lambda _: way.detection(show.vague_image, show.vague),
            lambda _: see + way.detection_floor(show.vague),
            PlainRun(way, show.vague_image, detect(show.vague)),
        ),
        Row(
            "decision",
            "first decision",
            way,
            lambda _: way.decision(show.vague_image, show.vague),
            lambda _: see + way.decision_floor(show.vague),
            PlainRun(way, show.vague_image, detect(show.vague), speak(show.vague) if reads_speech else ""),
            light=reads_speech,
            note="map and first token" if reads_speech else "",
        ),
        Row(
            "question",
            "ambiguous instruction → question",
            way,
            lambda _: way.question(show.vague_image, show.vague),
            lambda n: see + way.outcome_floor(show.vague, n),
            PlainRun(way, show.vague_image, detect(show.vague), speak(show.vague)),
            speaks=True,
        ),
        Row(
            "second_turn",
            "second turn on the same image → box",
            way,
            lambda image: way.box(image, show.vague, show.turns),
            lambda n: way.outcome_floor(show.vague, n, show.turns, seen=way.blind, outputs=BINS),
            PlainRun(way, show.vague_image, detect(show.vague, show.turns), speak(show.vague, show.turns)),
            prepare=lambda: _after_first_turn(way),
            speaks=True,
            note="image kept; the plain path starts from pixels",
            plain_when_slow=False,
        ),
    ]


def other_passes(subject: Subject) -> List[Row]:
    """The form of detector and speech that the checkpoint does not have: one pass, or two."""
    own, show = subject.way(), subject.show
    if not own.kind.reads_map:
        return []
    joint = own.kind.one_pass
    way = (
        subject.way(detector=CNN.name, detector_adapter=own.settings.dialogue_adapter)
        if joint
        else subject.way(detector=JOINT.name)
    )
    name, title = ("box_two_pass", "box, two passes") if joint else ("box_one_pass", "box, one pass")
    plain = PlainRun(own, show.clear_image, own.prefix(own.detect_task, show.clear), own.prefix(CLARIFY, show.clear))
    return [
        Row(
            name,
            title,
            way,
            lambda _: way.box(show.clear_image, show.clear),
            lambda n: subject.see_floor + way.outcome_floor(show.clear, n, outputs=BINS),
            plain,
            speaks=True,
            note="time only: not the way this checkpoint was trained",
        )
    ]


def seen_beforehand(subject: Subject) -> List[Row]:
    """From the last word, with everything done that could be done before: query-blind image tokens have passed the
    decoder, otherwise only the vision features are there."""
    way = subject.way()
    return _seen(way, "", "" if way.blind else "only the features can be seen ahead")


def query_blind(subject: Subject) -> List[Row]:
    """What a checkpoint with query-blind image tokens would do on the same architecture, cold and seen beforehand."""
    if subject.way().blind:
        return []
    way, show = subject.way(prefix_attention=IMAGE_BLIND.name, tap_rows=IMAGE_BLIND.tap_rows), subject.show
    see, note = subject.see_floor, "query-blind variant"
    return [
        Row(
            "blind_decision",
            "query-blind: first decision",
            way,
            lambda _: way.decision(show.vague_image, show.vague),
            lambda _: see + way.decision_floor(show.vague),
            note=note,
        ),
        *_seen(way, "blind_", note),
    ]


def glances(subject: Subject) -> List[Row]:
    """The frozen eyes alone, in every engine that can be had: the first glance, and all second ones in one batch."""
    order = subject.order
    if not order.has_eyes:
        return []
    shape, noise = read_sight_shape(order.folder / FILE), np.random.default_rng(0)
    second = shape.glances if order.glances is None else order.glances
    batches = [("first_glance", 1, shape.first), ("second_glances", second, SIDE)]
    pictures = [(name, noise.integers(0, 256, (n, side, side, 3), np.uint8)) for name, n, side in batches if n]
    return [
        Row(
            f"{name}_{engine}",
            f"frozen eyes, {len(rgb)} × {rgb.shape[1]} px, {engine}",
            subject.way(),
            lambda eyes, rgb=rgb: eyes.glance(rgb),
            prepare=lambda engine=engine: _opened(order.device, engine),
            note="without the trained parts",
            light=False,
        )
        for engine in engines(order.device)
        for name, rgb in pictures
    ]


ROW_PROVIDERS: List[RowProvider] = [standard, other_passes, seen_beforehand, query_blind, glances]


def rows_of(subject: Subject) -> List[Row]:
    """All rows of a subject."""
    return [row for provider in ROW_PROVIDERS for row in provider(subject)]


@lru_cache(maxsize=2)
def _opened(device: str, engine: str) -> FrozenEyes:
    return FrozenEyes.open(SHIPPED, device, engine)


def _seen(way: Way, kind: str, note: str) -> List[Row]:
    show = way.show
    prefix, what = (f"{kind}seen", "query-blind, image seen: " if kind else "image seen: ")
    ahead = lambda rgb: lambda: way.subject.looked(way, rgb)  # noqa: E731
    # Where only the features are kept, a box or question costs what the second turn costs.
    return [
        Row(
            f"{kind}look",
            f"{'query-blind: ' if kind else ''}seeing ahead",
            way,
            lambda _: way.look(show.vague_image),
            note=f"done before anybody speaks{'; ' + note if note else ''}",
            light=False,
        ),
        Row(
            f"{prefix}_decision",
            f"{what}words → decision",
            way,
            lambda image: way.decision(image, show.vague),
            lambda _: way.decision_floor(show.vague, seen=way.blind),
            prepare=ahead(show.vague_image),
            note=note,
        ),
        Row(
            f"{prefix}_box",
            f"{what}words → box",
            way,
            lambda image: way.box(image, show.clear),
            lambda n: way.outcome_floor(show.clear, n, seen=way.blind, outputs=BINS),
            prepare=ahead(show.clear_image),
            speaks=True,
            note=note,
            light=way.blind,
        ),
        Row(
            f"{prefix}_question",
            f"{what}words → question",
            way,
            lambda image: way.question(image, show.vague),
            lambda n: way.outcome_floor(show.vague, n, seen=way.blind),
            prepare=ahead(show.vague_image),
            speaks=True,
            note=note,
            light=way.blind,
        ),
    ]


def _after_first_turn(way: Way):
    """The picture as the first turn leaves it: seen, and once decided about."""
    image = way.subject.looked(way, way.show.vague_image)
    if way.blind:
        way.decision(image, way.show.vague)
    return image
