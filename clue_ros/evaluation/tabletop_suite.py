"""`clue evaluate tabletop`: the table of the model card, on rendered scenes of fixed test seeds.

    clue evaluate tabletop --scenes 500

Each scene gives up to two ambiguous instructions (that words can settle), two clear ones and one for something that is
not there. Ambiguity F1 is over all of them at the checkpoint's own threshold; the box of a clear instruction counts as
given when nothing may be asked; success on an ambiguous one means: asked at least once, then the right box (IoU ≥ 0.5).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Callable, Container, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from clue_ros.evaluation import interaction
from clue_ros.evaluation.ambiguity_suite import detector_report, terms
from clue_ros.evaluation.bootstrap import mean
from clue_ros.evaluation.classification import f1_estimate
from clue_ros.evaluation.episode_runner import picture_of
from clue_ros.evaluation.metrics import box_iou
from clue_ros.evaluation.results import Measure, Results, Table
from clue_ros.evaluation.rows import Row
from clue_ros.evaluation.subject import Subject
from clue_ros.evaluation.suite import Judged
from clue_ros.simulation import language
from clue_ros.simulation.dataset import ASPECTS, scene_for
from clue_ros.simulation.person import SimulatedPerson
from clue_ros.simulation.referring import ImageSize, absent_references, enumerate_references
from clue_ros.simulation.scene import Scene, SceneObject
from clue_ros.simulation.teacher import sample_dialogue
from clue_ros.types import Box

TEST_SEED = 41  # training has 1, calibration 2, the comparison of detectors 12
SCENES = 500
PER_SCENE = 2  # ambiguous instructions, and as many clear ones
IN_SCOPE = ("success_ambiguous", "asked_clear", "absent_recognised", "questions_ambiguous")
Goals = Mapping[str, Tuple[float, bool]]


@dataclass(frozen=True)
class Condition:
    """One column of the table. scene: the scene of a number; renderer: makes a renderer of (width, height); goals: name
    of a measure -> (value, at most)."""

    name: str
    seed: int
    scene: Callable[[int], Scene]
    goals: Goals = field(default_factory=dict)
    renderer: Optional[Callable[[int, int], Any]] = None


IN_DISTRIBUTION = Condition("in distribution", TEST_SEED, lambda number: scene_for(TEST_SEED, number), {
    "ambiguity_f1": (.95, False), "clear_acc_at_50": (.92, False), "success_ambiguous": (.90, False),
    "asked_clear": (.03, True), "absent_recognised": (.90, False), "questions_ambiguous": (1.4, True)})
# The out-of-distribution column is one more Condition here: goals .85, .80, .75, .08, .80, 1.6.
CONDITIONS: Tuple[Condition, ...] = (IN_DISTRIBUTION,)


@dataclass(frozen=True)
class Instruction:
    """truth: 'ambiguous', 'clear' or 'absent'; kind: of the expression; target: index of the object in mind, if any;
    matches: indices of what the words fit."""

    text: str
    truth: str
    kind: str
    target: Optional[int]
    matches: Tuple[int, ...] = ()


class TabletopSuite:
    name, title = "tabletop", "Rendered tabletops"

    def __init__(self, subject: Subject, scenes: int = SCENES, *, threshold: Optional[float] = None,
                 max_questions: int = 3, conditions: Sequence[Condition] = CONDITIONS):
        self._subject, self._scenes, self._conditions = subject, scenes, tuple(conditions)
        self._own_threshold = subject.grounder.threshold if threshold is None else threshold
        self._max_questions = max_questions

    def about(self) -> Dict[str, Any]:
        return {"suite": self.name, **self._subject.about(), "scenes": self._scenes, "threshold": self._own_threshold,
                "max_questions": self._max_questions, "conditions": {c.name: c.seed for c in self._conditions}}

    def total(self) -> int:
        return self._scenes * len(self._conditions)

    def judged(self, done: Container[str]) -> Iterator[Judged]:
        """One item a scene."""
        for condition in self._conditions:
            with _Renderers(condition) as renderers:
                for number in range(self._scenes):
                    key = f"{condition.name}/{number}"
                    if key not in done:
                        yield self._judge(key, condition, number, renderers)

    def _judge(self, key: str, condition: Condition, number: int, renderers: "_Renderers") -> Judged:
        view = renderers.render(condition.scene(number), number)
        size = ImageSize(view.rgb.shape[1], view.rgb.shape[0])
        seen, rows, pictures = self._subject.look(view.rgb), [], []
        drawn = instructions(view.objects, size, np.random.default_rng([condition.seed, number, 1]))
        for n, said in enumerate(drawn):
            person = person_for(said, view.objects, size, np.random.default_rng([condition.seed, number, 2, n]))
            boxes = () if said.target is None else (view.objects[said.target].box,)
            row, result = interaction.play(self._subject.grounder, seen, said.text, said.truth, boxes, person,
                                           max_questions=self._max_questions, threshold=self._own_threshold)
            row = {"image": key, "condition": condition.name, "type": said.kind, **row,
                   "ambiguous": said.truth == "ambiguous", "guess_iou": None}
            if said.truth == "clear":
                row["guess_iou"] = self._guess(seen, said.text, boxes[0], result)
            rows.append(row)
            pictures.append((row, result))
        row, result = next((p for p in pictures if not p[0]["success"]), pictures[number % len(pictures)])
        return Judged(key, rows, interaction.caption(row), row["success"],
                      lambda: picture_of(view.rgb, result, f"{key}, {row['truth']}"))

    def _guess(self, seen: Any, text: str, box: Box, result) -> float:
        """IoU of the box that is given when nothing may be asked; the same as the dialogue's if nothing was."""
        given = result.box
        if result.questions or given is None:
            given = self._subject.grounder.ground(seen, text, may_ask=False).box
        return box_iou(given, box) if given is not None else 0.0

    def terms(self, rows: Sequence[Row]) -> Dict[str, Any]:
        clear = [r.get("guess_iou") for r in rows]
        return {**{f"ambiguity {k}": v for k, v in terms(rows).items()},
                "clear, Acc@0.5": ([float(v is not None and v >= .5) for v in clear],
                                   [float(v is not None) for v in clear]),
                **interaction.terms(rows)}

    def summarise(self, rows: Sequence[Row]) -> Results:
        measures: List[Measure] = []
        tables: List[Table] = []
        curves: List[Any] = []
        for condition in self._conditions:
            own = [r for r in rows if r["condition"] == condition.name]
            if not own:
                continue
            measures += self._measures(own, condition)
            read = [r for r in own if r["probability"] is not None]
            slug = condition.name.replace(" ", "-")
            _, told, drawn = detector_report(read, self._own_threshold, f"detector-{slug}")
            extra = interaction.measures(own, [m for _, (m, _, _) in interaction.LABELS.items() if m not in IN_SCOPE])
            shown = [Table("Further figures", ("figure", "value", "count"),
                            tuple((m.label, m.estimate, m.estimate.count) for m in extra if m.form == "rate"), "rate"),
                     _by_kind(own), interaction.questions_table(own), interaction.outcomes_table(own), *told]
            several = len(self._conditions) > 1
            tables += [replace(t, title=f"{t.title}, {condition.name}") if several else t for t in shown]
            iou_curve = interaction.iou_curve(own)
            iou_curve = replace(iou_curve, name=f"{iou_curve.name}-{slug}")
            curves += [*drawn, iou_curve]
        unknown = sum(r["outcome"] == "unknown_words" for r in rows)
        notes = (f"{unknown} instructions held words that the model does not know",) if unknown else ()
        return Results(self.name, "Rendered tabletops, test seeds", {}, tuple(measures),
                       tuple(t for t in tables if t.rows), tuple(curves), notes)

    def _measures(self, rows: Sequence[Row], condition: Condition) -> List[Measure]:
        groups, goals = [r["image"] for r in rows], condition.goals
        said = [bool(r["said_ambiguous"]) for r in rows]
        figures = [("ambiguity_f1", "ambiguity F1", f1_estimate(said, [r["ambiguous"] for r in rows], groups)),
                   ("clear_acc_at_50", "unambiguous expression, Acc@0.5",
                    mean([None if r["guess_iou"] is None else r["guess_iou"] >= .5 for r in rows], groups))]
        first = [Measure(name, label, e, "share", *goals.get(name, (None, False)), condition.name)
                 for name, label, e in figures]
        return first + interaction.measures(rows, IN_SCOPE, condition.name, goals)


def instructions(objects: Sequence[SceneObject], size: ImageSize, rng: np.random.Generator) -> List[Instruction]:
    """What is asked about a scene, the same for the same scene and generator; kinds of expression are drawn evenly."""
    pools: Dict[str, Dict[str, list]] = {"ambiguous": {}, "clear": {}}
    for reference, matches in enumerate_references(objects, size):
        pool = pools["ambiguous" if len(matches) > 1 else "clear"]
        pool.setdefault(reference.kind(), []).append((reference, matches))
    found: List[Instruction] = []
    for truth, pool in pools.items():
        kinds, taken = list(pool), 0
        for kind in rng.permutation(kinds) if kinds else []:
            reference, matches = pool[kind][int(rng.integers(len(pool[kind])))]
            text, target = language.instruction(reference, rng), matches[0]
            if truth == "ambiguous":
                steps = sample_dialogue(text, matches, objects, size, rng, click_rate=0, unsure_rate=0)
                if not steps:  # no words tell these things apart
                    continue
                target = steps[-1].remaining[0]
            found.append(Instruction(text, truth, str(kind), target, tuple(matches)))
            taken += 1
            if taken == PER_SCENE:
                break
    for reference in absent_references(objects, rng, 1):
        found.append(Instruction(language.instruction(reference, rng), "absent", f"absent {reference.kind()}", None))
    return found


def person_for(said: Instruction, objects: Sequence[SceneObject], size: ImageSize,
               rng: np.random.Generator) -> SimulatedPerson:
    """The person behind an instruction. Who said "the green banana" takes "left or right?" to be about green bananas,
    so an ambiguous instruction's person looks at nothing else."""
    if said.truth != "ambiguous":
        return SimulatedPerson(objects, said.target, rng, size)
    return SimulatedPerson([objects[i] for i in said.matches], said.matches.index(said.target), rng, size)


class _Renderers:
    """Renderers of the data sets' image sizes, made when needed and closed together."""

    def __init__(self, condition: Condition):
        self._make, self._open = condition.renderer, {}

    def __enter__(self) -> "_Renderers":
        return self

    def __exit__(self, *_: Any) -> None:
        for renderer in self._open.values():
            renderer.close()

    def render(self, scene: Scene, number: int) -> Any:
        from clue_ros.simulation.renderer import TabletopRenderer

        size = ASPECTS[number % len(ASPECTS)]
        if size not in self._open:
            self._open[size] = (self._make or TabletopRenderer)(*size)
        return self._open[size].render(scene, depth=False)


def _by_kind(rows: Sequence[Row]) -> Table:
    lines = []
    for kind in sorted({(r["truth"], r["type"]) for r in rows}):
        own = [r for r in rows if (r["truth"], r["type"]) == kind]
        groups = [r["image"] for r in own]
        lines.append((f"{kind[0]}: {kind[1].replace('_', ' ')}", len(own), mean([r["success"] for r in own], groups),
                      mean([bool(r["asked"]) for r in own], groups)))
    return Table("By type of expression", ("type", "count", "success", "asked"), tuple(lines), "rate")

