"""The model under evaluation: what the robot would run, and its backbone for what only an evaluation asks for."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np

from clue_ros import grounder as models
from clue_ros.ambiguity.kinds import is_stock
from clue_ros.data.sample import Sample
from clue_ros.grounder import EMBEDDED_MODEL
from clue_ros.prompt import CLARIFY, build_prefix, check_expression, clean, oracle_prefix
from clue_ros.seams import Grounder
from clue_ros.types import Box, ClueError, Turn
from clue_ros.vlm.backbone import Backbone
from clue_ros.vlm.decoding import Branch
from clue_ros.vlm.memory import memory_guard
from clue_ros.vlm.passes import EncodedImage, Likelihood

ANSWER_LIMIT = 48  # tokens
ORACLES = (
    "train one with `clue finetune answer` and name it with --oracle-model DIR, name a program with --oracle-command"
)
_TOKEN = re.compile(r"<\w+>")
HASHED_UP_TO = 1 << 28  # bytes of a file; larger ones are told apart by size and time


class CannotAnswerError(ClueError):
    """Nobody trained the model to play the person: it has no oracle's adapter."""


@dataclass
class Subject:
    """One loaded model. `folder`: where it came from; `stock`: a plain PaliGemma 2, driven without training."""

    grounder: Grounder
    backbone: Backbone
    folder: Path
    stock: bool
    quantization: str = "none"
    dtype: str = "auto"  # as it was asked for
    glances: Optional[int] = None  # second ones a picture, None for the model's own
    _seen: Optional[Tuple[np.ndarray, Any]] = field(default=None, init=False, repr=False)

    @classmethod
    def load(
        cls,
        path: Optional[Path] = None,
        device: str = "cpu",
        quantization: str = "none",
        dtype: str = "auto",
        glances: Optional[int] = None,
    ) -> "Subject":
        """A model directory; None: the embedded model. Raises ModelLoadError, OutOfMemoryError."""
        folder = Path(path) if path else EMBEDDED_MODEL
        grounder = models.Grounder.from_pretrained(folder, device, dtype, quantization=quantization, glances=glances)
        return cls(grounder, grounder.backbone, folder, is_stock(folder), quantization, dtype, glances)

    def about(self) -> Dict[str, Any]:
        """The model's folder ('embedded' for the shipped one, wherever it is installed), and a fingerprint of what lies
        in it: rows of a model that was trained on since then must not be mixed with new ones."""
        name = "embedded" if self.folder == EMBEDDED_MODEL else str(self.folder)
        form: Dict[str, Any] = {"quantization": self.quantization, "dtype": self.dtype}
        if self.glances is not None:
            form["glances"] = self.glances
        return {"model": name, "fingerprint": fingerprint(self.folder), **form}

    @property
    def can_answer(self) -> bool:
        """Whether an oracle's adapter was trained (`clue finetune answer`): without one its answers would be noise."""
        return self.backbone.settings.answer_adapter in self.backbone.adapters

    def look(self, rgb: np.ndarray) -> Any:
        """The image as `grounder.ground` and the methods here take it."""
        return self.grounder.look(rgb)

    def look_at(self, sample: Sample, rgb: np.ndarray) -> Any:
        """`look`, kept until another array is given: the turns of a dialogue and the samples of an image share it."""
        if self._seen is None or self._seen[0] is not rgb:
            self._seen = rgb, self.look(rgb)
        return self._seen[1]

    def knows(self, task: str, sample: Sample, turns: Sequence[Turn] = ()) -> bool:
        """A model answers always; answers from a file may lack (other_model.py)."""
        return True

    def question(self, image: Any, expression: str, turns: Sequence[Turn]) -> str:
        """The clarifying question that the model asks after these turns, '' if it finds nothing to ask about."""
        if self.stock:
            return self.grounder.ground(image, expression, turns, threshold=0.0).question
        start = self.backbone.prefill(image, self._prefix(image, expression, turns))
        return self.backbone.text_of(self.backbone.generate(start, frozenset({Branch.QUESTION})))

    def question_likelihoods(
        self, image: Any, expression: str, turns: Sequence[Turn], candidates: Sequence[str]
    ) -> List[Likelihood]:
        """Of each candidate as the next question."""
        with memory_guard("ranking questions by their likelihood"):
            return self.backbone.likelihoods(features_of(image), self._prefix(image, expression, turns), candidates)

    def answer(self, image: Any, expression: str, turns: Sequence[Turn], question: str, target: Optional[Box]) -> str:
        """What a person who has `target` in mind would reply, in the model's words. Raises CannotAnswerError."""
        encoded, prefix = self._asked(image, expression, turns, question, target)
        adapter = self.backbone.settings.answer_adapter
        # A person has no location tokens: copied from the prefix, they would tell the guesser the box itself.
        return _TOKEN.sub(" ", self.backbone.complete(encoded, prefix, ANSWER_LIMIT, adapter=adapter).text).strip()

    def answer_likelihoods(
        self,
        image: Any,
        expression: str,
        turns: Sequence[Turn],
        question: str,
        target: Optional[Box],
        candidates: Sequence[str],
    ) -> List[Likelihood]:
        """Of each candidate as the answer. Raises CannotAnswerError."""
        encoded, prefix = self._asked(image, expression, turns, question, target)
        with memory_guard("ranking answers by their likelihood"):
            return self.backbone.likelihoods(encoded, prefix, candidates, self.backbone.settings.answer_adapter)

    def check_can_answer(self) -> None:
        """Raises CannotAnswerError, whose text says what to do."""
        if not self.can_answer:
            raise CannotAnswerError(
                f"{self.folder} cannot play the person, nobody trained it to: {ORACLES}, or let the data answer "
                "with --oracle recorded"
            )

    def close(self) -> None:
        """Free the model's memory."""
        self.grounder.close()
        del self.backbone

    def _asked(
        self, image: Any, expression: str, turns: Sequence[Turn], question: str, target: Optional[Box]
    ) -> Tuple[EncodedImage, str]:
        self.check_can_answer()
        encoded = features_of(image)
        size = encoded.width, encoded.height
        return encoded, oracle_prefix(check_expression(expression), turns, question, target, size)

    def _prefix(self, image: Any, expression: str, turns: Sequence[Turn]) -> str:
        known, encoded = self.backbone.without_unknown, features_of(image)
        turns = [Turn(known(clean(t.question)), replace(t.answer, text=known(clean(t.answer.text)))) for t in turns]
        return build_prefix(CLARIFY, known(check_expression(expression)), turns, (encoded.width, encoded.height))


def features_of(image: Any) -> EncodedImage:
    """The encoded image inside whatever `look` returned (a stock model keeps more beside it)."""
    return image if isinstance(image, EncodedImage) else image.encoded


def fingerprint(folder: Path) -> str:
    """16 hexadecimal digits that change when a model directory's weights or settings do; run folders and results in it
    are neither."""
    digest = hashlib.blake2b(digest_size=8)
    kinds = (".safetensors", ".json", ".model")
    inside = (f for f in Path(folder).rglob("*") if f.relative_to(folder).parts[0] not in ("training", "judged"))
    for file in sorted(f for f in inside if f.suffix in kinds and f.is_file()):
        stat = file.stat()
        digest.update(str(file.relative_to(folder)).encode())
        small = stat.st_size <= HASHED_UP_TO
        digest.update(file.read_bytes() if small else f"{stat.st_size} {stat.st_mtime_ns}".encode())
    return digest.hexdigest()
