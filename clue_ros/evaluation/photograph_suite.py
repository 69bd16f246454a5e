"""`clue evaluate photographs`: what a robot does at once with each instruction about real pictures, and whether a click
then settles what it asked about.

    clue evaluate photographs photos.jsonl --model DIR      # any data set with labels and boxes (docs/data.md)

The figures up to the first decision need no person. Where the robot asks, an oracle answers, by a click unless another
one is chosen, and the dialogue goes on to its end.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np

from clue_ros.data.sample import Sample
from clue_ros.evaluation import interaction
from clue_ros.evaluation.episode_runner import EpisodeResult
from clue_ros.evaluation.grounding_suite import notes_of
from clue_ros.evaluation.played_suite import PlayedSuite, truth_of
from clue_ros.evaluation.rows import Row
from clue_ros.measures.bootstrap import Values, rate, ratio
from clue_ros.measures.classification import f1_estimate, f1_terms
from clue_ros.measures.results import Measure, Results, Table
from clue_ros.types import Box, Outcome

EXPLANATION = """The person says an instruction, and what the robot does first counts: a box, a question, "not found", \
or a word that it does not know. Acc@0.5: clear instructions that get the right box at once (IoU at least 0.5), of all \
clear ones. F1: asking as a sign that the instruction is ambiguous; absent things count as not ambiguous. Success: \
ambiguous ones that were asked about and ended with the right box."""
NAMES = {
    Outcome.FOUND: "box",
    Outcome.ASK: "question",
    Outcome.NOT_FOUND: "not found",
    Outcome.UNKNOWN_WORDS: "unknown words",
}
# label, name of the measure, the truth that it is about, whether a row counts, goal, whether at most
SHARES: Tuple[Tuple[str, str, str, Callable[[Row], bool], Optional[float], bool], ...] = (
    ("right box on clear", "acc_at_50", "clear", lambda r: bool(r["success"]), 0.75, False),
    ("clear, but not found", "clear_not_found", "clear", lambda r: r["first"] == "not_found", 0.08, True),
    ("clear, but asked", "clear_asked", "clear", lambda r: r["first"] == "ask", 0.10, True),
    ("clear, but unknown words", "clear_unknown_words", "clear", lambda r: r["first"] == "unknown_words", None, True),
    ("ambiguous, asked", "ambiguous_asked", "ambiguous", lambda r: r["first"] == "ask", None, False),
    ("ambiguous, right box after a question", "success_ambiguous", "ambiguous", lambda r: r["success"], None, False),
    ("absent recognised", "absent_recognised", "absent", lambda r: r["first"] == "not_found", 0.85, False),
)


class PhotographSuite(PlayedSuite):
    name, title = "photographs", "Photographs"

    def unusable(self, sample: Sample) -> str:
        if sample.boxes is None:
            return "no target box is annotated"
        return "no label says whether it is ambiguous" if truth_of(sample) == "unknown" else ""

    def meant(self, sample: Sample) -> Sequence[Box]:
        """Of several things that an ambiguous instruction fits, the first."""
        boxes = sample.boxes or ()
        return boxes[:1] if truth_of(sample) == "ambiguous" else boxes

    def further(self, result: EpisodeResult) -> Row:
        return {"first": result.decisions[0].outcome.value}

    def terms(self, rows: Sequence[Row]) -> Dict[str, Tuple[Values, Values]]:
        found: Dict[str, Tuple[Values, Values]] = {}
        for label, _, truth, counts, _, _ in SHARES:
            own = [r.get("truth") == truth for r in rows]
            found[label] = [float(o and counts(r)) for r, o in zip(rows, own)], [float(o) for o in own]
        return {**found, "ambiguity F1": f1_terms(*_asked(rows))}

    def summarise(self, rows: Sequence[Row]) -> Results:
        kept, notes = [r for r in rows if "skipped" not in r], notes_of(rows, self._selection)
        if not kept:
            return Results(self.name, self.title, {}, notes=notes)
        groups = [r["image"] for r in kept]
        terms = self.terms(kept)
        measures = [
            Measure(name, label, ratio(*terms[label], groups, rate=True), "rate", goal, at_most)
            for label, name, _, _, goal, at_most in SHARES
        ]
        measures.insert(1, Measure("f1", "ambiguity F1", f1_estimate(*_asked(kept), groups), "share", 0.75))
        if any(r["asked"] for r in kept):
            notes += (f"questions were answered with --oracle {self._oracle.kind}",)
        return Results(
            self.name,
            self.title,
            {},
            tuple(m for m in measures if m.estimate.count),
            tuple(t for t in (_firsts(kept), _by_type(kept)) if t.rows),
            (interaction.iou_curve(kept),),
            notes,
            explanation=EXPLANATION,
        )


def _asked(rows: Sequence[Row]) -> Tuple[np.ndarray, np.ndarray]:
    """bool[N] each: whether a question came first, whether one was due."""
    asked = np.array([r.get("first") == Outcome.ASK.value for r in rows], bool)
    return asked, np.array([r.get("truth") == "ambiguous" for r in rows], bool)


def _firsts(rows: Sequence[Row]) -> Table:
    """What the robot did first, by truth."""
    lines: List[Tuple[Any, ...]] = []
    for truth in interaction.TRUTHS:
        own = [r for r in rows if r["truth"] == truth]
        if own:
            firsts = [r["first"] for r in own]
            lines.append((truth, len(own), *(firsts.count(outcome.value) for outcome in NAMES)))
    return Table("What the robot did first", ("truth", "count", *NAMES.values()), tuple(lines))


def _by_type(rows: Sequence[Row]) -> Table:
    """The right box at once, by what the words of clear instructions tell apart."""
    clear = [r for r in rows if r["truth"] == "clear"]
    lines = []
    for kind in sorted({r["type"] for r in clear}):
        own = [r for r in clear if r["type"] == kind]
        lines.append((kind, len(own), rate([bool(r["success"]) for r in own], [r["image"] for r in own])))
    return Table("Right box at once, clear instructions by type", ("type", "count", "right box"), tuple(lines), "rate")
