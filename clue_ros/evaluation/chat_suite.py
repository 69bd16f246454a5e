"""`clue evaluate chat`: answers whose phrases carry boxes, by Grounding-Bench's grounded recall, precision and F1.

    clue evaluate chat --scenes 200                                    # rendered scenes of fixed test seeds
    clue evaluate chat instances_val2017.json --images val2017 --model DIR
    clue evaluate chat instances_val2017.json --images val2017 --predictions other.jsonl

Each rendered scene is asked "what is on the table?" (the paper's grounded detailed description), and about one kind
that is there, one colour that is there, and one kind that is not. Figures are sums over all answers of a kind of
question.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Container, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np

from clue_ros.chat.answer import GroundedAnswer
from clue_ros.data.instances import Picture
from clue_ros.data.pictures import open_pictures
from clue_ros.data.scenes import PATTERN
from clue_ros.data.source import fingerprint_of
from clue_ros.evaluation.given_answers import AskedAnswers, GivenAnswers
from clue_ros.evaluation.grounded_figures import Matching, Means, Truth, by_names, count, scene_means
from clue_ros.evaluation.rows import Row
from clue_ros.evaluation.subject import Subject
from clue_ros.evaluation.suite import Judged
from clue_ros.evaluation.tabletop_conditions import CONDITIONS, Condition
from clue_ros.measures.bootstrap import Estimate, mean, rate, ratio, statistic
from clue_ros.measures.results import Measure, Results, Table
from clue_ros.problems import BrokenImageError, Problems
from clue_ros.simulation.dataset import ASPECTS
from clue_ros.simulation.referring import clearly_visible
from clue_ros.simulation.scene import ImageSize
from clue_ros.simulation.shapes import CATEGORIES
from clue_ros.simulation.words import PLURALS
from clue_ros.types import ClueError

EXPLANATION = """The robot answers a question about the picture; phrases of its answer carry boxes. Precision: the \
share of those groundings that are right (IoU > 0.5 with a thing that the words mean). Recall: the share of the \
things asked for that a right grounding names. F1: their \
harmonic mean. Definitions of Grounding-Bench (LLaVA-Grounding)."""
GENERAL = "what is on the table?"
BENCHMARK = "describe the image in detail"  # Grounding-Bench's grounded detailed description
KINDS = ("everything", "a kind", "a colour", "a kind that is not there")


class Asked(NamedTuple):
    """One question, and what is to be named."""

    kind: str
    question: str
    truths: Tuple[Truth, ...]


class ChatSuite:
    name, title = "chat", "Grounded chat"

    def __init__(
        self,
        subject: Union[Subject, GivenAnswers, AskedAnswers],
        scenes: int = 200,
        *,
        conditions: Sequence[Condition] = CONDITIONS["both"],
        data: Optional[Path] = None,
        form: str = "auto",
        images: Optional[Path] = None,
        matching: Optional[Matching] = None,
        limit: Optional[int] = None,
        question: str = BENCHMARK,
    ):
        """data: images with named boxes instead of rendered scenes, each asked its own question or
        `question`; matching: how the words of phrases are judged on them, by names by default; limit: at most so many
        of them; subject: answers from a file need data. Raises ClueError."""
        if data is None and not isinstance(subject, Subject):
            raise ClueError("another model's answers need images with named boxes: give DATA beside them")
        self._subject, self._scenes, self._conditions = subject, scenes, tuple(conditions)
        self._data, self._form, self._images = data, form, images
        self._matching = matching or by_names()
        self._limit, self._question = limit, question
        self._problems = Problems()

    def about(self) -> Dict[str, Any]:
        about = {"suite": self.name, **self._subject.about()}
        if self._data is not None:
            return {
                **about,
                "data": str(self._data),
                "annotations": fingerprint_of([self._data] if self._data.is_file() else self._data.rglob(PATTERN)),
                "format": self._form,
                "limit": self._limit,
                "question": self._question,
                "matching": self._matching.about,
            }
        return {**about, "scenes": self._scenes, "conditions": {c.name: c.seed for c in self._conditions}}

    def total(self) -> Optional[int]:
        return self._limit if self._data is not None else self._scenes * len(self._conditions)

    def judged(self, done: Container[str]) -> Iterator[Judged]:
        return self._judged_data(self._data, done) if self._data is not None else self._judged_scenes(done)

    def _judged_scenes(self, done: Container[str]) -> Iterator[Judged]:
        from clue_ros.simulation.renderer import TabletopRenderer

        renderers: Dict[Tuple[str, Tuple[int, int]], Any] = {}
        try:
            for number in range(self._scenes):
                for condition in self._conditions:
                    key, size = f"{condition.name}/{number}", ASPECTS[number % len(ASPECTS)]
                    if key in done:
                        continue
                    if (condition.name, size) not in renderers:
                        renderers[condition.name, size] = (condition.renderer or TabletopRenderer)(*size)
                    view = renderers[condition.name, size].render(condition.scene(condition.seed, number), depth=False)
                    rng = np.random.default_rng([condition.seed, number, 5])
                    asked = scene_questions(view.objects, ImageSize(*size), rng)
                    base = {"condition": condition.name}
                    yield self._judge(key, view.rgb, asked, scene_means, base, self._speaker(view.rgb))
        finally:
            for renderer in renderers.values():
                renderer.close()

    def _judged_data(self, data: Path, done: Container[str]) -> Iterator[Judged]:
        pictures = open_pictures(data, self._form, self._images, self._problems)
        for number, picture in enumerate(pictures):
            if self._limit is not None and number >= self._limit:
                return
            if picture.key in done:
                continue
            asked = Asked("everything", picture.question or self._question, _truths(picture))
            try:
                rgb = picture.image.read()
                answers = self._speaker(rgb, picture)
                yield self._judge(picture.key, rgb, [asked], self._matching.means, {"condition": ""}, answers)
            except BrokenImageError as error:
                yield Judged(picture.key, [{"image": picture.key, "condition": "", "skipped": str(error)}])

    def _speaker(self, rgb: np.ndarray, picture: Optional[Picture] = None) -> Callable[[str], GroundedAnswer]:
        """What answers questions about one image."""
        if not isinstance(self._subject, Subject):
            if picture is None:
                raise ClueError("another model's answers are about images of a data set")
            given = self._subject
            return lambda question: given.answer(picture, question) or GroundedAnswer(question, "")
        seen, grounder = self._subject.look(rgb), self._subject.grounder
        return lambda question: grounder.chat(seen, question)

    def _judge(
        self,
        key: str,
        rgb: np.ndarray,
        asked: Sequence[Asked],
        means: Means,
        base: Row,
        answer: Callable[[str], GroundedAnswer],
    ) -> Judged:
        from clue_ros.visualization.chat_picture import chat_picture

        rows, answers = [], []
        for one in asked:
            said = answer(one.question)
            counts = count([(said.words(p), p.box) for p in said.phrases], one.truths, means)
            answers.append(said)
            rows.append(
                {
                    "image": key,
                    **base,
                    "kind": one.kind,
                    "question": one.question,
                    "answer": said.text,
                    "right": counts.right,
                    "given": counts.given,
                    "found": counts.found,
                    "wanted": counts.wanted,
                    "unknown": list(said.unknown_words),
                    "seconds": round(sum(said.latency_s.values()), 3) if said.latency_s else None,
                    "groundings": [
                        [*(round(float(v), 1) for v in p.box), round(p.confidence, 3), said.words(p)]
                        for p in said.phrases
                    ],
                }
            )
        first = rows[0]
        whole = first["right"] == first["given"] and first["found"] == first["wanted"]
        return Judged(key, rows, f"{key}: {first['answer']}", whole, lambda: chat_picture(rgb, answers[0]))

    def terms(self, rows: Sequence[Row]) -> Dict[str, Any]:
        of = lambda name: [float(r.get(name) or 0) for r in rows]  # noqa: E731
        return {"grounded precision": (of("right"), of("given")), "grounded recall": (of("found"), of("wanted"))}

    def summarise(self, rows: Sequence[Row]) -> Results:
        measures: List[Measure] = []
        lines = []
        kept = [r for r in rows if "skipped" not in r]
        for column in dict.fromkeys(r["condition"] for r in kept):
            own = [r for r in kept if r["condition"] == column]
            general = [r for r in own if r["kind"] == KINDS[0]]
            for name, label, estimate in zip(
                ("precision", "recall", "f1"),
                ("grounded precision", "grounded recall", "grounded F1"),
                figures(general),
            ):
                measures.append(Measure(f"grounded_{name}", label, estimate, "share", column=column))
            absent = [r for r in own if r["kind"] == KINDS[3]]
            measures.append(
                Measure(
                    "absent_unnamed",
                    "nothing named where nothing is",
                    rate([r["given"] == 0 for r in absent], [r["image"] for r in absent]),
                    "rate",
                    column=column,
                )
            )
            for kind in dict.fromkeys(r["kind"] for r in own):
                some = [r for r in own if r["kind"] == kind]
                lines.append(
                    (
                        " ".join(w for w in (kind, column and f"({column})") if w),
                        len(some),
                        *figures(some),
                        mean([r["seconds"] for r in some], [r["image"] for r in some]),
                    )
                )
        table = Table(
            "By what is asked for", ("asked for", "answers", "precision", "recall", "F1", "seconds"), tuple(lines)
        )
        notes = [f"{len(rows) - len(kept)} images could not be read"] if len(rows) > len(kept) else []
        if self._problems.total:
            notes.append(f"{self._problems.total} records could not be used")
        if isinstance(self._subject, GivenAnswers):
            silent = sum(not r["answer"] for r in kept)
            notes += [f"{silent} images have no answer in the file and count as unanswered"] if silent else []
            others = (self._subject.count or 0) - (len(kept) - silent)
            if others > 0 and self._limit is None:
                notes.append(f"{others} answers of the file are about no image of the data")
        unknown = sum(bool(r["unknown"]) for r in kept)
        notes += [f"{unknown} questions held words that the model does not know"] if unknown else []
        return Results(
            self.name,
            self.title,
            {},
            tuple(m for m in measures if m.estimate.count),
            (table,) if lines else (),
            notes=tuple(notes),
            explanation=EXPLANATION,
        )


def figures(rows: Sequence[Row]) -> Tuple[Estimate, Estimate, Estimate]:
    """(precision, recall, F1) with intervals over images."""
    groups = [r["image"] for r in rows]
    right, given, found, wanted = (np.array([r[k] for r in rows], float) for k in ("right", "given", "found", "wanted"))

    def f1(index: np.ndarray) -> Optional[float]:
        if not given[index].sum() or not wanted[index].sum():
            return None
        p, r = right[index].sum() / given[index].sum(), found[index].sum() / wanted[index].sum()
        return 2 * p * r / (p + r) if p + r else 0.0

    return ratio(right, given, groups, rate=True), ratio(found, wanted, groups, rate=True), statistic(f1, groups)


def scene_questions(objects: Sequence[Any], size: ImageSize, rng: np.random.Generator) -> List[Asked]:
    """What is asked about a scene. What can hardly be seen need not be named, but may be."""

    def truths(wanted) -> Tuple[Truth, ...]:
        return tuple(
            Truth(o.box, (o.category,), o.color, clearly_visible(o, size) and wanted(o))
            for o in objects
            if o.box is not None
        )

    asked = [Asked(KINDS[0], GENERAL, truths(lambda o: True))]
    visible = [o for o in objects if clearly_visible(o, size)]
    if visible:
        one, other = (visible[int(rng.integers(len(visible)))] for _ in range(2))
        many = PLURALS[one.category][int(rng.integers(len(PLURALS[one.category])))]
        asked.append(Asked(KINDS[1], f"which {many} do you see?", truths(lambda o: o.category == one.category)))
        if other.color:
            asked.append(
                Asked(KINDS[2], f"what {other.color} things do you see?", truths(lambda o: o.color == other.color))
            )
    absent = sorted(set(CATEGORIES) - {o.category for o in objects if o.box is not None})
    if absent:
        kind = str(rng.choice(absent))
        asked.append(Asked(KINDS[3], f"which {PLURALS[kind][0]} do you see?", truths(lambda o: False)))
    return asked


def _truths(picture: Picture) -> Tuple[Truth, ...]:
    return tuple(Truth(i.box, i.names, i.color or None) for i in picture.instances if i.names)
