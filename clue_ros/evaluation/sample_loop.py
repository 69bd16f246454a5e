"""The loop over a data set's samples that suites share: what is done is passed over, an image is looked at once."""

from __future__ import annotations

from typing import Any, Callable, Container, Iterator, Optional, Tuple, Union

import numpy as np

from clue_ros.data.sample import Sample
from clue_ros.evaluation.other_model import OtherModel
from clue_ros.evaluation.rows import Row
from clue_ros.evaluation.samples import Selection, expression_type
from clue_ros.evaluation.subject import Subject
from clue_ros.evaluation.suite import Judged
from clue_ros.evaluation.two_models import TwoModels
from clue_ros.problems import BrokenImageError
from clue_ros.types import InvalidExpressionError


def judged_samples(
    subject: Union[Subject, OtherModel, TwoModels],
    selection: Selection,
    done: Container[str],
    unusable: Callable[[Sample], str],
    judge: Callable[[Sample, Row, np.ndarray, Any], Judged],
    task: str = "ground",
) -> Iterator[Judged]:
    """Every sample that is not done yet. A sample that cannot be used becomes one row that says why.

    unusable: why not, '' for what can be used; judge: of (sample, the row's image, expression and type, pixels
    uint8[H,W,3] RGB, what the subject saw in them). Samples of one image that follow each other share what was seen.
    task: of other_model.TASKS; a sample about which a file says nothing is `unanswered` in its row.
    """
    last: Tuple[Optional[str], np.ndarray] = (None, np.zeros((0, 0, 3), np.uint8))
    for sample in selection:
        if sample.source_id in done:
            continue
        kind = expression_type(sample.expression)
        base: Row = {"image": sample.image.name, "expression": sample.expression, "type": kind}
        reason = unusable(sample)
        if not reason:
            try:
                if last[0] != sample.image.name or not sample.image.name:
                    last = sample.image.name, sample.pixels()
                if not subject.knows(task, sample, sample.turns if task == "ground" else ()):
                    base["unanswered"] = True
                item = judge(sample, base, last[1], subject.look_at(sample, last[1]))
            except (BrokenImageError, InvalidExpressionError) as error:
                reason = str(error)
        yield Judged(sample.source_id, [{**base, "skipped": reason}]) if reason else item
