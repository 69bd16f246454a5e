"""`clue evaluate vqa FILE`: questions with options about a picture as it is, and about the focused one (IVM, Table 1).

    clue evaluate vqa vstar_bench/test_questions.jsonl --model DIR --answer-command python3 my_vlm.py

A line as V*Bench has it: {"image": "direct_attributes/sa_4690.jpg", "text": "What is the material of the glove?\\n(A)
rubber\\n(B) cotton\\nAnswer with the option's letter …", "category": "direct_attributes", "label": "A"}. Who answers is
a local program: {"image": PATH, "question": TEXT} -> {"answer": "A"}. The model says what of the picture the question
is about (masks/focus.py); all else is covered, and the rest is cropped to it, as IVM does.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Container, Dict, Iterator, List, Optional, Sequence

from clue_ros.data.line_program import LineProgram
from clue_ros.data.source import field_of, fingerprint_of, reporting, texts_of
from clue_ros.data.textfiles import json_object, read_lines
from clue_ros.evaluation.picture_paths import PicturePaths
from clue_ros.evaluation.rows import Row
from clue_ros.evaluation.subject import Subject
from clue_ros.evaluation.suite import Judged
from clue_ros.images.files import ImageArray, ImageFile, ImageRoot, image_file
from clue_ros.masks.focus import active_pixels, focused_crop
from clue_ros.measures.bootstrap import rate
from clue_ros.measures.results import Measure, Results, Table
from clue_ros.problems import BrokenImageError, MissingDataError, Place, Problems
from clue_ros.seams import Capability
from clue_ros.types import ClueError, InvalidExpressionError

EXPLANATION = """The same program answers about the picture as it is and about what of it the model finds relevant to \
the question, everything else covered and cropped away."""
_LETTER = re.compile(r"\s*\(?([A-Z])(?![A-Za-z])")
_OPTION = re.compile(r"^\s*\(([A-Z])\)\s*(.+?)\s*$", re.M)
TIMEOUT_S = 600.0  # its first answer may have to load a model


class VqaSuite:
    name, title = "vqa", "Questions with and without focus"

    def __init__(
        self,
        subject: Subject,
        file: Path,
        program: LineProgram,
        images: Optional[Path] = None,
        limit: Optional[int] = None,
        who: str = "",
    ):
        """images: the folder that image names are relative to, the file's own by default; who: the program's name.
        Raises ClueError if the model has no mask head, MissingDataError without a single usable question."""
        if Capability.RELEVANCE not in subject.grounder.capabilities:
            raise ClueError(f"{subject.folder} has no mask head: train one with clue train mask")
        self._subject, self._file, self._program, self._who = subject, Path(file), program, who
        self.problems = Problems()
        self._questions = list(self._read(ImageRoot(images or Path(file).parent)))[:limit]
        if not self._questions:
            raise MissingDataError(f"{file} holds no question: its lines need image, text and label")

    def about(self) -> Dict[str, Any]:
        asked = {"annotations": fingerprint_of([self._file]), "answers": self._who, "limit": len(self._questions)}
        return {"suite": self.name, **self._subject.about(), "data": str(self._file), **asked}

    def total(self) -> int:
        return len(self._questions)

    def judged(self, done: Container[str]) -> Iterator[Judged]:
        paths = PicturePaths()
        try:
            for question in self._questions:
                if question["item"] not in done:
                    yield self._judge(question, paths)
        finally:
            paths.close()

    def _judge(self, question: Row, paths: PicturePaths) -> Judged:
        image: ImageFile = question["file"]
        base = {"image": image.name, "category": question["category"], "label": question["label"]}
        try:
            rgb = image.read()
            heat = self._subject.grounder.relevance(rgb, question["text"].split("\n")[0])
        except (BrokenImageError, InvalidExpressionError) as error:
            return Judged(question["item"], [{**base, "skipped": str(error)}])
        active = active_pixels(heat)
        focus = focused_crop(rgb, active)
        said = self._ask(paths.of(image), question["text"])
        again = self._ask(paths.of(ImageArray(focus)), question["text"])
        options = dict(_OPTION.findall(question["text"]))
        row = {
            **base,
            "said": said,
            "said_focused": again,
            "right": is_right(said, question["label"], options),
            "right_focused": is_right(again, question["label"], options),
            "kept": round(float(active.mean()), 4),
        }
        title = f"{question['text'].splitlines()[0]}: {said}, focused {again}, is {question['label']}"
        return Judged(question["item"], [row], title, row["right_focused"], lambda: focus)

    def _ask(self, path: str, text: str) -> str:
        try:
            answer = self._program.ask({"image": path, "question": text}).get("answer")
        except ValueError as error:
            raise ClueError(f"the answer command must write JSON objects: {error}") from error
        if not isinstance(answer, str):
            raise ClueError('the answer command must write {"answer": "…"}')
        return answer

    def terms(self, rows: Sequence[Row]):
        there = [float("skipped" not in r) for r in rows]
        return {name: ([float(bool(r.get(name))) for r in rows], there) for name in ("right", "right_focused")}

    def summarise(self, rows: Sequence[Row]) -> Results:
        kept = [r for r in rows if "skipped" not in r]
        measures = [
            Measure("accuracy", "right, picture as it is", _rate(kept, "right"), form="rate"),
            Measure("accuracy_focused", "right, focused picture", _rate(kept, "right_focused"), form="rate"),
        ]
        lines = []
        for name in dict.fromkeys(r["category"] for r in kept):
            own = [r for r in kept if r["category"] == name]
            lines.append((name, len(own), _rate(own, "right"), _rate(own, "right_focused")))
        table = Table("By category", ("category", "count", "as it is", "focused"), tuple(lines), form="rate")
        notes = [f"{len(rows) - len(kept)} questions not used"] if len(rows) > len(kept) else []
        if self.problems.total:
            notes.append(f"{self.problems.total} lines could not be read: {self.problems.first[0]}")
        return Results(
            self.name,
            self.title,
            {},
            tuple(measures if kept else ()),
            (table,) if kept else (),
            (),
            tuple(notes),
            explanation=EXPLANATION,
        )

    def _read(self, root: ImageRoot) -> Iterator[Row]:
        for number, line in read_lines(self._file):
            found: List[Row] = []
            with reporting(self.problems, Place(self._file.name, number)):
                entry = json_object(line)
                text, label, name = texts_of([field_of(entry, k) for k in ("text", "label", "image")], "the question")
                category = str(entry.get("category", ""))
                key = f"{number}/{entry.get('question_id', '')}"
                file = image_file([root], name)
                found = [{"item": key, "file": file, "text": text, "label": label.strip(), "category": category}]
            yield from found


def is_right(answer: str, label: str, options: Dict[str, str]) -> bool:
    """Whether an answer in words or by its letter means the option of the label, a letter or an option's words."""
    said = answer.strip().rstrip(".").lower()
    wanted = {label.lower(), options.get(label, label).lower().rstrip(".")}
    letter = next((k for k, words in options.items() if words.lower() == label.lower()), label)
    match = _LETTER.match(answer)
    return said in wanted or bool(options and match and match[1] == letter)


def _rate(rows: Sequence[Row], key: str) -> Any:
    return rate([bool(r[key]) for r in rows], [r["image"] for r in rows])
