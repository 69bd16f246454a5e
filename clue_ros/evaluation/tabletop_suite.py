"""`clue evaluate tabletop`: the table of the model card, on rendered scenes of fixed test seeds.

    clue evaluate tabletop --scenes 500

Each scene gives up to two ambiguous instructions (that words can settle), two clear ones and one for something that is
not there. Ambiguity F1 is over all of them at the checkpoint's own threshold; the box of a clear instruction counts as
given when nothing may be asked; success on an ambiguous one means: asked at least once, then the right box (IoU ≥ 0.5).
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, Callable, Container, Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np

from clue_ros.evaluation import interaction
from clue_ros.evaluation.ambiguity_suite import detector_report, terms, words_of
from clue_ros.evaluation.episode_runner import picture_of
from clue_ros.evaluation.rows import Row
from clue_ros.evaluation.subject import Subject
from clue_ros.evaluation.suite import Judged
from clue_ros.evaluation.tabletop_conditions import CONDITIONS, Condition
from clue_ros.evaluation.tabletop_instructions import SLIP_RATE, instructions, person_for
from clue_ros.geometry import box_iou
from clue_ros.measures.bootstrap import rate
from clue_ros.measures.classification import f1_estimate
from clue_ros.measures.results import Curve, Measure, Results, Table, together
from clue_ros.processes import Sharing, in_processes
from clue_ros.simulation.dataset import ASPECTS
from clue_ros.simulation.scene import ImageSize, Scene
from clue_ros.types import Box

SCENES = 500
EXPLANATION = """A simulated person has one thing on a rendered table in mind and asks for it. If the words fit \
several things (an ambiguous instruction), the robot should ask, and succeeds if after at most {questions} questions \
its box is right (IoU with the true box ≥ 0.5); if they fit one thing (a clear instruction), it should not ask; if \
they fit nothing (absent), it should say so. Ambiguity F1 is about the first reading: does the model see that the \
words are ambiguous? The conditions: tables as in training; and tables with combinations of colour and category, \
shapes, surfaces, lights and camera poses that training never showed."""
IN_SCOPE = ("success_ambiguous", "asked_clear", "absent_recognised", "questions_ambiguous")


class TabletopSuite:
    name, title = "tabletop", "Rendered tabletops"

    def __init__(
        self,
        subject: Subject,
        scenes: int = SCENES,
        *,
        threshold: Optional[float] = None,
        max_questions: int = 3,
        conditions: Sequence[Condition] = CONDITIONS["both"],
        sharing: Sharing = Sharing(),
    ):
        """sharing: of the scenes, each process with its own model; the rows are those of one process but for
        the last digits of P(ambiguous), which depend on how many threads a process has."""
        self._subject, self._scenes, self._conditions = subject, scenes, tuple(conditions)
        self._own_threshold = subject.grounder.threshold if threshold is None else threshold
        self._max_questions, self._sharing = max_questions, sharing
        self._renderers = {c.name: _Renderers(c) for c in self._conditions}

    def about(self) -> Dict[str, Any]:
        return {
            "suite": self.name,
            **self._subject.about(),
            "scenes": self._scenes,
            "threshold": self._own_threshold,
            "max_questions": self._max_questions,
            "slip_rate": SLIP_RATE,
            "conditions": {c.name: c.seed for c in self._conditions},
        }

    def total(self) -> int:
        return self._scenes * len(self._conditions)

    def judged(self, done: Container[str]) -> Iterator[Judged]:
        """One item a scene, the conditions in turn."""
        todo = [
            (column, number)
            for number in range(self._scenes)
            for column in range(len(self._conditions))
            if self._key(column, number) not in done
        ]
        try:
            if self._sharing.alone or len(todo) < 2:
                yield from (self._judge(*item) for item in todo)
                return
            subject = self._subject
            device = str(subject.backbone.device)
            load = partial(Subject.load, subject.folder, device, subject.quantization, subject.dtype)
            prepare = partial(_suite_of, load, self._scenes, self._own_threshold, self._max_questions, self._conditions)
            for item, judged in zip(todo, in_processes(self._sharing, prepare, _judge_there, todo)):
                # Pictures are few: they are drawn here, from the scene judged once more.
                yield replace(judged, picture=partial(self._picture, *item))
        finally:
            for renderers in self._renderers.values():
                renderers.close()

    def _key(self, column: int, number: int) -> str:
        return f"{self._conditions[column].name}/{number}"

    def _picture(self, column: int, number: int) -> np.ndarray:
        draw = self._judge(column, number).picture
        if draw is None:
            raise RuntimeError("a judged scene can always be drawn")
        return draw()

    def _judge(self, column: int, number: int) -> Judged:
        condition, key = self._conditions[column], self._key(column, number)
        view = self._renderers[condition.name].render(condition.scene(condition.seed, number), number)
        size = ImageSize(view.rgb.shape[1], view.rgb.shape[0])
        seen, rows, pictures = self._subject.look(view.rgb), [], []
        drawn = instructions(view.objects, size, np.random.default_rng([condition.seed, number, 1]), condition.held_out)
        for n, said in enumerate(drawn):
            person = person_for(said, view.objects, size, np.random.default_rng([condition.seed, number, 2, n]))
            boxes = () if said.target is None else (view.objects[said.target].box,)
            row, result = interaction.play(
                self._subject.grounder,
                seen,
                said.text,
                said.truth,
                boxes,
                person,
                max_questions=self._max_questions,
                threshold=self._own_threshold,
            )
            row = {
                "image": key,
                "condition": condition.name,
                "type": said.kind,
                **row,
                "ambiguous": said.truth == "ambiguous",
                "held_out": said.held_out,
                "guess_iou": None,
            }
            if said.truth == "clear" and boxes:
                row["guess_iou"] = self._guess(seen, said.text, boxes[0], result)
            rows.append(row)
            pictures.append((row, result))
        row, result = next((p for p in pictures if not p[0]["success"]), pictures[number % len(pictures)])
        return Judged(
            key,
            rows,
            interaction.caption(row),
            row["success"],
            lambda: picture_of(view.rgb, result, f"{key}, {row['truth']}"),
        )

    def _guess(self, seen: Any, text: str, box: Box, result) -> float:
        """IoU of the box that is given when nothing may be asked; the same as the dialogue's if nothing was."""
        given = result.box
        if result.questions or given is None:
            given = self._subject.grounder.ground(seen, text, may_ask=False).box
        return box_iou(given, box) if given is not None else 0.0

    def terms(self, rows: Sequence[Row]) -> Dict[str, Any]:
        """Of each condition for itself."""
        several, found = len(self._conditions) > 1, {}
        for condition in self._conditions:
            here = np.array([r.get("condition") == condition.name for r in rows], float)
            for label, sums in _terms(rows).items():
                name = f"{label}, {condition.name}" if several else label
                found[name] = tuple(np.asarray(values, float) * here for values in sums)
        return found

    def summarise(self, rows: Sequence[Row]) -> Results:
        measures: List[Measure] = []
        tables: List[Table] = []
        detector: Dict[str, List[Tuple[str, Curve]]] = {}
        boxes: List[Curve] = []
        several = len(self._conditions) > 1
        for condition in self._conditions:
            own = [r for r in rows if r["condition"] == condition.name]
            if not own:
                continue
            measures += self._measures(own, condition)
            read = [r for r in own if r["probability"] is not None]
            _, told, drawn = detector_report(read, self._own_threshold)
            shown = [
                _further(own, condition),
                _by_kind(own),
                _by_novelty(own),
                interaction.questions_table(own),
                interaction.outcomes_table(own),
                *told,
            ]
            tables += [replace(t, title=f"{t.title}, {condition.name}") if several else t for t in shown]
            for curve in drawn:
                detector.setdefault(curve.name, []).append((condition.name, curve))
            curve = interaction.iou_curve(own)
            boxes.append(
                replace(curve, name=f"{curve.name}-{condition.slug}", title=f"{curve.title}, {condition.name}")
                if several
                else curve
            )
        unknown = sum(r["outcome"] == "unknown_words" for r in rows)
        notes = (f"{unknown} instructions held words that the model does not know",) if unknown else ()
        return Results(
            self.name,
            "Rendered tabletops, test seeds",
            {},
            tuple(measures),
            tuple(t for t in tables if t.rows),
            (*(together(c) for c in detector.values()), *boxes),
            notes,
            explanation=EXPLANATION.format(questions=self._max_questions),
        )

    def _measures(self, rows: Sequence[Row], condition: Condition) -> List[Measure]:
        groups, goals = [r["image"] for r in rows], condition.goals
        said = np.array([r["said_ambiguous"] for r in rows], bool)
        ambiguous = np.array([r["ambiguous"] for r in rows], bool)
        figures = [
            ("ambiguity_f1", "ambiguity F1", f1_estimate(said, ambiguous, groups)),
            (
                "clear_acc_at_50",
                "unambiguous expression, Acc@0.5",
                rate([None if r["guess_iou"] is None else r["guess_iou"] >= 0.5 for r in rows], groups),
            ),
        ]
        first = [
            Measure(name, label, e, "share", *goals.get(name, (None, False)), condition.name)
            for name, label, e in figures
        ]
        return first + interaction.measures(rows, IN_SCOPE, condition.name, goals)


def _terms(rows: Sequence[Row]) -> Dict[str, Any]:
    clear = [r.get("guess_iou") for r in rows]
    return {
        **{f"ambiguity {k}": v for k, v in terms(rows).items()},
        "clear, Acc@0.5": ([float(v is not None and v >= 0.5) for v in clear], [float(v is not None) for v in clear]),
        **interaction.terms(rows),
    }


def _suite_of(
    load: Callable[[], Subject], scenes: int, threshold: float, max_questions: int, conditions: Sequence[Condition]
) -> TabletopSuite:
    """The same suite in another process."""
    return TabletopSuite(load(), scenes, threshold=threshold, max_questions=max_questions, conditions=conditions)


def _judge_there(suite: TabletopSuite, item: Tuple[int, int]) -> Judged:
    return replace(suite._judge(*item), picture=None)  # a closure cannot be sent


class _Renderers:
    """Renderers of the data sets' image sizes, made when needed and closed together."""

    def __init__(self, condition: Condition):
        self._make, self._open = condition.renderer, {}

    def close(self) -> None:
        for renderer in self._open.values():
            renderer.close()
        self._open.clear()

    def render(self, scene: Scene, number: int) -> Any:
        from clue_ros.simulation.renderer import TabletopRenderer

        size = ASPECTS[number % len(ASPECTS)]
        if size not in self._open:
            self._open[size] = (self._make or TabletopRenderer)(*size)
        return self._open[size].render(scene, depth=False)


def _further(rows: Sequence[Row], condition: Condition) -> Table:
    others = [name for name, _, form in interaction.LABELS.values() if name not in IN_SCOPE and form == "rate"]
    lines = [(m.label, m.estimate, m.estimate.count) for m in interaction.measures(rows, others)]
    if condition.held_out is not None:
        share = rate([None if r["truth"] == "absent" else r["held_out"] for r in rows], [r["image"] for r in rows])
        lines.append(("instructions about an object of a held-out pair or shape", share, share.count))
    return Table("Further figures", ("figure", "value", "count"), tuple(lines), "rate")


def _by_kind(rows: Sequence[Row]) -> Table:
    return _split(rows, "By type of expression", lambda r: (r["truth"], words_of(r["type"].removeprefix("absent "))))


def _by_novelty(rows: Sequence[Row]) -> Table:
    """Empty where nothing is held out."""
    told = [r for r in rows if r["truth"] != "absent"] if any(r["held_out"] for r in rows) else []
    return _split(
        told,
        "Held-out object, or only its surroundings",
        lambda r: (r["truth"], "held-out object" if r["held_out"] else "known object"),
    )


def _split(rows: Sequence[Row], title: str, key: Callable[[Row], Tuple[str, str]]) -> Table:
    lines = []
    for truth, kind in sorted({key(r) for r in rows}):
        own = [r for r in rows if key(r) == (truth, kind)]
        groups = [r["image"] for r in own]
        given = rate([None if r["guess_iou"] is None else r["guess_iou"] >= 0.5 for r in own], groups)
        lines.append(
            (
                f"{truth}: {kind}",
                len(own),
                rate([r["success"] for r in own], groups),
                rate([bool(r["asked"]) for r in own], groups),
                given,
            )
        )
    return Table(title, ("type", "count", "success", "asked", "Acc@0.5 without asking"), tuple(lines), "rate")
