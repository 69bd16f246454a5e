"""`clue evaluate taught SCENES`: things shown in one scene, or in three, and asked for by a made-up name in others.

Of every thing four scenes are taken where there are such: with one of it, with two, with another thing of its kind in
its place (the look-alike), and without anything of its kind. Its name holds no word that the model knows.
"""

from __future__ import annotations

import tempfile
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any, Callable, Container, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import cv2
import numpy as np

from clue_ros.data.scenes import PATTERN
from clue_ros.data.source import fingerprint_of
from clue_ros.evaluation.comparison import Terms
from clue_ros.evaluation.rows import Row
from clue_ros.evaluation.subject import Subject
from clue_ros.evaluation.suite import Judged
from clue_ros.geometry import box_iou
from clue_ros.measures.bootstrap import rate, ratio
from clue_ros.measures.results import Measure, Results
from clue_ros.simulation.dataset import read_scenes
from clue_ros.taught.grounder import TaughtGrounder
from clue_ros.taught.looks import looks
from clue_ros.taught.memory import looks_in
from clue_ros.taught.views import view_of
from clue_ros.types import Box, ClueError, Decision, Outcome

EXPLANATION = """Each thing is shown once (or three times) by its box, named "my zorple", and asked for in scenes that \
were not shown. One: the right box, without a question. Two: it asks. Look-alike: another thing of the same kind is \
there, and must not be taken. Absent: nothing of its kind is there. What training saw of the objects is not known."""
NAME = "my zorple"
VIEWS = (1, 3)
CASES = ("one", "two", "look-alike", "absent")
SEEN = 0.6  # share of a thing that must be visible where it is shown or asked for
KEPT = 64  # pictures that stay in memory, as several things are asked for in one
GOALS = {"one": 0.80, "f1": 0.85, "look-alike": 0.10, "absent": 0.90}


class Trial(NamedTuple):
    """case: of CASES; scene: number of the line; boxes: of the thing, in pixels."""

    case: str
    scene: int
    boxes: Tuple[Box, ...]


class Lesson(NamedTuple):
    """thing: the object's id; shown: (number of the line, box) of each view; trials: where it is asked for."""

    thing: str
    kind: str
    shown: Tuple[Tuple[int, Box], ...]
    trials: Tuple[Trial, ...]


def lessons(lines: Sequence[Dict[str, Any]], seed: int = 0, most: int = max(VIEWS)) -> List[Lesson]:
    """What can be taught and asked in scenes, the things in the order of their ids. most: views of a thing."""
    places: Dict[str, List[Tuple[int, Box]]] = defaultdict(list)
    counts, kinds, kind_of = [], [], {}
    for number, line in enumerate(lines):
        seen = [o for o in line["objects"] if o["box"]]
        counts.append(Counter(o["shape"] for o in seen))
        kinds.append(Counter(o["category"] for o in seen))
        for o in seen:
            kind_of[o["shape"]] = o["category"]
            if o["visibility"] >= SEEN:
                places[o["shape"]].append((number, Box(*o["box"])))
    found = []
    for index, thing in enumerate(sorted(places)):
        rng, kind = np.random.default_rng([seed, index]), kind_of[thing]
        boxes: Dict[int, Tuple[Box, ...]] = defaultdict(tuple)
        for number, box in places[thing]:
            boxes[number] += (box,)
        drawn = [int(n) for n in rng.permutation(sorted(boxes))]
        numbers = sorted(drawn, key=lambda n: len(boxes[n]) > 1)  # rare scenes with two are for asking
        shown, rest = numbers[:most], numbers[most:]
        pools = {
            "one": [n for n in rest if counts[n][thing] == len(boxes[n]) == 1],
            "two": [n for n in rest if counts[n][thing] == len(boxes[n]) == 2],
            "look-alike": [n for n in range(len(lines)) if not counts[n][thing] and kinds[n][kind]],
            "absent": [n for n in range(len(lines)) if not kinds[n][kind]],
        }
        trials = [
            Trial(case, scene := int(rng.choice(pool)), boxes[scene] if scene in boxes else ())
            for case, pool in pools.items()
            if pool
        ]
        if len(shown) == most and pools["one"]:
            found.append(Lesson(thing, kind, tuple((n, boxes[n][0]) for n in shown), tuple(trials)))
    return found


class TaughtSuite:
    name, title = "taught", "Things shown once"

    def __init__(self, subject: Subject, data: Path, limit: Optional[int] = None, seed: int = 0):
        """data: a folder made by `clue scenes`; limit: of things. Raises ClueError if it is none, or the model has no
        eyes (taught/grounder.py)."""
        self._subject, self._folder, self._seed = subject, Path(data), seed
        try:
            self._lines = list(read_scenes(self._folder))
        except FileNotFoundError as error:
            raise ClueError(str(error)) from error
        every = lessons(self._lines, seed)
        chosen = np.random.default_rng(seed).permutation(len(every))[:limit]
        self.lessons = [every[n] for n in sorted(chosen)]
        self._seen: Dict[int, Any] = {}
        self._looked: Dict[int, Tuple[Tuple[Box, ...], np.ndarray]] = {}
        with tempfile.TemporaryDirectory() as empty:
            self.sight = TaughtGrounder.around(subject.grounder, Path(empty)).memory.sight

    def about(self) -> Dict[str, Any]:
        return {
            "suite": self.name,
            **self._subject.about(),
            "data": str(self._folder),
            "annotations": fingerprint_of(self._folder.glob(PATTERN)),
            "things": len(self.lessons),
            "data_seed": self._seed,
        }

    def total(self) -> int:
        return len(self.lessons)

    def judged(self, done: Container[str]) -> Iterator[Judged]:
        """One item a thing."""
        for lesson in self.lessons:
            if lesson.thing not in done:
                yield self._judge(lesson)

    def _judge(self, lesson: Lesson) -> Judged:
        rows: List[Row] = []
        first: Optional[Tuple[Trial, Decision]] = None
        with tempfile.TemporaryDirectory() as folder:
            grounder = TaughtGrounder.around(self._subject.grounder, Path(folder))
            for views, (scene, box) in enumerate(lesson.shown, 1):
                grounder.memory.add(NAME, view_of(self._rgb(scene), box))
                if views not in VIEWS:
                    continue
                for trial in lesson.trials:
                    decision = grounder.ground(self._look(grounder, trial.scene), f"hand me {NAME}")
                    rows.append(
                        {"thing": lesson.thing, "kind": lesson.kind, "views": views, **_judged(trial, decision)}
                    )
                    first = first or (trial, decision)
        assert first is not None
        trial, decision = first
        return Judged(
            lesson.thing,
            rows,
            f"{lesson.thing} shown once, {trial.case}: {decision.outcome.value}",
            rows[0]["right"],
            lambda: self._picture(lesson, trial, decision),
        )

    def looked(self, number: int) -> Tuple[Tuple[Box, ...], np.ndarray]:
        """What second glances see in a scene: boxes in pixels, and float32[K,·], their looks."""
        if number not in self._looked:
            rgb = self._rgb(number)
            things = self.sight.things(rgb)
            pixels = things.boxes * np.array(rgb.shape[1::-1] * 2, np.float32)
            boxes = tuple(Box(*(float(v) for v in box)) for box in pixels)
            self._looked[number] = boxes, looks(things.vectors, rgb, pixels)
        return self._looked[number]

    def looks_of(self, lesson: Lesson) -> np.ndarray:
        """float32[V,·], of what is shown."""
        views = [view_of(self._rgb(number), box) for number, box in lesson.shown]
        return np.concatenate([looks_in(self.sight, [view]) for view in views])

    def _rgb(self, number: int) -> np.ndarray:
        name = self._lines[number]["id"]
        image = cv2.imread(str(self._folder / "images" / f"{name}.webp"))
        if image is None:
            raise ClueError(f"{self._folder}: the image of scene {name} is missing or broken")
        return np.ascontiguousarray(image[..., ::-1])

    def _look(self, grounder: TaughtGrounder, number: int) -> Any:
        if number not in self._seen:
            if len(self._seen) >= KEPT:
                del self._seen[next(iter(self._seen))]
            self._seen[number] = grounder.encode(self._rgb(number))
        return self._seen[number]

    def _picture(self, lesson: Lesson, trial: Trial, decision: Decision) -> np.ndarray:
        """The scene where it was shown beside the one where it was asked for."""
        pictures = []
        for number, boxes in ((lesson.shown[0][0], (lesson.shown[0][1],)), (trial.scene, decision.candidates)):
            rgb = self._rgb(number).copy()
            for box in boxes:
                corners = (round(box.x0), round(box.y0)), (round(box.x1), round(box.y1))
                cv2.rectangle(rgb, *corners, (255, 220, 0), 2)
            pictures.append(rgb)
        height = min(p.shape[0] for p in pictures)
        return np.concatenate([cv2.resize(p, (p.shape[1] * height // p.shape[0], height)) for p in pictures], 1)

    def terms(self, rows: Sequence[Row]) -> Terms:
        def of(case: str, views: int, value: Callable[[Row], bool]):
            own = [r["case"] == case and r["views"] == views for r in rows]
            return [float(o and value(r)) for o, r in zip(own, rows)], [float(o) for o in own]

        found: Dict[str, Any] = {}
        for views in VIEWS:
            found[f"one, {views}"] = of("one", views, lambda r: r["right"])
            found[f"two, {views}"] = of("two", views, lambda r: r["right"])
            found[f"look-alike taken, {views}"] = of("look-alike", views, lambda r: not r["right"])
            found[f"absent, {views}"] = of("absent", views, lambda r: r["right"])
        return found

    def summarise(self, rows: Sequence[Row]) -> Results:
        measures: List[Measure] = []
        for views in VIEWS:
            own = [r for r in rows if r["views"] == views]
            column = "1 view" if views == 1 else f"{views} views"

            def share(case: str, value: Callable[[Row], bool]) -> Any:
                of = [r for r in own if r["case"] == case]
                return rate([value(r) for r in of], [r["thing"] for r in of])

            found = {
                "one": ("one of it: Acc@0.5", share("one", lambda r: r["right"])),
                "likest": ("one of it: the likest thing is it", share("one", lambda r: r["likest"])),
                "f1": ("one or two: F1 of asking", _f1(own)),
                "look-alike": ("a look-alike taken for it", share("look-alike", lambda r: not r["right"])),
                "absent": ("absent: said so", share("absent", lambda r: r["right"])),
            }
            measures += [
                Measure(name, label, value, goal=GOALS.get(name), at_most=name == "look-alike", column=column)
                for name, (label, value) in found.items()
            ]
        return Results(
            self.name,
            self.title,
            {},
            tuple(m for m in measures if m.estimate.count),
            notes=("objects that the model was trained on are easier: say which these are",),
            explanation=EXPLANATION,
        )


def _judged(trial: Trial, decision: Decision) -> Row:
    hit = decision.box is not None and any(box_iou(decision.box, box) >= 0.5 for box in trial.boxes)
    likest = bool(decision.candidates) and any(box_iou(decision.candidates[0], box) >= 0.5 for box in trial.boxes)
    right = {"one": hit, "two": decision.outcome is Outcome.ASK}.get(trial.case, decision.outcome is Outcome.NOT_FOUND)
    return {
        "case": trial.case,
        "scene": trial.scene,
        "outcome": decision.outcome.value,
        "right": bool(right),
        "likest": bool(likest),
        "confidence": round(decision.confidence, 4),
        "seconds": round(sum(decision.latency_s.values()), 4),
    }


def _f1(rows: Sequence[Row]) -> Any:
    """Of asking, over scenes with one and with two."""
    own = [r for r in rows if r["case"] in ("one", "two")]
    asked = [r["outcome"] == Outcome.ASK.value for r in own]
    two = [r["case"] == "two" for r in own]
    top = [2.0 * (a and t) for a, t in zip(asked, two)]
    return ratio(top, [float(a) + float(t) for a, t in zip(asked, two)], [r["thing"] for r in own])
