"""`clue evaluate interactive`: whole dialogues with a simulated person (InViG's I-VG), over any data set with boxes.

    clue evaluate interactive out/scenes/test                              # the scene answers
    clue evaluate interactive /data/invig --model DIR --oracle-model runs/oracle     # of `clue finetune answer`
    clue evaluate interactive photos.jsonl --oracle click                  # boxes alone: a click answers

The recorded turns of a sample are not shown to the robot: it starts from the instruction.
"""

from __future__ import annotations

from typing import Any, Container, Dict, Iterator, Optional, Sequence, Union, cast

import numpy as np

from clue_ros.data.sample import Label, Sample
from clue_ros.evaluation import interaction
from clue_ros.evaluation.episode_runner import picture_of
from clue_ros.evaluation.grounding_suite import notes_of
from clue_ros.evaluation.oracle import Oracle
from clue_ros.evaluation.other_model import OtherModel
from clue_ros.evaluation.rows import Row
from clue_ros.evaluation.sample_loop import judged_samples
from clue_ros.evaluation.samples import Selection
from clue_ros.evaluation.subject import Subject
from clue_ros.evaluation.suite import Judged
from clue_ros.measures.results import Results
from clue_ros.seams import Grounder

EXPLANATION = """A person with one thing in mind says the data set's instruction, the robot asks up to {questions} \
questions or none, and gives a box. The recorded dialogue is not shown to it. A box is right where its IoU with the \
annotated one is at least 0.5. InViG counts the last box, and TiO's script forces one in its last turn. Our own rule \
is stricter: the robot has to give the box as found, and a box that it still calls ambiguous does not count."""


class InteractiveSuite:
    name, title = "interactive", "Dialogues with a simulated person"

    def __init__(
        self,
        subject: Union[Subject, OtherModel],
        selection: Selection,
        oracle: Oracle,
        *,
        max_questions: int = 3,
        threshold: Optional[float] = None,
        oracle_name: str = "",
    ):
        """oracle_name: the model or program that answers, where it is not the subject."""
        self._subject, self._selection, self._oracle = subject, selection, oracle
        self._max_questions, self._threshold = max_questions, threshold
        self._oracle_name = oracle_name or oracle.kind

    def about(self) -> Dict[str, Any]:
        return {
            "suite": self.name,
            **self._subject.about(),
            **self._selection.about(),
            "oracle": self._oracle_name,
            "max_questions": self._max_questions,
            "threshold": self._threshold,
        }

    def total(self) -> Optional[int]:
        return self._selection.limit

    def judged(self, done: Container[str]) -> Iterator[Judged]:
        return judged_samples(self._subject, self._selection, done, _unusable, self._judge)

    def _judge(self, sample: Sample, base: Row, rgb: np.ndarray, image: Any) -> Judged:
        row, result = interaction.play(
            cast(Grounder, self._subject.grounder),  # of another model: of it no more than this is asked
            image,
            sample.expression,
            truth_of(sample),
            sample.boxes or (),
            self._oracle.person(sample, rgb),
            max_questions=self._max_questions,
            threshold=self._threshold,
            forced=True,
        )
        return Judged(
            sample.source_id,
            [{**base, **row}],
            interaction.caption(row),
            row["success"],
            lambda: picture_of(rgb, result, f"{sample.source_id}, {row['truth']}"),
        )

    def terms(self, rows: Sequence[Row]) -> Dict[str, Any]:
        return interaction.terms(rows)

    def summarise(self, rows: Sequence[Row]) -> Results:
        kept, notes = [r for r in rows if "skipped" not in r], notes_of(rows, self._selection)
        if not kept:
            return Results(self.name, self.title, {}, notes=notes)
        tables = [
            interaction.turns_table(kept, self._max_questions + 1),
            interaction.questions_table(kept),
            interaction.outcomes_table(kept),
        ]
        if self._oracle.kind == "model":
            notes += ("a model answered the questions: its mistakes count against the robot",)
        if self._oracle.kind == "command":
            notes += ("a program answered the questions: its mistakes count against the robot",)
        if self._oracle.kind in ("click", "box"):
            notes += (
                f"questions were answered by a {self._oracle.kind} (--oracle {self._oracle.kind}), not in words: the "
                "figures say nothing about how answers in words are understood",
            )
        return Results(
            self.name,
            self.title,
            {},
            tuple(interaction.measures(kept)),
            tuple(t for t in tables if t.rows),
            (interaction.iou_curve(kept),),
            notes,
            explanation=EXPLANATION.format(questions=self._max_questions),
        )


def truth_of(sample: Sample) -> str:
    """'absent', 'ambiguous', 'clear' or 'unknown' (interaction.py); what was asked about was ambiguous."""
    if sample.boxes == ():
        return "absent"
    if sample.label is Label.AMBIGUOUS or sample.turns:
        return "ambiguous"
    return "clear" if sample.label is Label.CLEAR else "unknown"


def _unusable(sample: Sample) -> str:
    if sample.boxes is None:
        return "no target box is annotated"
    if sample.label is Label.AMBIGUOUS and not sample.turns and len(sample.boxes) > 1:
        return "several things may be meant and nothing says which one is"
    return ""
