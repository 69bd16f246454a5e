"""Samples of a data set as training examples: a prefix, what must follow, and whether the state is ambiguous.

A dialogue gives one example a state, in order (clue_ros/data/pairs.py). Every process reads the whole order of
examples, which costs no decoding, and takes its share of each batch: batches do not depend on the number of processes.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import Dict, Iterator, List, Optional, Tuple, Union

from clue_ros.data import (
    ImageArray,
    ImageFile,
    Label,
    MissingDataError,
    Sample,
    SampleStream,
    answering_pairs,
    revealing_pairs,
)
from clue_ros.data.source import Source, split_name
from clue_ros.finetune.recipe import AnswerTask, AnyTask, DetectorTask, DialogueTask
from clue_ros.prompt import CLARIFY, build_prefix, check_expression
from clue_ros.training.recipe_file import TrainingError


@dataclass(frozen=True)
class Example:
    """prefix: without <bos> and the closing newline; suffix: text that must follow ('': nothing there), None for no
    loss on words; ambiguous: of this state of the dialogue, None where nobody knows; turn: exchanges in the prefix."""

    image: Union[ImageFile, ImageArray]
    prefix: str
    suffix: Optional[str]
    ambiguous: Optional[bool]
    turn: int


def examples_of(sample: Sample, settings: AnyTask) -> List[Example]:
    """The examples of a sample for a task, in the order of its dialogue."""
    labels = state_labels(sample)
    if isinstance(settings, DetectorTask):
        expression = check_expression(sample.expression)
        return [
            Example(
                sample.image,
                build_prefix(settings.prefix, expression, sample.turns[:turn], sample.size),
                None,
                ambiguous,
                turn,
            )
            for turn, ambiguous in enumerate(labels)
            if ambiguous is not None and (turn == 0 or settings.states == "all")
        ]
    if isinstance(settings, AnswerTask):
        return [Example(sample.image, p.prefix, p.suffix, None, p.turn) for p in answering_pairs(sample)]
    suffixes = {p.turn: p for p in revealing_pairs(sample)}
    if isinstance(settings, DialogueTask):
        wanted = {"all": (True, False), "questions": (False,), "boxes": (True,)}[settings.learns]
        return [
            Example(sample.image, p.prefix, p.suffix, None, p.turn) for p in suffixes.values() if p.grounds in wanted
        ]
    found = []
    for turn, ambiguous in enumerate(labels):
        pair = suffixes.get(turn)
        known = ambiguous if turn == 0 or settings.states == "all" else None
        if pair is None and known is None:
            continue
        prefix = (
            pair.prefix
            if pair
            else build_prefix(CLARIFY, check_expression(sample.expression), sample.turns[:turn], sample.size)
        )
        found.append(Example(sample.image, prefix, pair.suffix if pair else None, known, turn))
    return found


def state_labels(sample: Sample) -> List[Optional[bool]]:
    """Ambiguous or not, for each state from the bare instruction to the whole dialogue; None where it is not known.

    The instruction alone has the data set's label. After a turn that another question followed it was still ambiguous;
    after the last one it is clear where the data set says what was meant.
    """
    first = {Label.AMBIGUOUS: True, Label.CLEAR: False, Label.UNKNOWN: True if sample.turns else None}[sample.label]
    later: List[Optional[bool]] = [True] * max(0, len(sample.turns) - 1)
    if sample.turns:
        later.append(False if sample.boxes is not None else None)
    return [first, *later]


@dataclass(frozen=True)
class Splits:
    """Names of the splits in use, '' where there is none; fractions: where they are made by a hash of image names."""

    train: str
    valid: str
    test: str
    fractions: Optional[Tuple[float, ...]]


def balance(source: Source, splits: Splits, settings: AnyTask) -> float:
    """Clear examples for each ambiguous one in the training split: a `pos_weight` under which both classes count alike.
    Raises TrainingError if a class is missing."""
    labels = [
        example.ambiguous
        for sample in SampleStream(source, splits.train, fractions=splits.fractions)
        for example in examples_of(sample, settings)
    ]
    ambiguous, clear = labels.count(True), labels.count(False)
    if not ambiguous or not clear:
        raise TrainingError(
            f"pos_weight 0 balances two classes, but the training data has {ambiguous} ambiguous and {clear} clear "
            "examples"
        )
    return clear / ambiguous


def choose_splits(source: Source, settings: AnyTask) -> Splits:
    """The data set's own splits, or ones by fractions where it has none or one (the paper's 70/15/15).

    Raises TrainingError if it has several but none of the wanted name for training or validation.
    """
    wanted = [split_name(n) if n else "" for n in (settings.train_split, settings.valid_split, settings.test_split)]
    if len(source.splits) <= 1:
        return Splits("train", "valid", "test", settings.fractions)
    train, valid, test = (name if name in source.splits else "" for name in wanted)
    needed = [("train_split", wanted[0], train), ("valid_split", wanted[1], valid)][: 2 if settings.validation else 1]
    missing = [f"{key} '{name}'" for key, name, found in needed if not found]
    if missing:
        raise TrainingError(
            f"the data set has no {' and no '.join(missing)}; it has {', '.join(source.splits)}: name "
            "them in the recipe (validation: 0 does without)"
        )
    return Splits(train, valid, test, None)


class ExampleStream:
    """Endless examples of a split, shuffled anew each epoch. `state()` is where it stands; a stream made with
    resume=state and otherwise the same arguments goes on with the very next example."""

    def __init__(self, source: Source, split: str, settings: AnyTask, fractions=None, resume: Optional[Dict] = None):
        resume = dict(resume or {})
        self._skip, self._settings = int(resume.pop("example", 0)), settings
        self._stream = SampleStream(
            source, split, buffer=settings.shuffle, seed=settings.seed, repeat=True, fractions=fractions, resume=resume
        )
        self._state = {**self._stream.state(), "example": self._skip}

    @property
    def problems(self):
        return self._stream.problems

    def state(self) -> Dict[str, int]:
        return dict(self._state)

    def __iter__(self) -> Iterator[Example]:
        """Raises MissingDataError if a whole epoch holds nothing that the task can learn from."""
        samples, last = iter(self._stream), self._stream.state()["epoch"]
        while True:
            before = self._stream.state()
            sample = next(samples)
            for index, example in enumerate(examples_of(sample, self._settings)):
                if index >= self._skip:
                    self._state = {**before, "example": index + 1}
                    last = before["epoch"]
                    yield example
            self._skip = 0
            if before["epoch"] > last + 1:
                raise MissingDataError(
                    "no sample of this data set has what the task learns from: a dialogue needs "
                    "questions or boxes, an oracle answers and boxes, a detector labels or dialogues"
                )


def fixed_examples(source: Source, split: str, settings: AnyTask, fractions, count: int) -> List[Example]:
    """At most `count` examples of a split, always the same ones: any, not the first. Fewer if there are fewer."""
    stream = SampleStream(source, split, buffer=settings.shuffle, seed=settings.seed + 1, fractions=fractions)
    return list(islice((e for s in stream for e in examples_of(s, settings)), count))
