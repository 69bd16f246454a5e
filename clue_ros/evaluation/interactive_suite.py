"""`clue evaluate interactive`: whole dialogues with a simulated person (InViG's I-VG), over any data set with boxes.

    clue evaluate interactive out/scenes/test                              # the scene answers
    clue evaluate interactive /data/invig --model DIR --oracle-model runs/oracle     # of `clue finetune answer`
    clue evaluate interactive photos.jsonl --oracle click                  # boxes alone: a click answers

The recorded turns of a sample are not shown to the robot: it starts from the instruction.
"""

from __future__ import annotations

from typing import Any, Dict, Sequence

from clue_ros.data.sample import Label, Sample
from clue_ros.evaluation import interaction
from clue_ros.evaluation.grounding_suite import notes_of
from clue_ros.evaluation.played_suite import PlayedSuite
from clue_ros.evaluation.rows import Row
from clue_ros.measures.results import Results

EXPLANATION = """A person with one thing in mind says the data set's instruction, the robot asks up to {questions} \
questions or none, and gives a box. The recorded dialogue is not shown to it. A box is right where its IoU with the \
annotated one is at least 0.5. InViG counts the last box, and TiO's script forces one in its last turn. Our own rule \
is stricter: the robot has to give the box as found, and a box that it still calls ambiguous does not count."""


class InteractiveSuite(PlayedSuite):
    name, title, forced = "interactive", "Dialogues with a simulated person", True

    def unusable(self, sample: Sample) -> str:
        if sample.boxes is None:
            return "no target box is annotated"
        if sample.label is Label.AMBIGUOUS and not sample.turns and len(sample.boxes) > 1:
            return "several things may be meant and nothing says which one is"
        return ""

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
