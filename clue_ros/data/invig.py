"""InViG-21K and InViG-500K (Zhang et al., arXiv 2310.12147), as its API's README describes them.

    ROOT/invig21k_anns/invig21k_{train,valid,test}_anns.jsonl   ROOT/invig21k_imgs/*.jpg
    ROOT/invig500k_anns/invig500k_anns.jsonl                    ROOT/invig500k_imgs/*.jpg

The files may also lie a folder deeper, or be named one by one. Boxes are x0 y0 x1 y1 in pixels (the API draws them so);
several `ref_bboxes` are several annotations of what is meant. 500K is training data only.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Iterator, List, Optional, Sequence, Tuple

from clue_ros.data.sample import Label, Sample, boxes_of, without_closing
from clue_ros.data.source import (
    Record,
    Source,
    expression_of,
    field_of,
    files_named,
    first_folder,
    reporting,
    split_in,
    texts_of,
)
from clue_ros.data.textfiles import count_lines, json_object, read_lines
from clue_ros.images.files import ImageRoot, image_file, size_of
from clue_ros.language.closings import is_closing
from clue_ros.problems import MissingDataError, Place, Problems
from clue_ros.types import Answer, Turn

PATTERN = "invig*_anns.jsonl"
LAYOUT = "expected ROOT/invig21k_anns/invig21k_train_anns.jsonl with ROOT/invig21k_imgs/ (or invig500k_...)"


class InvigSource(Source):
    name = "invig"

    def __init__(self, path: Path, images: Optional[Path] = None, subset: Optional[str] = None):
        """path: the data set's folder or one annotation file; images: the folder that holds the images, or the folder
        that holds invig21k_imgs/ and invig500k_imgs/; subset: '21k' or '500k'. Raises MissingDataError."""
        self._root = path if path.is_dir() else path.parent
        files = files_named(path, PATTERN) if path.is_dir() else [path]
        files = [f for f in files if subset is None or version_of(f) == subset]
        if not files:
            wanted = f"invig{subset}_*anns.jsonl" if subset else PATTERN
            raise MissingDataError(f"{path}: no annotation file {wanted} found; {LAYOUT}")
        base = ImageRoot(self._root)
        self._files: List[Tuple[Path, str, str, ImageRoot]] = []  # file, version, split, images
        for file in files:
            version = version_of(file)
            split = "train" if version == "500k" else split_in(file.name) or "train"
            self._files.append((base.inside(file), version, split, self._images(version, images)))
        self.roots = tuple({id(r): r for *_, r in self._files}.values())
        self.splits = tuple(dict.fromkeys(split for _, _, split, _ in self._files))

    def _images(self, version: str, images: Optional[Path]) -> ImageRoot:
        for _, known, _, root in self._files:
            if known == version:
                return root
        name = f"invig{version}_imgs"
        if images is not None:
            return ImageRoot(first_folder([images / name, images]) or images)
        candidates = [self._root / name, self._root.parent / name, self._root / "images" / name]
        folder = first_folder(candidates)
        if folder is None:
            tried = ", ".join(str(c) for c in candidates)
            raise MissingDataError(
                f"the images of InViG {version} are missing (looked for {tried}); unpack {name}.zip "
                "there or name the folder with --images"
            )
        return ImageRoot(folder)

    def records(self, split: Optional[str] = None) -> Iterator[Record]:
        wanted = self.wanted(split)
        for index, (file, _, own, _) in enumerate(self._files):
            if wanted in (None, own):
                name = file.relative_to(self._root).as_posix()
                for number, line in read_lines(file):
                    yield Record(Place(name, number), own, (index, line))

    def annotation_files(self) -> Sequence[Path]:
        return [file for file, *_ in self._files]

    def count(self, split: Optional[str] = None) -> int:
        wanted = self.wanted(split)
        return sum(count_lines(f) for f, _, own, _ in self._files if wanted in (None, own))

    def parse(self, record: Record, problems: Problems) -> Iterator[Sample]:
        index, line = record.content
        _, version, split, root = self._files[index]
        with reporting(problems, record.place):
            entry = json_object(line)
            yield sample_of(entry, f"invig{version}/{split}/{entry.get('id', record.place.line)}", split, root)


def version_of(file: Path) -> str:
    return "500k" if "500k" in file.name.lower() else "21k"


def sample_of(entry: dict, source_id: str, split: str, root: ImageRoot) -> Sample:
    """Raises ValueError, InvalidExpressionError or UnsafePathError."""
    annotation = field_of(entry, "ann")
    if not isinstance(annotation, dict):
        raise ValueError("'ann' must be an object")
    size = size_of(field_of(entry, "width"), field_of(entry, "height"))
    turns, closing = turns_of(field_of(annotation, "questions"), field_of(annotation, "answers"))
    return Sample(
        source_id,
        image_file([root], field_of(entry, "filename"), size),
        expression_of(field_of(annotation, "ref_exp")),
        turns,
        boxes_of(field_of(annotation, "ref_bboxes")),
        label=label_of(len(annotation["questions"]), len(turns), len(closing)),
        split=split,
        objects=boxes_of(annotation.get("bboxes", [])),
        question_candidates=_candidates(annotation, "question_candidates", len(turns)),
        answer_candidates=_candidates(annotation, "answer_candidates", len(turns)),
        closing=closing,
    )


def turns_of(questions: Any, answers: Any) -> Tuple[Tuple[Turn, ...], Tuple[Turn, ...]]:
    """(turns, closing) of two lists of texts. Raises ValueError."""
    questions, answers = texts_of(questions, "questions"), texts_of(answers, "answers")
    if len(answers) == len(questions) - 1:  # the robot had the last word
        closes = is_closing(questions[-1], "")
        questions, answers = (questions, [*answers, ""]) if closes else (questions[:-1], answers)
    if len(answers) != len(questions):
        raise ValueError(f"{len(questions)} questions but {len(answers)} answers")
    return without_closing([Turn(q.strip(), Answer(a.strip())) for q, a in zip(questions, answers)])


def label_of(questions: int, turns: int, closing: int) -> Label:
    """The person who played the robot could see the image: a question means that the instruction did not do. One that
    nobody answered leaves no turn, but no clear instruction either."""
    if turns:
        return Label.AMBIGUOUS
    return Label.CLEAR if questions == closing else Label.UNKNOWN


def _candidates(annotation: dict, key: str, turns: int) -> Tuple[Tuple[str, ...], ...]:
    values = annotation.get(key)
    if not values:
        return ()
    if not isinstance(values, list):
        raise ValueError(f"'{key}' must be a list")
    if all(isinstance(v, str) for v in values):
        return (tuple(texts_of(values, key)),) * turns
    if len(values) < turns:
        raise ValueError(f"'{key}' has candidates for {len(values)} of {turns} turns")
    return tuple(tuple(texts_of(v, key)) for v in values)
