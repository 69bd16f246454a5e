"""What the suites share whose samples are played: a person with one thing in mind says the instruction and answers."""

from __future__ import annotations

from typing import Any, Container, Dict, Iterator, Optional, Sequence, Union, cast

from clue_ros.data.sample import Label, Sample
from clue_ros.evaluation import interaction
from clue_ros.evaluation.episode_runner import EpisodeResult, picture_of
from clue_ros.evaluation.oracle import Oracle
from clue_ros.evaluation.other_model import OtherModel
from clue_ros.evaluation.rows import Row
from clue_ros.evaluation.sample_loop import judged_samples
from clue_ros.evaluation.samples import Selection
from clue_ros.evaluation.subject import Subject
from clue_ros.evaluation.suite import Judged
from clue_ros.evaluation.two_models import TwoModels
from clue_ros.seams import Grounder
from clue_ros.types import Box


class PlayedSuite:
    """forced: whether the model is asked for a box after every answer, too."""

    name = title = ""
    forced = False

    def __init__(
        self,
        subject: Union[Subject, OtherModel, TwoModels],
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
        return judged_samples(self._subject, self._selection, done, self.unusable, self._judge)

    def unusable(self, sample: Sample) -> str:
        """Why a sample cannot be played, or ''."""
        raise NotImplementedError

    def meant(self, sample: Sample) -> Sequence[Box]:
        """The boxes that are right."""
        return sample.boxes or ()

    def further(self, result: EpisodeResult) -> Row:
        """What a row says beyond interaction.py's."""
        return {}

    def _judge(self, sample: Sample, base: Row, rgb: Any, image: Any) -> Judged:
        row, result = interaction.play(
            cast(Grounder, self._subject.grounder),  # of another model: of it no more than this is asked
            image,
            sample.expression,
            truth_of(sample),
            tuple(self.meant(sample)),
            self._oracle.person(sample, rgb),
            max_questions=self._max_questions,
            threshold=self._threshold,
            forced=self.forced,
        )
        row.update(self.further(result))
        return Judged(
            sample.source_id,
            [{**base, **row}],
            interaction.caption(row),
            row["success"],
            lambda: picture_of(rgb, result, f"{sample.source_id}, {row['truth']}"),
        )


def truth_of(sample: Sample) -> str:
    """'absent', 'ambiguous', 'clear' or 'unknown' (interaction.py); what was asked about was ambiguous."""
    if sample.boxes == ():
        return "absent"
    if sample.label is Label.AMBIGUOUS or sample.turns:
        return "ambiguous"
    return "clear" if sample.label is Label.CLEAR else "unknown"
