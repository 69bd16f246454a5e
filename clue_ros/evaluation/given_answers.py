"""Another model's grounded answers from a file or a program, judged as a model's of our own are.

    {"image": "000000000007.jpg", "answer": "Two men beside a dog.",
     "groundings": [{"phrase": "Two men", "box": [4, 6, 14, 26]}, {"phrase": "a dog", "box": [30, 8, 50, 40]}]}

A phrase that means several things stands once for each box. "image" is the picture's id, file or path in its data set.
Boxes are pixels, x0 y0 x1 y1, unless a form is given (data/box_forms.py).
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from clue_ros.chat.answer import GroundedAnswer, Phrase
from clue_ros.data.box_forms import check_form, to_pixels
from clue_ros.data.instances import Picture
from clue_ros.data.line_program import LineProgram
from clue_ros.data.sample import box_of
from clue_ros.data.textfiles import json_object, read_lines
from clue_ros.evaluation.other_model import TIMEOUT_S
from clue_ros.evaluation.picture_paths import PicturePaths
from clue_ros.types import Box, ClueError


class _Given(NamedTuple):
    line: int
    text: str
    groundings: Tuple[Tuple[str, Box], ...]


class GivenAnswers:
    """In place of a Subject. `count`: lines of the file."""

    def __init__(self, file: Path, boxes: str = "xyxy"):
        """boxes: one of box_forms.FORMS. Raises ClueError naming the line that cannot be used."""
        self._file, self._form = Path(file), check_form(boxes)
        self._of: Dict[str, _Given] = {}
        digest = hashlib.sha256()
        try:
            for number, line in read_lines(self._file):
                digest.update(line)
                self._add(number, line)
        except OSError as error:
            raise ClueError(f"the answers {file} cannot be read: {error.strerror}") from error
        if not self._of:
            raise ClueError(f"{file} holds no answers")
        self._digest, self.count = digest.hexdigest()[:16], len(self._of)

    def about(self) -> Dict[str, str]:
        """As Subject.about."""
        form = {"quantization": "none", "dtype": "auto"}
        return {"model": str(self._file), "fingerprint": f"{self._digest} {self._form}", **form}

    def close(self) -> None:
        """Nothing is held."""

    def answer(self, picture: Picture, question: str) -> Optional[GroundedAnswer]:
        """What the file says of this picture, None if nothing. Raises ClueError for boxes that are no pixels."""
        file = picture.image.name
        names = (picture.key, file, Path(file).name, picture.key.rsplit("/", 1)[-1])  # the last one: COCO's image_id
        given = next((self._of[name] for name in names if name in self._of), None)
        if given is None:
            return None
        place = f"{self._file}:{given.line}"
        return _answer(question, given.text, _in_pixels(given.groundings, self._form, picture, place))

    def _add(self, number: int, line: bytes) -> None:
        try:
            entry = json_object(line)
            name, (text, groundings) = entry.get("image"), _said(entry)
            if not isinstance(name, (str, int)):
                raise ValueError("an answer needs 'image'")
            if str(name) in self._of:
                raise ValueError(f"a second answer about '{name}'")
            self._of[str(name)] = _Given(number, text, groundings)
        except ValueError as error:
            raise ClueError(f"{self._file}:{number}: {error}") from error


class AskedAnswers:
    """A program in place of a Subject: {"task": "chat", "image": "/a.jpg", "question": …} in, a line as above without
    "image" out. Raises ClueError if it cannot be started."""

    count: Optional[int] = None

    def __init__(self, arguments: Sequence[str], boxes: str = "xyxy"):
        self._name, self._form = " ".join(arguments), check_form(boxes)
        self._program, self._paths = LineProgram("model command", arguments, TIMEOUT_S), PicturePaths()

    def about(self) -> Dict[str, str]:
        """As Subject.about."""
        return {"model": self._name, "fingerprint": self._form, "quantization": "none", "dtype": "auto"}

    def close(self) -> None:
        self._program.close()
        self._paths.close()

    def answer(self, picture: Picture, question: str) -> GroundedAnswer:
        """Raises ClueError if the program ends, is silent, or writes anything else than an answer."""
        request = {"task": "chat", "image": self._paths.of(picture.image), "question": question}
        try:
            text, groundings = _said(self._program.ask(request))
        except ValueError as error:
            raise ClueError(f"{self._name}: {error}") from error
        return _answer(question, text, _in_pixels(groundings, self._form, picture, self._name))


def _said(entry: Dict[str, Any]) -> Tuple[str, Tuple[Tuple[str, Box], ...]]:
    text, values = entry.get("answer", ""), entry.get("groundings")
    if not isinstance(text, str) or not isinstance(values, list):
        raise ValueError("an answer needs 'groundings' (a list) and, as text, 'answer'")
    return text, tuple(_grounding(value) for value in values)


def _in_pixels(groundings: Sequence[Tuple[str, Box]], form: str, picture: Picture, place: str) -> List[Tuple[str, Box]]:
    things = [(phrase, to_pixels(box, form, picture.image.size)) for phrase, box in groundings]
    if form == "xyxy" and things and all(max(box) <= 1 for _, box in things):
        raise ClueError(f"{place}: boxes between 0 and 1 look like shares of the image; give --boxes xyxy01")
    return things


def _grounding(value: Any) -> Tuple[str, Box]:
    if not isinstance(value, dict) or not isinstance(value.get("phrase"), str):
        raise ValueError("a grounding must be an object with 'phrase' and 'box'")
    return value["phrase"], box_of(value.get("box"))


def _answer(question: str, text: str, things: List[Tuple[str, Box]]) -> GroundedAnswer:
    """With each phrase at its place in the text; one that does not stand there is added at the end."""
    phrases = []
    for words, box in things:
        start = text.find(words)
        if start < 0:
            text = f"{text} [{words}]".strip()
            start = len(text) - 1 - len(words)
        phrases.append(Phrase(start, start + len(words), box, 1.0))
    return GroundedAnswer(question, text, tuple(phrases))
